"""The human ceiling: each rater against the others, by hand, in simulations where the truth is known, and without data."""

import json

import numpy as np
import pytest
from conftest import SHARED, needs_shared
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from jql.agreement.aggregate import aggregate
from jql.agreement.ceiling import human_ceiling, spearman_brown
from jql.agreement.figures import Settings
from jql.errors import DataError, RecipeError

NAN = np.nan
FEW = Settings(resamples=100)
WIDE = Settings(low=-20, high=20, resamples=100)
NAMES = ["Ada", "Ben", "Cem", "Dia"]


def noisy(raters=3, documents=60, noise=1.0, seed=0):
    generator = np.random.default_rng(seed)
    truth = generator.normal(0, 1, documents)
    return truth, truth + generator.normal(0, noise, (raters, documents))


def points(ratings):
    return np.clip(np.round(2 * ratings + 2), 0, 5)


def numbers(found):
    brown = found["spearman_brown"]
    return {
        **{name: found[name] for name in ("mean", "pooled", "pair")},
        **{name: brown[name] for name in ("reliability", "one_against_all", "limit")},
    }


@pytest.mark.parametrize("rule", ["majority", "mean", "median"])
def test_a_rater_is_compared_with_the_aggregate_of_the_others(rule):
    ratings = points(noisy(4)[1])
    found = human_ceiling(ratings, NAMES, FEW, rule)
    expected = []
    for rater in range(4):
        rest = [aggregate(np.delete(ratings[:, n], rater).tolist(), rule) for n in range(60)]
        expected.append(spearmanr(ratings[rater], rest).statistic)
    assert [found["raters"][name]["value"] for name in NAMES] == pytest.approx(expected)
    assert found["mean"]["value"] == pytest.approx(np.mean(expected))
    assert all(entry["low"] < entry["value"] < entry["high"] for entry in numbers(found).values())
    assert found["rule"] == rule and found["raters_a_document"] == 4 and "one rater against 3 others" in found["note"]


def test_pairs_are_pooled_in_both_orders():
    ratings = points(noisy(3)[1])
    pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
    a, b = (np.concatenate([ratings[pair[i]] for pair in pairs]) for i in (0, 1))
    found = human_ceiling(ratings, NAMES[:3], FEW)
    assert found["pair"]["value"] == pytest.approx(spearmanr(a, b).statistic)


def test_raters_who_are_alike_reach_1():
    found = human_ceiling(np.tile(points(noisy(1)[1]), (3, 1)), NAMES[:3], FEW)
    assert [entry["value"] for entry in numbers(found).values()] == pytest.approx([1.0] * 6)


def test_spearman_brown_by_hand():
    found = spearman_brown(np.array([0.5, 1.0, 0.0, -0.2, NAN]), 3)
    assert found["reliability"][:2] == pytest.approx([0.75, 1])
    assert found["one_against_all"][:2] == pytest.approx([0.375**0.5, 1])
    assert found["limit"][:2] == pytest.approx([0.75**0.5, 1])
    assert all(np.isnan(values[2:]).all() for values in found.values())


@given(st.floats(0.01, 1), st.integers(1, 20))
def test_more_raters_are_a_better_reference(one, raters):
    few, more = (spearman_brown(np.array([one]), n) for n in (raters, raters + 1))
    assert all(more[name] >= few[name] - 1e-12 for name in few)
    assert spearman_brown(np.array([one]), 1)["one_against_all"] == pytest.approx(one)


def test_the_estimates_hold_where_their_assumptions_do():
    truth, ratings = noisy(7, 6_000, 1.2)
    found = numbers(human_ceiling(ratings[:3], NAMES[:3], WIDE, "mean"))
    of_three, of_others = ratings[:3].mean(axis=0), ratings[3:6].mean(axis=0)
    real = {
        "mean": spearmanr(ratings[0], ratings[1:3].mean(axis=0)).statistic,
        "pair": spearmanr(ratings[0], ratings[1]).statistic,
        "one_against_all": spearmanr(ratings[6], of_three).statistic,
        "limit": spearmanr(truth, of_three).statistic,
        "reliability": spearmanr(of_three, of_others).statistic,
    }
    assert {name: found[name]["value"] for name in real} == pytest.approx(real, abs=0.03)
    # A fresh rater does better against all three than one of them against two: the ceiling measured is a little low.
    assert found["mean"]["value"] < found["one_against_all"]["value"] < found["limit"]["value"]


def test_raters_who_take_turns_have_a_pooled_figure_only():
    ratings = points(noisy(12, 60, 0.5)[1])
    for document in range(60):
        on_duty = [(document + shift) % 12 for shift in range(3)]
        ratings[[r for r in range(12) if r not in on_duty], document] = NAN
    names = [f"r{i}" for i in range(12)]
    found = human_ceiling(ratings, names, FEW)
    assert found["mean"]["value"] is None and "no rater has 20 documents" in found["mean"]["reason"]
    assert found["raters_left_out"]["r0"] == "15 documents that others rated too, 20 are needed"
    assert 0.4 < found["pooled"]["low"] < found["pooled"]["value"] < 1 and found["raters_a_document"] == 3


def test_a_severe_rater_lowers_the_pooled_figure_and_not_the_mean():
    ratings = noisy(3, 200, 0.5)[1]
    severe = ratings - np.array([[3.0], [0], [0]])
    before, after = (human_ceiling(r, NAMES[:3], WIDE, "mean") for r in (ratings, severe))
    assert after["mean"]["value"] == pytest.approx(before["mean"]["value"], abs=1e-9)
    assert after["pooled"]["value"] < before["pooled"]["value"] - 0.2


def test_translations_of_a_document_do_not_narrow_the_interval():
    ratings = points(noisy(3, 40)[1])
    alone = human_ceiling(ratings, NAMES[:3], FEW, sources=range(40))
    copied = human_ceiling(np.tile(ratings, 4), NAMES[:3], FEW, sources=[*range(40)] * 4)
    for name in ("mean", "pooled", "pair"):
        assert copied[name] == pytest.approx(alone[name], abs=1e-9)


def test_what_cannot_be_said_is_none_with_a_reason():
    lone = human_ceiling([[0.0, 1, 2]], ["Ada"], FEW)
    assert {entry["reason"] for entry in list(numbers(lone).values())[1:3]} == {"no document has two ratings"}
    one = human_ceiling([[0.0], [1]], NAMES[:2], FEW)
    assert one["pooled"]["value"] == -1 and one["pooled"]["low"] is None and "one source" in one["pooled"]["reason"]
    flat = np.full((2, 30), 2.0)
    flat[1, :15] = 1
    constant = human_ceiling(flat, NAMES[:2], FEW)
    assert constant["raters_left_out"] == {
        "Ada": "all 30 ratings are the same",
        "Ben": "all 30 aggregates are the same",
    }
    against = np.array([[0.0, 1] * 10, [1.0, 0] * 10])
    opposed = human_ceiling(against, NAMES[:2], FEW)
    assert opposed["pair"]["value"] == -1 and opposed["spearman_brown"]["limit"]["value"] is None
    assert opposed["spearman_brown"]["limit"]["reason"] == "raters do not correlate with one another"
    assert json.dumps([lone, one, constant, opposed], allow_nan=False)


def test_bad_input_is_refused():
    with pytest.raises(DataError, match="outside of 0 to 5"):
        human_ceiling([[0, 6], [1, 1]], NAMES[:2])
    with pytest.raises(RecipeError, match="expected majority, mean, median"):
        human_ceiling([[0, 1], [1, 1]], NAMES[:2], rule="best")


@needs_shared
def test_real_raters_are_noisier_than_one_model_asked_again():
    import pyarrow.parquet as pq

    found = []
    for file in ("educational_60x3", "educational_38x8"):
        table = pq.read_table(SHARED / "ratings" / f"{file}.parquet", columns=["scores"])
        ratings = np.array(table.column("scores").to_pylist(), float).T
        found.append(human_ceiling(ratings, [str(i) for i in range(len(ratings))], FEW))
    people, passes = found
    assert 0.5 < people["mean"]["value"] < people["spearman_brown"]["limit"]["value"] < 0.97
    assert passes["mean"]["low"] > people["mean"]["high"]
