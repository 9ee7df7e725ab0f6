"""Two judges side by side: how far they agree, and which of them ranks documents more as people do.

Both are measured on the same resamples of the source documents, so that a difference is not hidden by documents that
are hard for both. With many pairs some intervals leave out zero by chance. So every pair has a second interval, which
holds for all pairs together. Holm's correction of p-values was left aside: 1000 resamples give no p below .002, and 66
pairs would need .0008.

Shapes: N documents, R resamples, P pairs.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from jql.agreement import bootstrap, metrics
from jql.agreement.figures import Judged, Settings
from jql.agreement.groups import macro_mean, mean_defined

SPEARMAN = "spearman"
Pair = tuple[str, str]
NO_DIFFERENCE = "no difference shown"


def judge_agreement(
    scores: Mapping[str, np.ndarray], judged: Judged, groups: Mapping[str, np.ndarray], settings: Settings
) -> dict[Pair, dict[str, Any]]:
    """Every pair of judges, in their order -> Spearman of their scores, the mean over languages, with its interval.

    Args:
        scores: judge -> float64 (N,). groups: language -> rows.
    """
    pairs = list(combinations(scores, 2))

    def figures(counts_RN: np.ndarray) -> dict[Pair, np.ndarray]:
        drawn: dict[Pair, list[np.ndarray]] = {pair: [] for pair in pairs}
        for rows in groups.values():
            counts = counts_RN[:, rows]
            for a, b in pairs:
                drawn[a, b].append(bootstrap.spearman(scores[a][rows], scores[b][rows], counts))
        return {pair: mean_defined(values) for pair, values in drawn.items()}

    draws = bootstrap.bootstrap(figures, judged.sources_N, resamples=settings.resamples, seed=settings.seed)
    found = {}
    for a, b in pairs:
        by_language = {
            language: {SPEARMAN: {"value": metrics.spearman(scores[a][rows], scores[b][rows])}}
            for language, rows in groups.items()
        }
        entry = macro_mean(by_language, SPEARMAN)
        found[a, b] = entry | bootstrap.interval(draws[a, b]) if entry["value"] is not None else entry
    return found


def simultaneous(differences_P: np.ndarray, draws_PR: np.ndarray) -> np.ndarray:
    """Intervals that hold for all pairs together with 95 %, float64 (P, 2): difference +- c standard deviations.

    c is the 95 % quantile, over resamples, of the largest deviation of any pair, in its own standard deviations. It
    knows that pairs share judges and documents, and so asks for less than a correction by the number of pairs.

    Args:
        differences_P: as measured. draws_PR: of the resamples; those with a NaN are left out for all.

    Source: Westfall and Young, Resampling-Based Multiple Testing (1993), single step; with the standard deviation as in
    Romano and Wolf, Econometrica 73 (2005).
    """
    drawn_PR = draws_PR[:, ~np.isnan(draws_PR).any(axis=0)]
    deviation_P = drawn_PR.std(axis=1)
    away_PR = np.abs(drawn_PR - differences_P[:, None])
    largest_R = np.divide(away_PR, deviation_P[:, None], out=np.zeros_like(away_PR), where=deviation_P[:, None] > 0)
    c = np.quantile(largest_R.max(axis=0), bootstrap.LEVEL)
    return np.stack([differences_P - c * deviation_P, differences_P + c * deviation_P], axis=1)


def paired_differences(
    values: Mapping[str, float | None], draws: Mapping[str, np.ndarray]
) -> dict[Pair, dict[str, Any]]:
    """Every pair of judges, in their order: a figure of the first less that of the second.

    Args:
        values: judge -> figure, higher is better; None where it is not defined. draws: judge -> float64 (R,), the
            same resamples for all.

    Returns:
        difference, its low and high, undefined, a_higher, a reason where one is None; together: low and high of the
        interval that holds for all pairs; words.
    """
    pairs = list(combinations(values, 2))
    found: dict[Pair, dict[str, Any]] = {}
    known: list[Pair] = []
    for a, b in pairs:
        at_a, at_b = values[a], values[b]
        if at_a is None or at_b is None:
            missing = " and ".join(judge for judge in (a, b) if values[judge] is None)
            found[a, b] = {"difference": None, "reason": f"{missing}: no figure", "together": None}
            continue
        found[a, b] = {"difference": at_a - at_b, **bootstrap.paired(draws[a], draws[b]), "together": None}
        if found[a, b]["low"] is not None:
            known.append((a, b))
    if known:
        drawn_PR = np.stack([draws[a] - draws[b] for a, b in known])
        wide_P2 = simultaneous(np.array([found[pair]["difference"] for pair in known]), drawn_PR)
        for pair, (low, high) in zip(known, wide_P2.tolist(), strict=True):
            found[pair]["together"] = {"low": low, "high": high}
    return {pair: {**entry, "words": in_words(*pair, entry)} for pair, entry in found.items()}


def in_words(a: str, b: str, entry: Mapping[str, Any]) -> str:
    """What the interval of a difference says."""
    if entry.get("low") is None:
        return str(entry["reason"])
    if entry["low"] <= 0 <= entry["high"]:
        return NO_DIFFERENCE
    higher = f"{a if entry['difference'] > 0 else b} is higher"
    together = entry["together"]
    return higher if together["low"] > 0 or together["high"] < 0 else f"{higher}, but not with all pairs in view"
