"""What is known of a scored crawl before anything is decided: its histograms and its joint sample.

From these come the cuts for any wish, and what they will keep.
"""

import json
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from jql.annotator.histogram import MEASURES, Bins, Histograms
from jql.documents import document_name
from jql.engine import storage
from jql.errors import InputError
from jql.recipe import Select
from jql.select.cuts import Cuts
from jql.select.predict import Drawn, estimate, interval, one_of_each, strata_of
from jql.select.reasons import encode
from jql.select.verdicts import dates
from jql.select.wish import cuts_for

HISTOGRAMS, SAMPLE = "histograms.parquet", "sample.parquet"


class Outlook:
    """Histograms and joint sample of a run.

    Attributes:
        histograms: of every head. sample: SAMPLE, with the column `rate`. annotator: name and revision.
        rates: language -> tokens of the recipe's tokenizer to one of the vocabulary in the box; empty without one.
    """

    def __init__(
        self, histograms: Histograms, sample: pa.Table, annotator: dict[str, str], rates: dict[str, float] | None = None
    ) -> None:
        self.histograms, self.sample, self.annotator, self.rates = histograms, sample, annotator, rates or {}
        self.names, self.codes = encode(sample.column("language"))
        points = [sample.column(f"score_{head}").to_numpy(zero_copy_only=False) for head in histograms.heads]
        self.points = np.stack(points, axis=1) if points else np.zeros((len(self.codes), 0), np.float32)
        self.open = sample.column("reason").is_null().to_numpy(zero_copy_only=False)

    def save(self, folder: str, kept_N: np.ndarray) -> None:
        """Write histograms.parquet and sample.parquet, the latter with the column `kept`."""
        bins = self.histograms.bins
        about = {"heads": self.histograms.heads, "start": bins.start, "width": bins.width, "rates": self.rates}
        about["annotator"] = self.annotator
        table = self.histograms.to_table().replace_schema_metadata({"jql": json.dumps(about)})
        storage.write_file(storage.join(folder, HISTOGRAMS), table)
        storage.write_file(storage.join(folder, SAMPLE), self.sample.append_column("kept", pa.array(kept_N)))

    @classmethod
    def of_run(cls, folder: str) -> "Outlook":
        """What a run folder's select stage left there.

        Raises:
            InputError: it has not come so far.
        """
        paths = [storage.join(folder, name) for name in (HISTOGRAMS, SAMPLE)]
        if missing := [path for path in paths if not storage.exists(path)]:
            raise InputError(f"{missing[0]}: not there; run `jql select {folder}` first")
        counts, sample = map(storage.read_table, paths)
        about = json.loads(counts.schema.metadata[b"jql"])
        histograms = Histograms.of_table(counts, about["heads"], Bins(about["start"], about["width"]))
        return cls(histograms, sample.drop_columns(["kept"]), about["annotator"], about["rates"])

    def cuts(self, wish: Select) -> Cuts:
        """The cuts that a recipe asks for.

        Raises:
            RecipeError: see `cuts_for`.
        """
        return cuts_for(self, wish)

    def kept(self, wish: Select, cuts: Cuts, languages: Iterable[str] | None = None) -> np.ndarray:
        """Bool (N,): which documents of the sample are kept; of some languages only, if they are named."""
        if languages is None:
            rows = np.flatnonzero(self.open)
        else:
            rows = np.concatenate([np.zeros(0, np.int64), *map(self._rows, languages)])
            rows = rows[self.open[rows]]
        if wish.by != "heuristics":
            passes = cuts.verdicts(self._voting(cuts, rows), self.codes[rows], self.names) == 0
            rows = rows[passes]
        if wish.copy_kept != "every":
            rows = rows[one_of_each(self._clusters[rows], self._merit(wish, cuts, rows), self._ids[rows])]
        kept = np.zeros(len(self.codes), bool)
        kept[rows] = True
        return kept

    def _voting(self, cuts: Cuts, rows: np.ndarray) -> np.ndarray:
        places = [self.histograms.heads.index(head) for head in cuts.heads]
        return np.asarray(self.points[rows][:, places])

    def _merit(self, wish: Select, cuts: Cuts, rows: np.ndarray) -> np.ndarray:
        """As `verdicts.merit`."""
        if wish.copy_kept == "best":
            ranks = cuts.ranks(self._voting(cuts, rows), self.codes[rows], self.names)
            return np.asarray(np.nan_to_num(ranks, nan=-1.0))
        if wish.copy_kept == "longest":
            return np.asarray(self._sizes[1, rows], np.float64)
        return self._dates[rows] if wish.copy_kept == "newest" else np.zeros(len(rows))

    def predict(self, wish: Select, cuts: Cuts, languages: Iterable[str] | None = None) -> dict[str, Any]:
        """What the cuts will keep, of some languages or all.

        Returns:
            languages: code -> nominal (the share that each head's cut keeps by itself, or None), and documents, bytes
            and tokens as [estimate, low, high], 95 % intervals; sample and rate, what they rest on. total: the same.
        """
        kept = self.kept(wish, cuts)
        found: dict[str, Any] = {}
        sums = np.zeros((len(MEASURES), 2))
        for code in languages or self.names:
            values = self.estimate(code, kept)
            values[2] *= self.rates.get(code, 1.0)
            sums += np.stack([values[:, 0], values[:, 1] ** 2], axis=1)
            cut, drawn = cuts.languages.get(code), self._drawn(code)
            nominal = None if cut is None or cut.values is None or cut.quantile is None else round(1 - cut.quantile, 6)
            measured = {name: interval(*values[m]) for m, name in enumerate(MEASURES)}
            found[code] = {"nominal": nominal, **measured, "sample": len(drawn.of), "rate": round(drawn.rate, 6)}
        total = {name: interval(sums[m, 0], float(np.sqrt(sums[m, 1]))) for m, name in enumerate(MEASURES)}
        return {"languages": found, "total": total}

    def estimate(self, code: str, kept_N: np.ndarray) -> np.ndarray:
        """float64 (M, 2): what is kept of a language, and its standard error; tokens are those of the box."""
        if code not in self.names:
            return np.zeros((len(MEASURES), 2))
        return estimate(self._drawn(code), kept_N[self._rows(code)])

    def _rows(self, code: str) -> np.ndarray:
        if code not in self._by_language:
            place = self.names.index(code) if code in self.names else -1
            self._by_language[code] = np.flatnonzero(self.codes == place)
        return self._by_language[code]

    def _drawn(self, code: str) -> Drawn:
        """The drawn clusters of a language."""
        if code not in self._drawn_of:
            self._drawn_of[code] = self._draw(code)
        return self._drawn_of[code]

    def _draw(self, code: str) -> Drawn:
        rows = self._rows(code)
        _, of = np.unique(self._clusters[rows], return_inverse=True)
        clusters = int(of.max(initial=-1)) + 1
        counted = np.flatnonzero(self.sample.column("representative").to_numpy(zero_copy_only=False)[rows])
        known = np.zeros((len(MEASURES), clusters), np.int64)
        known[:, of[counted]] = self._sizes[:, rows[counted]]
        stratum = np.full(clusters, -1, np.int64)
        histogram = self.histograms.counts.get(code)
        totals = np.zeros((len(MEASURES), 1), np.int64)
        if histogram is not None and len(counted):
            points = np.nan_to_num(self.points[rows[counted], 0], nan=-np.inf)  # held back: below every score
            stratum[of[counted]], totals = strata_of(self.histograms.bins.of(points), histogram[:, 0])
        rate = float(self.sample.column("rate")[int(rows[0])].as_py()) if len(rows) else 0.0
        return Drawn(of, self._sizes[:, rows], known, stratum, totals, rate)

    @cached_property
    def _by_language(self) -> dict[str, np.ndarray]:
        return {}

    @cached_property
    def _drawn_of(self) -> dict[str, Drawn]:
        return {}

    @cached_property
    def _sizes(self) -> np.ndarray:
        """int64 (M, N): 1, bytes and tokens of each drawn document; 0 where it has no text."""
        columns = [self.sample.column(name).fill_null(0).to_numpy() for name in MEASURES[1:]]
        return np.stack([np.ones(len(self.codes), np.int64), *columns])

    @cached_property
    def _clusters(self) -> np.ndarray:
        """int64 (N,): numbers of the clusters. A document that is alone has its own, even if its id comes again."""
        _, place = np.unique(self.sample.column("cluster").to_numpy(), return_inverse=True)
        alone = self.sample.column("cluster_size").to_numpy() == 1
        return np.where(alone, len(place) + np.arange(len(place)), place)

    @cached_property
    def _dates(self) -> np.ndarray:
        return dates(self.sample.column("date"))

    @cached_property
    def _ids(self) -> np.ndarray:
        return np.array([document_name(id) for id in self.sample.column("id").to_pylist()], np.uint64)
