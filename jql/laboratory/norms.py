"""Norms in the place of RMSNorm: LayerNorm, and DyT and DyISRU, which look at no channel but their own.

RMSNorm divides a channel by the root of its own energy and of that of all others, sqrt(C) x / sqrt(x^2 + rest). DyISRU
has a learned number, beta, for the rest; DyT is what comes of it where the channel's own energy is frozen too. Both
start as the norm whose place they take, as far as one batch can tell: beta is the mean energy of C - 1 channels where
the layer stands. The starting values of other public code (beta 100, or alpha 0.5, without the factor sqrt(C)) leave
the output of a layer of 768 channels with a root mean square of 0.1, or 0.4, for 1.

Shapes: C channels.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jql.laboratory.config import KINDS, Norm
from jql.laboratory.technique import Technique
from jql.pretrain.config import refused
from jql.pretrain.model import Decoder


def dyisru(x: Tensor, beta: Tensor) -> Tensor:
    """sqrt(C) x / sqrt(beta + x^2), within sqrt(C) of 0.

    Args:
        x: (..., C). beta: above 0, of all channels (1,) or of each (..., C); with the energy of all other channels
            it is RMSNorm.

    Source: arXiv 2503.21708, whose first version calls it Elementwise Layer Normalization.
    """
    return math.sqrt(x.shape[-1]) * x * torch.rsqrt(beta + x.square())


def dyt(x: Tensor, alpha: Tensor) -> Tensor:
    """sqrt(C) tanh(alpha x): at 0 as steep as DyISRU with beta = 1 / alpha^2, and much faster at its bound.

    Args:
        x: (..., C). alpha: (1,).

    Source: Transformers without Normalization (arXiv 2503.10622), where the weights take up sqrt(C); with it as
        derived in arXiv 2503.21708.
    """
    return math.sqrt(x.shape[-1]) * torch.tanh(alpha * x)


class DynamicISRU(nn.Module):
    """DyISRU with a weight for each channel; beta is kept as its logarithm, so that no step makes it negative."""

    def __init__(self, channels: int) -> None:
        """For channels of energy 1."""
        super().__init__()
        # Of one number and not of none, as FSDP2 takes no scalars.
        self.log_beta = nn.Parameter(torch.tensor([math.log(max(1, channels - 1))]))
        self.weight = nn.Parameter(torch.ones(channels))

    def start(self, energy: float) -> None:
        """Begin as RMSNorm of channels of this mean energy would."""
        nn.init.constant_(self.log_beta, math.log(_rest(len(self.weight), energy)))

    def forward(self, x: Tensor) -> Tensor:
        """(..., C), computed in float32 or better, in the type of x."""
        found = dyisru(_exact(x), self.log_beta.exp()) * self.weight
        return found.to(x.dtype)


class DynamicTanh(nn.Module):
    """DyT with a weight for each channel, without a bias."""

    def __init__(self, channels: int) -> None:
        """For channels of energy 1."""
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor([1 / math.sqrt(max(1, channels - 1))]))
        self.weight = nn.Parameter(torch.ones(channels))

    def start(self, energy: float) -> None:
        """Begin as steep as RMSNorm of channels of this mean energy is at 0."""
        nn.init.constant_(self.alpha, 1 / math.sqrt(_rest(len(self.weight), energy)))

    def forward(self, x: Tensor) -> Tensor:
        """(..., C), computed in float32 or better, in the type of x."""
        found = dyt(_exact(x), self.alpha) * self.weight
        return found.to(x.dtype)


def _rest(channels: int, energy: float) -> float:
    return max(1, channels - 1) * max(energy, 1e-12)


def _exact(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def make_norm(kind: Norm, channels: int, epsilon: float) -> nn.Module:
    """A norm; none has a bias, so that they differ in what they compute alone."""
    if kind == "layer":
        return nn.LayerNorm(channels, epsilon, bias=False)
    if kind == "rms":
        return nn.RMSNorm(channels, epsilon)
    return DynamicTanh(channels) if kind == "dyt" else DynamicISRU(channels)


@torch.no_grad()
def calibrate(model: Decoder, tokens_BT: Tensor) -> None:
    """Start every DyT and DyISRU from what comes to it in one pass, where those before it have been started already.

    Args:
        tokens_BT: int64, a few sequences of the training's kind; their number hardly matters.
    """

    def start(norm: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, (DynamicTanh, DynamicISRU))
        norm.start(float(given[0].double().square().mean()))

    dynamic = [norm for norm in model.modules() if isinstance(norm, (DynamicTanh, DynamicISRU))]
    handles = [norm.register_forward_pre_hook(start) for norm in dynamic]
    try:
        model(tokens_BT)
    finally:
        for handle in handles:
            handle.remove()


@dataclass
class Norms(Technique):
    """Other norms in all layers, or one kind for each block and one for the last norm.

    DyT and DyISRU are not expected to be better than RMSNorm: they need no sum over channels. DyT lowered the loss of
    64 M parameters by 27 % with 1 M tokens and raised it by 19 % with 118 M (arXiv 2604.23434), and worse with a gate.
    """

    kind: Norm | tuple[Norm, ...]
    tokens: Any = field(default=None, repr=False)
    """Integers (B, T), to start DyT and DyISRU from; without them they start for channels of energy 1, which is of use
    only where weights are loaded next."""

    def __post_init__(self) -> None:
        kinds = (self.kind,) if isinstance(self.kind, str) else self.kind
        if wrong := [kind for kind in kinds if kind not in KINDS]:
            raise refused("Norms.kind", " or ".join(KINDS), wrong[0])

    def on_model(self, model: Decoder) -> None:
        """Replace the norms.

        Raises:
            RecipeError: kinds are given for another number of blocks.
        """
        kinds = (self.kind,) * (len(model.blocks) + 1) if isinstance(self.kind, str) else self.kind
        if len(kinds) != len(model.blocks) + 1:
            expected = f"one kind for each of {len(model.blocks)} blocks and one for the last norm"
            raise refused("Norms.kind", expected, f"{len(kinds)} of them")
        channels, epsilon, like = model.config.hidden, model.config.norm_eps, model.head.weight
        for block, kind in zip(model.blocks, kinds[:-1], strict=True):
            block.attention_norm = make_norm(kind, channels, epsilon).to(like)
            block.ffn_norm = make_norm(kind, channels, epsilon).to(like)
        model.norm = make_norm(kinds[-1], channels, epsilon).to(like)
        if self.tokens is not None and {"dyt", "dyisru"} & set(kinds):
            calibrate(model, torch.tensor(np.asarray(self.tokens), dtype=torch.int64, device=like.device))
