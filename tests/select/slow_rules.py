"""What a run keeps, a document at a time: slow rules to check the quick ones by."""

import numpy as np
from crawl_made import Made

from jql.annotator.histogram import Bins
from jql.documents import document_name
from jql.recipe import Select
from jql.select.cuts import Cuts


def rank_of(score: float, counts_B: np.ndarray, bins: Bins) -> float:
    """The share of the counted scores below a score's bin, and half of those in it."""
    at = min(3999, max(0, int(np.floor((float(score) - bins.start) / bins.width))))
    return float((counts_B[:at].sum() + counts_B[at] / 2) / counts_B.sum())


def passes_slowly(row: np.ndarray, language: str, cuts: Cuts) -> bool:
    """Whether a document with these scores of the voting heads passes the cut of its language."""
    cut = cuts.languages.get(language)
    if cut is None or cut.values is None or (cuts.rule in ("all", "mean") and np.isnan(row).any()):
        return False
    if cuts.rule != "mean":
        above = sum(float(score) >= value for score, value in zip(row, cut.values, strict=True))
        return above >= {"all": len(row), "any": 1, "majority": len(row) // 2 + 1}[cuts.rule]
    if cut.quantile is None:
        return float(np.mean(row.astype(np.float64))) >= float(np.mean(cut.values))
    counts_HB = cuts.histograms.counts[cut.of][0]
    ranks = 0.0
    for score, counts_B in zip(row, counts_HB, strict=True):
        at = int(cuts.histograms.bins.of(np.array([score]))[0])
        ranks += float((counts_B[:at].sum() + counts_B[at]) / counts_B.sum())
    return ranks / len(row) > cut.quantile


def kept_slowly(made: Made, cuts: Cuts, select: Select) -> np.ndarray:
    """Bool (N,): which documents a run keeps."""
    voting = [made.heads.index(head) for head in cuts.heads]
    reasons = made.reasons(select.by)
    passes = [
        reason is None and (select.by == "heuristics" or passes_slowly(made.points[i, voting], made.languages[i], cuts))
        for i, reason in enumerate(reasons)
    ]
    if select.copy_kept == "every":
        return np.array(passes, bool)
    best: dict[int, tuple[tuple[float, int, int], int]] = {}
    kept = np.array(passes, bool) & (made.size == 1)
    for i in np.flatnonzero(np.array(passes, bool) & (made.size > 1)).tolist():
        key = (-_merit(made, cuts, select, i, voting), document_name(made.ids[i]), i)
        if int(made.cluster[i]) not in best or key < best[int(made.cluster[i])][0]:
            best[int(made.cluster[i])] = (key, i)
    kept[[i for _, i in best.values()]] = True
    return kept


def _merit(made: Made, cuts: Cuts, select: Select, i: int, voting: list[int]) -> float:
    if select.copy_kept == "longest":
        return float(made.sizes[1, i])
    if select.copy_kept == "newest":
        return float((made.dates[i] or "").replace("-", "").ljust(14, "0"))
    if select.copy_kept == "first" or np.isnan(made.points[i, voting]).any():
        return 0.0 if select.copy_kept == "first" else -1.0
    of = cuts.languages[made.languages[i]].of
    ranks = [
        rank_of(made.points[i, h], counts_B, cuts.histograms.bins)
        for h, counts_B in zip(voting, cuts.histograms.counts[of][0], strict=True)
    ]
    return sum(ranks, 0.0) / len(ranks)


def sums(made: Made, kept: np.ndarray) -> dict[str, list[int]]:
    """Language -> documents, bytes and tokens that are kept."""
    codes = sorted(set(made.languages))
    return {code: made.sizes[:, made.rows_of(code) & kept].sum(axis=1).tolist() for code in codes}
