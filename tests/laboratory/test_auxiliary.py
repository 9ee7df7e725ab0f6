"""Mu-loss, z-loss and soft-capping: their gradients, what a step makes of them, and that each counts once a step."""

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given
from hypothesis import strategies as st
from laboratory_help import TIED, TINY, Layer, Uneven, exact, layers, make_layer, training

from jql.errors import DataError, RecipeError
from jql.laboratory.auxiliary import MuLoss, SoftCap, ZLoss, mu_loss, soft_cap, z_loss
from jql.laboratory.figures import logit_figures
from jql.pretrain.hf import to_hf
from jql.pretrain.model import Decoder
from jql.pretrain.state import load_decoder
from jql.pretrain.train import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
close = torch.testing.assert_close


@given(layers, st.floats(1e-6, 100))
def test_the_mu_loss_pulls_every_row_alike(layer: Layer, strength: float):
    matrix = layer.matrix.clone().requires_grad_()
    (strength * mu_loss(matrix)).backward()
    mu = layer.matrix.mean(0)
    close(matrix.grad, (2 * strength * mu / len(matrix)).expand_as(matrix), rtol=1e-12, atol=1e-15)


def test_gradients_are_those_of_finite_differences():
    layer = make_layer(1, 7, 5, 3)
    targets = layer.targets.clone()
    targets[1] = -100
    assert torch.autograd.gradcheck(mu_loss, layer.matrix.clone().requires_grad_())
    assert torch.autograd.gradcheck(lambda x: z_loss(x, targets), layer.logits.clone().requires_grad_())
    assert torch.autograd.gradcheck(lambda x: soft_cap(x, 3.0), layer.logits.clone().requires_grad_())


@given(layers, st.floats(1e-4, 10), st.floats(1e-3, 1.0))
def test_plain_descent_on_the_mu_loss_shortens_the_mean_row_by_a_factor(layer: Layer, strength: float, rate: float):
    matrix = layer.matrix.clone().requires_grad_()
    for _ in range(3):
        (found,) = torch.autograd.grad(strength * mu_loss(matrix), matrix)
        matrix = (matrix - rate * found).detach().requires_grad_()
    factor = (1 - 2 * rate * strength / len(matrix)) ** 3
    close(matrix.mean(0).detach(), factor * layer.matrix.mean(0), rtol=1e-10, atol=1e-12)


def test_at_the_published_strength_the_gradient_of_the_mu_loss_is_below_adams_epsilon():
    length = 2.2 * torch.nn.functional.normalize(torch.ones(768, dtype=torch.float64), dim=0)
    assert float((2 * 1e-4 * length / 50_304).norm()) == pytest.approx(8.7e-9, rel=0.01)


@given(layers)
def test_the_z_loss_is_a_mean_over_the_tokens_with_a_target(layer: Layer):
    targets = layer.targets.clone()
    targets[1:] = -100
    log_z = float(layer.logits[0].logsumexp(0))
    assert float(z_loss(layer.logits, targets)) == pytest.approx(log_z**2, rel=1e-12)
    assert float(z_loss(layer.logits, layer.targets)) == pytest.approx(
        logit_figures(layer.logits, layer.targets)["log_z_squared"], rel=1e-12
    )


@given(st.floats(0.5, 100), st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8))
def test_capped_logits_are_within_the_cap_odd_and_in_the_same_order(cap: float, values: list[float]):
    logits = torch.tensor(sorted(values), dtype=torch.float64)
    found = soft_cap(logits, cap)
    assert (found.abs() <= cap).all() and (found.diff() >= 0).all() and torch.equal(soft_cap(-logits, cap), -found)
    close(soft_cap(logits / 1e6, cap), logits / 1e6, rtol=1e-5, atol=1e-300)


@pytest.mark.parametrize("model", [TINY, TIED], ids=["untied", "tied"])
def test_a_cap_is_part_of_the_model_and_of_its_gradients(model):
    plain, capped = Decoder(model), Decoder(model)
    SoftCap(0.2).on_model(capped)
    tokens = torch.arange(12)[None]
    close(capped(tokens), 0.2 * torch.tanh(plain(tokens) / 0.2))
    assert (capped.head.weight is capped.embed.weight) == model.tied
    assert capped.head.cap.item() == pytest.approx(0.2)
    assert [name for name, _ in capped.named_parameters()] == [name for name, _ in plain.named_parameters()]
    steps = Trainer(capped, training(steps=30), Uneven(), hooks=[]).run()
    assert math.log(33) - 0.4 < steps[-1].loss < steps[0].loss  # no token can have more than e^0.4 of another's


def test_a_capped_model_is_neither_loaded_nor_exported_as_one_without_a_cap(tmp_path):
    Trainer(Decoder(TINY), training(steps=1), Uneven(), tmp_path, [SoftCap(2.0)]).run()
    with pytest.raises(RecipeError, match=r"expected the weights of the same model and hooks, got others: head.cap"):
        load_decoder(tmp_path)
    model = load_decoder(tmp_path, [SoftCap(2.0)])
    assert model(torch.arange(12)[None]).abs().max() < 2
    with pytest.raises(DataError, match=r"head.cap: LlamaForCausalLM has no such weight; it cannot be exported"):
        to_hf(model, tmp_path / "hf")


def test_a_term_counts_once_a_step_whatever_the_passes():
    hooks = [MuLoss(10.0), ZLoss(0.5)]
    one, four = (Trainer(exact(), training(micro_batch=size), Uneven(), hooks=hooks) for size in (4, 1))
    before = mu_loss(one.model.head.weight).item()
    steps = one.run()
    for a, b in zip(steps, four.run(), strict=True):
        assert b.figures["extra"] == pytest.approx(a.figures["extra"], rel=1e-6)
        assert b.loss == pytest.approx(a.loss, rel=1e-6)
    assert steps[0].figures["extra"] == pytest.approx(10 * before + 0.5 * math.log(33) ** 2, rel=0.02)


def test_only_what_is_in_range_is_taken():
    for make, key in ((MuLoss, "MuLoss.strength"), (ZLoss, "ZLoss.strength"), (SoftCap, "SoftCap.cap")):
        with pytest.raises(RecipeError, match=f"{key}: expected a number above 0, got -1"):
            make(-1)


def test_a_run_does_not_go_on_with_another_strength(tmp_path):
    Trainer(Decoder(TINY), training(steps=2), Uneven(), tmp_path, [ZLoss(0.1)]).run()
    told = r"ZLoss.strength: the checkpoint was made with 0.1, got 0.2; write 0.1 or choose another folder"
    with pytest.raises(RecipeError, match=told):
        Trainer(Decoder(TINY), training(steps=2), Uneven(), tmp_path, [ZLoss(0.2)]).run()


def test_logits_of_16_bits_are_summed_in_32():
    logits = torch.full((1, 1000), 5.0, dtype=torch.bfloat16)
    found = z_loss(logits, torch.zeros(1, dtype=torch.int64))
    assert found.dtype == torch.float32 and float(found) == pytest.approx((5 + np.log(1000)) ** 2, rel=1e-5)
