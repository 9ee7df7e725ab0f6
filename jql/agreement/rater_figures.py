"""Agreement of raters as a result: all documents, every language, every pair, and each rater against the others.

Shapes: R raters, N documents, V distinct values, B resamples.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jql.agreement import bootstrap
from jql.agreement.figures import DEFAULT, Settings
from jql.agreement.groups import mean_defined
from jql.agreement.raters import (
    DISAGREEMENT,
    Metric,
    alpha,
    alpha_of_counts,
    checked_ratings,
    document_figures,
    fleiss_of_counts,
    given,
    kappa_of_counts,
    of_the_others,
    quotient,
    source_array,
    with_intervals,
)

FEWEST_COMMON = 5  # documents that a pair, or a rater and the others, need: of fewer, kappa is mostly chance
METRICS: tuple[Metric, ...] = ("ordinal", "interval")
Pair = tuple[int, int]

FIGURES = {
    "alpha_ordinal": "Krippendorff's alpha, ordinal",
    "alpha_interval": "Krippendorff's alpha, interval",
    "kappa_quadratic": "Cohen's kappa, quadratic weights, mean of pairs",
    "kappa_linear": "Cohen's kappa, linear weights, mean of pairs",
    "kappa_unweighted": "Cohen's kappa, mean of pairs",
    "fleiss_kappa": "Fleiss' kappa",
    "raw_agreement": "two ratings equal",
    "majority": "more than half give one point",
    "unanimous": "all give one point",
    "deviation": "standard deviation in a document",
    "within_1": "highest less lowest at most 1",
    "within_2": "highest less lowest at most 2",
}
"""Figure -> what it is, in words."""


def rater_agreement(
    ratings_RN: Sequence[Sequence[float]] | np.ndarray,
    settings: Settings = DEFAULT,
    sources: Sequence[Any] | None = None,
) -> dict[str, Any]:
    """How far raters agree with one another.

    Args:
        ratings_RN: points, NaN where a rater gave none. sources: what document each one is, or is a translation of;
            by default each is its own.

    Returns:
        Raters and documents with ratings, documents with two or more, ratings; `figures`, a key of FIGURES -> value,
        low and high (95 %, by sources), undefined (share of resamples without it), and a reason where one is None;
        `pairs` of raters (rows of the matrix) with their kappas, `pairs_left_out` with the reason.

    Raises:
        DataError: see `checked_ratings`.
    """
    points_RN = checked_ratings(ratings_RN, settings.low, settings.high)
    rated_RN = ~np.isnan(points_RN)
    here = np.flatnonzero(rated_RN.sum(axis=0) >= 2)
    sources_N = source_array(sources, points_RN.shape[1])
    found: dict[str, Any] = {
        "raters": int(rated_RN.any(axis=1).sum()),
        "documents": int(rated_RN.any(axis=0).sum()),
        "rated_twice": len(here),
        "ratings": int(rated_RN.sum()),
    }
    if not len(here):
        reason = _why_nothing(found["raters"])
        figures = {name: {"value": None, "reason": reason} for name in FIGURES}
        return {**found, "figures": figures, "pairs": [], "pairs_left_out": []}
    points_RN, sources_N = points_RN[:, here], sources_N[here]
    return {**found, **_figures(points_RN, sources_N, settings)}


def _why_nothing(raters: int) -> str:
    if raters < 2:
        return f"found {raters} rater{'s' * (raters != 1)} with ratings, expected at least 2"
    return "no document was rated by two raters"


def _figures(points_RN: np.ndarray, sources_N: np.ndarray, settings: Settings) -> dict[str, Any]:
    """Figures and pairs of documents that have two ratings or more."""
    values_V, held_NV = given(points_RN)
    of_documents = document_figures(points_RN, held_NV)
    pairs, left_out = _common(points_RN)

    def figures(counts_BN: np.ndarray) -> dict[Any, np.ndarray]:
        drawn: dict[Any, np.ndarray] = {
            **{f"alpha_{metric}": alpha_of_counts(held_NV, values_V, metric, counts_BN) for metric in METRICS},
            "fleiss_kappa": fleiss_of_counts(held_NV, counts_BN),
        }
        drawn |= {name: quotient(counts_BN @ x_N, counts_BN.sum(axis=1)) for name, x_N in of_documents.items()}
        for (a, b), rows in pairs.items():
            part = points_RN[a, rows], points_RN[b, rows]
            drawn |= {(a, b, w): kappa_of_counts(*part, w, counts_BN[:, rows]) for w in DISAGREEMENT}
        if pairs:
            drawn |= {w: mean_defined([drawn[(*pair, w)] for pair in pairs]) for w in DISAGREEMENT}
        return drawn

    entries = with_intervals(figures, sources_N, settings)
    for metric in METRICS:  # equal but for the last bits; the library's is the one that is known
        if (name := f"alpha_{metric}") in entries:
            entries[name]["value"] = alpha(held_NV, values_V, metric)

    constant = f"all ratings are {values_V[0]:g}, so agreement by chance is 1"
    no_pair = f"no pair of raters has {FEWEST_COMMON} documents in common and ratings that differ"
    why = {name: no_pair if name in DISAGREEMENT else constant for name in FIGURES}
    return {
        "figures": {name: entries.get(name) or {"value": None, "reason": why[name]} for name in FIGURES},
        "pairs": [
            {"raters": list(pair), "documents": len(rows), **{w: entries[(*pair, w)] for w in DISAGREEMENT}}
            for pair, rows in pairs.items()
        ],
        "pairs_left_out": [{"raters": list(pair), "reason": reason} for pair, reason in left_out.items()],
    }


def _common(points_RN: np.ndarray) -> tuple[dict[Pair, np.ndarray], dict[Pair, str]]:
    """Pairs of raters -> rows both rated; pairs that have no kappa, and why."""
    common: dict[Pair, np.ndarray] = {}
    left_out: dict[Pair, str] = {}
    rated_RN = ~np.isnan(points_RN)
    for a in range(len(points_RN)):
        for b in range(a + 1, len(points_RN)):
            rows = np.flatnonzero(rated_RN[a] & rated_RN[b])
            both = points_RN[[a, b]][:, rows]
            if len(rows) < FEWEST_COMMON:
                left_out[a, b] = f"{len(rows)} documents in common, {FEWEST_COMMON} are needed"
            elif (both == both[0, 0]).all():
                left_out[a, b] = f"both gave {both[0, 0]:g} to all {len(rows)}, so agreement by chance is 1"
            else:
                common[a, b] = rows
    return common, left_out


def rated_languages(
    ratings_RN: np.ndarray, languages: Sequence[str], min_documents: int
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Documents of each language that has `min_documents` rated twice; the other languages, and why."""
    languages_N, twice_N = np.array(languages, str), (~np.isnan(ratings_RN)).sum(axis=0) >= 2
    groups, left_out = {}, {}
    for language in sorted(set(languages)):
        here = np.flatnonzero(languages_N == language)
        n = int(twice_N[here].sum())
        if n < min_documents:
            left_out[language] = f"{n} documents rated twice, {min_documents} are needed"
        else:
            groups[language] = here
    return groups, left_out


def each_rater(
    ratings_RN: np.ndarray, settings: Settings = DEFAULT, sources: Sequence[Any] | None = None
) -> list[dict[str, Any]]:
    """Each rater against the others, on the documents that others rated too.

    Returns:
        A dict a rater: ratings; common (documents that others rated too); offset (mean of the rating less the mean of
        the others, in points: positive is mild, negative severe), spearman with the mean of the others, kappa_quadratic
        with their aggregate by majority; each with its interval over sources, or a reason.
    """
    sources_N = source_array(sources, ratings_RN.shape[1])
    rated_RN = ~np.isnan(ratings_RN)
    others_RN = rated_RN.sum(axis=0) - rated_RN
    sums_RN = np.nansum(ratings_RN, axis=0) - np.nan_to_num(ratings_RN)
    majority_RN = of_the_others(ratings_RN, "majority")
    found = []
    for rater, own_N in enumerate(ratings_RN):
        rows = np.flatnonzero(rated_RN[rater] & (others_RN[rater] > 0))
        own, mean = own_N[rows], sums_RN[rater, rows] / others_RN[rater, rows]
        entries = _against(own, mean, majority_RN[rater, rows], sources_N[rows], settings)
        found.append({"ratings": int(rated_RN[rater].sum()), "common": len(rows), **entries})
    return found


def _against(
    own: np.ndarray, mean: np.ndarray, majority: np.ndarray, sources_N: np.ndarray, settings: Settings
) -> dict[str, dict[str, Any]]:
    """Offset, spearman and kappa_quadratic of one rater."""
    names = ("offset", "spearman", "kappa_quadratic")
    if len(own) < FEWEST_COMMON:
        reason = f"{len(own)} documents in common with others, {FEWEST_COMMON} are needed"
        return {name: {"value": None, "reason": reason} for name in names}

    def figures(counts_BN: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "offset": bootstrap.mean_difference(own, mean, counts_BN, absolute=False),
            "spearman": bootstrap.spearman(own, mean, counts_BN),
            "kappa_quadratic": kappa_of_counts(own, majority, "kappa_quadratic", counts_BN),
        }

    entries = with_intervals(figures, sources_N, settings)
    constant = "the rater" if (own == own[0]).all() else "the mean of the others"
    same = f"{constant} is {own[0] if constant == 'the rater' else mean[0]:g} in all {len(own)} documents"
    return {name: entries.get(name) or {"value": None, "reason": same} for name in names}
