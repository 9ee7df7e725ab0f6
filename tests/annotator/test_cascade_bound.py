"""The bound of the cascade: it holds as often as promised, wherever the lost documents lie, and says when it cannot."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, hypergeom, multivariate_normal, norm

from jql.annotator.cascade_bound import CUTS, Bound, bound_of, kept_by, loss_at
from jql.annotator.histogram import Bins, Histograms
from jql.errors import DataError, RecipeError
from jql.select.cuts import Cuts, LanguageCut, quantile_cut

RULES = ("all", "any", "majority", "mean")
ALPHA = (1 - CUTS) * 0.05
BIN = Bins.over(-10, 10).width


def population(documents=4000, heads=1, agreement=0.8, seed=0):
    """First (N,) and second scores (N, H) that agree about so well."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(documents, 1))
    first = agreement * common[:, 0] + math.sqrt(1 - agreement**2) * rng.normal(size=documents)
    return first, common + 0.5 * rng.normal(size=(documents, heads)) * (heads > 1)


def failures(first, second, share, rule, tolerance, sample, resamples, replace=True, slack=0.0, kept=None):
    """How often of the resamples the true loss is above the tolerance, and the mean of the true losses."""
    rng = np.random.default_rng(1)
    kept = kept_by(second, share, rule) if kept is None else kept
    losses = np.zeros(resamples)
    for r in range(resamples):
        rows = rng.choice(len(first), sample, replace)
        found = bound_of(first[rows], second[rows], share, rule, tolerance, 0.95, slack)
        if found.threshold is not None:
            losses[r] = (first[kept] < found.threshold).mean()
    return int((losses > tolerance).sum()), float(losses.mean())


def cuts_of(points, share, rule):
    """The cuts of one language, x, from its histograms."""
    heads, codes = [*map(str, range(points.shape[1]))], np.zeros(len(points), np.int64)
    histograms = Histograms(heads, Bins.over(-10, 10))
    histograms.add(points, codes, ["x"], np.ones((3, len(points)), np.int64))
    return Cuts(heads, rule, share, {"x": quantile_cut("x", "quantile", share, histograms)}, histograms)


def selected(points, cuts):
    """What selection keeps of one language."""
    return cuts.verdicts(points.astype(np.float32), np.zeros(len(points), np.int64), ["x"]) == 0


def enough(resamples):
    """So many failures of 5 % are seen once in a thousand times."""
    return int(binom.ppf(0.999, resamples, 0.05))


scores = st.integers(0, 2**31).map(np.random.default_rng)


@st.composite
def samples(draw, heads=3):
    """First and second scores of 0 to 400 documents, continuous or in points."""
    rng, n, h = draw(scores), draw(st.integers(0, 400)), draw(st.integers(1, heads))
    first, second = population(max(n, 1), h, draw(st.sampled_from([0.0, 0.7, 1.0])), int(rng.integers(1000)))
    if draw(st.booleans()):
        first, second = np.round(2 * first), np.round(second)
    return first[:n], second[:n]


settings_of = st.tuples(st.sampled_from([0.0, 0.3, 0.6, 0.7]), st.sampled_from(RULES))
tolerances = st.sampled_from([0.01, 0.05, 0.1, 0.3, 0.6])


def order(bound):
    return -math.inf if bound.threshold is None else bound.threshold


def test_without_a_cut_it_is_the_limit_of_clopper_and_pearson():
    first, second = np.arange(1000.0), np.zeros((1000, 1))
    found = bound_of(first, second, 0.0, "all", 0.05, 0.95)
    limits = [binomtest(lost, 1000).proportion_ci(1 - 2 * ALPHA, "exact").high for lost in (found.lost, found.lost + 1)]
    assert found.loss == pytest.approx(limits[0]) and limits[0] <= 0.05 < limits[1]
    assert found.threshold == found.lost == 1000 * found.saved and found.kept == found.sample == 1000
    assert found.supports == pytest.approx(1 - ALPHA ** (1 / 1000))


def test_the_loss_of_two_normal_annotators_is_known_and_kept_to():
    share, tolerance, resamples, agreement = 0.7, 0.05, 400, 0.8
    rng, losses = np.random.default_rng(0), []
    joint = multivariate_normal([0, 0], [[1, agreement], [agreement, 1]])
    cut = norm.ppf(share)
    for _ in range(resamples):
        second = rng.normal(size=1000)
        first = agreement * second + math.sqrt(1 - agreement**2) * rng.normal(size=1000)
        found = bound_of(first, second[:, None], share, "all", tolerance, 0.95)
        losses.append((norm.cdf(found.threshold) - joint.cdf([found.threshold, cut])) / (1 - share))
    assert sum(loss > tolerance for loss in losses) <= enough(resamples)
    assert np.mean(losses) > tolerance / 3  # and the tolerance is made use of


@pytest.mark.parametrize("rule, heads", [("all", 1), ("all", 2), ("any", 2), ("majority", 2), ("mean", 2)])
@pytest.mark.parametrize("where", ["anywhere", "at the cut", "at the top", "just below the cut"])
def test_it_holds_wherever_the_lost_documents_lie(where, rule, heads):
    documents, share, tolerance = 10_000, 0.7, 0.05
    second = np.tile(np.arange(documents)[:, None] / documents, heads)
    lost = np.zeros(documents, bool)
    many = int(1.02 * tolerance * (1 - share) * documents)  # a little more than may be lost: one step too far
    at = {"at the cut": 7000, "at the top": documents - many, "just below the cut": 7000 - many}
    lost[np.random.default_rng(0).choice(np.arange(7000, documents), many, False) if where == "anywhere" else
         np.arange(at[where], at[where] + many)] = True  # fmt: skip
    failed, _ = failures(np.where(lost, 0.0, 1.0), second, share, rule, tolerance, 1500, 200)
    assert failed <= enough(200)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("points", [False, True])
def test_it_holds_for_several_heads_and_for_scores_that_tie(rule, points):
    first, second = population(heads=3)
    if points:
        first, second = np.round(3 * first), np.round(2 * second)
    failed, mean = failures(first, second, 0.6, rule, 0.05, 1000, 100)
    assert failed <= enough(100)
    assert mean > 0.001


def test_it_holds_for_a_sample_without_replacement():
    first, second = population(2000)
    assert failures(first, second, 0.6, "all", 0.05, 1200, 300, replace=False)[0] <= enough(300)


def test_it_holds_for_cuts_from_histograms_if_told_their_bins():
    """A third of a language lies in the bin of the cut, all of which is then kept, and not only what is above it."""
    second = np.repeat([-1.0, 0.87 * BIN, 0.9 * BIN, 3.0], [400, 200, 150, 250])[:, None]
    kept = selected(second, cuts_of(second, 0.7, "all"))
    assert kept.sum() == 600
    first = np.ones(1000)
    first[400:432] = 0.0  # 5.3 % of the kept
    assert failures(first, second, 0.7, "all", 0.05, 1500, 200, slack=BIN, kept=kept)[0] <= enough(200)
    assert failures(first, second, 0.7, "all", 0.05, 1500, 200, kept=kept)[0] > enough(200)


def test_hypergeometric_tails_are_the_lighter_ones():
    for kept in range(1, 61):
        drawn, lost, at_most = np.arange(1, kept + 1)[:, None, None], np.arange(kept // 2 + 1)[:, None], np.arange(kept)
        ours = binom.cdf(at_most, drawn, lost / kept)
        theirs = hypergeom.cdf(at_most, kept, lost, drawn)
        assert (theirs <= ours + 1e-12)[ours <= 0.5].all()


@given(samples(), settings_of, tolerances, tolerances)
def test_a_higher_tolerance_never_lowers_the_threshold(sample, settings, a, b):
    small, large = (bound_of(*sample, *settings, tolerance, 0.95) for tolerance in sorted((a, b)))
    assert order(small) <= order(large)
    assert small.supports == large.supports


@given(samples(), settings_of, tolerances, st.sampled_from([0.5, 0.9]), st.sampled_from([0.95, 0.99]))
def test_more_confidence_never_raises_the_threshold(sample, settings, tolerance, less, more):
    unsure, sure = (bound_of(*sample, *settings, tolerance, confidence) for confidence in (less, more))
    assert order(sure) <= order(unsure)
    assert unsure.supports <= sure.supports + 1e-12


@given(samples(), settings_of, tolerances)
def test_the_sample_never_loses_more_than_is_stated(sample, settings, tolerance):
    found = bound_of(*sample, *settings, tolerance, 0.95)
    first, kept = sample[0], kept_by(sample[1], *settings)
    assert (found.sample, found.kept) == (len(first), int(kept.sum()))
    if found.threshold is None:
        assert (found.loss, found.lost, found.saved) == (0.0, 0, 0.0)
        assert found.supports > tolerance and found.needed > found.sample
        return
    assert found.lost == int((kept & (first < found.threshold)).sum())
    assert found.saved == (first < found.threshold).mean()
    assert found.lost / max(found.kept, 1) < found.loss <= tolerance + 1e-9
    assert found.supports <= found.loss + 1e-9 and found.needed == 0


@given(samples(), settings_of, tolerances, scores)
def test_only_the_order_of_the_scores_counts_and_not_that_of_the_documents(sample, settings, tolerance, rng):
    found = bound_of(*sample, *settings, tolerance, 0.95)
    first, second = sample
    mixed = rng.permutation(len(first))
    other = bound_of(np.exp(first)[mixed], 3 * second[mixed] - 1, *settings, tolerance, 0.95)
    expected = None if found.threshold is None else pytest.approx(math.exp(found.threshold))
    assert other.threshold == expected
    assert {**other.to_json(), "threshold": 0} == pytest.approx({**found.to_json(), "threshold": 0})


@given(samples(heads=1), st.sampled_from(["all", "mean"]), tolerances)
def test_heads_that_say_the_same_are_bound_no_better_than_one(sample, rule, tolerance):
    one = bound_of(*sample, 0.6, "all", tolerance, 0.95)
    two = bound_of(sample[0], np.tile(sample[1], 2), 0.6, rule, tolerance, 0.95)
    if rule == "all" or len(np.unique(sample[1])) == len(sample[1]):  # by mean rank, ties at the cut may be dropped
        assert order(two) <= order(one)
        assert two.supports >= one.supports


@given(samples(), settings_of, st.sampled_from([0.0025, 0.5, 10.0]))
def test_slack_never_raises_the_threshold(sample, settings, slack):
    assert order(bound_of(*sample, *settings, 0.1, 0.95, slack)) <= order(bound_of(*sample, *settings, 0.1, 0.95))


@given(samples(), st.sampled_from(RULES), st.sampled_from([0.3, 0.7]), st.floats(-2, 2))
def test_unscored_documents_at_the_bottom_push_no_other_out(sample, rule, share, threshold):
    first, second = sample
    if not len(first):
        return
    gone_on = (first >= threshold)[:, None]
    unscored = np.where(gone_on, second, -np.inf)
    cuts = cuts_of(unscored, share, rule)
    cascade, alone = selected(unscored, cuts), selected(second, cuts_of(second, share, rule))
    in_the_bin = (abs(second - cuts.languages["x"].values) < 1.001 * BIN).any(axis=1) & (rule != "mean")
    assert (cascade | in_the_bin)[alone & gone_on[:, 0]].all() and not cascade[~gone_on[:, 0]].any()


@pytest.mark.parametrize("documents", [0, 1, 5])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("heads", [1, 2])
def test_a_tiny_sample_is_refused(documents, rule, heads):
    found = bound_of(np.arange(documents), np.ones((documents, heads)), 0.7, rule, 0.01, 0.95)
    assert found.threshold is None and found.supports > 0.4 and 150 < found.needed < 3000


def test_all_scores_the_same():
    same = bound_of(np.ones(1000), np.ones((1000, 1)), 0.7, "all", 0.01, 0.95)
    assert (same.threshold, same.kept, same.lost, same.saved) == (1.0, 1000, 0, 0.0)
    first = bound_of(np.arange(1000), np.ones((1000, 1)), 0.7, "all", 0.01, 0.95)
    assert first.kept == 1000 and 0 < first.lost == first.threshold < 10
    second = bound_of(np.ones(5000), np.arange(5000.0)[:, None], 0.7, "all", 0.01, 0.95)
    assert (second.threshold, second.saved) == (1.0, 0.0)


def test_annotators_that_agree_save_nearly_all_that_is_dropped_and_opposed_ones_nothing():
    second = np.random.default_rng(0).permutation(20_000).astype(float)
    assert 0.68 < bound_of(second, second[:, None], 0.7, "all", 0.01, 0.95).saved < 0.7
    assert bound_of(-second, second[:, None], 0.7, "all", 0.01, 0.95).saved < 0.01


@pytest.mark.parametrize(("rule", "heads"), [("all", 1), ("all", 3), ("any", 3), ("majority", 3), ("mean", 3)])
def test_a_refused_language_is_told_about_how_many_documents_it_needs(rule, heads):
    first, second = population(100_000, heads)
    few = bound_of(first[:400], second[:400], 0.7, rule, 0.01, 0.95)
    assert few.threshold is None and few.supports > 0.01
    for factor, supported in ((0.7, False), (1.4, True)):
        n = int(factor * few.needed)
        assert (bound_of(first[:n], second[:n], 0.7, rule, 0.01, 0.95).threshold is not None) == supported


def test_the_loss_at_a_higher_quantile():
    assert loss_at(0.01, 0.6, 0.6) == pytest.approx(0.01)
    assert loss_at(0.01, 0.6, 0.8) == pytest.approx(0.02)
    assert loss_at(0.5, 0.0, 0.9) == 1.0
    assert loss_at(0.01, 0.6, 0.7, heads=2) is None
    first, second = population()
    threshold = np.sort(first[kept_by(second, 0.6, "all")])[16]  # 1 % of 1,600
    lost = {q: (first[kept_by(second, q, "all")] < threshold).mean() for q in (0.6, 0.7, 0.9)}
    assert all(loss <= loss_at(lost[0.6], 0.6, q) + 1e-9 for q, loss in lost.items())
    with pytest.raises(RecipeError, match=r"expected one in \[0.6, 1\), got 0.5"):
        loss_at(0.01, 0.6, 0.5)


@pytest.mark.parametrize("rule", RULES)
def test_what_is_kept_is_what_selection_keeps(rule):
    _, second = population(500, 3)
    second = np.round(2 * second)  # in points, so that a bin holds one value
    values = np.quantile(second, 0.6, axis=0, method="inverted_cdf")
    cuts = replace(cuts_of(second, 0.6, rule), languages={"x": LanguageCut("x", "quantile", 0.6, values)})
    assert np.array_equal(kept_by(second, 0.6, rule), selected(second, cuts))


def test_a_bound_is_plain_json():
    found = bound_of(*population(1000), 0.6, "all", 0.05, 0.95).to_json()
    assert set(found) == set(Bound.__dataclass_fields__)
    assert all(type(value) in (int, float) for value in found.values())


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([1.0, np.nan, 2.0], [[1.0], [1.0], [1.0]], r"first score of document 1, head 0, is nan, expected a finite"),
        ([1.0, 2.0], [[1.0, 2.0], [3.0, np.inf]], r"second score of document 1, head 1, is inf.*1 such documents"),
        ([1.0, 2.0], [[1.0]], r"expected first scores \(N,\) and second scores \(N, H\), got \(2,\) and \(1, 1\)"),
        ([1.0, 2.0], [1.0, 2.0], r"got \(2,\) and \(2,\)"),
        ([1.0], np.zeros((1, 0)), r"got \(1,\) and \(1, 0\)"),
    ],
)
def test_scores_it_cannot_use(first, second, message):
    with pytest.raises(DataError, match=message):
        bound_of(np.array(first), np.array(second), 0.7, "all", 0.01, 0.95)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantile": 70}, r"quantile: expected a share in \[0, 1\), got 70; write 0.7"),
        ({"tolerance": 1}, r"tolerance: expected a share in \(0, 1\), got 1; write 0.01"),
        ({"confidence": 95}, r"confidence: expected a share in \(0, 1\), got 95; write 0.95"),
        ({"rule": "most"}, "rule: expected all, any, majority or mean, got 'most'"),
        ({"slack": -1}, "slack: expected points of the second annotator, 0 or more, got -1"),
        ({"tolerance": math.nan}, "tolerance: expected a share"),
    ],
)
def test_settings_it_cannot_use(change, message):
    usual = {"quantile": 0.7, "rule": "all", "tolerance": 0.01, "confidence": 0.95}
    with pytest.raises(RecipeError, match=message):
        bound_of(*population(100), **(usual | change))
