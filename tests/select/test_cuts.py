"""Cuts and rules: as a slow rule says a document at a time, never more by a higher quantile, and exact at the cut."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from slow_rules import passes_slowly, rank_of

from jql.annotator.heads import choose_heads
from jql.annotator.histogram import BINS, Bins, Histograms
from jql.errors import RecipeError
from jql.select.copies import best_of_each
from jql.select.cuts import Cuts, LanguageCut, quantile_cut
from jql.select.select import refuse_held_back

HEADS = ["a", "b", "c"]
NAMES = ["deu_Latn", "isl_Latn", "swe_Latn"]
RULES = ["all", "any", "majority", "mean"]
WIDTH = Bins().width


def counted(points, codes, names=NAMES, heads=HEADS):
    """The histograms of scores, those that are there."""
    made = Histograms(heads[: points.shape[1]], Bins())
    known = np.isfinite(points).all(axis=1)
    made.add(points[known], codes[known], names, np.ones((3, int(known.sum())), np.int64))
    return made


def cuts_at(histograms, share, rule="all"):
    """Every language cut at one quantile."""
    languages = {name: quantile_cut(name, "quantile", share, histograms) for name in histograms.counts}
    return Cuts(histograms.heads, rule, share, languages, histograms)


def one_language(points, share, rule="all"):
    """Which documents of one language are kept."""
    points = np.asarray(points, np.float32)
    codes = np.zeros(len(points), np.int64)
    return cuts_at(counted(points, codes, ["x"]), share, rule).verdicts(points, codes, ["x"]) == 0


# Scores on a grid meet the cuts exactly, and each other; the two finest are neighbours in float32.
SCORES = st.one_of(st.integers(-20, 70).map(lambda i: i / 8), st.sampled_from([2.1, 2.1 + 2**-22, float("nan")]))


@st.composite
def crawls(draw):
    heads = draw(st.integers(1, 4))
    rows = draw(st.lists(st.tuples(st.integers(0, 2), *[SCORES] * heads), max_size=25))
    points = np.array([row[1:] for row in rows], np.float32).reshape(len(rows), heads)
    return points, np.array([row[0] for row in rows], np.int64)


@given(
    crawls(), st.sampled_from(RULES), st.floats(0, 0.99), st.lists(st.integers(0, 3), min_size=3, max_size=3), SCORES
)
def test_verdicts_are_those_of_a_slow_rule(crawl, rule, share, kinds, score):
    points, codes = crawl
    assume(np.isfinite(score))
    histograms = counted(points, codes, NAMES, ["a", "b", "c", "d"])
    languages = {}
    for name, kind in zip(NAMES, kinds, strict=True):  # no cut, one of nothing, by score, by quantile
        if kind == 1:
            languages[name] = LanguageCut(name, "quantile", share, None)
        elif kind == 2:
            languages[name] = LanguageCut(name, "score", None, np.full(points.shape[1], score))
        elif kind == 3 and name in histograms.counts:
            languages[name] = quantile_cut(name, "quantile", share, histograms)
    cuts = Cuts(histograms.heads, rule, share, languages, histograms)
    found = cuts.verdicts(points, codes, NAMES)
    assert found.dtype == np.int8 and len(found) == len(points)
    assert (found == 0).tolist() == [
        passes_slowly(row, NAMES[code], cuts) for row, code in zip(points, codes, strict=True)
    ]
    has = [name in languages and languages[name].values is not None for name in NAMES]
    assert [code == 2 for code in found] == [not has[code] for code in codes]


@given(st.floats(-3, 9), st.integers(-3, 3))
def test_a_float32_score_is_compared_as_if_both_were_float64(cut, steps):
    score = np.float32(cut)
    for _ in range(abs(steps)):
        score = np.nextafter(score, np.float32(np.copysign(np.inf, steps)))
    languages = {"x": LanguageCut("x", "score", None, np.array([cut]))}
    cuts = Cuts(["a"], "all", 0.5, languages, Histograms(["a"], Bins()))
    verdict = cuts.verdicts(np.array([[score]], np.float32), np.zeros(1, np.int64), ["x"])[0]
    assert (verdict == 0) == (float(score) >= cut)


def test_an_infinite_score_is_not_kept_where_there_is_no_cut():
    for rule in RULES:
        cuts = Cuts(["a"], rule, 0.5, {}, Histograms(["a"], Bins()))
        assert cuts.verdicts(np.array([[np.inf]], np.float32), np.zeros(1, np.int64), ["x"]).tolist() == [2]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("all", [True, False, False, False]),
        ("any", [True, True, True, False]),
        ("majority", [True, True, False, False]),
    ],
)
def test_rules_by_hand(rule, expected):
    points = np.array([[3, 3, 3], [3, 3, 1], [1, 1, 3], [1, 1, 1]], np.float32)
    cut = LanguageCut("x", "score", None, np.array([2.0, 2.0, 2.0]))
    cuts = Cuts(HEADS, rule, 0.5, {"x": cut}, Histograms(HEADS, Bins()))
    assert (cuts.verdicts(points, np.zeros(4, np.int64), ["x"]) == 0).tolist() == expected


def test_two_of_four_heads_are_no_majority():
    cut = LanguageCut("x", "score", None, np.full(4, 2.0))
    cuts = Cuts(list("abcd"), "majority", 0.5, {"x": cut}, Histograms(list("abcd"), Bins()))
    assert cuts.verdicts(np.array([[3, 3, 1, 1]], np.float32), np.zeros(1, np.int64), ["x"])[0] == 1


def test_mean_takes_the_mean_of_ranks_not_of_points():
    points = np.array([[0.0, 4.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]], np.float32)
    codes = np.zeros(4, np.int64)
    cuts = cuts_at(counted(points, codes, ["x"]), 0.7, "mean")
    assert cuts.ranks(points, codes, ["x"]) == pytest.approx([0.5, 0.25, 0.5, 0.75])
    assert (cuts.verdicts(points, codes, ["x"]) == 0).tolist() == [False, False, False, True]


def test_each_language_is_cut_at_its_own_quantile_of_each_head():
    points = np.concatenate([np.arange(100)[:, None] / 50 + [0, 1, 2], np.arange(100)[:, None] / 50 + [2, 1, 0]])
    histograms = counted(points, np.repeat([0, 2], 100))
    cuts = cuts_at(histograms, 0.7)
    assert cuts.languages["deu_Latn"].values == pytest.approx([1.3825, 2.3825, 3.3825], abs=0.003)
    assert cuts.languages["swe_Latn"].values == pytest.approx([3.3825, 2.3825, 1.3825], abs=0.003)


@given(st.integers(20, 200), st.floats(0, 0.98), st.floats(0, 0.98), st.sampled_from(RULES), st.integers(0, 2**32 - 1))
def test_a_higher_quantile_keeps_a_part_of_what_a_lower_one_keeps(n, a, b, rule, seed):
    points = np.random.default_rng(seed).normal(2, 1, (n, 3)).round(1)
    low, high = (one_language(points, share, rule) for share in sorted((a, b)))
    assert (high <= low).all()
    assert one_language(points, 0.0, rule).all()


@given(st.integers(20, 300), st.floats(0, 0.98), st.integers(0, 2**32 - 1))
def test_all_any_majority_and_mean_of_one_head_are_the_same_to_a_bin(n, share, seed):
    points = np.random.default_rng(seed).normal(2, 1, (n, 1))
    kept = {rule: one_language(points, share, rule) for rule in RULES}
    assert (kept["all"] == kept["any"]).all() and (kept["all"] == kept["majority"]).all()
    cut = Bins().of(np.array([cuts_at(counted(points, np.zeros(n, np.int64), ["x"]), share).languages["x"].values[0]]))
    elsewhere = Bins().of(points[:, 0]) != cut
    assert (kept["mean"] == kept["all"])[elsewhere].all()


@pytest.mark.parametrize("rule", RULES)
def test_scores_that_are_all_equal_are_all_kept_and_the_cut_says_so(rule):
    points = np.full((50, 3), 2.5, np.float32)
    assert one_language(points, 0.9, rule).all()
    cut = quantile_cut("x", "quantile", 0.9, counted(points, np.zeros(50, np.int64), ["x"]))
    assert "a: all 50 scores lie in one bin, so they cannot be told apart and all are kept" in cut.note
    assert cut.rank_error == 1.0


def test_all_keeps_no_more_than_any_head_alone():
    points = np.random.default_rng(1).normal(2, 1, (5000, 3))
    cuts = cuts_at(counted(points, np.zeros(5000, np.int64), ["x"]), 0.7)
    alone = (points >= cuts.languages["x"].values).mean(axis=0)
    assert alone == pytest.approx([0.3] * 3, abs=0.005)
    assert one_language(points, 0.7).mean() < alone.min()
    assert cuts.languages["x"].rank_error <= 0.005


@given(crawls(), st.sampled_from(["", "nordic"]))
def test_ranks_lie_between_0_and_1_and_are_unknown_without_a_score(crawl, shared):
    points, codes = crawl
    whole = counted(points, codes, NAMES, ["a", "b", "c", "d"])
    groups = {shared: ["swe_Latn", "isl_Latn"]} if shared else {}
    histograms = whole.only(whole.heads, groups)
    of = {name: shared if shared and name != "deu_Latn" else name for name in NAMES}
    languages = {name: LanguageCut(of[name], "quantile", 0.5, np.zeros(points.shape[1])) for name in NAMES}
    cuts = Cuts(whole.heads, "mean", 0.5, languages, histograms)
    ranks = cuts.ranks(points, codes, NAMES)
    known = np.isfinite(points).all(axis=1) & np.array([of[NAMES[code]] in histograms.counts for code in codes], bool)
    assert (np.isfinite(ranks) == known).all()
    assert ((ranks[known] >= 0) & (ranks[known] <= 1)).all()
    for row in np.flatnonzero(known):
        counts_HB = histograms.counts[of[NAMES[codes[row]]]][0]
        slow = [rank_of(s, counts_B, Bins()) for s, counts_B in zip(points[row], counts_HB, strict=True)]
        assert ranks[row] == pytest.approx(np.mean(slow))


def test_scores_beyond_the_bins_count_in_the_outermost():
    points = np.array([[-50.0], [0.0], [1.0], [50.0]], np.float32)
    codes = np.zeros(4, np.int64)
    cuts = cuts_at(counted(points, codes, ["x"]), 0.0)
    assert cuts.ranks(points, codes, ["x"]).tolist() == [0.125, 0.375, 0.625, 0.875]
    assert cuts.histograms.counts["x"].shape == (3, 1, BINS)


def test_what_a_cut_says_of_itself():
    points = np.random.default_rng(0).normal(2, 1, (100, 2)).astype(np.float32)
    cuts = cuts_at(counted(points, np.zeros(100, np.int64), ["x"]), 0.5)
    cuts.languages["y"] = LanguageCut("y", "quantile", 0.5, None, note="nothing there")
    found = cuts.to_json()
    assert found["rule"] == "all" and found["heads"] == ["a", "b"] and found["quantile"] == 0.5
    entry = found["languages"]["x"]
    assert entry["documents"] == 100 and entry["quantile"] == 0.5 and entry["note"] is None
    assert list(entry["cuts"].values()) == cuts.languages["x"].values.tolist()
    assert found["languages"]["y"]["cuts"] is None and found["languages"]["y"]["note"] == "nothing there"


def test_an_unknown_head_is_named():
    assert choose_heads((), HEADS, "select.heads") == HEADS
    with pytest.raises(RecipeError, match=r"select\.heads: the annotator has no head 'd'; it has a, b, c"):
        choose_heads(["a", "d"], HEADS, "select.heads")


def test_the_best_of_a_cluster_most_merit_then_smallest_name_then_first():
    cluster = np.array([7, 7, 7, 9, 9, 8], np.uint64)
    merit = np.array([1.0, 3.0, 3.0, 2.0, 2.0, 0.0])
    name = np.array([1, 6, 5, 4, 4, 2], np.uint64)
    gid = np.array([10, 11, 12, 14, 13, 15])
    assert sorted(best_of_each(cluster, merit, name, gid).tolist()) == [2, 4, 5]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=40), st.randoms()
)
def test_the_choice_does_not_depend_on_the_order_of_candidates(rows, random):
    rows = [(*row, gid) for gid, row in enumerate(rows)]
    mixed = random.sample(rows, len(rows))

    def chosen(found):
        c, m, n, g = (np.array(x) for x in zip(*found, strict=True))
        return sorted(g[best_of_each(c.astype(np.uint64), m.astype(float), n.astype(np.uint64), g)].tolist())

    assert chosen(rows) == chosen(mixed)
    assert len(chosen(rows)) == len({row[0] for row in rows})


@pytest.mark.parametrize(
    ("cut", "by"), [(0.55, "quantile"), (0.6, "quantile"), (None, "score")], ids=["lower", "promised", "score"]
)
def test_a_cut_that_would_keep_what_a_cascade_held_back_is_refused(cut, by):
    histograms = Histograms(["a"], Bins())
    scores = np.concatenate([np.full(500, -np.inf), np.linspace(1, 3, 500)])[:, None]
    sizes = np.ones((3, 1000), np.int64)
    histograms.add(scores, np.zeros(1000, np.int64), ["swe_Latn"], sizes)
    value = np.array([0.5]) if cut is None else quantile_cut("swe_Latn", by, cut, histograms).values
    cuts = Cuts(["a"], "all", 0.6, {"swe_Latn": LanguageCut("swe_Latn", by, cut, value)}, histograms)
    if cut == 0.6:
        return refuse_held_back(cuts, 0.6)
    with pytest.raises(RecipeError, match=rf"select: swe_Latn, cut by {by}, drops 5\d.0% of its documents by a head"):
        refuse_held_back(cuts, 0.6)
