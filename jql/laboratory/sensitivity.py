"""How much a technique leaves to the choice of the learning rate: LR sensitivity, and intervals over seeds.

Shapes: L learning rates, S seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from jql.errors import DataError

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        low, high: of the 95 % interval of Student's t; None of one seed. Not of a bootstrap: of three values that
            cannot reach beyond the least and the largest, and covers the mean three times in four.
    """

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Sensitivity:
    """What a variant's losses over learning rates and seeds come to.

    Attributes:
        lrs: LR sensitivity, one of each seed. best: the least loss over learning rates, one of each seed.
        best_rate: the learning rate with the least mean loss.
        lrs_apart, best_apart: less those of the baseline with the same seed; None of the baseline itself.
    """

    variant: str
    lrs: Estimate
    best: Estimate
    best_rate: float
    lrs_apart: Estimate | None
    best_apart: Estimate | None


def capped(losses: np.ndarray, cap: float) -> np.ndarray:
    """Losses of at most `cap`, which those that are not finite become too: of runs that diverged."""
    return np.minimum(np.where(np.isfinite(losses), losses, cap), cap)


def lr_sensitivity(losses_L: np.ndarray, cap: float) -> float:
    """The mean excess of the loss over that of the best learning rate, which is not counted, in nats.

    A technique with which nothing is ever learned has 0, so look at the best loss beside it.

    Args:
        losses_L: final losses; not finite where a run diverged.
        cap: about the loss of a model that knows nothing, the logarithm of the vocabulary; more counts as that.

    Raises:
        DataError: fewer than two learning rates.

    Source: arXiv 2309.14322 with a mean over a range of rates; as a sum over a grid, less 1, arXiv 2601.02031.
    """
    if len(losses_L) < 2:
        raise DataError(f"LR sensitivity: expected losses at 2 learning rates or more, got {len(losses_L)}")
    known = capped(losses_L, cap)
    return float((known - known.min()).sum() / (len(known) - 1))


def over_seeds(values_S: np.ndarray) -> Estimate:
    """The mean, and its interval."""
    mean = float(np.mean(values_S))
    if len(values_S) < 2:
        return Estimate(mean, None, None)
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values_S) - 1) * np.std(values_S, ddof=1) / np.sqrt(len(values_S)))
    return Estimate(mean, mean - half, mean + half)


def over_known(values_S: np.ndarray) -> Estimate | None:
    """The same of the values that are finite; None where none is."""
    known = values_S[np.isfinite(values_S)]
    return over_seeds(known) if len(known) else None


def sensitivities(
    losses: dict[str, np.ndarray], rates_L: Sequence[float], cap: float, baseline: str | None = None
) -> list[Sensitivity]:
    """The table, in the order of the variants.

    Args:
        losses: variant -> float64 (L, S), not finite where a run diverged; the same seeds for all.
        baseline: the variant that others are compared with, seed by seed; None for no comparison.

    Raises:
        DataError: losses are not of these learning rates, or the baseline is not among the variants.
    """
    if baseline is not None and baseline not in losses:
        raise DataError(f"baseline: expected one of {', '.join(losses)}, got {baseline}")
    lrs_S: dict[str, np.ndarray] = {}
    best_S: dict[str, np.ndarray] = {}
    for variant, losses_LS in losses.items():
        if losses_LS.ndim != 2 or len(losses_LS) != len(rates_L):
            found = f"expected losses of {len(rates_L)} learning rates, got the shape {losses_LS.shape}"
            raise DataError(f"{variant}: {found}")
        lrs_S[variant] = np.array([lr_sensitivity(losses_L, cap) for losses_L in losses_LS.T])
        best_S[variant] = capped(losses_LS, cap).min(0)

    def apart(values_S: dict[str, np.ndarray], variant: str) -> Estimate | None:
        if baseline is None or variant == baseline:
            return None
        return over_seeds(values_S[variant] - values_S[baseline])

    return [
        Sensitivity(
            variant,
            over_seeds(lrs_S[variant]),
            over_seeds(best_S[variant]),
            float(rates_L[int(capped(losses_LS, cap).mean(1).argmin())]),
            apart(lrs_S, variant),
            apart(best_S, variant),
        )
        for variant, losses_LS in losses.items()
    ]
