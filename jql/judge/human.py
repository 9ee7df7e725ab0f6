"""Judges and raters on equal terms: each against the aggregate of the raters that are left when one is left out.

A judge is usually compared with all raters, a rater only with the others, so the two figures are not to be set side by
side. Here a judge takes the place of each rater in turn: the same documents, the same reference, the same resamples.

Shapes: R raters, N documents, E ratings that others' ratings stand beside, B resamples.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from jql.agreement import bootstrap
from jql.agreement.aggregate import RULES
from jql.agreement.ceiling import human_ceiling
from jql.agreement.figures import Judged, Settings
from jql.agreement.groups import MACRO, POOLED, mean_defined
from jql.agreement.raters import checked_ratings, of_the_others, with_intervals
from jql.errors import DataError
from jql.judge.pairs import NO_DIFFERENCE

Groups = dict[tuple[str, str], np.ndarray]
ALL = ("all raters", "all languages")


def rating_matrix(truth: pa.Table) -> tuple[list[str], np.ndarray]:
    """Raters by name, and float64 (R, N): what each gave to the documents of a TRUTH table, NaN where nothing.

    Raises:
        DataError: a document whose raters and ratings do not fit together, or that has a rater twice.
    """
    documents = truth.select(["id", "raters", "ratings"]).to_pylist()
    raters = sorted({rater for document in documents for rater in document["raters"]})
    row = {rater: i for i, rater in enumerate(raters)}
    ratings_RN = np.full((len(raters), len(documents)), np.nan)
    for column, document in enumerate(documents):
        names, points = document["raters"], document["ratings"]
        if len(names) != len(points) or len(set(names)) < len(names):
            found = f"{len(points)} ratings of {len(names)} raters, {len(set(names))} of them distinct"
            raise DataError(f"truth: document {document['id']} has {found}; give one rating for each rater")
        for name, point in zip(names, points, strict=True):
            if point is not None:
                ratings_RN[row[name], column] = point
    return raters, ratings_RN


def beside_raters(
    truth: pa.Table, scores: Mapping[str, np.ndarray], judged: Judged, settings: Settings
) -> dict[str, Any]:
    """The human ceiling, and how a rater and each judge rank documents as the other raters do.

    Args:
        truth: TRUTH rows. scores: judge -> float64 (N,), of the same documents, as judged.

    Returns:
        rule, documents, and ceiling (see `human_ceiling`; there a document whose translations repeat its ratings counts
        once); over: macro, the mean over a rater's languages and then over raters, or pooled, all ratings in one
        correlation, where no rater has enough documents of a language; rater, and judges: each with value and interval,
        less_rater with its own, and words; raters_left_out (rater and language -> why). Instead of `over` and what
        follows a reason, where no document has two ratings.

    Raises:
        DataError: see `rating_matrix`; ratings outside of the rubric's range.
    """
    raters, ratings_RN = rating_matrix(truth)
    try:
        ratings_RN = checked_ratings(ratings_RN, settings.low, settings.high)
    except DataError as error:
        raise DataError(f"truth: {error}") from error
    rules = Counter(truth["rule"].to_pylist())
    rule = next(iter(rules)) if len(rules) == 1 and next(iter(rules)) in RULES else RULES[0]
    once, again_N = _distinct(truth)
    ceiling = human_ceiling(ratings_RN[:, once], raters, settings, rule, sources=judged.sources_N[once].tolist())
    rest_RN = of_the_others(ratings_RN[:, once], rule)[:, again_N]
    rater_E, document_E = np.nonzero(~np.isnan(rest_RN))
    found: dict[str, Any] = {"rule": rule, "documents": len(np.unique(document_E)), "ceiling": ceiling}
    if not len(document_E):
        return {**found, "reason": "no document has ratings of two raters"}
    rest_E, languages_E = rest_RN[rater_E, document_E], judged.languages_N[document_E]
    points: dict[str | None, np.ndarray] = {None: ratings_RN[rater_E, document_E]} | {
        judge: s[document_E] for judge, s in scores.items()
    }
    groups, left_out = _groups(points[None], rest_E, np.array(raters)[rater_E], languages_E, settings.min_documents)
    groups = groups or {ALL: np.arange(len(rest_E))}
    undefined = {name: _constant(points_E, groups) for name, points_E in points.items()}

    def figures(counts_BE: np.ndarray) -> dict[Any, np.ndarray]:
        drawn = {
            name: _mean_over_raters(points_E, rest_E, groups, counts_BE)
            for name, points_E in points.items()
            if not undefined[name]
        }
        return drawn | {(name, "less"): drawn[name] - drawn[None] for name in drawn if name and None in drawn}

    entries = with_intervals(figures, judged.sources_N[document_E], settings)
    same = "all ratings of the others are the same"
    return {
        **found,
        "over": POOLED if ALL in groups else MACRO,
        "rater": entries.get(None) or {"value": None, "reason": undefined[None] or same},
        "judges": {
            name: _judge(entries.get(name), entries.get((name, "less")), undefined[name] or undefined[None] or same)
            for name in scores
        },
        "raters_left_out": left_out,
    }


def _distinct(truth: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """int64: rows of TRUTH less those that repeat the ratings of a document in another language; int64 (N,): which of
    them stands for each document.
    """
    rated = truth.select(["source", "raters", "ratings"]).to_pylist()
    keys = [(row["source"], tuple(row["raters"]), tuple(row["ratings"])) for row in rated]
    place: dict[tuple[Any, ...], int] = {}
    again_N = np.array([place.setdefault(key, len(place)) for key in keys], np.int64)
    return np.unique(again_N, return_index=True)[1], again_N


def _groups(
    own_E: np.ndarray, rest_E: np.ndarray, raters_E: np.ndarray, languages_E: np.ndarray, fewest: int
) -> tuple[Groups, dict[str, str]]:
    """Rater and language -> rows, where these allow a correlation; the others, and why."""
    groups: Groups = {}
    left_out = {}
    for rater in np.unique(raters_E).tolist():
        for language in np.unique(languages_E[raters_E == rater]).tolist():
            rows = np.flatnonzero((raters_E == rater) & (languages_E == language))
            if len(rows) < fewest:
                left_out[f"{rater}, {language}"] = f"{len(rows)} documents that others rated too, {fewest} are needed"
            elif np.ptp(own_E[rows]) == 0 or np.ptp(rest_E[rows]) == 0:
                left_out[f"{rater}, {language}"] = f"all {len(rows)} ratings, or those of the others, are the same"
            else:
                groups[rater, language] = rows
    return groups, left_out


def _constant(points_E: np.ndarray, groups: Groups) -> str | None:
    """Where all scores are the same, so that a mean over the rest would flatter; None if nowhere."""
    where = [f"{rater}, {language}" for (rater, language), rows in groups.items() if np.ptp(points_E[rows]) == 0]
    return f"all scores are the same for {'; '.join(where)}" if where else None


def _mean_over_raters(points_E: np.ndarray, rest_E: np.ndarray, groups: Groups, counts_BE: np.ndarray) -> np.ndarray:
    """float64 (B,): Spearman of points with the aggregate of the others, by rater and language."""
    of_rater: dict[str, list[np.ndarray]] = {}
    for (rater, _), rows in groups.items():
        drawn_B = bootstrap.spearman(points_E[rows], rest_E[rows], counts_BE[:, rows])
        of_rater.setdefault(rater, []).append(drawn_B)
    return mean_defined([mean_defined(drawn) for drawn in of_rater.values()])


def _judge(figure: dict[str, Any] | None, less: dict[str, Any] | None, reason: str) -> dict[str, Any]:
    """A judge's figure, and how it lies to a rater's."""
    if less is None or less["low"] is None:
        words = reason if less is None else str(less["reason"])
    elif less["low"] <= 0 <= less["high"]:
        words = NO_DIFFERENCE
    else:
        words = "higher than a rater" if less["value"] > 0 else "lower than a rater"
    return {**(figure or {"value": None, "reason": reason}), "less_rater": less, "words": words}
