"""How a probe is fine-tuned; nothing here needs torch."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from jql.errors import RecipeError
from jql.schedule import Adaptive, Linear, Schedule

Standing = Literal["first", "last"]
"""Which sub-token of a word bears its label: the first, as published, or the last, before which a decoder, which sees
nothing that comes later, has read the whole word."""
ProbeSchedule = Literal["adaptive", "fixed"]
CAP = {"adaptive": 250, "fixed": 5}
"""Epochs where nothing else is asked for; of fixed ones 20 were published too ("stable")."""


@dataclass(frozen=True)
class ProbeSettings:
    """How a tagger is fine-tuned; the defaults are the published ones.

    Raises:
        RecipeError: a setting is out of range; names the option.

    Source: nerblackbox; AdamW as in torch, float32, no clipping of gradients.
    """

    schedule: ProbeSchedule = "adaptive"
    epochs: int | None = None
    """At most; None for the cap of the schedule."""
    learning_rate: float = 2e-5
    """At its highest; for a model of a few million weights 1e-3 is more like it."""
    batch: int = 16
    """Sentences of a step."""
    max_length: int = 128
    """Tokens of a sentence; words beyond count as O."""
    weight_decay: float = 0.01
    """Of matrices, and not of biases and norms."""
    token: Standing = "first"
    """Which sub-token of a word bears its label."""
    share: float = 1.0
    """Of the sentences to train on and of those to validate with."""
    seed: int = 42

    def __post_init__(self) -> None:
        whole = {"--epochs": self.last, "--batch": self.batch, "--max-length": self.max_length}
        choices = {"--schedule": (self.schedule, get_args(ProbeSchedule)), "--token": (self.token, get_args(Standing))}
        for option, (found, known) in choices.items():
            if found not in known:
                raise RecipeError(f"{option}: expected {' or '.join(known)}, got {found}")
        for option, value in whole.items():
            if value < 1:
                raise RecipeError(f"{option}: expected 1 or more, got {value}")
        if not 0 < self.learning_rate < math.inf:
            raise RecipeError(f"--learning-rate: expected a number above 0, got {self.learning_rate}")
        if not 0 < self.share <= 1:
            raise RecipeError(f"--share: expected a share in (0, 1], got {self.share}")

    @property
    def last(self) -> int:
        """Epochs at most."""
        return CAP.get(self.schedule, 1) if self.epochs is None else self.epochs

    def made_schedule(self) -> Schedule:
        """The schedule, at its beginning."""
        return Adaptive(self.last) if self.schedule == "adaptive" else Linear(self.last)
