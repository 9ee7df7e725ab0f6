"""Scores against labels: agreement by language, of two annotators paired, and of languages that were held out.

The macro figure is the mean over languages that have enough labels, so a language counts once however many documents it
has; a language without a figure is named with the reason.

Shapes: N documents.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from jql.agreement import bootstrap, metrics
from jql.agreement.figures import DEFAULT, KNOWN, TOP, Judged, Settings, checked, labelled
from jql.agreement.groups import (
    MACRO,
    POOLED,
    draw_figures,
    interval_or_reason,
    language_groups,
    macro_mean,
    plain_figures,
)
from jql.errors import DataError


def evaluate(
    scores_N: Sequence[float] | np.ndarray,
    labels_N: Sequence[float | None] | np.ndarray,
    languages: Sequence[str],
    sources: Sequence[Any],
    lengths: Sequence[float] | np.ndarray,
    settings: Settings = DEFAULT,
) -> dict[str, Any]:
    """Agreement of scores with labels: pooled, for each language, and the macro mean over languages.

    Args:
        scores_N: in points, finite. labels_N: in points from `low` to `high`; None or NaN is counted and left out.
        sources: what document a row is, or is a translation of. lengths: of the texts, in any unit.

    Returns:
        What evaluation.json holds. Each figure: value, low and high (95 %, by source documents), undefined (share of
        resamples without it), and a reason where one of them is None.

    Raises:
        DataError: see `labelled`; scores that are not finite or not one a document; fewer than two sources.
    """
    judged, rows = labelled(labels_N, languages, sources, lengths, settings)
    points_N = checked("scores", scores_N, len(labels_N))[rows]
    groups, left_out = language_groups(judged, settings.min_documents)
    draws = draw_figures(points_N, judged, groups, settings)
    return {
        "settings": asdict(settings),
        "left_out": {"no label": len(labels_N) - len(rows)},
        **describe(points_N, judged, groups, draws, settings),
        "languages_left_out": left_out,
    }


def describe(
    points_N: np.ndarray,
    judged: Judged,
    groups: dict[str, np.ndarray],
    draws: dict[tuple[str, str], np.ndarray],
    settings: Settings,
) -> dict[str, Any]:
    """The figures of `evaluate` with intervals from resamples that are drawn already: pooled, macro and languages."""

    def described(group: str, here: np.ndarray) -> dict[str, Any]:
        scores, part = points_N[here], judged.take(here)
        distinct = len(np.unique(part.sources_N))
        figures = plain_figures(scores, part, settings.names)
        for name, entry in figures.items():
            if entry["value"] is not None:
                entry |= interval_or_reason(bootstrap.interval(draws[group, name]), distinct)
        return {
            "documents": len(here),
            "sources": distinct,
            "figures": figures,
            "attainable": {n: metrics.precision_at_top(part.labels_N, part.labels_N, s) for n, s in TOP.items()},
            "tied_share": metrics.tied_share(scores),
            "distinct_scores": len(np.unique(scores)),
            "reliability": metrics.reliability(scores, part.labels_N, part.low, part.high),
        }

    pooled = described(POOLED, np.arange(len(points_N)))
    by_language = {language: described(language, here) for language, here in groups.items()}
    macro = {name: macro_mean({g: d["figures"] for g, d in by_language.items()}, name) for name in settings.names}
    for name, entry in macro.items():
        if entry["value"] is not None:
            entry |= bootstrap.interval(draws[MACRO, name])
    return {POOLED: pooled, MACRO: {"languages": list(groups), "figures": macro}, "languages": by_language}


def compare(
    scores_a: Sequence[float] | np.ndarray,
    scores_b: Sequence[float] | np.ndarray,
    labels_N: Sequence[float | None] | np.ndarray,
    languages: Sequence[str],
    sources: Sequence[Any],
    lengths: Sequence[float] | np.ndarray,
    settings: Settings = DEFAULT,
) -> dict[str, Any]:
    """Two annotators on the same documents, paired: both are measured on the same resamples.

    Returns:
        Pooled, macro and each language: figure -> a, b, difference (a - b), its low and high, a_higher (share of
        resamples where a is strictly higher), better ("higher" or "lower"), and a reason where one of them is None.

    Raises:
        DataError: as `evaluate`.
    """
    judged, rows = labelled(labels_N, languages, sources, lengths, settings)
    a_N, b_N = (checked(n, s, len(labels_N))[rows] for n, s in (("scores_a", scores_a), ("scores_b", scores_b)))
    groups, left_out = language_groups(judged, settings.min_documents)
    draws_a, draws_b = (draw_figures(points, judged, groups, settings) for points in (a_N, b_N))
    names = [name for name in settings.names if name != "spearman_of_length"]  # the same for both
    whole = {POOLED: np.arange(len(a_N)), **groups}
    plain_a, plain_b = (
        {g: plain_figures(p[here], judged.take(here), settings.names) for g, here in whole.items()} for p in (a_N, b_N)
    )
    for plain in (plain_a, plain_b):
        plain[MACRO] = {name: macro_mean({g: plain[g] for g in groups}, name) for name in names}

    def described(group: str, sources: int) -> dict[str, Any]:
        found = {}
        for name in names:
            a, b = plain_a[group][name], plain_b[group][name]
            entry = {"a": a["value"], "b": b["value"], "better": KNOWN[name].better}
            if a["value"] is None or b["value"] is None:
                entry |= {"difference": None, "reason": a.get("reason") or b["reason"]}
            else:
                spread = interval_or_reason(bootstrap.paired(draws_a[group, name], draws_b[group, name]), sources)
                entry |= {"difference": a["value"] - b["value"], **spread}
            found[name] = entry
        return found

    count = {group: len(np.unique(judged.sources_N[here])) for group, here in whole.items()}
    return {
        "documents": len(rows),
        "sources": count[POOLED],
        "settings": asdict(settings),
        "left_out": {"no label": len(labels_N) - len(rows)},
        POOLED: described(POOLED, count[POOLED]),
        MACRO: described(MACRO, count[POOLED]),
        "languages": {group: described(group, count[group]) for group in groups},
        "languages_left_out": left_out,
    }


def leave_one_language_out(
    labels_N: Sequence[float | None] | np.ndarray,
    languages: Sequence[str],
    sources: Sequence[Any],
    lengths: Sequence[float] | np.ndarray,
    fit_and_score: Callable[[np.ndarray, np.ndarray], np.ndarray],
    settings: Settings = DEFAULT,
) -> dict[str, Any]:
    """Every language scored by heads that never saw it.

    Documents in other languages that share a source with the language held out are kept from training too: they are
    its translations. Languages too small for figures stay in training and are not held out themselves.

    Args:
        fit_and_score: int64 rows to train on, int64 rows to score -> scores of the latter, in points.

    Returns:
        As `evaluate`, of the held-out scores; "pooled" mixes the scores of as many fits as there are languages.

    Raises:
        DataError: as `evaluate`; nothing is left to train on; what was returned does not fit the rows.
    """
    judged, rows = labelled(labels_N, languages, sources, lengths, settings)
    groups, left_out = language_groups(judged, settings.min_documents)
    if not groups:
        raise DataError(
            f"no language has {settings.min_documents} labels that differ; judge more documents of a language"
        )
    scores_N = np.full(len(rows), np.nan)
    for language, held in groups.items():
        train = np.flatnonzero(~np.isin(judged.sources_N, judged.sources_N[held]) & (judged.languages_N != language))
        if not len(train):
            raise DataError(f"{language}: no document of another language and source to train on; add other languages")
        scores_N[held] = checked(f"scores of {language}", fit_and_score(rows[train], rows[held]), len(held))
    tested = np.sort(np.concatenate(list(groups.values())))
    part = judged.take(tested)
    columns = (part.labels_N, part.languages_N.tolist(), part.sources_N.tolist(), part.lengths_N)
    result = evaluate(scores_N[tested], *columns, settings)
    return {**result, "left_out": {"no label": len(labels_N) - len(rows)}, "languages_left_out": left_out}
