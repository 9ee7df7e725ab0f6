"""The cuts of a crawl, by head and language, and what they keep. Letters: N documents, H heads, L languages."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from jql.annotator.histogram import Histograms, rank_error, rank_table

TOO_FEW, BELOW, PASSES = "too_few_documents", "below_cut", ""


@dataclass(frozen=True)
class LanguageCut:
    """The cut of one language.

    Attributes:
        of: whose scores are ranked: the language itself, or the group that it shares a cut with.
        by: what was asked for: quantile, score, tokens, mixture or file.
        quantile: share of `of` that each head's cut drops; None where values were given.
        values: float64 (H,), None where nothing is kept. note: what is remarkable about it.
        epochs: how often what is kept is to be seen for its share of a mixture.
    """

    of: str
    by: str
    quantile: float | None
    values: np.ndarray | None
    rank_error: float = 0.0
    note: str = ""
    epochs: float = 1.0


@dataclass(frozen=True)
class Cuts:
    """The cuts of one crawl.

    Attributes:
        heads: the H heads that vote, by `rule`.
        languages: language -> its cut; a language without documents that could be counted has none.
        histograms: of these heads, by language or group that shares a cut.
        annotator: name and revision of what the scores are from.
    """

    heads: list[str]
    rule: str
    quantile: float
    languages: dict[str, LanguageCut]
    histograms: Histograms
    annotator: dict[str, str] = field(default_factory=dict)

    def verdicts(self, points_NH: np.ndarray, codes_N: np.ndarray, names: list[str]) -> np.ndarray:
        """int8 (N,): 0 kept, 1 below the cut, 2 of a language that has none.

        `all` keeps what every head has at or above its cut, as published; so it keeps less than 1 - quantile. `mean`
        keeps a document where the share of scores that are not above its own, in the mean over heads, is above the
        quantile; so equal scores are kept or dropped together, as by the other rules. Where scores were given, it keeps
        what has a mean score at or above their mean.

        Args:
            points_NH: float32, NaN where there is no score, which is below every cut.
            codes_N: int, the place in `names` of each document's language.
        """
        cuts = [self.languages.get(name) for name in names]
        if not len(codes_N):
            return np.zeros(0, np.int8)
        none = np.full(len(self.heads), np.nan)  # which no score is at or above
        values_LH = np.array([none if c is None or c.values is None else c.values for c in cuts])
        kept_N = self._kept(points_NH, codes_N, names, _least_float32(values_LH))
        cut_L = np.array([c is not None and c.values is not None for c in cuts], bool)
        return np.where(kept_N, 0, np.where(cut_L[codes_N], 1, 2)).astype(np.int8)

    def _kept(self, points_NH: np.ndarray, codes_N: np.ndarray, names: list[str], values_LH: np.ndarray) -> np.ndarray:
        if self.rule == "mean":
            return self._mean_kept(points_NH, codes_N, names, values_LH)
        above_N = np.zeros(len(codes_N), np.int8)
        for h in range(len(self.heads)):  # a column at a time: the values of all heads would not fit a core's cache
            above_N += points_NH[:, h] >= values_LH[:, h][codes_N]
        least = {"all": len(self.heads), "any": 1, "majority": len(self.heads) // 2 + 1}[self.rule]
        return np.asarray(above_N >= least)

    def _mean_kept(
        self, points_NH: np.ndarray, codes_N: np.ndarray, names: list[str], values_LH: np.ndarray
    ) -> np.ndarray:
        cuts = [self.languages.get(name) for name in names]
        most_L = np.array([np.inf if c is None or c.values is None or c.quantile is None else c.quantile for c in cuts])
        by_score_L = np.array([c is not None and c.quantile is None for c in cuts], bool)
        not_above_N = self._mean_of(self._shares, points_NH, codes_N, names)
        by_score_N = points_NH.mean(axis=1) >= values_LH.mean(axis=1)[codes_N]
        return np.asarray(np.where(by_score_L[codes_N], by_score_N, not_above_N > most_L[codes_N]))

    def ranks(self, points_NH: np.ndarray, codes_N: np.ndarray, names: list[str]) -> np.ndarray:
        """float64 (N,): mean over the heads of each document's rank in its language, in [0, 1]; NaN where unknown.

        Args:
            points_NH, codes_N, names: as of `verdicts`.
        """
        return self._mean_of(self._ranks, points_NH, codes_N, names)

    def _mean_of(
        self, table_LHB: np.ndarray, points_NH: np.ndarray, codes_N: np.ndarray, names: list[str]
    ) -> np.ndarray:
        """float64 (N,): mean over the heads of what a table says of each score's bin; NaN where unknown."""
        result = np.zeros(len(codes_N))
        places_L = np.array([self._places.get(self._of(name), -1) for name in names], np.int64)
        for h in range(len(self.heads)):
            known = np.isfinite(points_NH[:, h]) & (places_L[codes_N] >= 0)
            bins = self.histograms.bins.of(np.where(known, points_NH[:, h], 0))
            result += np.where(known, table_LHB[places_L[codes_N], h, bins], np.nan) if len(table_LHB) else np.nan
        return result / len(self.heads)

    def _of(self, language: str) -> str:
        cut = self.languages.get(language)
        return language if cut is None else cut.of

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(sorted(self.histograms.counts))}

    @cached_property
    def _ranks(self) -> np.ndarray:
        """float64 (languages and groups, H, BINS)."""
        return np.array([rank_table(counts[0]) for _, counts in sorted(self.histograms.counts.items())])

    @cached_property
    def _shares(self) -> np.ndarray:
        """float64 (languages and groups, H, BINS): share of the counted scores in a bin or below."""
        counts_LHB = np.array([counts[0] for _, counts in sorted(self.histograms.counts.items())], np.float64)
        return np.asarray(counts_LHB.cumsum(axis=-1) / np.maximum(1, counts_LHB.sum(axis=-1, keepdims=True)))

    def to_json(self) -> dict[str, Any]:
        """As it stands in cuts.json and the manifest."""
        languages = {}
        for code, cut in sorted(self.languages.items()):
            values = None if cut.values is None else dict(zip(self.heads, map(float, cut.values), strict=True))
            languages[code] = {
                **self.histograms.totals(cut.of),
                "of": cut.of,
                "by": cut.by,
                "quantile": cut.quantile,
                "cuts": values,
                "rank_error": round(cut.rank_error, 6),
                "note": cut.note or None,
                "epochs": round(cut.epochs, 4),
            }
        head = {"quantile": self.quantile, "rule": self.rule, "heads": self.heads, "annotator": self.annotator}
        return {**head, "languages": languages}


def _least_float32(values: np.ndarray) -> np.ndarray:
    """The smallest float32 that are not below the values: scores are float32, and >= then means the same."""
    rounded = values.astype(np.float32)
    low = rounded.astype(np.float64) < values
    rounded[low] = np.nextafter(rounded[low], np.float32(np.inf))
    return rounded


def quantile_cut(of: str, by: str, share: float, histograms: Histograms) -> LanguageCut:
    """The cut that drops `share` of a language by each head, from its histograms; it says how far it may be off."""
    counts_HB = histograms.counts[of][0]
    values = np.array([histograms.bins.quantile(counts_B, share) for counts_B in counts_HB])
    fullest = [
        rank_error(counts_B, int(histograms.bins.of(values[h : h + 1])[0])) for h, counts_B in enumerate(counts_HB)
    ]
    notes = [
        f"{head}: all {int(counts_B.sum()):,} scores lie in one bin, so they cannot be told apart and all are kept"
        for head, counts_B in zip(histograms.heads, counts_HB, strict=True)
        if np.count_nonzero(counts_B) == 1
    ]
    return LanguageCut(of, by, share, values, max(fullest), "; ".join(notes))
