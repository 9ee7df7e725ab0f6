"""Translation invariance: whether the same documents get the same scores in every language.

Shapes: D documents, R resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from jql.agreement import bootstrap, metrics
from jql.agreement.figures import DEFAULT, MIN_DOCUMENTS, Settings, checked
from jql.agreement.groups import macro_mean, mean_defined
from jql.errors import DataError

MEAN = "mean"
REFERENCE = "eng_Latn"


def translation_invariance(
    scores_by_language: Mapping[str, Sequence[float] | np.ndarray],
    reference: str = REFERENCE,
    settings: Settings = DEFAULT,
) -> dict[str, Any]:
    """Whether the same documents get the same scores in every language.

    Args:
        scores_by_language: language -> scores in points of the same D documents in the same order, at least 20.

    Returns:
        For each language and as mean over them: spearman with the reference, mean_shift in points (positive where the
        translation scores higher), with intervals over documents. The mean also has absolute_shift, in which languages
        that lie above and below do not cancel. worst names the languages of the lowest spearman and largest shift.

    Raises:
        DataError: no reference, no other language, numbers of documents that differ, fewer than 20, not finite.
    """
    others = sorted(set(scores_by_language) - {reference})
    if reference not in scores_by_language or not others:
        found = ", ".join(sorted(scores_by_language)) or "none"
        raise DataError(f"invariance: expected {reference} and at least one other language, found {found}; add them")
    n = len(scores_by_language[reference])
    if n < MIN_DOCUMENTS:
        raise DataError(f"invariance: {n} documents, expected at least {MIN_DOCUMENTS}; use more lines")
    points = {code: checked(f"scores of {code}", s, n) for code, s in scores_by_language.items()}
    original_N = points[reference]

    def figures(counts_RN: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
        found = {}
        for code in others:
            found[code, "spearman"] = bootstrap.spearman(points[code], original_N, counts_RN)
            found[code, "mean_shift"] = bootstrap.mean_difference(points[code], original_N, counts_RN, absolute=False)
        shifts = [found[code, "mean_shift"] for code in others]
        found[MEAN, "spearman"] = mean_defined([found[code, "spearman"] for code in others])
        found[MEAN, "mean_shift"] = np.mean(shifts, axis=0)
        found[MEAN, "absolute_shift"] = np.abs(shifts).mean(axis=0)
        return found

    draws = bootstrap.bootstrap(figures, np.arange(n), resamples=settings.resamples, seed=settings.seed)
    plain: dict[str, dict[str, dict[str, Any]]] = {}
    for code in others:
        rank = metrics.spearman(points[code], original_N)
        why = {} if rank is not None else {"reason": "all scores of the language or of the reference are the same"}
        shift = {"value": metrics.mean_shift(points[code], original_N)}
        plain[code] = {"spearman": {"value": rank, **why}, "mean_shift": shift}
    size = {code: abs(plain[code]["mean_shift"]["value"]) for code in others}
    mean = {name: macro_mean(plain, name) for name in ("spearman", "mean_shift")}
    mean["absolute_shift"] = {"value": float(np.mean(list(size.values())))}
    for group, entries in [*plain.items(), (MEAN, mean)]:
        for name, entry in entries.items():
            if entry["value"] is not None:
                entry |= bootstrap.interval(draws[group, name])
    ranked = [code for code in others if plain[code]["spearman"]["value"] is not None]
    lowest = min(ranked, key=lambda code: plain[code]["spearman"]["value"], default=None)
    farthest = max(others, key=lambda code: size[code])
    return {
        "reference": reference,
        "documents": n,
        "settings": asdict(settings),
        MEAN: mean,
        "worst": {
            "spearman": {"language": lowest, **plain[lowest]["spearman"]} if lowest else None,
            "mean_shift": {"language": farthest, **plain[farthest]["mean_shift"]},
        },
        "languages": plain,
    }
