"""Exact cuts: the order statistic of the counted scores, whatever the ties, units, groups and documents held back."""

import json
from dataclasses import replace

import numpy as np
import pytest
from crawl_handed import decisions, handed
from crawl_made import HEADS, make, wish
from hypothesis import given
from hypothesis import strategies as st
from slow_rules import kept_slowly

from jql.annotator.histogram import BINS, Bins
from jql.select.near import cut_bin, exact_quantile

SCORES = st.lists(st.one_of(st.floats(-3, 9, width=32), st.sampled_from([1.0, 1.001, 2.0])), min_size=1, max_size=60)


@given(SCORES, st.integers(0, 20), st.floats(0, 0.999))
def test_the_score_that_a_share_of_all_lies_below(scores, held, share):
    points = np.array([*[-np.inf] * held, *scores], np.float32)
    bins = Bins().of(points)
    counts = np.bincount(bins, minlength=BINS)
    near = points[(bins == cut_bin(counts, share)) & np.isfinite(points)]  # no score is known of those held back
    cut = exact_quantile(counts, near, share, Bins())
    wanted = np.sort(points)[int(share * len(points))]
    if np.isfinite(wanted):
        assert cut == wanted
        assert (points < cut).sum() <= share * len(points)
    else:
        assert (np.array(scores, np.float32) >= cut).all()


def statistic(crawl, rows, head, share):
    points = np.where(np.isnan(crawl.points[rows, head]), -np.inf, crawl.points[rows, head])
    return np.sort(points)[int(share * len(points))]


@pytest.mark.parametrize("digits", [8, 1])
def test_a_run_finds_the_order_statistics_of_what_is_counted(tmp_path, digits):
    counts = {"deu_Latn": 400, "hrv_Latn": 150, "srp_Latn": 150, "isl_Latn": 8}
    crawl = make(counts, seed=7, copies=0.3, held=0.1, lost=0.05)
    crawl = replace(crawl, points=crawl.points.round(digits))
    cut = {"languages": {"deu_Latn": {"quantile": 0.55}, "bcms": {"quantile": 0.35}}, "shared": ["bcms"]}
    with handed(tmp_path, crawl, units=4) as given:
        for settings in (cut, {"quantile": 0.7, "rule": "any"}, {"quantile": 0.0}):
            selected = given.select(exact=True, copy="every", **settings)
            for code, found in selected.cuts.languages.items():
                if code == "isl_Latn":
                    assert found.values is None
                    continue
                rows = crawl.rows_of(code)
                if found.of == "bcms":
                    rows = crawl.rows_of("hrv_Latn") | crawl.rows_of("srp_Latn")
                wanted = [statistic(crawl, rows & crawl.counted, h, found.quantile) for h in range(len(HEADS))]
                finite = np.isfinite(wanted)
                assert (found.values[finite] == np.array(wanted)[finite]).all() and found.rank_error == 0.0
            # Where no quantile reaches beyond what was held back, all that has a score is kept.
            select = wish(exact=True, copy="every", **settings)
            kept = kept_slowly(crawl, selected.cuts, select)
            assert decisions(selected).column("keep").to_pylist() == kept.tolist()
            if settings.get("quantile") == 0.0:
                open_ = np.array([why is None for why in crawl.why]) & ~crawl.rows_of("isl_Latn")
                assert (kept == open_).all()


def test_scores_and_cut_files_stay_as_they_are(tmp_path):
    crawl = make({"deu_Latn": 200, "swe_Latn": 100}, seed=8)
    with handed(tmp_path, crawl) as given:
        found = given.select(exact=True, languages={"swe_Latn": {"score": 2.25}}).cuts.languages
        assert found["swe_Latn"].values.tolist() == [2.25] * 4
        assert np.isin(found["deu_Latn"].values, crawl.points).all()
        path = tmp_path / "cuts.json"
        path.write_text(json.dumps(given.select(quantile=0.4).cuts.to_json()))
        again = given.select(exact=True, cuts=str(path)).cuts
        assert again.languages["deu_Latn"].values.tolist() == list(
            json.loads(path.read_text())["languages"]["deu_Latn"]["cuts"].values()
        )
