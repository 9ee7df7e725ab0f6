"""Judges ranked against people: how well each ranks documents, what it costs, which differ, and which to label with.

What counts is Spearman, the mean over languages: a judge may give a point too much everywhere and still rank well.
Where its scores lie is told beside it (offset, calibration error, confusion, macro-F1) and decides nothing: in the
published ranking the best judge had a macro-F1 of .111.

Shapes: N documents with truth and a valid score of every judge, P points of the rubric.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jql.agreement.evaluate import describe, evaluate
from jql.agreement.figures import DEFAULT, Judged, Settings, labelled
from jql.agreement.groups import MACRO, POOLED, draw_figures, language_groups
from jql.agreement.metrics import point_of
from jql.errors import DataError
from jql.judge.human import beside_raters
from jql.judge.matching import (
    Answers,
    Rated,
    answer_kinds,
    find_common,
    match_judgments,
    match_truth,
    origins,
)
from jql.judge.pairs import SPEARMAN, judge_agreement, paired_differences
from jql.judge.recommend import recommend

FIGURES = (SPEARMAN, "mae", "calibration_error", "mean_shift")
"""All that a ranking shows; Kendall alone would take 23 s a judge of 18,000 documents, these four take one."""
COSTS = ("tokens_in", "tokens_out", "seconds", "spread")
COMMON_RULE = (
    "judges are compared on the documents with truth and a valid score of each of them; a judge without one for more "
    "than max_invalid of the documents that any was asked about is set apart first"
)
F1_NOTE = (
    "macro-F1 counts hits of the exact point, so a judge that ranks well and scores a point high has a low one; it "
    "decides nothing here"
)


def confusion(scores_N: np.ndarray, labels_N: np.ndarray, low: float, high: float) -> np.ndarray:
    """int64 (P, P): documents by the point of their truth (rows) and of the judge (columns), see `point_of`."""
    points = round(high - low) + 1
    cell_N = point_of(labels_N, low, high) * points + point_of(scores_N, low, high)
    return np.bincount(cell_N, minlength=points**2).reshape(points, points)


def macro_f1(confusion_PP: np.ndarray) -> float:
    """Mean over points of 2 hits / (times true + times given), in [0, 1]; a point that is neither is left out."""
    total_P = confusion_PP.sum(axis=0) + confusion_PP.sum(axis=1)
    seen_P = total_P > 0
    return float((2 * np.diag(confusion_PP)[seen_P] / total_P[seen_P]).mean())


def origin_line(truth: Mapping[str, int], judges: Mapping[str, Mapping[str, int]]) -> str | None:
    """What is not of people (truth) or models (judges), in words, so that nobody takes it for that; None if all is."""
    by_origin: dict[str, list[str]] = {}
    for judge, counts in judges.items():
        by_origin.setdefault(" and ".join(counts) or "unknown", []).append(judge)
    if set(truth) == {"human"} and set(by_origin) == {"model"}:
        return None
    words = ", ".join(f"{origin} {n:,} documents" for origin, n in truth.items())
    of_judges = [f"{', '.join(names)}: {origin}" for origin, names in by_origin.items()]
    return f"origin: truth {words}; judges {'; '.join(of_judges)}"


def rank(
    truth: pa.Table,
    judgments: Mapping[str, pa.Table],
    families: Mapping[str, str],
    settings: Settings = DEFAULT,
    choose: int = 3,
    max_invalid: float = 0.1,
) -> dict[str, Any]:
    """Judges ranked against the ground truth.

    Args:
        truth: TRUTH. judgments: judge -> JUDGMENT, matched by id; the expected and the sampled score of a model are two
            judges of one family. Scores may lie outside of the rubric's range, and count at its ends in the confusion.
        families: judge -> model family; a judge without one is a family of its own.
        choose: how many judges to recommend. max_invalid: share of documents without a valid score above which a judge
            is set apart, and share of answers that could not be read above which it is not recommended.

    Returns:
        What rank.json holds: `common` (the documents that judges are compared on, and by what rule), `judges` (best
        first, those set apart last: each on the common documents and on all of its own), `pairs`, `human`,
        `recommendation`, and `origin`, a line that must stand with every figure, or None.

    Raises:
        DataError: no judge; truth or common documents that allow no figures (fewer than 50, all scores the same, no
            language of `min_documents`), scores of the truth out of range, an id twice, no judge that is not set apart.
        RecipeError: choose or max_invalid out of range.
    """
    settings = replace(settings, figures=FIGURES)
    rated = match_truth(truth, settings)
    answers = {judge: match_judgments(judge, judgments[judge], rated) for judge in sorted(judgments)}
    family = {judge: families.get(judge) or judge for judge in answers}
    shared = find_common(answers, max_invalid)
    judged, groups, left_out = _common_documents(rated, shared.rows, settings)
    scores = {j: one.scores_N[shared.rows] for j, one in answers.items() if j not in shared.set_apart}
    draws = {judge: draw_figures(points_N, judged, groups, settings) for judge, points_N in scores.items()}
    figures = {judge: describe(scores[judge], judged, groups, draws[judge], settings) for judge in scores}
    values = {judge: figures[judge][MACRO]["figures"][SPEARMAN]["value"] for judge in scores}
    origin = {judge: origins(one.table) for judge, one in answers.items()}
    ranked = sorted(values, key=lambda judge: (values[judge] is None, -(values[judge] or 0), judge))
    entries = {
        judge: {
            "family": family[judge],
            "set_apart": shared.set_apart.get(judge),
            "origin": origin[judge],
            "matched": answers[judge].counts,
            "invalid": answer_kinds(answers[judge].table),
            "means": {name: pc.mean(answers[judge].table[name]).as_py() for name in COSTS},
            "common": {**figures[judge], **_points(scores[judge], judged)} if judge in scores else None,
            "own": _own_documents(judge, answers[judge], rated, settings),
        }
        for judge in [*ranked, *shared.set_apart]
    }
    values, scores = ({judge: of[judge] for judge in ranked} for of in (values, scores))
    drawn = {judge: draws[judge][MACRO, SPEARMAN] for judge in ranked}
    agreement = judge_agreement(scores, judged, groups, settings)
    return {
        "settings": asdict(settings),
        "choose": choose,
        "max_invalid": max_invalid,
        "truth": {
            "documents": len(truth),
            "with_score": len(rated.place),
            "sources": len(np.unique(rated.judged.sources_N)),
            "origin": origins(rated.table),
        },
        "common": {
            "rule": COMMON_RULE,
            "documents": len(shared.rows),
            "sources": len(np.unique(judged.sources_N)),
            "asked": shared.asked,
            "lost": shared.asked - len(shared.rows),
            "languages": list(groups),
            "languages_left_out": left_out,
        },
        "judges": entries,
        "pairs": [
            {"judges": list(pair), "agreement": agreement[pair], "macro_spearman": entry}
            for pair, entry in paired_differences(values, drawn).items()
        ],
        "human": beside_raters(rated.table.take(pa.array(shared.rows)), scores, judged, settings),
        "recommendation": recommend(values, drawn, family, _refused(entries, max_invalid), choose),
        "f1_note": F1_NOTE,
        "origin": origin_line(origins(rated.table), origin),
    }


def _common_documents(
    rated: Rated, rows: np.ndarray, settings: Settings
) -> tuple[Judged, dict[str, np.ndarray], dict[str, str]]:
    """The common documents, rows of the languages that get figures, and why the others do not."""
    part = rated.judged.take(rows)
    try:
        judged, _ = labelled(
            part.labels_N, part.languages_N.tolist(), part.sources_N.tolist(), part.lengths_N, settings
        )
    except DataError as error:
        raise DataError(f"documents with truth and a valid score of every judge: {error}") from error
    groups, left_out = language_groups(judged, settings.min_documents)
    if not groups:
        found = f"no language has {settings.min_documents} labels that differ"
        raise DataError(f"documents with truth and a valid score of every judge: {found}; rate more of a language")
    return judged, groups, left_out


def _points(scores_N: np.ndarray, judged: Judged) -> dict[str, Any]:
    """How a judge's points lie to those of the truth."""
    found_PP = confusion(scores_N, judged.labels_N, judged.low, judged.high)
    return {"confusion": found_PP.tolist(), "macro_f1": macro_f1(found_PP)}


def _own_documents(judge: str, one: Answers, rated: Rated, settings: Settings) -> dict[str, Any]:
    """Spearman on all documents with truth and a valid score of this judge, or why there is none."""
    rows = np.flatnonzero(one.valid_N)
    part = rated.judged.take(rows)
    columns = (part.labels_N, part.languages_N.tolist(), part.sources_N.tolist(), part.lengths_N)
    try:
        found = evaluate(one.scores_N[rows], *columns, replace(settings, figures=(SPEARMAN,)))
    except DataError as error:
        return {"documents": len(rows), "reason": f"judge {judge}: {error}"}
    spearman = {group: found[group]["figures"][SPEARMAN] for group in (MACRO, POOLED)}
    return {"documents": len(rows), "languages": found[MACRO]["languages"], **spearman}


def _refused(entries: Mapping[str, Mapping[str, Any]], max_invalid: float) -> dict[str, str]:
    """Judges that may not be recommended, and why."""
    refused = {}
    for judge, entry in entries.items():
        invalid = entry["invalid"]["answers"]["invalid"]
        if entry["set_apart"]:
            refused[judge] = f"set apart: {entry['set_apart']}"
        elif invalid is not None and invalid > max_invalid:
            refused[judge] = f"{invalid:.1%} of its answers could not be read, more than {max_invalid:.0%}"
    return refused
