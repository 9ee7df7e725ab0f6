"""Coupled Adam: the rows of the output matrix share one second moment, so that rare tokens do not move too far.

Adam divides a row's step by the root of the row's own second moment, which is about proportional to how often the token
occurs; gradients of all rows that add up to nothing become steps that do not, and the mean row drifts. Divided by one
vector for all rows they still add up to nothing.

Shapes: V vocabulary, H hidden units.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

from jql.errors import RecipeError
from jql.laboratory.technique import Technique
from jql.laboratory.vocabulary import column_sums, rows_here
from jql.pretrain.config import refused
from jql.pretrain.model import Decoder


class CoupledAdamW(AdamW):
    """AdamW, but for groups with `coupled`, whose matrices (V, H) have a second moment of (H,).

    That is `coupled` times the mean over the rows of what Adam keeps for each: the mean and the moving average may
    change places, so nothing of (V, H) needs to be kept for it. One code for CPU and GPU, whole and shared out.

    Source: Coupled Adam (arXiv 2502.08441). Its public code leaves AdamW as it is where tensors are not stepped
    together (`foreach`), as on a CPU.
    """

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        """`groups`: as of `parameter_groups`; `coupled` is the factor of the second moment, 1 as published."""
        super().__init__(groups, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; a closure is not taken."""
        assert closure is None, "no closure"
        coupled = [
            (group, matrix, matrix.grad)
            for group in self.param_groups
            if group.get("coupled")
            for matrix in group["params"]
            if matrix.grad is not None
        ]
        for _, matrix, _ in coupled:
            matrix.grad = None  # AdamW passes over it
        super().step()
        for group, matrix, gradient in coupled:
            matrix.grad = gradient
            self._coupled(group, matrix, gradient, self.state[matrix])

    def _coupled(self, group: dict[str, Any], matrix_VH: Tensor, gradient_VH: Tensor, state: dict[str, Tensor]) -> None:
        beta1, beta2 = group["betas"]
        if not state:
            # Names and types of AdamW's own; the step lies on the CPU, or reading it would wait for the GPU.
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(matrix_VH)
            state["exp_avg_sq"] = rows_here(matrix_VH).new_zeros(matrix_VH.shape[1])
        state["step"] = state["step"].cpu() + 1  # a checkpoint may have brought it to the GPU
        step = state["step"].item()
        gradient, mean = rows_here(gradient_VH), rows_here(state["exp_avg"])
        mean.lerp_(gradient, 1 - beta1)
        square_H = state["exp_avg_sq"].mul_(beta2)
        square_H.add_(column_sums(gradient_VH.square()), alpha=(1 - beta2) / matrix_VH.shape[0])
        denominator_H = (square_H * (group["coupled"] / (1 - beta2**step))).sqrt_().add_(group["eps"])
        rows = rows_here(matrix_VH)
        if group["weight_decay"]:
            rows.mul_(1 - group["lr"] * group["weight_decay"])
        rows.addcdiv_(mean, denominator_H, value=-group["lr"] / (1 - beta1**step))


@dataclass
class CoupledAdam(Technique):
    """Coupled Adam for the output matrix, AdamW for all else; the rest of the settings as without it.

    Published runs are tied, without weight decay of the matrix. Where the embeddings are a matrix of their own, AdamW
    steps them: their gradients do not add up to nothing, with or without it.
    """

    scale: float = 1.0
    """Factor of the second moment; a quarter is twice the learning rate."""
    _model: Decoder | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise refused("CoupledAdam.scale", "a number above 0", self.scale)

    def on_model(self, model: Decoder) -> None:
        """Remember the model: sharing it out makes other parameters of its matrices."""
        self._model = model

    def optimizer(self, groups: list[dict[str, Any]]) -> CoupledAdamW:
        """With a group of its own for the output matrix, named "coupled"."""
        assert self._model is not None, "on_model comes first"
        output = self._model.head.weight
        found: list[dict[str, Any]] = []
        for group in groups:
            if rest := [parameter for parameter in group["params"] if parameter is not output]:
                found.append({**group, "params": rest})
            if len(rest) < len(group["params"]):
                found.append({**group, "name": "coupled", "params": [output], "coupled": self.scale})
        if not any(group.get("coupled") for group in found):
            raise RecipeError("coupled: expected an output matrix that is trained, got a frozen one; leave it out")
        return CoupledAdamW(found)
