"""Agreement between raters: coefficients corrected for chance, plain shares, and both of many resamples at once.

Every figure is of the documents with two ratings or more; the others say nothing about agreement. Raw agreement stands
beside the coefficients because these fall where one point is frequent: .8 raw can be a kappa of .375. A figure of a
resample comes from `counts_BN`, how often each document occurs in it (see `bootstrap`); with counts of one it is plain.

Shapes: R raters, N documents, V distinct values in ascending order, B resamples. Ratings are in points of the rubric,
whole, half or any; NaN where a rater gave none.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from jql.agreement import bootstrap
from jql.agreement.aggregate import aggregate
from jql.agreement.bootstrap import Key
from jql.agreement.figures import Settings
from jql.agreement.groups import interval_or_reason
from jql.errors import DataError

Metric = Literal["ordinal", "interval"]

DISAGREEMENT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "kappa_quadratic": np.square,
    "kappa_linear": np.abs,
    "kappa_unweighted": lambda difference: (difference != 0).astype(np.float64),
}
"""Weights of Cohen's kappa: difference of two ratings in points -> how much they disagree."""


def checked_ratings(ratings_RN: Sequence[Sequence[float]] | np.ndarray, low: float, high: float) -> np.ndarray:
    """float64 (R, N): the ratings, if every one that is given lies in the range of the rubric.

    Raises:
        DataError: not a matrix, or ratings outside of the range; says which.
    """
    points_RN = np.asarray(ratings_RN, np.float64)
    if points_RN.ndim != 2:
        raise DataError(f"ratings of shape {points_RN.shape}: expected raters x documents; give one row a rater")
    outside = np.argwhere((points_RN < low) | (points_RN > high))  # false for NaN
    if len(outside):
        rater, document = outside[0]
        found = f"{len(outside)} ratings outside of {low:g} to {high:g}, the first is {points_RN[rater, document]:g}"
        raise DataError(f"{found} (rater {rater}, document {document}); correct them or name the rubric they follow")
    return points_RN


def given(ratings_RN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64 (V,): the distinct values; int64 (N, V): how many raters gave each of them to a document."""
    values_V = np.unique(ratings_RN[~np.isnan(ratings_RN)])
    return values_V, (ratings_RN.T[:, :, None] == values_V).sum(axis=1)


def alpha(held_NV: np.ndarray, values_V: np.ndarray, metric: Metric) -> float | None:
    """Krippendorff's alpha by the `krippendorff` library, at most 1; None where expected disagreement is zero.

    Ratings that stand alone in a document are no part of it. Ordinal distances are made of how often the values between
    two were given, so points of the rubric that nobody gave change nothing.

    Args:
        held_NV: see `given`.

    Source: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011).
    """
    from krippendorff import alpha as library_alpha

    paired_NV = held_NV[held_NV.sum(axis=1) >= 2]
    if (paired_NV.sum(axis=0) > 0).sum() < 2:  # the library raises or returns NaN
        return None
    return float(library_alpha(value_counts=paired_NV, value_domain=values_V, level_of_measurement=metric))


def alpha_of_counts(held_NV: np.ndarray, values_V: np.ndarray, metric: Metric, counts_BN: np.ndarray) -> np.ndarray:
    """float64 (B,): `alpha` of each resample, NaN where None.

    The coincidences of a document are the same however often it is drawn, so those of a resample are one product.
    """
    n, v = held_NV.shape
    pairs_NVV = held_NV[:, :, None] * held_NV[:, None, :] - held_NV[:, :, None] * np.eye(v)
    pairs_NVV = pairs_NVV / np.maximum(held_NV.sum(axis=1) - 1, 1)[:, None, None]
    together_BVV = (counts_BN @ pairs_NVV.reshape(n, v * v)).reshape(-1, v, v)
    alone_BV = together_BVV.sum(axis=2)
    if metric == "ordinal":
        place_BV = np.cumsum(alone_BV, axis=1) - alone_BV / 2
    else:
        place_BV = np.broadcast_to(values_V, alone_BV.shape)
    apart_BVV = np.square(place_BV[:, :, None] - place_BV[:, None, :])
    observed_B = (together_BVV * apart_BVV).sum(axis=(1, 2)) * (alone_BV.sum(axis=1) - 1)
    return 1 - quotient(observed_B, np.einsum("bv,bw,bvw->b", alone_BV, alone_BV, apart_BVV))


def kappa_of_counts(a_N: np.ndarray, b_N: np.ndarray, weights: str, counts_BN: np.ndarray) -> np.ndarray:
    """float64 (B,): Cohen's kappa of two raters in each resample, in [-1, 1]; NaN where expected agreement is 1.

    1 - observed / expected disagreement, weighted by the difference in points. For ratings on evenly spaced points it
    is scikit-learn's cohen_kappa_score with all points as labels; the means of several ratings may be compared too.

    Args:
        a_N, b_N: in points, nothing missing. weights: a key of DISAGREEMENT.

    Source: Cohen, Psychological Bulletin 70 (1968).
    """
    values_V = np.union1d(a_N, b_N)
    apart = DISAGREEMENT[weights]
    held_a, held_b = (counts_BN @ (x_N[:, None] == values_V).astype(np.float64) for x_N in (a_N, b_N))
    expected_B = np.einsum("bv,vw,bw->b", held_a, apart(values_V[:, None] - values_V), held_b)
    return 1 - quotient(counts_BN @ apart(a_N - b_N) * counts_BN.sum(axis=1), expected_B)


def fleiss_of_counts(held_NV: np.ndarray, counts_BN: np.ndarray) -> np.ndarray:
    """float64 (B,): Fleiss' kappa of each resample; NaN where expected agreement is 1.

    For documents with differing numbers of raters, too: the observed agreement is the mean over documents of the share
    of equal pairs, and the chance of a value is the mean over documents of its share. With the same number of raters
    for all this is Fleiss' own definition.

    Args:
        held_NV: see `given`, two ratings or more in every document.

    Source: Fleiss, Psychological Bulletin 76 (1971); Gwet, Handbook of Inter-Rater Reliability (2014), on ratings that
    are missing, which takes documents with one rating into the chance of a value; here they are left out of both.
    """
    total_B = counts_BN.sum(axis=1)
    observed_B = quotient(counts_BN @ equal_pairs(held_NV), total_B)
    share_BV = quotient(counts_BN @ (held_NV / held_NV.sum(axis=1, keepdims=True)), total_B[:, None])
    chance_B = np.square(share_BV).sum(axis=1)
    return quotient(observed_B - chance_B, 1 - chance_B)


def equal_pairs(held_NV: np.ndarray) -> np.ndarray:
    """float64 (N,): share of the pairs of ratings of a document that are equal; two ratings or more in each."""
    n_N = held_NV.sum(axis=1)
    shares: np.ndarray = (np.square(held_NV).sum(axis=1) - n_N) / (n_N * (n_N - 1))
    return shares


def document_figures(ratings_RN: np.ndarray, held_NV: np.ndarray) -> dict[str, np.ndarray]:
    """Figure -> float64 (N,): one number a document, whose mean is the figure; two ratings or more in each.

    The deviation is that of a sample (n - 1), which does not grow with the number of raters; of three raters it is 1.22
    times the one over n.
    """
    most_N, n_N = held_NV.max(axis=1), held_NV.sum(axis=1)
    range_N = np.nanmax(ratings_RN, axis=0) - np.nanmin(ratings_RN, axis=0)
    return {
        "raw_agreement": equal_pairs(held_NV),
        "majority": (2 * most_N > n_N).astype(np.float64),
        "unanimous": (most_N == n_N).astype(np.float64),
        "deviation": np.nanstd(ratings_RN, axis=0, ddof=1),
        "within_1": (range_N <= 1).astype(np.float64),
        "within_2": (range_N <= 2).astype(np.float64),
    }


def of_the_others(ratings_RN: np.ndarray, rule: str) -> np.ndarray:
    """float64 (R, N): aggregate by `rule` of the other raters' ratings; NaN where the rater or all others gave none."""
    rest_RN = np.full(ratings_RN.shape, np.nan)
    for rater, document in np.argwhere(~np.isnan(ratings_RN)):
        others = np.delete(ratings_RN[:, document], rater)
        value = aggregate(others[~np.isnan(others)].tolist(), rule)
        rest_RN[rater, document] = np.nan if value is None else value
    return rest_RN


def source_array(sources: Sequence[Any] | None, n: int) -> np.ndarray:
    """(N,): the source of each document, as strings; without any, each is its own."""
    return np.arange(n) if sources is None else np.array([str(s) for s in sources])


def with_intervals(
    figures: Callable[[np.ndarray], dict[Key, np.ndarray]], sources_N: np.ndarray, settings: Settings
) -> dict[Key, dict[str, Any]]:
    """Figure -> value, low, high, undefined; those that are not defined on the documents themselves are not in it.

    Args:
        figures: see `bootstrap.bootstrap`. sources_N: (N,); with one source only there is no interval, and a reason.
    """
    if not len(sources_N):
        return {}
    plain = {name: float(x[0]) for name, x in figures(np.ones((1, len(sources_N)))).items() if not np.isnan(x[0])}
    n = len(np.unique(sources_N))
    if n < 2:
        return {name: {"value": value, **interval_or_reason({"undefined": None}, n)} for name, value in plain.items()}
    draws = bootstrap.bootstrap(figures, sources_N, resamples=settings.resamples, seed=settings.seed)
    return {name: {"value": value, **bootstrap.interval(draws[name])} for name, value in plain.items()}


def quotient(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """float64: the quotient, NaN for a divisor of zero."""
    wide = np.broadcast_shapes(above.shape, below.shape)
    return np.asarray(np.divide(above, below, out=np.full(wide, np.nan), where=below > 0))
