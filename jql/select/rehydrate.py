"""Rehydration: how often a kept document should be seen, by the size of its near-duplicate cluster. B bins of sizes.

Deduplication leaves one copy of a page, whether it was found once or thirty times. Pages that many others copied are
often the better ones, and pages that a thousand copied are boilerplate: which is which shows in how often the filter
removes documents of that size.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

LEAST = 1000
"""Documents that a removal rate is measured on at least; its standard error is then 0.016 at most."""
DOUBT = 4.0
"""Standard errors that the lowest rate must be below the language's; chance alone gives 300 rates that once in 100."""
WINDOW = 5


@dataclass(frozen=True)
class Repeats:
    """How often documents of each cluster size are seen, in one language.

    Attributes:
        steps: size -> times, from this size up to the next; 1 below the first. It stands so in a manifest, with the
            sizes as strings, as in FineWeb2's published weights.
    """

    steps: dict[int, int]

    def of(self, sizes_N: np.ndarray) -> np.ndarray:
        """int32 (N,): how often a document of a cluster of each size is seen, at least 1.

        A size that was not there when this was learnt gets what the next smaller one has.
        """
        starts = np.array([0, *self.steps], np.int64)
        times = np.array([1, *self.steps.values()], np.int32)
        return times[np.maximum(np.searchsorted(starts, sizes_N, side="right") - 1, 0)]

    def to_json(self) -> dict[str, int]:
        """The steps, as JSON has them."""
        return {str(size): times for size, times in self.steps.items()}

    @classmethod
    def from_json(cls, steps: Mapping[str, int]) -> "Repeats":
        """The steps as of to_json, or of a file of FineWeb2's weights."""
        return cls(dict(sorted((int(size), times) for size, times in steps.items())))


def learn_repeats(documents_by_size: Mapping[int, int], removed_by_size: Mapping[int, int], most: int) -> Repeats:
    """Learn from the verdicts on one language how often documents of each cluster size should be seen.

    Sizes at which the filter removes as large a share as in the whole language, or more: once. The size of which it
    removes least: `most` times. Linear between; then smoothed over 5 neighbouring sizes, without the two at each end,
    and rounded. So far FineWeb2's definition, also for clusters of one; what it leaves open:

    - A share of few documents is noise, and one of two that stays would be seen `most` times. So neighbouring sizes are
      pooled, from the smallest up, until they have LEAST documents; what is left at the end joins the last. Sizes in a
      pool get one number, and it counts as one size to the smoothing. FineWeb2 pools only the largest sizes.
    - The lowest of many equal shares is lower by chance, and linear between stretches any difference to `most`. Unless
      it is DOUBT standard errors below the language's, all are seen once. So are those of a language with fewer than
      2 * LEAST documents, of one with equal shares, and of one without documents.

    Args:
        documents_by_size: cluster size -> documents that the filter judged, one of each cluster: copies share their
            verdict, and a cluster of a thousand would be taken for a thousand documents.
        removed_by_size: cluster size -> those of them that it removed; 0 where missing.
        most: times that a document is seen at most.

    Source: FineWeb2 (arXiv 2506.20920), huggingface/fineweb-2, misc/rehydration, compute_repetitions.
    """
    sizes = sorted(size for size, count in documents_by_size.items() if count)
    documents = [documents_by_size[size] for size in sizes]
    removed = [removed_by_size.get(size, 0) for size in sizes]
    assert all(0 <= r <= n for r, n in zip(removed, documents, strict=True)), "more removed than there were"
    starts = pool_starts(documents, LEAST)
    if len(starts) < 2:
        return Repeats({})
    documents_B, removed_B = np.add.reduceat(documents, starts), np.add.reduceat(removed, starts)
    overall = float(removed_B.sum() / documents_B.sum())
    rates_B = removed_B / documents_B
    lowest = int(np.argmin(rates_B))
    if overall - rates_B[lowest] <= DOUBT * np.sqrt(overall * (1 - overall) / documents_B[lowest]):
        return Repeats({})
    times_B = np.rint(smooth(stretch(rates_B, overall, most))).astype(int)
    return Repeats(_steps((sizes[start] for start in starts), times_B.tolist()))


def pool_starts(counts: list[int], least: int) -> list[int]:
    """Where pools of neighbours start, so that each counts `least` or more; none where all together do not."""
    starts, start, held = [], 0, 0
    for place, count in enumerate(counts):
        held += count
        if held >= least:
            starts.append(start)
            start, held = place + 1, 0
    return starts


def stretch(rates_B: np.ndarray, overall: float, most: int) -> np.ndarray:
    """float64 (B,): 1 where the rate is `overall` or above, `most` at the lowest rate, linear between."""
    if rates_B.min() >= overall:
        return np.ones(len(rates_B))
    share_B = (overall - rates_B) / (overall - rates_B.min())
    return np.asarray(1 + (most - 1) * np.clip(share_B, 0, 1))


def smooth(times_B: np.ndarray) -> np.ndarray:
    """float64 (B,): means over WINDOW neighbours; the ends, which have fewer, as they are."""
    smoothed_B = np.array(times_B, np.float64)
    if len(times_B) >= WINDOW:
        half = WINDOW // 2
        smoothed_B[half:-half] = np.convolve(times_B, np.ones(WINDOW) / WINDOW, "valid")
    return smoothed_B


def _steps(starts: Iterable[int], times: list[int]) -> dict[int, int]:
    """The sizes at which the number changes."""
    steps: dict[int, int] = {}
    before = 0
    for start, now in zip(starts, times, strict=True):
        if now != before:
            steps[start] = before = now
    return steps
