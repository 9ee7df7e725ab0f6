"""What a cut will keep, from the joint sample: documents, bytes and tokens of a language, with intervals.

Letters: C drawn clusters, N drawn documents, S strata, M measures (documents, bytes, tokens).
"""

import itertools
from dataclasses import dataclass

import numpy as np

Z95 = 1.959964
STRATA, IN_STRATUM = 20, 50
"""Most strata, and drawn clusters to each."""


@dataclass(frozen=True)
class Drawn:
    """The drawn clusters of one language beside what is known of all of them.

    Attributes:
        of: int (N,), the cluster of each drawn document.
        sizes: int64 (M, N), its measures: 1, bytes, tokens.
        known: int64 (M, C), those of the cluster's representative where histograms count it, else 0.
        stratum: int (C,), by the first head's score of the representative; -1 where it is not counted.
        totals: int64 (M, S), sums over all counted representatives of the language, drawn or not.
        rate: share of clusters that was drawn.
    """

    of: np.ndarray
    sizes: np.ndarray
    known: np.ndarray
    stratum: np.ndarray
    totals: np.ndarray
    rate: float


def strata_of(bins_C: np.ndarray, counts_MB: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The stratum of drawn clusters, int64 (C,), and the totals of the strata, int64 (M, S).

    Strata are runs of bins with about as many drawn clusters each, so that each is known well. They part half way
    between two drawn bins: parted at one of them, each would lack what lies above its last, and of 300 clusters 0.4 %
    too little would be predicted, in all languages alike.

    Args:
        bins_C: int, the bin of each drawn and counted representative. counts_MB: int64, the whole language's histogram.
    """
    wanted = int(np.clip(len(bins_C) // IN_STRATUM, 1, STRATA))
    edges = np.zeros(0, np.int64)
    if len(bins_C):
        drawn = np.unique(bins_C)
        starts = np.searchsorted(drawn, np.quantile(bins_C, np.arange(1, wanted) / wanted, method="higher"))
        starts = starts[starts > 0]
        edges = np.unique((drawn[starts - 1] + drawn[starts] + 1) // 2)  # so no stratum is without a drawn cluster
    bounds = [0, *edges.tolist(), counts_MB.shape[1]]
    totals = np.stack([counts_MB[:, a:b].sum(axis=1) for a, b in itertools.pairwise(bounds)], axis=1)
    return np.searchsorted(edges, bins_C, side="right"), totals


def estimate(drawn: Drawn, kept_N: np.ndarray) -> np.ndarray:
    """float64 (M, 2): what is kept of the language, and its standard error.

    In each stratum, the sum over all representatives, which is known, times the ratio of what is kept to what the
    representatives have, which is seen in the sample: the separate ratio estimator, with the correction for a sample
    that is a good part of the whole. Clusters whose representative is not counted are scaled by the rate.

    Source: Cochran, Sampling Techniques (1977), 6.2 and 6.10.

    Args:
        kept_N: bool, the drawn documents that are kept.
    """
    clusters, strata = len(drawn.stratum), drawn.totals.shape[1]
    kept_MC = np.array([np.bincount(drawn.of, sizes_N * kept_N, clusters) for sizes_N in drawn.sizes])
    counted = drawn.stratum >= 0
    stratum = drawn.stratum[counted]
    drawn_S = np.bincount(stratum, minlength=strata)
    left_S = 1 - drawn_S / np.maximum(1, drawn.totals[0])
    found = np.zeros((len(drawn.sizes), 2))
    for m, totals_S in enumerate(drawn.totals):
        kept_C, known_C = kept_MC[m, counted], drawn.known[m, counted]
        kept_S, known_S = (np.bincount(stratum, values, strata) for values in (kept_C, known_C))
        known = known_S > 0
        ratio_S = np.divide(kept_S, known_S, out=np.zeros(strata), where=known)
        scale_S = np.divide(totals_S, known_S, out=np.zeros(strata), where=known)
        squares_S = np.bincount(stratum, (kept_C - ratio_S[stratum] * known_C) ** 2, strata)
        found[m, 0] = scale_S @ kept_S
        found[m, 1] = (scale_S**2 * left_S * squares_S * drawn_S / np.maximum(1, drawn_S - 1)).sum()
    if drawn.rate > 0:
        others_MC = kept_MC[:, ~counted]
        found[:, 0] += others_MC.sum(axis=1) / drawn.rate
        found[:, 1] += (1 - drawn.rate) / drawn.rate**2 * (others_MC**2).sum(axis=1)
    found[:, 1] = np.sqrt(np.maximum(0, found[:, 1]))
    return found


def interval(value: float, error: float) -> list[int]:
    """Estimate, and the ends of its 95 % interval; whole numbers, not below 0."""
    return [max(0, round(value + sign * Z95 * error)) for sign in (0, -1, 1)]


def one_of_each(of_N: np.ndarray, merit_N: np.ndarray, name_N: np.ndarray) -> np.ndarray:
    """Bool (N,): of the documents of a cluster, the one of most merit, then of the smallest name, then the first."""
    order = np.lexsort((name_N, -merit_N, of_N))
    first = np.ones(len(order), bool)
    first[1:] = of_N[order][1:] != of_N[order][:-1]
    kept = np.zeros(len(of_N), bool)
    kept[order[first]] = True
    return kept
