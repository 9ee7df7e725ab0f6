"""Judgments before training: what is refused, which side a document is on, and labels without their length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.annotator.embed import label_of
from jql.annotator.judgments import (
    FEWEST,
    Judgments,
    check_labels,
    check_languages,
    split_by_source,
    without_length,
)
from jql.errors import DataError

LABELS = [float(i % 6) for i in range(60)]


def test_good_labels_pass():
    check_labels("web", LABELS, 0, 5, 0)
    check_labels("web", LABELS[:FEWEST], 0, 5, 9)


@pytest.mark.parametrize("wrong", [7.0, -0.5, float("nan"), float("inf")])
def test_labels_outside_of_the_rubric_are_refused(wrong):
    found = rf"judge web: 2 labels outside of 0 to 5, such as {wrong:g}; correct them, or set train.low and train.high"
    with pytest.raises(DataError, match=found):
        check_labels("web", [*LABELS, wrong, wrong], 0, 5, 0)


def test_too_few_labels_are_refused_and_missing_ones_counted():
    with pytest.raises(DataError, match=r"judge web: 49 labelled documents \(1,012 have none\), expected 50 or more"):
        check_labels("web", LABELS[:49], 0, 5, 1012)
    with pytest.raises(DataError, match=r"judge web: 0 labelled documents, expected 50 or more; judge more"):
        check_labels("web", [], 0, 5, 0)


def test_labels_that_are_all_the_same_are_refused():
    with pytest.raises(DataError, match=r"judge web: all 60 labels are 3, nothing to learn; check how its answers"):
        check_labels("web", [3.0] * 60, 0, 5, 0)


def test_one_language_is_refused_unless_it_is_meant():
    one, two = np.array(["mlt_Latn"] * 60, object), np.array(["mlt_Latn"] * 59 + ["deu_Latn"], object)
    with pytest.raises(DataError, match=r"all 60 are mlt_Latn; .* or set train.one_language=true"):
        check_languages(one, False)
    check_languages(one, True)
    check_languages(two, False)


@pytest.mark.parametrize("value", ["3", " 3.0 ", "3e0"])
def test_a_label_is_a_number(value):
    assert label_of(value, "x") == 3.0


@pytest.mark.parametrize("value", [None, "", "  ", "nan", "NaN", "None", "null"])
def test_a_label_may_be_missing(value):
    assert label_of(value, "x") is None


@pytest.mark.parametrize("value", ["good", "3/5", "Score: 3", "true"])
def test_a_label_in_words_is_refused(value):
    with pytest.raises(DataError, match=rf"a.parquet, row 7: score '{value}', expected a number or null; parse the"):
        label_of(value, "a.parquet, row 7")


@given(st.lists(st.text(max_size=4), min_size=1, max_size=40), st.floats(0.01, 0.89), st.integers(0, 9))
def test_documents_of_one_source_are_on_one_side_and_stay_there(sources, share, seed):
    held = split_by_source(np.array(sources, object), share, seed)
    assert held.dtype == bool and held.shape == (len(sources),)
    side = dict(zip(sources, held.tolist(), strict=True))
    assert [side[s] for s in sources] == held.tolist()
    more = np.array(["added", *sources, "too", *sources[::-1]], object)
    side |= {"added": None, "too": None} if not {"added", "too"} & set(sources) else {}
    again = split_by_source(more, share, seed)
    assert all(side[s] in (None, h) for s, h in zip(more, again.tolist(), strict=True))
    larger = split_by_source(np.array(sources, object), min(0.9, share + 0.1), seed)
    assert (larger >= held).all()  # a larger share only adds sources


def test_the_share_of_sources_is_about_what_was_asked_for():
    sources = np.array([f"source {i}" for i in range(5000)], object)
    for share in (0.1, 0.5):
        assert split_by_source(sources, share, 0).mean() == pytest.approx(share, abs=0.02)
    assert not np.array_equal(split_by_source(sources, 0.5, 0), split_by_source(sources, 0.5, 1))


@given(st.integers(0, 10**6))
def test_without_length_nothing_of_it_is_left(seed):
    draw = np.random.default_rng(seed)
    chars = draw.integers(1, 5000, 200)
    judge = draw.choice([0, 1], 200)
    labels = np.where(judge == 0, 0.5, -0.9) * np.log(chars) + draw.normal(0, 0.5, 200) + judge * 7
    before = labels.copy()
    out = without_length(labels, judge, chars)
    assert np.array_equal(labels, before)
    for h in (0, 1):
        here = judge == h
        assert abs(np.corrcoef(out[here], np.log(chars[here]))[0, 1]) < 1e-6
        assert out[here].mean() == pytest.approx(labels[here].mean())
        assert out[here].std() < labels[here].std()


def test_texts_of_one_length_keep_their_labels():
    labels = np.array(LABELS)
    assert np.array_equal(without_length(labels, np.zeros(60, int), np.full(60, 80)), labels)
    assert np.isfinite(without_length(labels, np.zeros(60, int), np.zeros(60, int))).all()


def test_taking_documents_keeps_their_columns_together():
    n = 6
    judged = Judgments(
        judges=["a", "b"],
        judge_N=np.arange(n) % 2,
        labels_N=np.arange(n) * 1.0,
        languages_N=np.array([f"l{i}" for i in range(n)], object),
        sources_N=np.array([f"s{i}" for i in range(n)], object),
        chars_N=np.arange(n) * 10,
        dense_ND=np.arange(n * 2.0).reshape(n, 2),
        texts=[f"t{i}" for i in range(n)],
        dropped={"a": {}},
        origins={"a": {"model": 6}},
    )
    found = judged.take(np.array([4, 1]))
    assert found.texts == ["t4", "t1"] and found.languages_N.tolist() == ["l4", "l1"]
    assert found.sources_N.tolist() == ["s4", "s1"] and found.chars_N.tolist() == [40, 10]
    assert found.judge_N.tolist() == [0, 1] and found.labels_N.tolist() == [4, 1]
    assert found.dense_ND.tolist() == [[8, 9], [2, 3]] and found.judges == ["a", "b"]
