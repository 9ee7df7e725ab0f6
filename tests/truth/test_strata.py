import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.truth.strata import even_shares, score_bands, spread

STORES = st.lists(st.integers(0, 30), min_size=1, max_size=8)


def test_bands_lie_between_the_percentiles_and_take_what_is_beyond():
    scores = np.concatenate([np.linspace(0, 5, 999), [1000.0]]).astype(np.float32)  # one odd score stretches nothing
    bands, edges = score_bands(scores, 5)
    assert edges[0] == pytest.approx(0.05, abs=0.01)
    assert edges[-1] == pytest.approx(4.95, abs=0.01)
    assert np.diff(edges) == pytest.approx(np.full(5, 0.98), abs=0.01)
    assert np.bincount(bands, minlength=5).tolist() == pytest.approx([206, 196, 196, 196, 206], abs=3)
    assert bands[-1] == 4


def test_a_score_on_an_edge_is_in_the_upper_band():
    bands, edges = score_bands(np.array([0.0] * 50 + [2.0] + [4.0] * 50), 2)
    assert edges.tolist() == [0, 2, 4]
    assert bands.tolist() == [0] * 50 + [1] * 51


def test_scores_that_are_all_the_same_are_in_one_band():
    bands, edges = score_bands(np.full(4, 2.5, np.float32), 5)
    assert bands.tolist() == [0, 0, 0, 0]
    assert edges.tolist() == [2.5] * 6


@pytest.mark.parametrize(
    ("held", "wanted", "shares"),
    [
        ([100, 100, 100, 100, 100], 100, [20, 20, 20, 20, 20]),
        ([500, 300, 100, 30, 4], 100, [24, 24, 24, 24, 4]),
        ([500, 300, 100, 10, 4], 100, [28, 29, 29, 10, 4]),
        ([9, 9, 9], 5, [1, 2, 2]),  # what does not divide goes to the upper bands
        ([1, 0, 2], 10, [1, 0, 2]),
        ([3, 3], 0, [0, 0]),
    ],
)
def test_even_shares(held, wanted, shares):
    assert even_shares(held, wanted) == shares


@given(STORES, st.integers(0, 200))
def test_shares_are_as_even_as_the_stores_allow(held, wanted):
    shares = even_shares(held, wanted)
    assert sum(shares) == min(wanted, sum(held))
    assert all(0 <= share <= n for share, n in zip(shares, held, strict=True))
    left = [share for share, n in zip(shares, held, strict=True) if share < n]
    assert max(shares) <= min(left, default=max(shares)) + 1


def test_a_pilot_is_even_over_languages_and_over_bands():
    cells = {(language, band): 20 for language in ("deu_Latn", "fra_Latn") for band in range(5)}
    taken = spread(cells, 20)
    assert set(taken.values()) == {2} and len(taken) == 10
    few = spread({(language, band): 1 for language in "abcdefgh" for band in range(5)}, 10)
    assert sorted(sum(n for (_, b), n in few.items() if b == band) for band in range(5)) == [2] * 5
    assert sorted(sum(n for (k, _), n in few.items() if k == language) for language in "abcdefgh") == [1] * 6 + [2] * 2


@given(st.dictionaries(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), st.integers(0, 5)), st.integers(0, 40))
def test_a_pilot_takes_what_there_is(cells, wanted):
    taken = spread(cells, wanted)
    assert sum(taken.values()) == min(wanted, sum(cells.values()))
    assert all(taken[cell] <= n for cell, n in cells.items())
