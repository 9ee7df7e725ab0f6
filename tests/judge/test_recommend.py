"""Recommendation: the best of each family, reasons for the others, and shares that can be counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rank_help import FEW, make_judge, make_truth

from jql.errors import RecipeError
from jql.judge.rank import rank
from jql.judge.recommend import best_of_families, recommend

PUBLISHED = {"gemma-3": 0.699, "llama-3.3": 0.684, "gemma-2": 0.682, "mistral": 0.680, "phi-4": 0.630}
FAMILY = {"gemma-3": "gemma", "gemma-2": "gemma", "llama-3.3": "llama", "mistral": "mistral", "phi-4": "phi"}


def test_the_published_choice_passes_over_a_judge_of_a_family_that_has_one():
    assert best_of_families(PUBLISHED, FAMILY, 3) == ["gemma-3", "llama-3.3", "mistral"]
    assert best_of_families(PUBLISHED, FAMILY, 1) == ["gemma-3"]
    assert best_of_families(PUBLISHED, FAMILY, 9) == ["gemma-3", "llama-3.3", "mistral", "phi-4"]


def test_the_published_choice_comes_out_of_simulated_judgments():
    truth = make_truth(200)
    noise = {"gemma-3": 1.0, "llama-3.3": 1.3, "gemma-2": 1.6, "mistral": 1.62, "phi-4": 2.6}
    judgments = {
        name: make_judge(truth, n, seed=i, offset=name == "gemma-3") for i, (name, n) in enumerate(noise.items())
    }
    result = rank(truth, judgments, FAMILY, FEW)
    values = {judge: e["common"]["macro"]["figures"]["spearman"]["value"] for judge, e in result["judges"].items()}
    assert list(values) == list(noise) and values["gemma-2"] > values["mistral"]
    found = result["recommendation"]
    assert found["judges"] == ["gemma-3", "llama-3.3", "mistral"]
    assert found["why_not"] == {
        "gemma-2": {"why": "family", "words": "family gemma has gemma-3 already"},
        "phi-4": {"why": "rank", "words": "below the 3 chosen"},
    }


def test_shares_are_counts_of_resamples():
    values = {"a": 0.7, "b": 0.6, "c": 0.5}
    draws = {"a": [0.7, 0.7, 0.4, 0.7], "b": [0.6, 0.8, 0.6, 0.6], "c": [0.5, 0.5, 0.5, 0.9]}
    found = recommend(values, {j: np.array(d) for j, d in draws.items()}, {"a": "x", "b": "y", "c": "z"}, {}, 2)
    assert found["judges"] == ["a", "b"]
    assert found["chosen_share"] == {"a": 0.75, "b": 0.75, "c": 0.5}
    assert found["set_share"] == 0.5 and found["first_share"] == 0.25
    assert found["sets"][0] == {"judges": ["a", "b"], "share": 0.5}
    assert sum(entry["share"] for entry in found["sets"]) == 1
    assert found["sentence"] == (
        "Recommended: a (family x), b (family y). Of 4 resamples of the source documents 50% choose exactly these "
        "(a in 75%, b in 75%); a is the best of all in 25%."
    )


def test_with_fewer_families_fewer_are_recommended_and_it_says_so():
    draws = {judge: np.full(4, value) for judge, value in PUBLISHED.items()}
    two = {"gemma-3": "gemma", "gemma-2": "gemma", "llama-3.3": "llama"}
    values = {judge: PUBLISHED[judge] for judge in two}
    found = recommend(values, draws, two, {}, 3)
    assert found["judges"] == ["gemma-3", "llama-3.3"] and found["set_share"] == 1
    assert "fewer than 3, as judges of only 2 families may be chosen" in found["sentence"]
    one = recommend({"gemma-3": 0.7}, draws, {"gemma-3": "gemma"}, {}, 3)
    assert "only 1 family may be chosen" in one["sentence"] and "choose exactly this (" in one["sentence"]


def test_who_is_refused_or_has_no_figure_is_not_chosen_and_neither_blocks_the_family():
    values = {"a": 0.9, "b": None, "c": 0.5}
    draws = {"a": np.full(3, 0.9), "b": np.full(3, np.nan), "c": np.full(3, 0.5)}
    families = {"a": "x", "b": "x", "c": "x", "d": "y"}
    found = recommend(values, draws, families, {"a": "half of it could not be read", "d": "set apart"}, 3)
    assert found["judges"] == ["c"] and found["first_share"] == 1
    assert {judge: entry["why"] for judge, entry in found["why_not"].items()} == {
        "a": "refused",
        "b": "no figure",
        "d": "refused",
    }
    nobody = recommend({"a": 0.9}, draws, {"a": "x"}, {"a": "set apart"}, 3)
    assert nobody["judges"] == [] and nobody["set_share"] is None and nobody["first_share"] is None
    assert nobody["sentence"] == "No judge can be recommended: a: set apart."


def test_a_resample_without_a_figure_does_not_choose_that_judge():
    draws = {"a": np.array([0.9, np.nan]), "b": np.array([0.5, 0.5])}
    found = recommend({"a": 0.9, "b": 0.5}, draws, {"a": "x", "b": "y"}, {}, 1)
    assert found["judges"] == ["a"] and found["chosen_share"] == {"a": 0.5, "b": 0.5}


def test_choosing_nobody_is_refused():
    with pytest.raises(RecipeError, match="choose: expected at least 1, got 0; write 3"):
        recommend({"a": 0.9}, {"a": np.ones(2)}, {"a": "x"}, {}, 0)


judges = st.dictionaries(
    st.sampled_from("abcdefgh"), st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.4]), st.sampled_from("xyz")), min_size=1
)


@given(judges, st.integers(1, 4), st.randoms(use_true_random=False))
def test_the_chosen_are_the_best_of_their_families_in_any_order_of_input(given_judges, choose, random):
    values = {judge: value for judge, (value, _) in given_judges.items()}
    families = {judge: family for judge, (_, family) in given_judges.items()}
    chosen = best_of_families(values, families, choose)
    assert len(chosen) == min(choose, len(set(families.values())))
    assert len({families[judge] for judge in chosen}) == len(chosen)
    assert [values[judge] for judge in chosen] == sorted((values[judge] for judge in chosen), reverse=True)
    for judge in chosen:
        assert values[judge] == max(values[other] for other in values if families[other] == families[judge])
    left = [f for f in families.values() if f not in {families[judge] for judge in chosen}]
    assert all(values[j] <= values[chosen[-1]] for j in values if families[j] in left)
    mixed = list(values.items())
    random.shuffle(mixed)
    assert best_of_families(dict(mixed), families, choose) == chosen
