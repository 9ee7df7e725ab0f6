"""What is measured: labelled documents, and every figure of scores on them, plain and of resamples.

The figures are those of `metrics`, their resamples those of `bootstrap`. `spearman_of_length` uses no scores: an
annotator that is no better has learned how long texts are.

Shapes: N documents, R resamples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jql.agreement import bootstrap, metrics
from jql.errors import DataError, RecipeError

FEWEST_LABELS = 50
MIN_DOCUMENTS = 20


@dataclass(frozen=True)
class Judged:
    """Labelled documents; labels in points from `low` to `high`, lengths in any unit."""

    labels_N: np.ndarray
    languages_N: np.ndarray
    sources_N: np.ndarray
    lengths_N: np.ndarray
    low: float
    high: float

    def take(self, rows: np.ndarray) -> "Judged":
        """These documents only."""
        languages_N, sources_N = self.languages_N[rows], self.sources_N[rows]
        return Judged(self.labels_N[rows], languages_N, sources_N, self.lengths_N[rows], self.low, self.high)


@dataclass(frozen=True)
class Figure:
    """One figure: of scores and judged documents, and the same of resamples, float64 (R,)."""

    plain: Callable[[np.ndarray, Judged], float | None]
    resampled: Callable[[np.ndarray, Judged, np.ndarray], np.ndarray]
    better: str = "higher"


def _top(share: float) -> Figure:
    return Figure(
        lambda s, j: metrics.precision_at_top(s, j.labels_N, share),
        lambda s, j, c: bootstrap.precision_at_top(s, j.labels_N, share, c),
    )


TOP = {"precision_top_10": 0.1, "precision_top_30": 0.3}
FIGURES = {
    "spearman": Figure(
        lambda s, j: metrics.spearman(s, j.labels_N),
        lambda s, j, c: bootstrap.spearman(s, j.labels_N, c),
    ),
    "spearman_given_length": Figure(
        lambda s, j: metrics.partial_spearman(s, j.labels_N, j.lengths_N),
        lambda s, j, c: bootstrap.partial_spearman(s, j.labels_N, j.lengths_N, c),
    ),
    "spearman_of_length": Figure(
        lambda s, j: metrics.spearman(j.lengths_N, j.labels_N),
        lambda s, j, c: bootstrap.spearman(j.lengths_N, j.labels_N, c),
    ),
    "kendall": Figure(
        lambda s, j: metrics.kendall(s, j.labels_N),
        lambda s, j, c: bootstrap.kendall(s, j.labels_N, c),
    ),
    "mae": Figure(
        lambda s, j: metrics.mae(s, j.labels_N),
        lambda s, j, c: bootstrap.mean_difference(s, j.labels_N, c, absolute=True),
        better="lower",
    ),
    "calibration_error": Figure(
        lambda s, j: metrics.calibration_error(s, j.labels_N, j.low, j.high),
        lambda s, j, c: bootstrap.calibration_error(s, j.labels_N, j.low, j.high, c),
        better="lower",
    ),
    **{name: _top(share) for name, share in TOP.items()},
}
KNOWN = {
    **FIGURES,
    "mean_shift": Figure(
        lambda s, j: metrics.mean_shift(s, j.labels_N),
        lambda s, j, c: bootstrap.mean_difference(s, j.labels_N, c, absolute=False),
        better="nearer to 0",
    ),
}
"""All that `Settings.figures` may name; mean_shift is computed only where it is named."""


@dataclass(frozen=True)
class Settings:
    """How figures are made."""

    low: float = 0.0
    high: float = 5.0
    """Range of the rubric in points; labels outside of it are refused, scores are not."""
    min_documents: int = MIN_DOCUMENTS
    """Labels a language needs for figures of its own."""
    resamples: int = 1000
    """Resamples of the source documents for the intervals, 100 or more."""
    seed: int = 0
    """Of the resamples; the same seed draws the same ones."""
    figures: tuple[str, ...] | None = None
    """Names of KNOWN to compute; None for FIGURES, where kendall takes 23 s of 26 s (18,000 texts, 1000 resamples)."""

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise RecipeError(f"low, high: expected low < high, got {self.low:g} and {self.high:g}; write 0 and 5")
        unknown = [name for name in self.names if name not in KNOWN]
        if unknown or not self.names:
            found = ", ".join(unknown) or "none"
            raise RecipeError(f"figures: expected some of {', '.join(KNOWN)}, got {found}; write their names")

    @property
    def names(self) -> tuple[str, ...]:
        """The figures to compute."""
        return tuple(FIGURES) if self.figures is None else self.figures


DEFAULT = Settings()


def labelled(
    labels_N: Sequence[float | None] | np.ndarray,
    languages: Sequence[str],
    sources: Sequence[Any],
    lengths: Sequence[float] | np.ndarray,
    settings: Settings = DEFAULT,
) -> tuple[Judged, np.ndarray]:
    """The documents that have a label, and their rows: int64, those of a missing label (None, NaN) are left out.

    Raises:
        DataError: arrays that differ in length, labels outside of the range or all the same, fewer than 50 labels,
            lengths that are not finite.
    """
    columns = {"labels": len(labels_N), "languages": len(languages), "sources": len(sources), "lengths": len(lengths)}
    if len(set(columns.values())) > 1:
        found = ", ".join(f"{n} {name}" for name, n in columns.items())
        raise DataError(f"arrays differ in length: {found}; give one entry of each for every document")
    low, high = settings.low, settings.high
    points_N, lengths_N = np.asarray(labels_N, np.float64), np.asarray(lengths, np.float64)
    outside = np.flatnonzero((points_N < low) | (points_N > high))  # false for NaN
    if len(outside):
        found = f"{len(outside)} labels outside of {low:g} to {high:g}, the first is {points_N[outside[0]]:g}"
        raise DataError(f"{found} in row {outside[0]}; correct them or give the range of the rubric")
    rows = np.flatnonzero(~np.isnan(points_N))
    if len(rows) < FEWEST_LABELS:
        found = f"{len(rows)} labelled documents, and {len(points_N) - len(rows)} without a label"
        raise DataError(f"found {found}; expected at least {FEWEST_LABELS} labelled ones: judge more documents")
    if (points_N[rows] == points_N[rows[0]]).all():
        found = f"all {len(rows)} labels are {points_N[rows[0]]:g}"
        raise DataError(f"{found}, so nothing can be ranked; judge documents of different quality")
    _finite("lengths", lengths_N)
    languages_N, sources_N = (np.array([str(v) for v in values])[rows] for values in (languages, sources))
    return Judged(points_N[rows], languages_N, sources_N, lengths_N[rows], low, high), rows


def checked(name: str, scores_N: Sequence[float] | np.ndarray, n: int) -> np.ndarray:
    """float64 (N,): finite scores, one a document."""
    points_N = np.asarray(scores_N, np.float64)
    if points_N.shape != (n,):
        raise DataError(f"{name} of shape {points_N.shape} for {n} documents differ in length; give one score each")
    _finite(name, points_N)
    return points_N


def _finite(name: str, values_N: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(values_N))
    if len(bad):
        found = f"{len(bad)} of {len(values_N)} {name} are not finite, the first in row {bad[0]} is {values_N[bad[0]]}"
        raise DataError(f"{found}; leave these documents out or score them again")
