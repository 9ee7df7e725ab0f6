"""Budgets of a mixture: by hand, that they add up, and that what is proposed where there is too little is enough."""

import math
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jql.errors import RecipeError
from jql.recipe import Mixture
from jql.select.mixture import Budget, budgets, check_budget, shares

THERE = {"deu_Latn": 9000, "mlt_Latn": 100, "swe_Latn": 900}
WEIGHTS = {"deu_Latn": 0.5, "swe_Latn": 0.3, "mlt_Latn": 0.2}

available = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(1, 10**13), min_size=1, max_size=8)


def test_weights_stand_as_given_and_other_languages_are_left_out():
    assert shares(THERE | {"dan_Latn": 7}, Mixture(tokens=10, weights=WEIGHTS)) == WEIGHTS
    assert list(shares(THERE, Mixture(tokens=10, weights=WEIGHTS))) == sorted(WEIGHTS)


def test_alpha_goes_from_as_it_is_to_all_alike():
    assert shares(THERE, Mixture(tokens=10, alpha=1.0)) == pytest.approx(
        {"deu_Latn": 0.9, "mlt_Latn": 0.01, "swe_Latn": 0.09}
    )
    assert shares(THERE | {"dan_Latn": 0}, Mixture(tokens=10, alpha=0.0)) == dict.fromkeys(THERE, pytest.approx(1 / 3))
    half = shares(THERE, Mixture(tokens=10, alpha=0.5))
    assert half["deu_Latn"] / half["mlt_Latn"] == pytest.approx(math.sqrt(90))


def test_a_small_language_is_seen_more_than_once():
    assert budgets(THERE, Mixture(tokens=1000, weights=WEIGHTS, epochs=2.0)) == {
        "deu_Latn": Budget(500, 500, 1.0),
        "mlt_Latn": Budget(200, 100, 2.0),
        "swe_Latn": Budget(300, 300, 1.0),
    }


def test_a_share_of_no_token_is_none():
    assert budgets({"a": 10**9, "b": 1}, Mixture(tokens=1000, alpha=1.0))["b"] == Budget(0, 0, 1.0)


@given(available, st.integers(1, 10**13), st.floats(0, 1), st.floats(1, 20))
def test_budgets_add_up_and_keep_to_what_there_is(there, tokens, alpha, epochs):
    mixture = Mixture(tokens=tokens, alpha=alpha, epochs=epochs)
    parts = shares(there, mixture)
    assert math.fsum(parts.values()) == pytest.approx(1) and list(parts) == sorted(there)
    try:
        found = budgets(there, mixture)
    except RecipeError:
        assume(False)
    assert sum(b.tokens for b in found.values()) == pytest.approx(tokens, abs=len(found), rel=1e-9)
    for code, budget in found.items():
        assert 0 <= budget.unique <= min(there[code], budget.tokens)
        assert 1 <= budget.epochs <= epochs * (1 + 1e-6)
        assert budget.unique * budget.epochs == pytest.approx(budget.tokens)
        assert (budget.epochs == 1) or (budget.unique == there[code])


@given(available, st.integers(1, 10**13), st.floats(0, 1), st.floats(1, 20))
def test_either_of_what_is_proposed_is_enough(there, tokens, alpha, epochs):
    mixture = Mixture(tokens=tokens, alpha=alpha, epochs=epochs)
    try:
        budgets(there, mixture)
        assume(False)
    except RecipeError as error:
        lower, higher = re.search(r"mixture\.tokens to ([\d,]+), or raise .*epochs to ([\d.]+)$", str(error)).groups()
    fewer = int(lower.replace(",", ""))
    assert fewer < tokens and float(higher) > epochs
    budgets(there, mixture.model_copy(update={"tokens": fewer}))
    budgets(there, mixture.model_copy(update={"epochs": float(higher)}))


def test_too_little_of_a_language_says_what_would_do():
    message = (
        r"^select\.mixture: mlt_Latn is to give 2,000 tokens, and only 100 could be kept: each 20 times, where "
        r"select\.mixture\.epochs allows 1\.5, and swe_Latn would be short, too; lower select\.mixture\.tokens to 750, "
        r"or raise select\.mixture\.epochs to 20$"
    )
    with pytest.raises(RecipeError, match=message):
        budgets(THERE, Mixture(tokens=10_000, weights=WEIGHTS, epochs=1.5))


@pytest.mark.parametrize(
    ("there", "settings", "message"),
    [
        ({}, {"alpha": 0.3}, "no language has tokens that can be kept"),
        ({"deu_Latn": 0}, {"weights": {"deu_Latn": 1.0}}, "no language has tokens that can be kept"),
        (THERE, {"weights": {"deu_Latin": 1.0}}, r"weights: the run has no deu_Latin; did you mean deu_Latn\?"),
        (THERE, {"weights": {"xx": 1.0}}, "weights: the run has no xx; there are deu_Latn, mlt_Latn, swe_Latn"),
        (
            THERE | {"isl_Latn": 0},
            {"weights": {"isl_Latn": 1.0}},
            "weights: isl_Latn has no tokens that can be kept; remove it, and share its weight out",
        ),
    ],
)
def test_languages_that_are_not_there(there, settings, message):
    with pytest.raises(RecipeError, match=rf"^select\.mixture[.:] ?{message}"):
        budgets(there, Mixture(tokens=10, **settings))


def test_a_budget_beyond_what_exists_is_refused():
    check_budget("deu_Latn", 3210, 3210)
    message = (
        r"^select\.languages\.deu_Latn\.tokens: 10,000,000,000 wanted, but only 3,210 tokens could be kept; "
        "lower it or add documents"
    )
    with pytest.raises(RecipeError, match=message):
        check_budget("deu_Latn", 10_000_000_000, 3210)
