"""Score histograms of fixed bins: integer counts, so that merging is exact and does not depend on order."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

LOW, HIGH, BINS = -2.0, 8.0, 4000
"""Bins of 0.0025 points over a 0-5 rubric with room on both sides; what lies outside counts in the outermost bins."""
BIN_WIDTH = (HIGH - LOW) / BINS


def bin_of(scores_N: np.ndarray) -> np.ndarray:
    """int64 (N,): bin of each score."""
    return np.clip(np.floor((scores_N.astype(np.float64) - LOW) / BIN_WIDTH), 0, BINS - 1).astype(np.int64)


def histogram(scores_N: np.ndarray) -> np.ndarray:
    """int64 (BINS,): how many scores lie in each bin; scores must be finite."""
    return np.bincount(bin_of(scores_N), minlength=BINS)


def add_by_language(points_NH: np.ndarray, languages_N: np.ndarray, into: dict[str, np.ndarray]) -> None:
    """Count scores of H heads into language -> int64 (H, BINS)."""
    for language in sorted(set(languages_N.tolist())):
        ours = points_NH[languages_N == language]
        total_HB = into.setdefault(language, np.zeros((points_NH.shape[1], BINS), np.int64))
        total_HB += np.stack([histogram(scores_N) for scores_N in ours.T])


def pack_by_language(histograms: dict[str, np.ndarray], heads: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Language -> head -> packed histogram."""
    return {
        language: {head: pack(counts) for head, counts in zip(heads, total_HB, strict=True)}
        for language, total_HB in sorted(histograms.items())
    }


def pack(counts: np.ndarray) -> list[list[int]]:
    """The bins that are not empty and their counts: what a receipt holds."""
    bins = np.flatnonzero(counts)
    return [bins.tolist(), counts[bins].tolist()]


def merge(packed: Iterable[Any], into: np.ndarray | None = None) -> np.ndarray:
    """int64 (BINS,): the sum of packed histograms, added to `into` where that is given."""
    total = np.zeros(BINS, np.int64) if into is None else into
    for bins, counts in packed:
        total[bins] += np.asarray(counts, np.int64)
    return total


def quantile(counts: np.ndarray, share: float) -> float:
    """The score below which `share` of the counted scores lie; linear inside the bin.

    Off by less than a bin (0.0025 points). NaN if nothing was counted.

    Args:
        share: in [0, 1).
    """
    total = int(counts.sum())
    if not total:
        return float("nan")
    target = share * total
    cumulative = np.cumsum(counts)
    at = int(np.searchsorted(cumulative, target, side="right" if share == 0 else "left"))
    before = int(cumulative[at - 1]) if at else 0
    inside = (target - before) / int(counts[at]) if counts[at] else 0.0
    return LOW + (at + inside) * BIN_WIDTH


def ranks(counts: np.ndarray, scores_N: np.ndarray) -> np.ndarray:
    """float64 (N,): share of the counted scores below each score, in [0, 1]; a score's own bin counts half."""
    total = max(1, int(counts.sum()))
    below = np.concatenate(([0], np.cumsum(counts)[:-1]))
    bins = bin_of(scores_N)
    result: np.ndarray = (below[bins] + counts[bins] / 2) / total
    return result
