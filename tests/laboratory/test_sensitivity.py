"""LR sensitivity by hand, its laws, and intervals over seeds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.errors import DataError
from jql.laboratory.sensitivity import lr_sensitivity, over_seeds, sensitivities

losses = st.lists(st.floats(0, 20) | st.sampled_from([math.nan, math.inf]), min_size=2, max_size=8).map(np.array)


def test_the_published_definition_by_hand():
    # Excess 0.5, 0, 0.25 and, capped, 6.5 over three rates that are not the best.
    assert lr_sensitivity(np.array([4.0, 3.5, 3.75, 12.0]), cap=10.0) == pytest.approx((0.5 + 0.25 + 6.5) / 3)
    assert lr_sensitivity(np.array([4.0, 3.5, 3.75, math.nan]), cap=10.0) == pytest.approx((0.5 + 0.25 + 6.5) / 3)
    with pytest.raises(DataError, match=r"LR sensitivity: expected losses at 2 learning rates or more, got 1"):
        lr_sensitivity(np.array([3.0]), 10)


@given(losses, st.floats(1, 15), st.randoms())
def test_it_knows_no_order_of_rates_and_is_within_the_cap(losses_L: np.ndarray, cap: float, draw):
    found = lr_sensitivity(losses_L, cap)
    assert 0 <= found <= cap + 1e-12
    order = draw.sample(range(len(losses_L)), len(losses_L))
    assert lr_sensitivity(losses_L[order], cap) == pytest.approx(found, abs=1e-12)
    assert lr_sensitivity(np.full_like(losses_L, losses_L[0]), cap) == 0


@given(losses, st.floats(1, 15), st.floats(0, 3))
def test_losses_that_are_all_higher_change_nothing_below_the_cap(losses_L: np.ndarray, cap: float, by: float):
    finite = np.where(np.isfinite(losses_L), losses_L, cap)
    assert lr_sensitivity(np.minimum(finite, cap) + by, cap + by) == pytest.approx(lr_sensitivity(losses_L, cap))


def test_an_interval_is_that_of_student():
    found = over_seeds(np.array([1.0, 2.0, 3.0]))
    assert found.mean == 2 and found.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert over_seeds(np.array([1.0])).low is None


def test_a_variant_is_compared_with_the_baseline_seed_by_seed():
    plain = np.array([[4.0, 4.4], [3.0, 3.2], [9.0, math.nan]])
    steady = np.array([[4.0, 4.4], [3.0, 3.2], [3.5, 3.9]])
    a, b = sensitivities({"plain": plain, "steady": steady}, [1e-3, 1e-2, 1e-1], cap=8.0, baseline="plain")
    assert a.lrs.mean == pytest.approx(((1 + 5) / 2 + (1.2 + 4.8) / 2) / 2) and a.lrs_apart is a.best_apart is None
    assert b.lrs.mean == pytest.approx(((1 + 0.5) / 2 + (1.2 + 0.7) / 2) / 2)
    assert b.lrs_apart.mean == pytest.approx(b.lrs.mean - a.lrs.mean)
    assert b.best_apart.mean == b.best_apart.low == b.best_apart.high == 0 and b.best_rate == 1e-2
    assert a.best.mean == pytest.approx(3.1)
    with pytest.raises(DataError, match=r"baseline: expected one of plain, steady, got none"):
        sensitivities({"plain": plain, "steady": steady}, [1e-3, 1e-2, 1e-1], 8.0, "none")
    with pytest.raises(DataError, match=r"plain: expected losses of 2 learning rates, got the shape \(3, 2\)"):
        sensitivities({"plain": plain}, [1e-3, 1e-2], 8.0)
