"""Learning-rate schedules that know about validation, and when to stop: of heads, and of models that are fine-tuned.

Pretraining has its own (jql/pretrain/schedule.py), functions of the step alone, as nothing is held out there.

Source: cosine and early stop, JQL (arXiv 2505.22232); adaptive, arXiv 2202.02617 and its code, nerblackbox.
"""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

ScheduleName = Literal["cosine", "linear", "adaptive"]


class Schedule(Protocol):
    """Asked for a factor before every step, told the validation figure after every epoch."""

    def factor(self, epoch: float) -> float:
        """Of the learning rate, in [0, 1], at a time in epochs."""
        ...

    def epoch_done(self, score: float) -> bool:
        """Whether training stops, after an epoch that ended with this validation score; higher is better.

        A loss is given with its sign turned. One that is not a number is no improvement.
        """
        ...


@dataclass
class Cosine:
    """From 1 to 0 over `epochs`; stops when the score has not risen by `least` in `patience` epochs."""

    epochs: int
    patience: int = 5
    least: float = 1e-3
    _best: float = -math.inf
    _waited: int = 0
    _done: int = 0

    def factor(self, epoch: float) -> float:
        """See Schedule."""
        return 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / self.epochs)))

    def epoch_done(self, score: float) -> bool:
        """See Schedule."""
        self._done += 1
        if score > self._best + self.least:
            self._best, self._waited = score, 0
        else:
            self._waited += 1
        return self._waited >= self.patience or self._done >= self.epochs


@dataclass
class Linear:
    """Linear warm-up over `warm` epochs, half of all at most, then linearly to 0 at the end, whatever the score.

    Source: the fixed schedules beside the adaptive one, of 5 epochs ("original") and of 20 ("stable").
    """

    epochs: int
    warm: float = 2
    _done: int = 0

    def factor(self, epoch: float) -> float:
        """See Schedule."""
        warm = min(self.warm, self.epochs / 2)
        return epoch / warm if epoch < warm else max(0.0, (self.epochs - epoch) / (self.epochs - warm))

    def epoch_done(self, score: float) -> bool:
        """See Schedule."""
        self._done += 1
        return self._done >= self.epochs


@dataclass
class Adaptive:
    """Linear warm-up, then 1 until the score fails to rise, then linearly to 0 in `cool` epochs.

    `patience` epochs may fail before. A new best during the cool-down sets the factor back to 1, without a warm-up;
    `patience` + `cool` + 1 epochs without one end the training. A score that always rises is never cooled down: such
    a run ends at `epochs` with the factor at 1.
    """

    epochs: int = 250
    warm: int = 2
    cool: int = 7
    patience: int = 0
    _best: float = -math.inf
    _waited: int = 0
    _done: int = 0
    _cooling_from: float | None = None

    def factor(self, epoch: float) -> float:
        """See Schedule."""
        if self._cooling_from is not None:
            return max(0.0, 1 - (epoch - self._cooling_from) / self.cool)
        return min(1.0, epoch / self.warm) if epoch < self.warm else 1.0

    def epoch_done(self, score: float) -> bool:
        """See Schedule."""
        self._done += 1
        if score > self._best:
            self._best, self._waited, self._cooling_from = score, 0, None
        else:
            self._waited += 1
            if self._waited == self.patience + 1:
                self._cooling_from = float(self._done)
        return self._waited > self.patience + self.cool or self._done >= self.epochs


def make_schedule(name: ScheduleName, epochs: int) -> Schedule:
    """The schedule of a name, over at most `epochs`."""
    made: dict[ScheduleName, Schedule] = {
        "cosine": Cosine(epochs),
        "linear": Linear(epochs),
        "adaptive": Adaptive(epochs),
    }
    return made[name]
