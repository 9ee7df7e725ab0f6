"""The estimate of what is kept: exact when everything was drawn, unbiased and covered by its interval when not."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.annotator.histogram import BINS
from jql.select.predict import IN_STRATUM, STRATA, Drawn, estimate, interval, one_of_each, strata_of

DRAWS = 300
COVERED = (0.9, 0.985)
"""Share of 300 intervals that is to hold the truth: 0.95, give or take 0.025 by chance (two standard errors). Of a
thousand drawn clusters, up to 0.03 is lost, as few of the 50 in the stratum of the cut are on one of its sides."""


class Language:
    """C clusters with bins of a score, and N documents in them; some clusters are not counted by histograms."""

    def __init__(self, seed, clusters, copies=0.3, largest=40, uncounted=0.02):
        draw = np.random.default_rng(seed)
        members = 1 + (draw.random(clusters) < copies) * draw.geometric(0.4, clusters)
        members[:3] = [largest, largest // 2, 1]
        self.of = np.repeat(np.arange(clusters), members)
        self.first = np.flatnonzero(np.diff(self.of, prepend=-1))
        quality = draw.normal(size=clusters)
        self.quality = quality[self.of] + 0.3 * draw.normal(size=len(self.of))
        lengths = np.exp(5 + 0.4 * self.quality + 0.6 * draw.normal(size=len(self.of))).astype(np.int64)
        self.sizes = np.stack([np.ones(len(self.of), np.int64), lengths, lengths // 4])
        self.counted = draw.random(clusters) >= uncounted
        self.bins = np.clip((self.quality[self.first] * 300 + 1800).astype(np.int64), 0, BINS - 1)
        self.counts = np.zeros((3, BINS), np.int64)
        for m in range(3):
            np.add.at(self.counts[m], self.bins[self.counted], self.sizes[m, self.first][self.counted])

    def drawn(self, chosen, rate):
        """What a sample with these clusters, bool (C,), shows; and its documents."""
        rows = np.flatnonzero(chosen[self.of])
        _, of = np.unique(self.of[rows], return_inverse=True)
        counted = self.counted[chosen]
        stratum = np.full(int(chosen.sum()), -1)
        stratum[counted], totals = strata_of(self.bins[chosen][counted], self.counts)
        known = np.where(counted, self.sizes[:, self.first[chosen]], 0)
        return Drawn(of, self.sizes[:, rows], known, stratum, totals, rate), rows


@given(st.integers(0, 2**32 - 1), st.integers(4, 300), st.floats(0, 1), st.sampled_from([0.0, 0.1, 1.0]))
def test_when_all_is_drawn_the_estimate_is_the_truth_and_certain(seed, clusters, share, uncounted):
    made = Language(seed, clusters, uncounted=uncounted)
    drawn, rows = made.drawn(np.ones(clusters, bool), 1.0)
    kept = np.random.default_rng(seed).random(len(rows)) < share
    found = estimate(drawn, kept)
    assert found[:, 0] == pytest.approx(made.sizes[:, kept].sum(axis=1), rel=1e-12)
    assert (found[:, 1] == 0).all()


def many(made, kept, rate, seed=7, measure=0):
    """Estimates and standard errors of many samples, and the truth."""
    draw, found = np.random.default_rng(seed), []
    for _ in range(DRAWS):
        drawn, rows = made.drawn(draw.random(len(made.first)) < rate, rate)
        found.append(estimate(drawn, kept[rows])[measure])
    return np.array(found), float(made.sizes[measure][kept].sum())


CASES = {
    "by another score, every copy": lambda made, draw: made.quality + 0.7 * draw.normal(size=len(made.of)) > 0.8,
    "one of each cluster": lambda made, draw: np.isin(np.arange(len(made.of)), made.first) & (made.quality > 0.5),
    "at random, one in ten": lambda made, draw: draw.random(len(made.of)) < 0.1,
}


@pytest.mark.parametrize("measure", [0, 2])
@pytest.mark.parametrize("case", CASES)
def test_95_of_100_intervals_hold_the_truth_and_estimates_lie_around_it(case, measure):
    made = Language(1, 12_000)
    kept = CASES[case](made, np.random.default_rng(2))
    found, truth = many(made, kept, 0.08, measure=measure)
    ends = np.array([interval(*row) for row in found])
    covered = ((ends[:, 1] <= truth) & (truth <= ends[:, 2])).mean()
    assert COVERED[0] <= covered <= COVERED[1]
    error = found[:, 0].std() / np.sqrt(DRAWS)
    assert abs(found[:, 0].mean() - truth) < 3 * error
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.15)  # as wide as the spread is


def test_clusters_whose_representative_is_not_counted_are_in_the_estimate():
    made = Language(3, 8_000, uncounted=0.5)
    found, truth = many(made, made.quality > 0.4, 0.1)
    assert abs(found[:, 0].mean() - truth) < 3 * found[:, 0].std() / np.sqrt(DRAWS)
    ends = np.array([interval(*row) for row in found])
    assert COVERED[0] <= ((ends[:, 1] <= truth) & (truth <= ends[:, 2])).mean() <= COVERED[1]


def test_strata_by_the_score_that_is_cut_leave_a_third_of_the_error():
    made = Language(4, 20_000, copies=0.0, largest=2, uncounted=0.0)
    kept = made.bins[made.of] >= np.quantile(made.bins, 0.7)
    drawn, rows = made.drawn(np.random.default_rng(0).random(20_000) < 0.1, 0.1)
    value, error = estimate(drawn, kept[rows])[0]
    one = replace(drawn, stratum=np.minimum(drawn.stratum, 0), totals=drawn.totals.sum(axis=1, keepdims=True))
    assert error < 0.33 * estimate(one, kept[rows])[0, 1]
    assert error < 0.003 * len(made.of) and abs(value - kept.sum()) < 2 * error


@given(st.lists(st.integers(0, BINS - 1), max_size=1500), st.integers(0, 2**32 - 1))
def test_strata_divide_all_bins_and_each_was_drawn_from(bins, seed):
    bins = np.array(bins, np.int64)
    counts = np.random.default_rng(seed).integers(0, 5, (3, BINS))
    np.add.at(counts[0], bins, 1)
    stratum, totals = strata_of(bins, counts)
    assert (totals.sum(axis=1) == counts.sum(axis=1)).all() and totals.shape[1] <= STRATA
    if len(bins):
        drawn = np.bincount(stratum, minlength=totals.shape[1])
        assert (drawn > 0).all() and (drawn <= totals[0]).all()
        assert (np.diff(stratum[np.argsort(bins, kind="stable")]) >= 0).all()  # runs of bins
    if len(bins) == len(set(bins.tolist())) and len(bins) >= 2 * IN_STRATUM:
        assert totals.shape[1] == min(STRATA, len(bins) // IN_STRATUM)


def test_nothing_drawn_is_nothing_known():
    none = np.zeros(0, np.int64)
    empty = Drawn(none, *np.zeros((2, 3, 0), np.int64), none, np.zeros((3, 1), np.int64), 0.0)
    assert (estimate(empty, np.zeros(0, bool)) == 0).all()


def test_an_interval_is_of_whole_numbers_and_not_below_none():
    assert interval(100.4, 10) == [100, 81, 120]
    assert interval(3.0, 10) == [3, 0, 23]
    assert interval(0.0, 0.0) == [0, 0, 0]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 9)), max_size=30))
def test_one_of_each_cluster_is_its_best(rows):
    of, merit, name = (np.array([row[i] for row in rows], kind) for i, kind in enumerate((np.int64, float, np.uint64)))
    expected = np.zeros(len(rows), bool)
    ordered = sorted((c, -m, n, i) for i, (c, m, n) in enumerate(rows))
    for _, group in itertools.groupby(ordered, key=lambda row: row[0]):
        expected[next(group)[3]] = True
    assert one_of_each(of, merit, name).tolist() == expected.tolist()
