"""From settings to hooks, and which settings do not go together."""

import warnings
from dataclasses import asdict

import numpy as np
import pytest

pytest.importorskip("torch")

from hypothesis import given, settings
from hypothesis import strategies as st
from laboratory_help import TIED, TINY, Uneven, training

from jql.errors import RecipeError
from jql.laboratory.config import KINDS, Variant
from jql.laboratory.factory import hooks_of
from jql.laboratory.watch import Watch
from jql.pretrain.model import Decoder
from jql.pretrain.train import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
TOKENS = np.arange(48).reshape(4, 12) % 33


def test_no_technique_is_no_hook():
    assert hooks_of(Variant(), tied=True) == [] and Variant().told() == {}


@settings(max_examples=25)
@given(
    variant=st.builds(
        dict,
        centering=st.booleans(),
        mu_loss=st.sampled_from([0.0, 1e-4, 10.0]),
        z_loss=st.sampled_from([0.0, 1e-4, 0.1]),
        soft_cap=st.sampled_from([0.0, 30.0]),
        coupled=st.booleans(),
        norm=st.sampled_from([*KINDS, ["rms", "dyisru", "layer"]]),
    ),
    tied=st.booleans(),
)
def test_all_that_is_not_refused_trains(variant, tied):
    if variant["soft_cap"] and variant["centering"]:
        with pytest.raises(RecipeError, match=r"variant.soft_cap: expected 0 with centering, .*got 30.0; write 0"):
            Variant(**variant)
        return
    made = Variant(**variant)
    assert Variant(**made.told()) == made == Variant(**asdict(made))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        hooks = hooks_of(made, tied, TOKENS)
    assert [str(w.message) for w in told] == made.doubts(tied)
    wanted = [made.soft_cap, made.norm != "rms", made.mu_loss, made.z_loss, made.coupled, made.centering]
    assert len(hooks) == sum(map(bool, wanted))
    steps = Trainer(Decoder(TIED if tied else TINY), training(steps=2), Uneven(), hooks=hooks).run()
    assert all(np.isfinite(step.loss) for step in steps)


def test_what_breaks_the_invariance_is_warned_of():
    for variant, tied, told in (
        (Variant(centering=True), True, "centering with tied embeddings moves what comes in too"),
        (Variant(soft_cap=30, mu_loss=1e-4), False, "mu_loss with soft_cap: capped logits depend on the mean row"),
        (Variant(soft_cap=30, coupled=True), False, "coupled with soft_cap: gradients of rows no longer add up"),
        (Variant(z_loss=1e-4, coupled=True), False, "coupled with z_loss: gradients of rows no longer add up"),
    ):
        with pytest.warns(UserWarning, match=told):
            hooks_of(variant, tied)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hooks_of(Variant(centering=True, coupled=True, z_loss=0), False)
        hooks_of(Variant(centering=True, z_loss=1e-4), False)
        hooks_of(Variant(coupled=True), True)  # as published


def test_what_cannot_be_is_refused():
    for settings_, told in (
        ({"mu_loss": -1}, r"variant.mu_loss: expected 0 or more, got -1"),
        ({"z_loss": float("nan")}, r"variant.z_loss: expected 0 or more, got nan"),
        ({"coupled": True, "scale": 0}, r"variant.scale: expected a number above 0, got 0"),
        ({"scale": 2.0}, r"variant.scale: expected 1 without coupled, whose factor it is, got 2.0; write 1"),
        ({"norm": "batch"}, r"variant.norm: expected rms or layer or dyt or dyisru, got batch"),
    ):
        with pytest.raises(RecipeError, match=told):
            Variant(**settings_)
    told = r"variant.norm: dyisru: expected a batch of tokens for norms to start from, got none; give tokens"
    with pytest.raises(RecipeError, match=told):
        hooks_of(Variant(norm="dyisru"), False)


def test_figures_are_watched_every_some_steps_also_by_a_run_that_goes_on(tmp_path):
    def steps(folder, count, watch):
        trainer = Trainer(Decoder(TINY), training(steps=6, checkpoint_every=1), Uneven(), folder, [Watch(watch)])
        if count == 6:
            return trainer.run()
        batches = iter(trainer.loader)
        for _ in range(count):
            trainer.step(batches)
        trainer.save()
        return []

    found = steps(tmp_path / "a", 6, 2)
    assert [bool(step.figures) for step in found] == [False, True] * 3
    assert set(found[1].figures) == {
        *("mean_length", "mean_share", "bound_ratio", "isotropy", "condition"),
        *("largest_logit", "mean_logit", "log_z", "log_z_squared"),
    }
    assert [step.loss for step in found] == [step.loss for step in Trainer(Decoder(TINY), training(), Uneven()).run()]
    steps(tmp_path / "b", 3, 2)
    again = steps(tmp_path / "b", 6, 2)
    assert [step.figures for step in again] == [step.figures for step in found[3:]]
    with pytest.raises(RecipeError, match=r"Watch.every: expected a whole number above 0, got 0"):
        Watch(0)
