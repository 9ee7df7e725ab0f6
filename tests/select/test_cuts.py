"""Cuts and rules: small examples by hand, and that a higher quantile never keeps more."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.annotator.heads import choose_heads
from jql.annotator.histogram import add_by_language, histogram, pack_by_language
from jql.engine.receipt import Receipt
from jql.errors import RecipeError
from jql.select.copies import best_of_each
from jql.select.cuts import make_cuts, mean_ranks, passes

HEADS = ["a", "b", "c"]


def receipt(points, languages, unit=0):
    found = {}
    add_by_language(points.astype(np.float32), np.array(languages, object), found)
    stats = {"histograms": pack_by_language(found, HEADS)}
    return Receipt(unit, "x", {}, len(points), len(points), {}, stats, 0.0, 0, "host")


def test_each_language_is_cut_at_its_own_quantile_of_each_head():
    points = np.concatenate([np.arange(100)[:, None] / 50 + [0, 1, 2], np.arange(100)[:, None] / 50 + [2, 1, 0]])
    languages = ["deu_Latn"] * 100 + ["swe_Latn"] * 100
    whole = make_cuts([receipt(points, languages)], HEADS, 0.7, 20)
    assert whole.values["deu_Latn"] == pytest.approx([1.3825, 2.3825, 3.3825], abs=0.003)
    assert whole.values["swe_Latn"] == pytest.approx([3.3825, 2.3825, 1.3825], abs=0.003)
    parts = [receipt(points[i::3], languages[i::3], i) for i in range(3)]
    for order in (parts, parts[::-1]):
        assert all(np.array_equal(make_cuts(order, HEADS, 0.7, 20).values[k], v) for k, v in whole.values.items())


def test_a_small_language_gets_no_cut():
    cuts = make_cuts([receipt(np.ones((19, 3)), ["isl_Latn"] * 19)], HEADS, 0.7, 20)
    assert cuts.values == {} and cuts.counts == {"isl_Latn": 19}
    assert cuts.to_json()["languages"]["isl_Latn"] == {"documents": 19, "cuts": None}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("all", [True, False, False, False]),
        ("any", [True, True, True, False]),
        ("majority", [True, True, False, False]),
    ],
)
def test_rules_by_hand(rule, expected):
    points = np.array([[3, 3, 3], [3, 3, 1], [1, 1, 3], [1, 1, 1]], float)
    hist = np.stack([histogram(points[:, i]) for i in range(3)])
    assert passes(points, np.array([2.0, 2.0, 2.0]), rule, hist, 0.5).tolist() == expected


def test_two_of_four_heads_are_no_majority():
    points = np.array([[3, 3, 1, 1]], float)
    hist = np.stack([histogram(points[:, i]) for i in range(4)])
    assert not passes(points, np.full(4, 2.0), "majority", hist, 0.5)[0]


def test_mean_takes_the_mean_of_ranks_not_of_points():
    points = np.array([[0.0, 4.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    hist = np.stack([histogram(points[:, i]) for i in range(2)])
    assert mean_ranks(points, hist) == pytest.approx([0.5, 0.25, 0.5, 0.75])
    assert passes(points, np.zeros(2), "mean", hist, 0.6).tolist() == [False, False, False, True]


def test_a_score_at_the_cut_is_kept():
    points = np.array([[2.0]])
    assert passes(points, np.array([2.0]), "all", np.stack([histogram(points[:, 0])]), 0.5)[0]


@given(
    st.integers(20, 200),
    st.floats(0, 0.98),
    st.floats(0, 0.98),
    st.sampled_from(["all", "any", "majority", "mean"]),
    st.integers(0, 2**32 - 1),
)
def test_a_higher_quantile_never_keeps_more(n, a, b, rule, seed):
    points = np.random.default_rng(seed).normal(2, 1, (n, 3)).round(1)
    low, high = (make_cuts([receipt(points, ["x"] * n)], HEADS, q, 20) for q in sorted((a, b)))
    kept = [passes(points, c.values["x"], rule, c.histograms["x"], c.quantile) for c in (low, high)]
    assert (kept[1] <= kept[0]).all()


def test_all_keeps_no_more_than_any_head_alone():
    points = np.random.default_rng(1).normal(2, 1, (5000, 3))
    cuts = make_cuts([receipt(points, ["x"] * 5000)], HEADS, 0.7, 20)
    alone = (points >= cuts.values["x"]).mean(axis=0)
    assert alone == pytest.approx([0.3] * 3, abs=0.005)
    assert passes(points, cuts.values["x"], "all", cuts.histograms["x"], 0.7).mean() < alone.min()


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
