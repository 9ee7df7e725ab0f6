"""Bootstrap over source documents: how far a figure would move had other documents been judged.

Translations of one document, and documents judged twice, are no independent evidence: they share a source, and sources
are drawn, with replacement, each with all its documents. A resample is the number of times every document occurs in it;
the figures below are those of `metrics`, computed for many resamples at once from these counts and never from copies.

Shapes: N documents, R resamples, G distinct values, B bins.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

import numpy as np

from jql.agreement.metrics import SURE, point_of
from jql.errors import DataError, RecipeError

LEVEL = 0.95
FEWEST_RESAMPLES = 100  # of fewer, the outermost 2.5 % are two resamples
MEMORY = 1 << 21  # counts or pairs held at once; a few arrays of this many float64 are alive at a time
Key = TypeVar("Key", bound=Hashable)


def resampled_counts(sources_N: np.ndarray, resamples: int, seed: int, memory: int = MEMORY) -> Iterator[np.ndarray]:
    """Resamples of the sources, some at a time.

    Args:
        sources_N: (N,) source of each document, of any type that sorts.
        memory: counts to hold at once; changes the size of the pieces and not what is drawn.

    Yields:
        float64 (r, N): how often each document occurs in each of r resamples; r adds up to `resamples`.

    Raises:
        DataError: fewer than two sources. RecipeError: fewer than 100 resamples.
    """
    if resamples < FEWEST_RESAMPLES:
        raise RecipeError(f"resamples: expected at least {FEWEST_RESAMPLES}, got {resamples}; write 1000")
    names, source_N = np.unique(sources_N, return_inverse=True)
    n = len(names)
    if n < 2:
        raise DataError(f"bootstrap: found {n} source, expected at least 2; an interval needs more source documents")
    generator = np.random.default_rng(seed)
    step = max(1, memory // max(n, len(source_N)))
    for at in range(0, resamples, step):
        r = min(step, resamples - at)
        drawn_RS = generator.integers(n, size=(r, n)) + n * np.arange(r)[:, None]
        counts_RS = np.bincount(drawn_RS.ravel(), minlength=r * n).reshape(r, n)
        yield counts_RS[:, source_N].astype(np.float64)


def bootstrap(
    figures: Callable[[np.ndarray], dict[Key, np.ndarray]], sources_N: np.ndarray, *, resamples: int, seed: int
) -> dict[Key, np.ndarray]:
    """Figures of every resample.

    Args:
        figures: counts (r, N) of r resamples -> name -> float64 (r,), NaN where not defined.

    Returns:
        Name -> float64 (R,), the same resamples for all names, so that differences are paired.

    Raises:
        DataError: fewer than two sources. RecipeError: fewer than 100 resamples.
    """
    pieces: defaultdict[Key, list[np.ndarray]] = defaultdict(list)
    for counts_RN in resampled_counts(sources_N, resamples, seed):
        for key, values_R in figures(counts_RN).items():
            pieces[key].append(values_R)
    return {key: np.concatenate(values) for key, values in pieces.items()}


def interval(values_R: np.ndarray) -> dict[str, Any]:
    """The percentile interval of a bootstrapped figure.

    It is not corrected for bias: copies within a resample tie with one another, so in small languages rank correlations
    come out a little lower and calibration errors higher than on the documents themselves, and the interval with them.

    Returns:
        low and high at 95 %, and the share of resamples where the figure is not defined (all labels drawn the same,
        say), which are left out; where that is more than half, low and high are None and a reason is given.
    """
    defined = values_R[~np.isnan(values_R)]
    undefined = 1 - len(defined) / len(values_R)
    if undefined > 0.5:
        return {"low": None, "high": None, "undefined": undefined, "reason": "not defined in most resamples"}
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"low": float(low), "high": float(high), "undefined": undefined}


def paired(a_R: np.ndarray, b_R: np.ndarray) -> dict[str, Any]:
    """The interval of A less B over the same resamples, and the share of them where A is strictly higher."""
    difference_R = a_R - b_R
    found = interval(difference_R)
    defined = difference_R[~np.isnan(difference_R)]
    return {**found, "a_higher": float((defined > 0).mean()) if found["low"] is not None else None}


def _held(values_N: np.ndarray, counts_RN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64 (R, G): documents of each distinct value, ascending; int64 (N,): the value of each document."""
    _, code_N = np.unique(values_N, return_inverse=True)
    order = np.argsort(code_N, kind="stable")
    starts = np.flatnonzero(np.diff(code_N[order], prepend=-1))
    return np.add.reduceat(counts_RN[:, order], starts, axis=1), code_N


def _ranks(values_N: np.ndarray, counts_RN: np.ndarray) -> np.ndarray:
    """float64 (R, N): mean rank less the mean of all ranks, of each document within each resample."""
    held_RG, code_N = _held(values_N, counts_RN)
    ranks_RG = np.cumsum(held_RG, axis=1) - (held_RG - 1) / 2
    centred: np.ndarray = (ranks_RG - (counts_RN.sum(axis=1, keepdims=True) + 1) / 2)[:, code_N]
    return centred


def _correlation(x_RN: np.ndarray, y_RN: np.ndarray, counts_RN: np.ndarray) -> np.ndarray:
    weighted_RN = x_RN * counts_RN
    xx, yy = np.einsum("rn,rn->r", weighted_RN, x_RN), np.einsum("rn,rn,rn->r", y_RN, y_RN, counts_RN)
    return _ratio(np.einsum("rn,rn->r", weighted_RN, y_RN), np.sqrt(xx * yy))


def _ratio(above_R: np.ndarray, below_R: np.ndarray) -> np.ndarray:
    """float64 (R,): the quotient, NaN for a divisor of zero."""
    return np.asarray(np.divide(above_R, below_R, out=np.full(len(above_R), np.nan), where=below_R > 0))


def spearman(scores_N: np.ndarray, labels_N: np.ndarray, counts_RN: np.ndarray) -> np.ndarray:
    """float64 (R,): `metrics.spearman` of each resample, NaN where None."""
    return _correlation(_ranks(scores_N, counts_RN), _ranks(labels_N, counts_RN), counts_RN)


def partial_spearman(
    scores_N: np.ndarray, labels_N: np.ndarray, lengths_N: np.ndarray, counts_RN: np.ndarray
) -> np.ndarray:
    """float64 (R,): `metrics.partial_spearman` of each resample, NaN where None."""
    x_RN, y_RN, z_RN = (_ranks(v, counts_RN) for v in (scores_N, labels_N, lengths_N))
    xy, xz, yz = (_correlation(a, b, counts_RN) for a, b in ((x_RN, y_RN), (x_RN, z_RN), (y_RN, z_RN)))
    left_x, left_y = 1 - xz**2, 1 - yz**2
    known = (left_x >= SURE) & (left_y >= SURE)  # false for NaN too
    partial_R = _ratio(xy - xz * yz, np.sqrt(np.where(known, left_x * left_y, 0.0)))
    return np.asarray(np.clip(partial_R, -1, 1))


def kendall(scores_N: np.ndarray, labels_N: np.ndarray, counts_RN: np.ndarray) -> np.ndarray:
    """float64 (R,): `metrics.kendall` of each resample, NaN where None; takes R N^2 steps, as a matrix product."""
    (held_x, x_N), (held_y, y_N) = _held(scores_N, counts_RN), _held(labels_N, counts_RN)
    alike_R = np.zeros(len(counts_RN))
    # float32 halves the time and is exact: sums of +1 and -1, no more than there are documents.
    small_RN = counts_RN.astype(np.float32)
    step = max(1, MEMORY // len(x_N))
    for at in range(0, len(x_N), step):
        part = slice(at, at + step)
        signs = np.sign(x_N[:, None] - x_N[part]) * np.sign(y_N[:, None] - y_N[part])
        alike_R += np.einsum("rn,rn->r", small_RN @ signs.astype(np.float32), counts_RN[:, part])
    total_R = counts_RN.sum(axis=1)
    pairs_x, pairs_y = (total_R * (total_R - 1) - (held * (held - 1)).sum(axis=1) for held in (held_x, held_y))
    return _ratio(alike_R, np.sqrt(pairs_x * pairs_y))


def mean_difference(a_N: np.ndarray, b_N: np.ndarray, counts_RN: np.ndarray, *, absolute: bool) -> np.ndarray:
    """float64 (R,): `metrics.mae` (absolute) or `metrics.mean_shift` of each resample, NaN for an empty one."""
    difference_N = np.abs(a_N - b_N) if absolute else a_N - b_N
    return _ratio(counts_RN @ difference_N, counts_RN.sum(axis=1))


def calibration_error(
    scores_N: np.ndarray, labels_N: np.ndarray, low: float, high: float, counts_RN: np.ndarray
) -> np.ndarray:
    """float64 (R,): `metrics.calibration_error` of each resample, NaN for an empty one."""
    bins_N = point_of(scores_N, low, high)
    gaps_NB = np.where(bins_N[:, None] == np.arange(bins_N.max() + 1), (scores_N - labels_N)[:, None], 0.0)
    return _ratio(np.abs(counts_RN @ gaps_NB).sum(axis=1), counts_RN.sum(axis=1))


def precision_at_top(scores_N: np.ndarray, labels_N: np.ndarray, share: float, counts_RN: np.ndarray) -> np.ndarray:
    """float64 (R,): `metrics.precision_at_top` of each resample, NaN for an empty one."""
    total_R = counts_RN.sum(axis=1)
    taken = []
    for values_N in (scores_N, labels_N):
        held_RG, code_N = _held(values_N, counts_RN)
        above_RG = total_R[:, None] - np.cumsum(held_RG, axis=1)
        room_RG = share * total_R[:, None] - above_RG
        taken.append(np.clip(room_RG / np.maximum(held_RG, 1), 0.0, 1.0)[:, code_N])
    return _ratio(np.einsum("rn,rn,rn->r", *taken, counts_RN), share * total_R)
