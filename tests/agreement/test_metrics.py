"""Figures of agreement: values worked out by hand, plain slow definitions, and what must not change them."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import rankdata

from jql.agreement.metrics import (
    calibration_error,
    kendall,
    mae,
    mean_shift,
    partial_spearman,
    point_of,
    precision_at_top,
    reliability,
    spearman,
    tied_share,
    top_membership,
)

pairs = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 5)), min_size=2, max_size=60).map(
    lambda rows: (np.array([r[0] for r in rows], float) / 2, np.array([r[1] for r in rows], float))
)
triples = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5), st.integers(1, 9)), min_size=4, max_size=60).map(
    lambda rows: tuple(np.array(column, float) for column in zip(*rows, strict=True))
)
shares = st.sampled_from([0.05, 0.1, 0.3, 0.5, 1.0])


def test_rank_correlations_by_hand():
    scores, labels = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])
    assert spearman(scores, labels) == pytest.approx(1 - 6 * 2 / (4 * 15))  # 1 - 6 sum d^2 / (n (n^2 - 1))
    assert kendall(scores, labels) == pytest.approx((5 - 1) / 6)
    tied = np.array([0.0, 0, 1, 1])  # ranks 1.5 1.5 3.5 3.5; 4 of 6 pairs are not tied, all ordered alike
    assert spearman(scores, tied) == pytest.approx(4 / math.sqrt(5 * 4))
    assert kendall(scores, tied) == pytest.approx(4 / math.sqrt(6 * 4))


@given(pairs)
def test_kendall_is_what_counting_the_pairs_gives(sample):
    x, y = sample
    signs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i, j in combinations(range(len(x)), 2)]
    norm = math.sqrt(sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs))
    found = kendall(x, y)
    if norm == 0:
        assert found is None
    else:
        assert found == pytest.approx(sum(a * b for a, b in signs) / norm)


@pytest.mark.parametrize("measure", [spearman, kendall])
def test_constant_input_has_no_rank_correlation(measure):
    constant, rising = np.full(5, 2.5), np.arange(5.0)
    assert measure(constant, rising) is None and measure(rising, constant) is None
    assert measure(np.array([1.0]), np.array([2.0])) is None


@given(triples, shares)
def test_only_the_order_of_scores_counts(sample, share):
    x, y, z = sample
    stretched = np.exp(x / 3) - 7  # monotone, and ties stay ties
    assert spearman(stretched, y) == spearman(x, y)
    assert kendall(stretched, y) == kendall(x, y)
    assert partial_spearman(stretched, y, np.log(z)) == partial_spearman(x, y, z)
    assert precision_at_top(stretched, y, share) == precision_at_top(x, y, share)


@given(triples, shares, st.randoms(use_true_random=False))
def test_the_order_of_documents_does_not_count(sample, share, random):
    order = list(range(len(sample[0])))
    random.shuffle(order)
    (x, y, z), (a, b, c) = sample, tuple(v[order] for v in sample)
    for found, expected in [
        (spearman(a, b), spearman(x, y)),
        (kendall(a, b), kendall(x, y)),
        (partial_spearman(a, b, c), partial_spearman(x, y, z)),
        (mae(a, b), mae(x, y)),
        (calibration_error(a, b, 0, 5), calibration_error(x, y, 0, 5)),
        (precision_at_top(a, b, share), precision_at_top(x, y, share)),
        (tied_share(a), tied_share(x)),
    ]:
        assert (found is None and expected is None) or found == pytest.approx(expected, abs=1e-9)


@given(triples)
def test_partial_correlation_is_the_correlation_of_residuals_on_the_rank_of_length(sample):
    ranks = [rankdata(v) for v in sample]
    design = np.column_stack([np.ones(len(ranks[2])), ranks[2]])
    residuals = [r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in ranks[:2]]
    assume(np.ptp(ranks[2]) > 0 and all((r**2).sum() > 1e-6 for r in residuals))
    assert partial_spearman(*sample) == pytest.approx(np.corrcoef(*residuals)[0, 1], abs=1e-6)


def test_what_only_follows_the_length_has_no_agreement_left():
    generator = np.random.default_rng(0)
    lengths = generator.integers(100, 5000, 4000).astype(float)
    scores, labels = (lengths + generator.normal(0, 1000, 4000) for _ in range(2))
    assert spearman(scores, labels) > 0.6
    assert abs(partial_spearman(scores, labels, lengths)) < 0.05
    assert partial_spearman(lengths * 2, labels, lengths) is None  # nothing but length
    assert partial_spearman(scores, labels, np.ones(4000)) is None


def test_errors_in_points_by_hand():
    scores, labels = np.array([0.5, 2.0, 4.0]), np.array([1.0, 2.0, 2.0])
    assert mae(scores, labels) == pytest.approx(2.5 / 3)
    assert mean_shift(scores, labels) == pytest.approx(0.5)


def test_tied_share_counts_every_document_whose_score_is_not_its_own():
    assert tied_share(np.array([1.0, 1.0, 2.0, 3.0])) == 0.5
    assert tied_share(np.arange(4.0)) == 0
    assert tied_share(np.zeros(4)) == 1


def test_reliability_by_hand():
    scores, labels = np.array([-0.7, 0.49, 0.5, 1.2, 9.0]), np.array([0.0, 1.0, 1.0, 1.0, 4.0])
    assert point_of(scores, 0, 5).tolist() == [0, 0, 1, 1, 5]
    rows = reliability(scores, labels, 0, 5)
    assert [(r["point"], r["documents"], r["mean_label"]) for r in rows] == [(0, 2, 0.5), (1, 2, 1), (5, 1, 4)]
    assert [r["mean_score"] for r in rows] == pytest.approx([-0.105, 0.85, 9])
    assert calibration_error(scores, labels, 0, 5) == pytest.approx((2 * 0.605 + 2 * 0.15 + 1 * 5) / 5)


def test_a_rubric_need_not_start_at_zero():
    assert point_of(np.array([0.0, 1.4, 1.5, 3.0, 8.0]), 1, 3).tolist() == [0, 0, 1, 2, 2]
    assert [r["point"] for r in reliability(np.array([1.0, 3.0]), np.array([1.0, 3.0]), 1, 3)] == [1, 3]


@given(pairs)
def test_scores_that_are_the_labels_are_calibrated_and_a_constant_shift_is_found(sample):
    _, labels = sample
    assert calibration_error(labels, labels, 0, 5) == 0
    assert calibration_error(labels + 0.25, labels, 0, 5) == pytest.approx(0.25)
    assert mae(labels + 0.25, labels) == pytest.approx(0.25)


def test_precision_at_top_by_hand():
    scores = np.arange(10.0)
    assert precision_at_top(scores, scores, 0.3) == pytest.approx(1)
    assert precision_at_top(scores, -scores, 0.3) == 0
    # The three best by score are 7, 8, 9; labels 3, 3, 2, 2, 2, 2 of documents 9, 1, 8, 7, 6, 5: 1 + (1 + 1) / 4.
    labels = np.array([0, 3, 0, 0, 0, 2, 2, 2, 2, 3.0])
    assert precision_at_top(scores, labels, 0.3) == pytest.approx((1 + 2 / 4) / 3)
    assert precision_at_top(labels, labels, 0.3) == pytest.approx((2 + 4 * (1 / 4) ** 2) / 3)


@given(pairs, shares)
def test_membership_adds_up_and_is_what_random_ties_would_give(sample, share):
    _, values = sample
    found = top_membership(values, share)
    assert found.sum() == pytest.approx(share * len(values))
    assert found.min() >= 0 and found.max() <= 1
    for value in np.unique(values):
        here = values == value
        above, equal = (values > value).sum(), here.sum()
        assert found[here] == pytest.approx(min(1.0, max(0.0, (share * len(values) - above) / equal)))


@given(pairs, shares)
def test_no_scores_are_more_precise_than_the_labels_and_constant_ones_get_the_share(sample, share):
    scores, labels = sample
    assert precision_at_top(scores, labels, share) <= precision_at_top(labels + scores / 1000, labels, share) + 1e-9
    assert precision_at_top(np.zeros(len(labels)), labels, share) == pytest.approx(share)
