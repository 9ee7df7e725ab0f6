"""Per-language cuts of every head, from the histograms in the receipts. Letters: N documents, H heads."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jql.annotator.histogram import BINS, merge, quantile, ranks
from jql.engine.receipt import Receipt


@dataclass(frozen=True)
class Cuts:
    """The cuts of one crawl.

    Attributes:
        heads: the heads that vote. quantile: share of a language that each cut drops.
        values: language -> float64 (H,), the cuts; only languages with enough documents.
        counts: language -> documents counted.
        histograms: language -> int64 (H, BINS).
    """

    heads: list[str]
    quantile: float
    values: dict[str, np.ndarray]
    counts: dict[str, int]
    histograms: dict[str, np.ndarray]

    def to_json(self) -> dict[str, Any]:
        """Cuts as they stand in cuts.json and the manifest."""
        languages = {
            code: {
                "documents": n,
                "cuts": dict(zip(self.heads, map(float, self.values[code]), strict=True))
                if code in self.values
                else None,
            }
            for code, n in sorted(self.counts.items())
        }
        return {"quantile": self.quantile, "heads": self.heads, "languages": languages}


def make_cuts(receipts: Iterable[Receipt], heads: list[str], share: float, min_documents: int) -> Cuts:
    """Merge the histograms of all units and cut every head of every language at the same share of its own scores."""
    merged: dict[str, np.ndarray] = {}
    for receipt in receipts:
        for language, packed in receipt.stats["histograms"].items():
            total = merged.setdefault(language, np.zeros((len(heads), BINS), np.int64))
            for i, head in enumerate(heads):
                merge([packed[head]], into=total[i])
    counts = {language: int(hist[0].sum()) for language, hist in merged.items()}
    values = {
        language: np.array([quantile(hist[i], share) for i in range(len(heads))])
        for language, hist in merged.items()
        if counts[language] >= min_documents
    }
    return Cuts(heads, share, values, counts, merged)


def mean_ranks(scores_NH: np.ndarray, histograms_HB: np.ndarray) -> np.ndarray:
    """float64 (N,): mean over the heads of each document's rank in its language, in [0, 1]."""
    result: np.ndarray = np.mean([ranks(histograms_HB[i], scores_NH[:, i]) for i in range(scores_NH.shape[1])], axis=0)
    return result


def passes(scores_NH: np.ndarray, cuts_H: np.ndarray, rule: str, histograms_HB: np.ndarray, share: float) -> np.ndarray:
    """Bool (N,): which documents of one language the heads keep.

    `all` keeps what every head has at or above its cut, as published; so it keeps less than 1 - share.
    `mean` keeps a document whose mean rank is at or above the share.
    """
    above = scores_NH >= cuts_H
    if rule == "all":
        return np.asarray(above.all(axis=1))
    if rule == "any":
        return np.asarray(above.any(axis=1))
    if rule == "majority":
        return np.asarray(above.sum(axis=1) * 2 > scores_NH.shape[1])
    return np.asarray(mean_ranks(scores_NH, histograms_HB) >= share)
