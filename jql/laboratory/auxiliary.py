"""What keeps output logits in bounds: mu-loss and z-loss as terms of the loss, and logits that are soft-capped.

Shapes: B sequences, T tokens, V vocabulary, H hidden units.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from jql.laboratory.technique import Technique
from jql.pretrain.config import refused
from jql.pretrain.loss import NONE
from jql.pretrain.model import Decoder


def mu_loss(matrix_VH: Tensor) -> Tensor:
    """The squared length of the mean row, () in its type; each row's gradient is 2 mu / V."""
    return matrix_VH.mean(0).square().sum()


def z_loss(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """The mean of (log Z)^2 over tokens with a target, Z the sum of a token's exponentials.

    Returns:
        float32, or float64 for logits of that type; not a number where no token has a target.
    """
    there_BT = targets_BT != NONE
    log_z_BT = logits_BTV.to(torch.promote_types(logits_BTV.dtype, torch.float32)).logsumexp(-1)
    return log_z_BT.square().where(there_BT, 0).sum() / there_BT.sum()


def soft_cap(logits: Tensor, cap: Tensor | float) -> Tensor:
    """Logits within (-cap, cap): cap tanh(logits / cap), which is about the logits where they are small.

    Not the same function of logits that are all moved alike, so nothing that rests on that goes with it.

    Source: Gemma 2 (arXiv 2408.00118), with 30.
    """
    return cap * torch.tanh(logits / cap)


@dataclass
class MuLoss(Technique):
    """Adds `strength` times the squared length of the output matrix's mean row to the loss, once a step.

    At 1e-4, a mean row of 2.2 and a vocabulary of 50,304 its gradient is 8.7e-9 long, each number of it below Adam's
    epsilon of 1e-8: it takes hold where the mean row is already long, and does nothing in a small run.

    Source: Output Embedding Centering (arXiv 2601.02031), with 1e-4.
    """

    strength: float = 1e-4

    def __post_init__(self) -> None:
        _positive("MuLoss.strength", self.strength)

    def loss(self, model: Decoder, logits: Tensor, targets: Tensor) -> Tensor:
        """The term."""
        return self.strength * mu_loss(model.head.weight)


@dataclass
class ZLoss(Technique):
    """Adds `strength` times the mean of (log Z)^2 to the loss.

    Its gradients of the output matrix's rows do not add up to nothing, as those of the cross-entropy do: it moves the
    mean row, and in published runs made it longer.

    Source: PaLM (arXiv 2204.02311), with 1e-4.
    """

    strength: float = 1e-4

    def __post_init__(self) -> None:
        _positive("ZLoss.strength", self.strength)

    def loss(self, model: Decoder, logits: Tensor, targets: Tensor) -> Tensor:
        """The term."""
        return self.strength * z_loss(logits, targets)


class CappedHead(nn.Linear):
    """An output layer whose logits are soft-capped.

    The cap is a buffer, so that a checkpoint is not loaded without it, nor exported as a model that knows none.
    """

    cap: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Logits (..., V) of hidden states (..., H)."""
        return soft_cap(super().forward(x), self.cap)


@dataclass
class SoftCap(Technique):
    """Soft-caps the logits, in training and ever after: the cap is part of the model."""

    cap: float = 30.0

    def __post_init__(self) -> None:
        _positive("SoftCap.cap", self.cap)

    def on_model(self, model: Decoder) -> None:
        """Put a layer with the same weights in the place of the output layer; the same matrix, so that tied stay so."""
        head = CappedHead(model.config.hidden, model.config.vocab, bias=False, device="meta")
        head.weight = model.head.weight
        head.register_buffer("cap", head.weight.new_tensor(self.cap))
        model.head = head


def _positive(key: str, found: float) -> None:
    if not 0 < found < float("inf"):
        raise refused(key, "a number above 0", found)
