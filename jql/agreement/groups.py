"""Figures by group: the languages that have enough labels, all documents pooled, and the macro mean over languages.

Shapes: N documents, R resamples.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jql.agreement import bootstrap
from jql.agreement.figures import KNOWN, Judged, Settings

POOLED, MACRO = "pooled", "macro"


def language_groups(judged: Judged, min_documents: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Rows of each language that gets figures; the other languages, and why."""
    groups, left_out = {}, {}
    for language in np.unique(judged.languages_N).tolist():
        rows = np.flatnonzero(judged.languages_N == language)
        labels = judged.labels_N[rows]
        if len(rows) < min_documents:
            left_out[language] = f"{len(rows)} labelled documents, {min_documents} are needed"
        elif (labels == labels[0]).all():
            left_out[language] = f"all {len(rows)} labels are {labels[0]:g}"
        else:
            groups[language] = rows
    return groups, left_out


def draw_figures(
    scores_N: np.ndarray, judged: Judged, groups: dict[str, np.ndarray], settings: Settings
) -> dict[tuple[str, str], np.ndarray]:
    """(Group, figure) -> float64 (R,); the same seed draws the same resamples, whatever the scores."""
    whole = {POOLED: np.arange(len(scores_N)), **groups}

    def figures(counts_RN: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
        found: dict[tuple[str, str], np.ndarray] = {}
        for group, rows in whole.items():
            scores, part, counts = scores_N[rows], judged.take(rows), counts_RN[:, rows]
            found |= {(group, name): KNOWN[name].resampled(scores, part, counts) for name in settings.names}
        if groups:
            found |= {(MACRO, name): mean_defined([found[g, name] for g in groups]) for name in settings.names}
        return found

    return bootstrap.bootstrap(figures, judged.sources_N, resamples=settings.resamples, seed=settings.seed)


def mean_defined(values: list[np.ndarray]) -> np.ndarray:
    """float64 (R,): mean over the languages where a resample has the figure, NaN where none has it."""
    stacked = np.stack(values)
    known = ~np.isnan(stacked)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, stacked, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def plain_figures(scores_N: np.ndarray, judged: Judged, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Figure -> its value, or None and the reason."""
    found: dict[str, dict[str, Any]] = {}
    constant = [
        name
        for name, values in (("scores", scores_N), ("labels", judged.labels_N), ("lengths", judged.lengths_N))
        if (values == values[0]).all()
    ]
    why = f"all {' and '.join(constant)} are the same" if constant else "length alone fixes the ranks of the others"
    for name in names:
        value = KNOWN[name].plain(scores_N, judged)
        found[name] = {"value": value} if value is not None else {"value": None, "reason": why}
    return found


def macro_mean(plain: dict[str, dict[str, dict[str, Any]]], name: str) -> dict[str, Any]:
    """Mean over languages; one language without the figure leaves no mean, for without it the mean would flatter."""
    if not plain:
        return {"value": None, "reason": "no language has enough labels that differ"}
    missing = [language for language, figures in plain.items() if figures[name]["value"] is None]
    if missing:
        return {"value": None, "reason": f"not defined in {', '.join(missing)}"}
    return {"value": float(np.mean([figures[name]["value"] for figures in plain.values()]))}


def interval_or_reason(found: dict[str, Any], sources: int) -> dict[str, Any]:
    """The interval, or why there is none."""
    if sources > 1:
        return found
    reason = "one source document, an interval needs 2"
    return {**dict.fromkeys(found, None), "low": None, "high": None, "reason": reason}
