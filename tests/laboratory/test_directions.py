"""Published directions: what a claim is held against, and what an interval says of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_help import CAP, LOSSES, RATES, VARIANTS, made_sweep, sweep_rows

from jql.laboratory.config import Variant
from jql.laboratory.directions import APPEARS, CLAIMS, OPEN, REVERSED, SAME, directions, outcome
from jql.laboratory.result import figures_of
from jql.laboratory.sensitivity import Estimate, over_known

ends = st.floats(-1, 1)


@given(ends, ends, st.sampled_from(["lower", "higher", "same"]))
def test_an_outcome_is_what_all_of_the_interval_says(a: float, b: float, is_: str):
    low, high = sorted((a, b))
    found = outcome(is_, Estimate((low + high) / 2, low, high))
    mirrored = outcome({"lower": "higher", "higher": "lower", "same": "same"}[is_], Estimate(0, -high, -low))
    assert found == mirrored
    if is_ == "same":
        assert (found == APPEARS) == (max(abs(low), abs(high)) <= SAME)
    elif low <= 0 <= high:
        assert found == OPEN
    else:
        assert found == (APPEARS if (high < 0) == (is_ == "lower") else REVERSED)


def test_too_few_seeds_leave_it_open():
    assert outcome("lower", Estimate(-3, None, None)) == outcome("same", None) == OPEN


def told(found):
    return {one["claim"]: one["outcome"] for one in found["directions"]}


def test_each_claim_is_held_against_what_it_names():
    found = told(made_sweep())
    assert found["baseline: |mu| is higher at the highest learning rate than at the lowest"] == APPEARS
    assert found["centering: LR sensitivity is lower than that of baseline"] == APPEARS
    assert found["centering: LR sensitivity is lower than that of z_loss"] == APPEARS
    assert found["centering: best loss is that of baseline within 0.01"] == APPEARS
    assert found["z_loss: |mu| is higher than that of baseline, at the highest learning rate"] == APPEARS
    worse = {**LOSSES, "centering": (5.0, 4.7, 7.0)}
    found = told(made_sweep(sweep_rows(worse)))
    assert found["centering: LR sensitivity is lower than that of baseline"] == REVERSED
    assert found["centering: best loss is that of baseline within 0.01"] == REVERSED
    found = told(made_sweep(sweep_rows(noise=0.5)))
    assert found["centering: best loss is that of baseline within 0.01"] == OPEN


def test_several_techniques_and_other_baselines_are_claimed_nothing_of():
    table = sweep_rows()
    found = figures_of(table, RATES, CAP)
    both = {**VARIANTS, "centering": Variant(centering=True, z_loss=0.1)}
    assert {one["variant"] for one in directions(found, both, "baseline", CAP)} == {"baseline", "z_loss"}
    assert directions(found, VARIANTS, None, CAP) == directions(found, VARIANTS, "centering", CAP) == []


def test_coupled_adam_is_looked_at_where_the_baseline_is_best():
    losses = {"baseline": LOSSES["baseline"], "coupled": (5.0, 4.5, 6.0)}
    table = sweep_rows(losses)
    found = made_sweep(table, {"baseline": Variant(), "coupled": Variant(coupled=True)}, tuned={})
    (one,) = (one for one in found["directions"] if one["figure"] == "mean_share")
    assert one["claim"].endswith("at the baseline's best learning rate")
    expected = found["variants"]["coupled"]["rates"][1]["apart"]["mean_share"]
    assert one["apart"] == expected


def test_claims_name_figures_that_there_are():
    fields = Variant.__dataclass_fields__
    assert all(claim.technique in {"", *fields} for claim in CLAIMS)
    assert {claim.source for claim in CLAIMS} == {"arXiv 2601.02031", "arXiv 2502.08441"}


def test_figures_that_are_not_finite_are_left_out():
    assert over_known(np.array([1.0, np.nan, 3.0])).mean == 2 and over_known(np.array([np.nan])) is None
    assert over_known(np.array([1.0, np.nan])).low is None


def test_a_diverged_model_has_the_loss_of_knowing_nothing():
    found = made_sweep(sweep_rows({**LOSSES, "centering": (5.0, 4.6, np.inf)}))
    assert found["variants"]["centering"]["diverged"] == 3
    assert found["variants"]["centering"]["rates"][2]["values"]["loss"]["mean"] == pytest.approx(CAP)
