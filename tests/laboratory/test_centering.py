"""Centering moves nothing but the logits' mean: probabilities, loss and gradients stay, and what is refused is told."""

import math

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given
from laboratory_help import TIED, TINY, Layer, Uneven, exact, layers, make_layer, training
from torch.nn.functional import cross_entropy

from jql.errors import RecipeError
from jql.laboratory.auxiliary import SoftCap, soft_cap, z_loss
from jql.laboratory.centering import Centering, centre
from jql.laboratory.coupled_adam import CoupledAdam
from jql.laboratory.figures import bound_ratio, mean_length
from jql.laboratory.vocabulary import mean_row
from jql.pretrain.model import Decoder
from jql.pretrain.train import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
close = torch.testing.assert_close


def centred(layer: Layer) -> Layer:
    matrix = layer.matrix.clone()
    centre(matrix)
    return Layer(matrix, layer.hidden, layer.targets)


def gradients(layer: Layer, loss=cross_entropy) -> tuple[torch.Tensor, torch.Tensor]:
    """Of E and of h."""
    matrix, hidden = (x.clone().requires_grad_() for x in (layer.matrix, layer.hidden))
    loss(hidden @ matrix.T, layer.targets).backward()
    return matrix.grad, hidden.grad


@given(layers)
def test_probabilities_loss_and_all_gradients_are_those_of_the_matrix_before(layer: Layer):
    after = centred(layer)
    close(after.logits.softmax(-1), layer.logits.softmax(-1), rtol=1e-12, atol=1e-14)
    close(
        cross_entropy(after.logits, layer.targets), cross_entropy(layer.logits, layer.targets), rtol=1e-11, atol=1e-12
    )
    for a, b in zip(gradients(after), gradients(layer), strict=True):
        close(a, b, rtol=1e-10, atol=1e-12)


@given(layers)
def test_log_z_falls_by_the_mean_logit_which_becomes_0_and_the_spread_stays(layer: Layer):
    after, shift = centred(layer), layer.hidden @ mean_row(layer.matrix)
    close(layer.logits.mean(-1), shift)
    close(after.logits.mean(-1), torch.zeros_like(shift), rtol=0, atol=1e-12)
    close(after.logits.logsumexp(-1), layer.logits.logsumexp(-1) - shift, rtol=1e-11, atol=1e-11)
    close(after.logits.std(-1), layer.logits.std(-1))
    assert (after.logits.logsumexp(-1) >= math.log(len(layer.matrix)) - 1e-12).all()  # so log Z is not bounded by it


@given(layers)
def test_the_gradients_of_all_rows_add_up_to_nothing_but_not_those_of_the_z_loss(layer: Layer):
    close(gradients(layer)[0].sum(0), torch.zeros(layer.matrix.shape[1], dtype=torch.float64), rtol=0, atol=1e-12)
    strength, log_z = 0.1, layer.logits.logsumexp(-1, keepdim=True)
    found, _ = gradients(layer, lambda logits, targets: strength * z_loss(logits, targets))
    close(found.sum(0), 2 * strength * (log_z * layer.hidden).mean(0), rtol=1e-10, atol=1e-11)


@given(layers)
def test_centering_again_changes_nothing(layer: Layer):
    after = centred(layer)
    close(centred(after).matrix, after.matrix, rtol=0, atol=1e-14)


@given(layers)
def test_the_bound_is_tighter_exactly_where_the_least_product_is_not_too_far_below(layer: Layer):
    along, mu = layer.matrix @ layer.matrix.mean(0), layer.matrix.mean(0)
    after = (layer.matrix - mu) @ mu
    assert bound_ratio(layer.matrix) == pytest.approx(float(after.abs().max() / along.abs().max()), rel=1e-9)
    gap = float(along.max() - (mu @ mu - along.min()))
    if abs(gap) > 1e-9 * float(along.abs().max()):
        assert (bound_ratio(layer.matrix) <= 1) == (gap >= 0)


def test_the_bound_is_not_always_tighter():
    looser = [seed for seed in range(200) if bound_ratio(make_layer(seed, 6, 3, 1, drift=0.1).matrix) > 1]
    assert 0 < len(looser) < 100


@pytest.mark.parametrize("hooks", [[], [CoupledAdam()]], ids=["adamw", "coupled"])
def test_in_exact_numbers_a_whole_training_with_centering_has_the_losses_of_one_without(hooks):
    # Gradients know no mean row, weight decay takes the same share of it as of all: it is only taken along.
    changes = {"steps": 40, "learning_rate": 0.1, "weight_decay": 0.1}
    plain, hooked = (Trainer(exact(), training(**changes), Uneven(), hooks=h) for h in (hooks, [*hooks, Centering()]))
    for one, two in zip(plain.run(), hooked.run(), strict=True):
        assert (two.loss, two.gradient_norm) == pytest.approx((one.loss, one.gradient_norm), rel=1e-8)
    before, after = (trainer.model.head.weight.detach() for trainer in (plain, hooked))
    close(after, before - before.mean(0), rtol=0, atol=1e-8)
    assert mean_length(after) < 1e-15 and (hooks or mean_length(before) > 0.1)
    assert mean_length(hooked.model.embed.weight) > 1e-3  # which is another matrix


def test_what_it_saves_is_the_precision_of_16_bits():
    layer = make_layer(0, 50, 16, 8, drift=100.0)
    expected = layer.logits.softmax(-1)
    errors = [(x.logits.bfloat16().double().softmax(-1) - expected).abs().max().item() for x in (layer, centred(layer))]
    assert layer.logits.abs().max() > 500 and errors[0] > 0.2 > 0.02 > errors[1]


def test_capped_logits_depend_on_the_mean_row_so_both_are_refused():
    layer = make_layer(0, 20, 8, 4, drift=3.0)
    before, after = (soft_cap(x.logits, 3.0).log_softmax(-1) for x in (layer, centred(layer)))
    assert (before.exp() * (before - after)).sum(-1).max() > 0.1  # nats, of one token
    told = r"centering: expected logits that are not soft-capped, .*got a cap of 3; leave one of the two out"
    with pytest.raises(RecipeError, match=told):
        Trainer(Decoder(TINY), training(), Uneven(), hooks=[SoftCap(3.0), Centering()])
    with pytest.raises(RecipeError, match=told):  # whatever their order
        Trainer(Decoder(TINY), training(), Uneven(), hooks=[Centering(), SoftCap(3.0)]).run()


def test_weights_of_16_bits_are_refused():
    with pytest.raises(RecipeError, match=r"centering: expected the output matrix in float32, got bfloat16; keep"):
        Trainer(Decoder(TINY).bfloat16(), training(), Uneven(), hooks=[Centering()])


def test_tied_embeddings_are_moved_too():
    trainer = Trainer(Decoder(TIED), training(steps=1), Uneven(), hooks=[Centering()])
    trainer.run()
    assert mean_length(trainer.model.embed.weight) < 1e-8
