"""A hook that writes figures of the output matrix and its logits to a run's log."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from jql.laboratory.figures import logit_figures, matrix_figures
from jql.laboratory.vocabulary import whole
from jql.pretrain.config import refused
from jql.pretrain.hooks import Hook
from jql.pretrain.model import Decoder


@dataclass
class Watch(Hook):
    """Every some steps, the figures of the matrix after the step, and of the logits of its first pass before it.

    With several workers logits are those of each worker's own rows; the log has the first one's.
    """

    every: int = 50
    _step: int = field(default=1, init=False)
    _logits: dict[str, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise refused("Watch.every", "a whole number above 0", self.every)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def loss(self, model: Decoder, logits: Tensor, targets: Tensor) -> None:
        """Look at the logits; nothing is added."""
        if self._step % self.every == 0 and not self._logits:
            self._logits = logit_figures(logits, targets)

    def after_step(self, model: Decoder, step: int) -> dict[str, float]:
        """The figures, or none."""
        self._step = step + 1
        if step % self.every:
            return {}
        logits, self._logits = self._logits, {}
        return {**matrix_figures(whole(model.head.weight)), **logits}

    def state(self) -> dict[str, Any]:
        """The step that comes next."""
        return {"step": self._step}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from it."""
        self._step = state["step"]
