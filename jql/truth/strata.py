"""How many documents are drawn from where: bands of score within a language, and a pilot spread over all of them.

Shapes: N documents.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

ENDS = (0.01, 0.99)
"""Quantiles between which the bands lie: a few odd scores must not stretch them until the outer ones are empty."""


def score_bands(scores_N: np.ndarray, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Bands of equal width between the 1st and the 99th percentile; the outer two take what lies beyond.

    Where all scores are the same they are in band 0.

    Args:
        scores_N: finite, at least one.

    Returns:
        int64 (N,): band of each score, 0 the lowest. float64 (bands + 1,): the edges; a score on one is in the upper.
    """
    low, high = np.quantile(scores_N.astype(np.float64), ENDS)
    edges = np.linspace(low, high, bands + 1)
    if low == high:
        return np.zeros(len(scores_N), np.int64), edges
    return np.searchsorted(edges[1:-1], scores_N, side="right").astype(np.int64), edges


def even_shares(held: Sequence[int], wanted: int) -> list[int]:
    """How many to take from each of several stores: the same from all, and what one lacks from the others.

    What does not divide goes to the last of them, which for bands are the highest scores: those are the rarest.

    Returns:
        At most what each holds; the sum is `wanted`, or all there is.
    """
    taken = [0] * len(held)
    left = min(wanted, sum(held))
    while left:
        holding = [i for i, n in enumerate(held) if taken[i] < n]
        if left < len(holding):
            for i in holding[-left:]:
                taken[i] += 1
            break
        each = left // len(holding)
        for i in holding:
            more = min(each, held[i] - taken[i])
            taken[i] += more
            left -= more
    return taken


def spread(held: Mapping[tuple[str, int], int], wanted: int) -> Counter[tuple[str, int]]:
    """How many of `wanted` documents each cell of language and band gives, one at a time.

    The next is of the language that has the fewest, then of the band, then of the cell: languages come out as even as
    they can, and bands within them and over all. Of equals it is the first in the mapping.

    Returns:
        At most what each cell holds; the sum is `wanted`, or all there is.
    """
    taken: Counter[tuple[str, int]] = Counter()
    languages: Counter[str] = Counter()
    bands: Counter[int] = Counter()
    for _ in range(min(wanted, sum(held.values()))):
        cell = min(
            (cell for cell, n in held.items() if taken[cell] < n),
            key=lambda cell: (languages[cell[0]], bands[cell[1]], taken[cell]),
        )
        taken[cell] += 1
        languages[cell[0]] += 1
        bands[cell[1]] += 1
    return taken
