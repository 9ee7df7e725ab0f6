"""Coupled Adam keeps the mean row where AdamW moves it, with a state of one row; it is not AdamW on a CPU either."""

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from laboratory_help import TIED, TINY, Uneven, exact, layers, make_layer, training
from torch.nn.functional import cross_entropy
from torch.optim import AdamW

from jql.errors import RecipeError
from jql.laboratory.auxiliary import soft_cap, z_loss
from jql.laboratory.centering import Centering
from jql.laboratory.coupled_adam import CoupledAdam, CoupledAdamW
from jql.laboratory.figures import frequency_correlation, mean_length
from jql.pretrain.model import Decoder
from jql.pretrain.train import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
PLAIN = {"lr": 0.1, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.0}
close = torch.testing.assert_close


def stepped(layer, steps=5, make=CoupledAdamW, loss=cross_entropy, device="cpu", **settings_):
    """The matrix after some steps on the loss of fresh hidden states, and the optimizer."""
    matrix = torch.nn.Parameter(layer.matrix.clone().to(device))
    group = {**PLAIN, **({"coupled": 1.0} if make is CoupledAdamW else {}), **settings_, "params": [matrix]}
    optimizer = make([group]) if make is CoupledAdamW else make([group], fused=True)
    draw = torch.Generator().manual_seed(7)
    for _ in range(steps):
        hidden = torch.randn(layer.hidden.shape, generator=draw, dtype=torch.float64).to(device)
        loss(hidden @ matrix.T, layer.targets.to(device)).backward()
        optimizer.step()
        optimizer.zero_grad()
    return matrix.detach().cpu(), optimizer


def by_rows(layer, steps=5, scale=1.0, **settings_):
    """The definition: Adam's second moment of each row, averaged over rows in the denominator alone."""
    lr, (beta1, beta2), eps, decay = ({**PLAIN, **settings_}[name] for name in ("lr", "betas", "eps", "weight_decay"))
    matrix, m, v = layer.matrix.clone(), *(torch.zeros_like(layer.matrix) for _ in range(2))
    draw = torch.Generator().manual_seed(7)
    for t in range(1, steps + 1):
        hidden = torch.randn(layer.hidden.shape, generator=draw, dtype=torch.float64)
        matrix.requires_grad_()
        (g,) = torch.autograd.grad(cross_entropy(hidden @ matrix.T, layer.targets), matrix)
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        m_hat, nu_hat = m / (1 - beta1**t), scale * (v / (1 - beta2**t)).mean(0)
        matrix = (matrix * (1 - lr * decay) - lr * m_hat / (nu_hat.sqrt() + eps)).detach()
    return matrix


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=40)
@given(layer=layers, scale=st.sampled_from([1.0, 0.25, 4.0]), decay=st.sampled_from([0.0, 0.1]))
def test_one_row_of_state_gives_what_a_second_moment_for_each_row_gives(device, layer, scale, decay):
    found, optimizer = stepped(layer, coupled=scale, weight_decay=decay, device=device)
    close(found, by_rows(layer, scale=scale, weight_decay=decay), rtol=1e-9, atol=1e-11)
    (state,) = optimizer.state.values()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "step": (),
        "exp_avg": tuple(layer.matrix.shape),
        "exp_avg_sq": (layer.matrix.shape[1],),
    }


@settings(max_examples=40)
@given(layer=layers, decay=st.sampled_from([0.0, 0.1, 1.0]))
def test_the_mean_row_stays_or_shrinks_by_what_is_decayed(layer, decay):
    found, _ = stepped(layer, weight_decay=decay)
    close(found.mean(0), (1 - 0.1 * decay) ** 5 * layer.matrix.mean(0), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("device", DEVICES)
def test_it_is_not_adamw_on_any_device(device):
    layer = make_layer(3, 30, 8, 6)
    coupled, plain = (stepped(layer, make=make, device=device)[0] for make in (CoupledAdamW, AdamW))
    assert (coupled - plain).abs().max() > 0.05
    drift = (plain.mean(0) - layer.matrix.mean(0)).norm(), (coupled.mean(0) - layer.matrix.mean(0)).norm()
    assert drift[0] > 0.05 and drift[1] < 1e-13


@settings(max_examples=30)
@given(layer=layers)
def test_of_equal_rows_or_one_alone_it_is_adamw(layer):
    # Gradients with equal squares in every row: a row of ones, and one of minus ones, by turns.
    rows = torch.where(torch.arange(len(layer.matrix)) % 2 == 0, 1.0, -1.0).double()[:, None]

    def alike(make):
        matrix = torch.nn.Parameter(layer.matrix.clone())
        optimizer = make([{**PLAIN, "params": [matrix], **({"coupled": 1.0} if make is CoupledAdamW else {})}])
        for hidden in layer.hidden:
            matrix.grad = rows * hidden
            optimizer.step()
        return matrix.detach()

    close(alike(CoupledAdamW), alike(AdamW), rtol=1e-6, atol=1e-7)  # AdamW's own arithmetic has a step in float32


@settings(max_examples=30)
@given(layer=layers)
def test_a_quarter_of_the_second_moment_is_twice_the_learning_rate(layer):
    close(stepped(layer, coupled=0.25, eps=1e-16)[0], stepped(layer, lr=0.2, eps=1e-16)[0], rtol=1e-7, atol=1e-7)


def test_a_loss_that_depends_on_the_mean_row_moves_it():
    layer = make_layer(3, 30, 8, 6)
    for loss in (
        lambda logits, targets: cross_entropy(soft_cap(logits, 3.0), targets),
        lambda logits, targets: cross_entropy(logits, targets) + 0.1 * z_loss(logits, targets),
    ):
        found, _ = stepped(layer, loss=loss)
        assert (found.mean(0) - layer.matrix.mean(0)).norm() > 0.01


def trained(model, *hooks, **changes):
    trainer = Trainer(model, training(**changes), Uneven(), hooks=hooks)
    trainer.run()
    return trainer


def test_a_training_keeps_the_mean_row_of_an_untied_matrix():
    before = exact().head.weight.mean(0).detach()
    plain, coupled = trained(exact()), trained(exact(), CoupledAdam())
    close(coupled.model.head.weight.mean(0).detach(), before, rtol=0, atol=1e-15)
    assert (plain.model.head.weight.mean(0) - before).norm() > 1e-3
    decayed = trained(exact(), CoupledAdam(), weight_decay=0.5, warmup=0.0, floor=1.0)  # 6 steps of 0.01, all alike
    close(decayed.model.head.weight.mean(0).detach(), (1 - 0.01 * 0.5) ** 6 * before, rtol=1e-12, atol=1e-16)


def test_from_a_centred_start_it_keeps_what_centering_enforces():
    both = trained(exact(), CoupledAdam(), Centering())
    model = exact()
    Centering().after_step(model, 0)
    alone = trained(model, CoupledAdam())
    assert mean_length(alone.model.head.weight) < 1e-15
    close(alone.model.head.weight.detach(), both.model.head.weight.detach(), rtol=0, atol=1e-12)


def test_everything_else_is_stepped_by_adamw():
    plain, coupled = trained(Decoder(TINY), steps=1), trained(Decoder(TINY), CoupledAdam(), steps=1)
    for (name, a), b in zip(plain.model.named_parameters(), coupled.model.parameters(), strict=True):
        assert torch.equal(a, b) == (name != "head.weight"), name
    groups = {group["name"]: group for group in coupled.optimizer.param_groups}
    assert set(groups) == {"matrices", "coupled", "embeddings", "rest"} and len(groups["coupled"]["params"]) == 1
    assert groups["coupled"]["lr"] == groups["matrices"]["lr"]
    tied = trained(Decoder(TIED), CoupledAdam(), weight_decay=0.1)
    groups = {group["name"]: group for group in tied.optimizer.param_groups}
    assert set(groups) == {"matrices", "coupled", "rest"} and groups["coupled"]["weight_decay"] == 0


def test_with_adam_rare_tokens_go_along_and_with_coupled_adam_less_so():
    counts = torch.tensor([2.0 ** -(i // 3) for i in range(33)]).mul(4096).int()
    found = []
    for make in (AdamW, CoupledAdamW):
        matrix = torch.nn.Parameter(torch.zeros(33, 8, dtype=torch.float64))
        group = {**PLAIN, "lr": 0.01, "params": [matrix], **({"coupled": 1.0} if make is CoupledAdamW else {})}
        optimizer, draw = make([group]), torch.Generator().manual_seed(0)
        for _ in range(150):
            targets = torch.multinomial(counts.double(), 64, replacement=True, generator=draw)
            hidden = 1 + torch.randn(64, 8, generator=draw, dtype=torch.float64)
            cross_entropy(hidden @ matrix.T, targets).backward()
            optimizer.step()
            optimizer.zero_grad()
        found.append((mean_length(matrix.detach()), frequency_correlation(matrix.detach(), counts)))
    (plain, along), (coupled, _) = found
    assert plain > 0.5 and coupled < 1e-14 and along < -0.8


@pytest.mark.parametrize("micro_batch", [4, 2])
def test_a_run_goes_on_bit_for_bit(tmp_path, micro_batch):
    def run(folder, steps_first=None):
        made = training(checkpoint_every=3, keep=0, micro_batch=micro_batch, dtype="bfloat16")
        trainer = Trainer(Decoder(TINY), made, Uneven(), folder, [CoupledAdam(), Centering()])
        if steps_first is None:
            return trainer, trainer.run()
        batches = iter(trainer.loader)
        for _ in range(steps_first):
            trainer.step(batches)
        trainer.save()
        return trainer, None

    undisturbed, _ = run(tmp_path / "a")
    run(tmp_path / "b", 3)
    again, _ = run(tmp_path / "b")
    for a, b in zip(undisturbed.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_what_cannot_be_is_refused():
    with pytest.raises(RecipeError, match=r"CoupledAdam.scale: expected a number above 0, got 0"):
        CoupledAdam(0)
    model = Decoder(TINY)
    model.head.weight.requires_grad_(False)
    with pytest.raises(RecipeError, match=r"coupled: expected an output matrix that is trained, got a frozen one"):
        Trainer(model, training(), Uneven(), hooks=[CoupledAdam()])
