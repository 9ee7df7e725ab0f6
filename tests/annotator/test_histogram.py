"""Fixed-bin histograms: merging is exact, quantiles are right to a bin, ranks follow the scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.annotator.histogram import BINS, HIGH, LOW, bin_of, histogram, merge, pack, quantile, ranks

WIDTH = (HIGH - LOW) / BINS
scores = st.lists(st.floats(-3, 9, width=32), min_size=1, max_size=300).map(lambda v: np.array(v, np.float32))


@given(scores, st.integers(1, 5), st.randoms())
def test_merging_parts_in_any_order_is_the_whole(points, parts, random):
    pieces = [pack(histogram(p)) for p in np.array_split(points, parts)]
    random.shuffle(pieces)
    assert np.array_equal(merge(pieces), histogram(points))
    assert merge(pieces).sum() == len(points)


@given(st.lists(st.floats(-1.75, 7.75, width=32), min_size=1, max_size=300), st.floats(0, 0.999))
def test_a_quantile_splits_as_asked_to_a_bin(values, share):
    points = np.sort(np.array(values, np.float32)).astype(np.float64)
    cut = quantile(histogram(points), share)
    # At least the share lies below the upper edge of the cut's bin, and at most the share below its lower edge.
    assert (points < cut - WIDTH).mean() <= share + 1e-9
    assert (points <= cut + WIDTH).mean() >= share - 1e-9


@given(scores, st.floats(0, 0.99), st.floats(0, 0.99))
def test_a_higher_share_never_gives_a_lower_cut(points, a, b):
    counts = histogram(points)
    assert quantile(counts, min(a, b)) <= quantile(counts, max(a, b))


@given(scores)
def test_ranks_follow_the_scores_and_average_one_half(points):
    found = ranks(histogram(points), points)
    order = np.argsort(bin_of(points), kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    assert found.min() >= 0 and found.max() <= 1
    assert found.mean() == pytest.approx(0.5)


def test_equal_scores_one_score_and_none():
    counts = histogram(np.full(100, 2.5, np.float32))
    assert abs(quantile(counts, 0.7) - 2.5) <= WIDTH
    assert abs(quantile(histogram(np.array([1.0], np.float32)), 0.7) - 1.0) <= WIDTH
    assert np.isnan(quantile(np.zeros(BINS, np.int64), 0.7))


def test_what_lies_outside_counts_in_the_outermost_bins():
    counts = histogram(np.array([-100.0, 100.0], np.float32))
    assert counts[0] == counts[-1] == 1


def test_the_cut_of_a_million_scores_is_right_to_a_thousandth_of_them():
    points = np.random.default_rng(0).normal(1.5, 0.8, 1_000_000).astype(np.float32)
    for share in (0.0, 0.1, 0.6, 0.7, 0.99):
        assert abs((points < quantile(histogram(points), share)).mean() - share) < 1e-3
