"""Which documents raters disagree on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.truth.label.adjudication import disputed, has_majority


@pytest.mark.parametrize(
    ("scores", "expected"), [([3], True), ([3, 4], False), ([3, 4, 4], True), ([1, 1, 2, 2], False), ([], False)]
)
def test_a_majority_is_more_than_half(scores, expected):
    assert has_majority(scores) is expected


@pytest.mark.parametrize(
    ("scores", "spread", "majority", "expected"),
    [
        ([2, 2, 4], 2, False, True),  # two apart
        ([2, 2, 3], 2, True, False),
        ([2, 3, 4], 3, True, True),  # no majority
        ([2, 3, 4], 3, False, False),
        ([5], 1, True, False),  # one score is no dispute
        ([], 1, True, False),
    ],
)
def test_disputes(scores, spread, majority, expected):
    assert disputed(scores, spread, majority) is expected


@given(st.lists(st.integers(0, 5), max_size=6), st.integers(1, 4), st.booleans(), st.randoms())
def test_order_does_not_matter_and_a_wider_spread_finds_no_more(scores, spread, majority, random):
    shuffled = random.sample(scores, len(scores))
    assert disputed(scores, spread, majority) == disputed(shuffled, spread, majority)
    assert disputed(scores, spread, majority) >= disputed(scores, spread + 1, majority)
    assert disputed(scores, spread, True) >= disputed(scores, spread, False)
