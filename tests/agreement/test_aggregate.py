import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import SHARED, needs_shared
from hypothesis import given
from hypothesis import strategies as st

from jql.agreement.aggregate import RULES, aggregate
from jql.errors import DataError, RecipeError

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SCORES = st.lists(st.one_of(st.integers(0, 5).map(float), NUMBERS), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("ratings", "rule", "expected"),
    [
        ([1, 2, 2], "majority", 2),
        ([0, 1, 3], "majority", 4 / 3),  # nobody agrees: the mean of all
        ([0, 0, 1, 1, 5], "majority", 0.5),  # two scores given twice: the mean of the two, and not of all
        ([4], "majority", 4),
        ([1, 2, 2], "mean", 5 / 3),
        ([0, 0, 5], "median", 0),
        ([0, 1, 4, 5], "median", 2.5),
        ([0.1, 0.1, 0.1], "mean", 0.1),  # the naive sum is 0.30000000000000004
        (np.array([2, 3, 3], np.float32), "majority", 3),
    ],
)
def test_rules(ratings, rule, expected):
    assert aggregate(ratings, rule) == expected


@pytest.mark.parametrize("rule", RULES)
def test_no_ratings_have_no_score(rule):
    assert aggregate([], rule) is None


def test_majority_is_the_default():
    assert aggregate([0, 5, 5, 2]) == aggregate([0, 5, 5, 2], "majority") == 5


@given(SCORES, st.sampled_from(RULES), st.randoms())
def test_order_does_not_matter(ratings, rule, random):
    mixed = list(ratings)
    random.shuffle(mixed)
    assert aggregate(mixed, rule) == aggregate(ratings, rule)


@given(SCORES, st.sampled_from(RULES))
def test_the_score_lies_among_the_ratings(ratings, rule):
    assert min(ratings) <= aggregate(ratings, rule) <= max(ratings)


@given(NUMBERS, st.integers(1, 9), st.sampled_from(RULES))
def test_of_equal_ratings_it_is_their_value(value, times, rule):
    assert aggregate([value] * times, rule) == value


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(bad):
    with pytest.raises(DataError, match="leave out what was not rated"):
        aggregate([1, bad])


def test_an_unknown_rule_is_refused():
    with pytest.raises(RecipeError, match="rule: expected majority, mean, median, got 'mode'"):
        aggregate([1], "mode")


@needs_shared
def test_real_ratings_of_three_raters():
    rows = pq.read_table(SHARED / "ratings" / "educational_60x3.parquet").column("scores").to_pylist()
    for scores in rows:
        score = aggregate(scores)
        if len(set(scores)) < 3:  # of three raters at least two agree
            assert scores.count(score) >= 2
        else:
            assert score == pytest.approx(np.mean(scores))
