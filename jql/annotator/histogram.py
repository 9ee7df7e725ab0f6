"""Score histograms of fixed bins: integer counts, so that merging is exact and does not depend on order.

Letters: N documents, H heads, B bins; M measures, in the order of MEASURES.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from jql.errors import DataError
from jql.schema import COUNT

BINS = 4000
MEASURES = ("documents", "bytes", "tokens")
RANK_ERROR = 0.005
"""Most documents, as a share, that a cut may be off by; a bin that holds more is divided only among its like."""
LOWEST = -1e30
"""The cut below every score; a number, so that it can stand in JSON."""


@dataclass(frozen=True)
class Bins:
    """BINS bins of equal width over a rubric's range with room on both sides: 0.0025 points each from -2 to 8 for 0-5.

    What lies outside counts in the outermost bins.

    Attributes:
        start: lower edge of the first bin. width: of a bin, in points.
    """

    start: float = -2.0
    width: float = 10.0 / BINS

    @classmethod
    def over(cls, low: float, high: float) -> "Bins":
        """The bins for a rubric from `low` to `high`."""
        return cls(low - 0.4 * (high - low), 2 * (high - low) / BINS)

    def of(self, scores_N: np.ndarray) -> np.ndarray:
        """int64 (N,): bin of each score; scores must not be NaN."""
        scores_N = scores_N.astype(np.float64)
        places_N = np.rint((scores_N - self.start) / self.width)
        # The nearest edge, and on which side of it, by its own value: a quotient rounded to the other side would put a
        # score below the edge of its bin, so that a cut there would drop it.
        places_N -= scores_N < self.start + places_N * self.width
        return np.clip(places_N, 0, BINS - 1).astype(np.int64)

    def edge(self, place: float) -> float:
        """The score at a place among the bins, such as 3.0 for the lower edge of bin 3."""
        return self.start + place * self.width

    def quantile(self, counts_B: np.ndarray, share: float) -> float:
        """The score below which `share` of the counted scores lie; NaN if nothing was counted.

        Linear inside a bin. A bin that holds more than RANK_ERROR of the scores, more than one, and far more than its
        neighbours is not divided, as it may be a single value: then less than `share` lies below. Nor is the first,
        which has no lower edge.

        Args:
            share: in [0, 1).
        """
        total = int(counts_B.sum())
        if not total:
            return float("nan")
        at, before = _place(counts_B, share * total, share == 0)
        if at == 0:
            return LOWEST
        held = int(counts_B[at])
        if held > max(1, RANK_ERROR * total) and _stands_out(counts_B, at):
            return self.edge(at)
        return self.edge(at + (share * total - before) / held)


def _place(counts_B: np.ndarray, target: float, first: bool) -> tuple[int, int]:
    """The bin in which the cumulated count reaches `target`, or the first that is not empty; and the count before."""
    cumulative = np.cumsum(counts_B)
    at = int(np.searchsorted(cumulative, target, side="right" if first else "left"))
    return at, int(cumulative[at - 1]) if at else 0


def _stands_out(counts_B: np.ndarray, at: int) -> bool:
    """Whether a bin holds more than twice what the four on each side do on average, beyond what chance would give."""
    held = int(counts_B[at])
    beside = (int(counts_B[max(0, at - 4) : at + 5].sum()) - held) / 8
    return bool(held > 2 * beside + 5 * beside**0.5)


def rank_error(counts_B: np.ndarray, bin: int) -> float:
    """Most documents, as a share of all, by which a cut in this bin can be off."""
    return int(counts_B[bin]) / max(1, int(counts_B.sum()))


def rank_table(counts_HB: np.ndarray) -> np.ndarray:
    """float64 (H, B): share of the counted scores below each bin, its own counting half, in [0, 1]."""
    below = np.cumsum(counts_HB, axis=-1) - counts_HB / 2
    return np.asarray(below / np.maximum(1, counts_HB.sum(axis=-1, keepdims=True)))


class Histograms:
    """Histograms of the scores of one crawl, or of a unit of it.

    Attributes:
        heads: the H heads. bins: of their scores. counts: language -> int64 (M, H, BINS).
    """

    def __init__(self, heads: Iterable[str], bins: Bins) -> None:
        self.heads, self.bins = list(heads), bins
        self.counts: dict[str, np.ndarray] = {}

    def add(self, points_NH: np.ndarray, codes_N: np.ndarray, names: list[str], measures_MN: np.ndarray) -> None:
        """Count documents.

        Args:
            codes_N: int, the place in `names` of each document's language. measures_MN: int64, see MEASURES.
        """
        bins_NH = self.bins.of(points_NH)
        order = np.argsort(codes_N, kind="stable")
        bounds = np.searchsorted(codes_N[order], np.arange(len(names) + 1))
        for place, name in enumerate(names):
            rows = order[bounds[place] : bounds[place + 1]]
            if not len(rows):
                continue
            total_MHB = self._of(name)
            for h in range(len(self.heads)):
                for m in range(len(MEASURES)):
                    np.add.at(total_MHB[m, h], bins_NH[rows, h], measures_MN[m, rows])

    def merge(self, table: pa.Table) -> None:
        """Add the counts of a COUNT table.

        Raises:
            DataError: it lacks one of the heads, or has another.
        """
        found, heads = _encode(table.column("head"))
        if found and set(found) != set(self.heads):
            raise DataError(f"counts of the heads {', '.join(sorted(found))}, expected {', '.join(self.heads)}")
        names, codes = _encode(table.column("language"))
        places = np.array([self.heads.index(head) for head in found], np.int64)[heads] * BINS
        places += table.column("bin").to_numpy()
        measured = [table.column(measure).to_numpy() for measure in MEASURES]
        bounds = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
        for a, b in itertools.pairwise(bounds if len(codes) else []):
            total_MP = self._of(names[codes[a]]).reshape(len(MEASURES), -1)  # P: head and bin
            for total_P, values in zip(total_MP, measured, strict=True):
                np.add.at(total_P, places[a:b], values[a:b])

    def to_table(self) -> pa.Table:
        """COUNT rows, by language, head and bin."""
        pieces = [COUNT.empty_table()]
        for language, counts_MHB in sorted(self.counts.items()):
            heads, bins = np.nonzero(counts_MHB[0])
            measured = {name: counts_MHB[m, heads, bins] for m, name in enumerate(MEASURES)}
            words = {"language": [language] * len(bins), "head": np.array(self.heads, object)[heads]}
            pieces.append(pa.table({**words, "bin": bins, **measured}).cast(COUNT))
        return pa.concat_tables(pieces)

    @classmethod
    def of_table(cls, table: pa.Table, heads: Iterable[str], bins: Bins) -> "Histograms":
        """The histograms that a COUNT table holds."""
        made = cls(heads, bins)
        made.merge(table)
        return made

    def only(self, heads: list[str], shared: Mapping[str, Iterable[str]] | None = None) -> "Histograms":
        """Of some heads; the languages of a shared group are counted together, below the name of the group."""
        made = Histograms(heads, self.bins)
        chosen = [self.heads.index(head) for head in heads]
        group_of = {code: group for group, codes in (shared or {}).items() for code in codes}
        for language, counts_MHB in self.counts.items():
            total_MHB = made._of(group_of.get(language, language))
            total_MHB += counts_MHB[:, chosen]
        return made

    def totals(self, language: str) -> dict[str, int]:
        """Measure -> its sum over the counted documents of a language."""
        counts_MHB = self.counts.get(language)
        sums = [0] * len(MEASURES) if counts_MHB is None else counts_MHB[:, 0].sum(axis=1).tolist()
        return dict(zip(MEASURES, sums, strict=True))

    def _of(self, language: str) -> np.ndarray:
        if language not in self.counts:
            self.counts[language] = np.zeros((len(MEASURES), len(self.heads), BINS), np.int64)
        return self.counts[language]


def _encode(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """The different words of a column, and int32 (N,) the place of each row's word."""
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)
