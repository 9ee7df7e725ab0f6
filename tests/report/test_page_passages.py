"""Documents on both sides of a cut: the right ones, with their texts, from few units."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_help import TEXTS, write_run

from jql.annotator.histogram import Bins, Histograms
from jql.report.gather import read_run
from jql.report.page import passages_of
from jql.report.passages import SIDES, Need, few_units, margins, recorded_documents


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return read_run(write_run(tmp_path_factory.mktemp("passages") / "run"))


def test_they_lie_on_their_side_nearest_first_and_have_their_texts(files):
    cuts = files.stored_cuts()
    found = passages_of(files).show(cuts, files.kept, ["deu_Latn", "arb_Arab", "swe_Latn"], 5)
    for code in ("deu_Latn", "arb_Arab"):
        values = dict(zip(cuts.heads, cuts.languages[code].values, strict=True))
        for one in found[code]:
            assert one["text"].startswith(TEXTS[code]) and "Number" in one["text"]
            above = one["scores"] and all(one["scores"][head] >= round(value, 3) for head, value in values.items())
            assert one["side"] == "other" or above == ("kept" in one["side"])
        assert [one["side"] for one in found[code]].count("just kept") == SIDES["just kept"]
        margin = [
            min(one["scores"][head] - value for head, value in values.items())
            for one in found[code]
            if one["side"] == "just dropped"
        ]
        assert all(-1 < lies < 0 for lies in margin)
        assert [one["why"] for one in found[code] if one["side"] == "other"] == ["empty"]
    assert {one["why"] for one in found["swe_Latn"]} == {"too_few_documents", "empty"}


def test_few_units_are_opened_and_remembered(files):
    passages = passages_of(files)
    passages.show(files.stored_cuts(), files.kept, ["deu_Latn"], 1)
    assert len({unit for unit, _ in passages.texts}) == 1
    before = dict(passages.texts)
    passages.show(files.stored_cuts(), files.kept, ["deu_Latn"], 0)
    assert passages.texts == before


def test_without_a_plan_there_are_no_texts(files):
    assert recorded_documents(files.folder, [], None) is None
    passages = passages_of(files)
    passages.documents = None
    assert passages.show(files.stored_cuts(), files.kept, ["deu_Latn"], 5) == {}


@pytest.mark.parametrize(("rule", "kept"), [("all", [3]), ("majority", [1, 2, 3]), ("any", [0, 1, 2, 3])])
def test_margins_tell_what_the_rule_keeps(rule, kept):
    bins = Bins.over(0, 5)
    points = np.array([[2, 0, 0], [2, 2, 0], [0, 2, 2], [2, 2, 2], [0, 0, 0]], np.float32)
    histograms = Histograms(["a", "b", "c"], bins)
    histograms.add(points, np.zeros(5, np.int64), ["x"], np.ones((3, 5), np.int64))
    found = margins(points, np.array([1.0, 1.0, 1.0]), histograms.counts["x"][0], rule, bins)
    assert np.flatnonzero(found > 0).tolist() == kept
    assert np.isfinite(margins(points, np.array([1.0, 1.0, 1.0]), histograms.counts["x"][0], "mean", bins)).all()


@given(
    st.lists(st.tuples(st.lists(st.integers(0, 99), max_size=10, unique=True), st.integers(1, 4)), max_size=8),
    st.integers(0, 6),
)
def test_units_serve_as_much_as_they_can(wishes, most):
    needs = [Need("x", "kept", rows, wanted) for rows, wanted in wishes]
    unit_of = {row: row % 7 for need in needs for row in need.rows}
    chosen = few_units(needs, unit_of, most)
    assert len(chosen) <= most and chosen <= set(unit_of.values())
    left = [need.wanted - sum(unit_of[row] in chosen for row in need.rows) for need in needs]
    if len(chosen) < most:  # it stopped as nothing was left to serve
        assert all(
            n <= 0 or not {unit_of[row] for row in need.rows} - chosen for n, need in zip(left, needs, strict=True)
        )
