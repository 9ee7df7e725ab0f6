"""What RMSNorm, LayerNorm, DyT and DyISRU have to do with one another, and where the latter two start."""

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from laboratory_help import TIED, TINY, Uneven, training
from torch import nn

from jql.errors import RecipeError
from jql.laboratory.norms import DynamicISRU, DynamicTanh, Norms, dyisru, dyt, make_norm
from jql.pretrain.model import Decoder
from jql.pretrain.state import load_decoder
from jql.pretrain.train import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
close = torch.testing.assert_close
TOKENS = np.arange(48).reshape(4, 12) % 33
positive = st.floats(1e-3, 1e4)


def drawn(seed: int, *shape: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rms(x: torch.Tensor) -> torch.Tensor:
    return x.square().mean(-1, keepdim=True).sqrt()


@given(st.integers(0, 2**32), st.integers(2, 64), st.floats(0.01, 100))
def test_with_the_energy_of_the_other_channels_it_is_rmsnorm(seed: int, channels: int, scale: float):
    x = drawn(seed, 3, channels, scale=scale)
    others = x.square().sum(-1, keepdim=True) - x.square()
    close(dyisru(x, others), nn.functional.rms_norm(x, (channels,), eps=0.0), rtol=1e-12, atol=1e-13)


@given(st.integers(0, 2**32), st.integers(3, 64), st.floats(-1e3, 1e3))
def test_layernorm_of_one_channel_is_its_distance_from_the_others_through_dyisru(seed: int, channels: int, to: float):
    x = drawn(seed, channels, scale=2.0)
    x[0] = to
    others = x[1:]
    distance, spread = to - others.mean(), others.var(unbiased=False)
    expected = math.sqrt(channels - 1) * distance / torch.sqrt(channels * spread + distance**2)
    close(nn.functional.layer_norm(x, (channels,), eps=0.0)[0], expected, rtol=1e-9, atol=1e-11)


@given(st.integers(1, 1000), positive, st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=9))
def test_both_are_bounded_odd_and_in_order(channels: int, beta: float, values: list[float]):
    x = torch.tensor(sorted(values), dtype=torch.float64)[:, None].expand(-1, channels)
    number = torch.tensor([beta], dtype=torch.float64)
    for found, opposite in ((dyisru(x, number), dyisru(-x, number)), (dyt(x, number), dyt(-x, number))):
        assert (found.abs() <= math.sqrt(channels) * (1 + 1e-12)).all()
        assert (found.diff(dim=0) >= -1e-12).all() and torch.equal(opposite, -found)


@given(positive, st.floats(100, 1e4))
def test_dyisru_nears_its_bound_as_a_power_and_dyt_as_an_exponential(beta: float, far: float):
    x = torch.tensor([far * math.sqrt(beta)], dtype=torch.float64)
    assert float(1 - dyisru(x, x.new_tensor([beta]))) == pytest.approx(beta / (2 * float(x) ** 2), rel=1e-3, abs=1e-15)
    x = torch.tensor([6.0], dtype=torch.float64)
    assert float(1 - dyt(x, x.new_tensor([1.0]))) == pytest.approx(2 * math.exp(-12), rel=1e-4)


@given(st.integers(1, 1000), positive)
def test_both_are_equally_steep_at_0_where_alpha_is_one_over_the_root_of_beta(channels: int, beta: float):
    slopes = []
    for norm, number in ((dyisru, beta), (dyt, 1 / math.sqrt(beta))):
        x = torch.zeros(channels, dtype=torch.float64, requires_grad=True)
        norm(x, x.new_tensor([number])).sum().backward()
        slopes.append(x.grad)
    close(*slopes)
    close(slopes[0], torch.full_like(slopes[0], math.sqrt(channels / beta)))


@given(st.floats(-3, 3))
def test_both_follow_from_one_equation(at: float):
    # dy/dx = (1 - y^2 / C) / r, where DyT holds the root mean square r fast and DyISRU lets the channel's own part move.
    held, moving = 2 / math.sqrt(8), math.sqrt((4 + at**2) / 8)
    for norm, number, radius in ((dyt, 0.5, held), (dyisru, 4.0, moving)):
        x = torch.full((8,), at, dtype=torch.float64, requires_grad=True)
        y = norm(x, x.new_tensor([number]))
        (slope,) = torch.autograd.grad(y.sum(), x)
        close(slope, (1 - y.detach() ** 2 / 8) / radius)


def test_of_768_channels_started_so_the_output_is_that_of_rmsnorm_and_of_other_starts_it_is_not():
    x = drawn(0, 512, 768)
    x = x / rms(x)
    found = dyisru(x, x.new_tensor([767.0]))
    assert float(rms(found).mean()) == pytest.approx(0.998, abs=1e-3)
    assert float(((found - x) / x).abs().max()) < 0.025
    for other, expected in ((x / torch.sqrt(100 + x**2), 0.099), (torch.tanh(0.5 * x), 0.417)):
        assert float(rms(other).mean()) == pytest.approx(expected, abs=1e-3)


@given(st.floats(-50, 50), st.floats(-1e3, 1e3))
def test_beta_is_positive_whatever_a_step_makes_of_it(log_beta: float, at: float):
    norm = DynamicISRU(8).double()
    nn.init.constant_(norm.log_beta, log_beta)
    x = torch.full((1, 8), at, dtype=torch.float64)
    assert norm.log_beta.exp() > 0 and norm(x).isfinite().all()


@pytest.mark.parametrize("make", [DynamicISRU, DynamicTanh])
def test_what_is_learned_has_a_gradient_from_the_start(make):
    norm, x = make(64).double(), drawn(1, 100, 64)
    norm.start(1.0)
    norm(x).square().sum().backward()
    (number, weight) = norm.parameters()
    assert number.shape == (1,)  # FSDP2 takes no scalars
    assert number.grad.abs() > 1 and (weight.grad.abs() > 1).all()


def test_the_gradient_of_log_beta_is_about_half_the_output():
    norm, x = DynamicISRU(768).double(), drawn(2, 1, 768)
    size = norm(x).abs().mean()
    (found,) = torch.autograd.grad(size, norm.log_beta)
    assert float(found) == pytest.approx(-0.5 * size.item(), rel=0.01)


@pytest.mark.parametrize("model", [TINY, TIED], ids=["untied", "tied"])
def test_started_from_a_batch_a_model_is_about_the_one_with_rmsnorm(model):
    plain, started, careless = (Decoder(model) for _ in range(3))
    Norms("dyisru", TOKENS).on_model(started)
    Norms("dyisru").on_model(careless)
    tokens = torch.tensor(TOKENS)
    logits, near, far = (m(tokens).detach() for m in (plain, started, careless))
    assert (near - logits).norm() < 0.3 * logits.norm() < 0.8 * (far - logits).norm()
    betas = [m.log_beta.exp().item() for m in started.modules() if isinstance(m, DynamicISRU)]
    assert len(betas) == 5 and max(betas) < 0.1  # embeddings of 0.02 have an energy of 0.0004
    energy = started.embed(tokens).double().square().mean().item()
    assert betas[0] == pytest.approx(15 * energy, rel=1e-5)


def test_a_start_takes_nothing_but_what_comes_to_the_layer():
    # Layers are started in order, each after those before it, and a batch again changes nothing.
    first, second = Decoder(TINY), Decoder(TINY)
    Norms("dyt", TOKENS).on_model(first)
    Norms("dyt", torch.tensor(TOKENS)).on_model(second)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", ["layer", "dyt", "dyisru", ("dyisru", "rms", "layer")])
def test_a_model_with_other_norms_learns_and_is_loaded(tmp_path, kind):
    trainer = Trainer(Decoder(TINY), training(steps=40), Uneven(), tmp_path, [Norms(kind, TOKENS)])
    steps = trainer.run()
    assert steps[-1].loss < steps[0].loss - 0.5
    rest = next(group for group in trainer.optimizer.param_groups if group["name"] == "rest")
    assert rest["weight_decay"] == 0 and len(rest["params"]) == {"layer": 5, "dyt": 10, "dyisru": 10}.get(kind, 7)
    Trainer(Decoder(TINY), training(steps=40), Uneven(), tmp_path, [Norms(kind, TOKENS)]).resume()
    loaded = load_decoder(tmp_path, [Norms(kind)])
    tokens = torch.tensor(TOKENS)
    assert torch.equal(loaded(tokens), trainer.model(tokens))
    assert trainer.model.head.weight.dtype == torch.float32 and loaded.norm.weight.abs().min() > 0


def test_half_numbers_are_computed_in_float32():
    x = drawn(3, 4, 64).to(torch.bfloat16)
    for kind in ("dyt", "dyisru"):
        norm = make_norm(kind, 64, 1e-5)
        assert norm(x).dtype == torch.bfloat16
        close(norm(x), norm(x.float()).bfloat16(), rtol=0, atol=0)


@settings(max_examples=20)
@given(st.integers(0, 5))
def test_kinds_are_one_for_each_block_and_the_last_norm(count: int):
    if count == 3:
        Norms(("rms",) * count).on_model(Decoder(TINY))
        return
    told = rf"Norms.kind: expected one kind for each of 2 blocks and one for the last norm, got {count} of them"
    with pytest.raises(RecipeError, match=told):
        Norms(("rms",) * count).on_model(Decoder(TINY))


def test_an_unknown_kind_is_refused():
    with pytest.raises(RecipeError, match=r"Norms.kind: expected rms or layer or dyt or dyisru, got batch"):
        Norms("batch")
