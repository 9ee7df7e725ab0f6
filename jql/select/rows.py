"""The rows of a unit with what stands beside them, read a part at a time. Letters: N documents, H heads."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jql.documents import parts_of, read_column, read_documents
from jql.engine import storage
from jql.engine.plan import Unit
from jql.errors import DataError, one_line
from jql.select.columns import OF_DOCUMENT, source_of
from jql.select.cuts import Cuts
from jql.select.reasons import encode

PART_ROWS = 10_000  # rows of a unit in memory at a time, in whole row groups: 30 MB of web pages


@dataclass(frozen=True)
class Decided:
    """The N documents of a unit without their texts.

    Attributes:
        names: the languages. codes: int64 (N,), each document's place in them.
        keep: bool (N,). repeats: int64 (N,), how often a kept one should be seen, at least 1; 0 for the others.
        dropped: reason -> documents.
        columns: those of an exported row that are not the document's, N rows.
    """

    names: list[str]
    codes: np.ndarray
    keep: np.ndarray
    repeats: np.ndarray
    dropped: Counter[str]
    columns: pa.Table

    def __len__(self) -> int:
        return len(self.codes)

    def count(self, rows: np.ndarray) -> dict[str, int]:
        """Language -> how many of the documents are in it."""
        counts = np.bincount(self.codes[rows], minlength=len(self.names)).tolist()
        return {name: count for name, count in zip(self.names, counts, strict=True) if count}


@dataclass(frozen=True)
class Opened:
    """The N documents of a unit, texts aside.

    Attributes:
        columns: of an exported row, N rows; without text, bytes and source.
        unchecked: none has read the texts before, so whether they are UTF-8 is to be seen.
    """

    unit: Unit
    decided: Decided
    columns: pa.Table
    unchecked: bool


@dataclass(frozen=True)
class Batch:
    """Some documents of a unit with their texts, the first of them its document number `start`."""

    opened: Opened
    start: int
    texts: pa.StringArray

    @property
    def decided(self) -> Decided:
        """The decisions on the unit."""
        return self.opened.decided

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def kept(self) -> np.ndarray:
        """int64, the documents of the unit that are here and kept."""
        return self.start + np.flatnonzero(self.decided.keep[self.start : self.start + len(self)])

    @property
    def removed(self) -> np.ndarray:
        """int64, the documents of the unit that are here and not kept."""
        return self.start + np.flatnonzero(~self.decided.keep[self.start : self.start + len(self)])

    def by_language(self, rows: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Documents of the unit, language by language; their order within one is kept."""
        codes = self.decided.codes[rows]
        ordered = rows[np.argsort(codes, kind="stable")]
        counts = np.bincount(codes, minlength=len(self.decided.names))
        ends = np.cumsum(counts)
        for code in np.flatnonzero(counts):
            yield self.decided.names[code], ordered[ends[code] - counts[code] : ends[code]]

    def take(self, rows: np.ndarray, schema: pa.Schema) -> pa.Table:
        """Exported rows, copied, of documents of the unit that are here; in the order given, and as often as given.

        Raises:
            DataError: a text is not UTF-8.
        """
        taken = self.opened.columns.take(pa.array(rows))
        found: dict[str, Any] = _columns_of(taken)
        texts = self.texts.take(pa.array(rows - self.start))
        unit = self.opened.unit
        if self.opened.unchecked:
            try:
                texts.validate(full=True)
            except pa.ArrowInvalid as error:
                raise DataError(f"{unit.source}: cannot be read ({one_line(error)})") from error
        found |= {"text": texts, "bytes": pc.binary_length(texts)}
        found["source"] = pa.repeat(source_of(unit), len(rows))
        found["source_row"] = pa.array(rows + unit.payload.get("row", 0))
        columns = ((found[field.name], field.type) for field in schema)
        return pa.table([column if column.type == kind else column.cast(kind) for column, kind in columns], schema)


@dataclass(frozen=True)
class Reader:
    """Reads units with the tables beside their documents.

    Attributes:
        heads: whose scores a row has. clustered: whether it has its cluster. cuts: what ranks come from.
        repeat: whether documents are written several times, so that a row says 1.
    """

    heads: list[str]
    clustered: bool
    cuts: Cuts | None
    repeat: bool = False

    def decided(self, unit: Unit) -> Decided:
        """The decisions on a unit, and what stands beside them.

        Raises:
            DataError: the tables have different numbers of rows.
        """
        path = unit.payload["decisions"]
        table = storage.read_table(path, ["language", "keep", "reason", "repeats"])
        keep = table.column("keep").to_numpy()
        names, codes = encode(table.column("language"))
        reasons = table.column("reason")
        dropped = Counter({c["values"]: c["counts"] for c in reasons.value_counts().to_pylist() if c["values"]})
        repeats = np.where(keep, table.column("repeats").fill_null(1).to_numpy(), 0)
        scores = self._beside(unit, "scores", len(keep), [*self.heads, "tokens"])
        rank = self._ranks(scores, codes, names)
        said = np.minimum(repeats, 1) if self.repeat else repeats
        columns = {
            "language": table.column("language"),
            "tokens": scores.column("tokens"),
            "rank": pa.array(rank, pa.float32(), mask=np.isnan(rank)),
            "repeats": pa.array(said, pa.int32(), mask=~keep),
            "weight": pa.array(said * np.nan_to_num(rank, nan=1.0), pa.float32(), mask=~keep),
            "reason": reasons,
        }
        columns |= {f"score_{head}": scores.column(head) for head in self.heads}
        if self.clustered:
            clusters = self._beside(unit, "clusters", len(keep), ["cluster", "cluster_size"])
            columns |= {name: clusters.column(name) for name in clusters.column_names}
        return Decided(names, codes, keep, repeats.astype(np.int64), dropped, pa.table(columns).combine_chunks())

    def _beside(self, unit: Unit, name: str, rows: int, columns: list[str]) -> pa.Table:
        """Columns of a table beside the documents; nulls where a stage was allowed to miss the unit."""
        path = unit.payload.get(name)
        if path is None:
            return pa.table({column: pa.nulls(rows) for column in columns})
        table = storage.read_table(path, columns)
        if table.num_rows != rows:
            raise DataError(
                f"{unit.source}: {rows:,} decisions ({unit.payload['decisions']}), but {table.num_rows:,} rows of "
                f"{name} ({path}); they must be as many, so one of them is not of these documents"
            )
        return table

    def _ranks(self, scores: pa.Table, codes: np.ndarray, names: list[str]) -> np.ndarray:
        """float32 (N,), NaN where there is none."""
        if self.cuts is None or not set(self.cuts.heads) <= set(scores.column_names):
            return np.full(len(codes), np.nan, np.float32)
        points = np.empty((len(codes), len(self.cuts.heads)), np.float32, order="F")
        for h, head in enumerate(self.cuts.heads):
            points[:, h] = scores.column(head).cast(pa.float32()).to_numpy()
        return self.cuts.ranks(points, codes, names).astype(np.float32)

    def batches(self, unit: Unit, decided: Decided, all_rows: bool) -> Iterator[Batch]:
        """The documents of a unit, in order; parts without a kept one are left out unless `all_rows`.

        A unit that keeps nothing is not opened: its texts may have been what could not be scored.

        Raises:
            DataError: the file cannot be read, or its documents are not as many as the decisions.
        """
        if not decided.keep.any() and not all_rows:
            return
        apart = unit.payload["format"] == "parquet"  # lines come with their texts in any case
        # The languages are those of the decisions, so that none has to be identified again.
        wanted = [name for name in OF_DOCUMENT if name not in (("language", "text") if apart else ("language",))]
        documents = read_documents(unit, wanted, "und")
        self._check(unit, documents.num_rows, decided)
        names = [name for name in wanted if name != "text"]
        table = pa.table({**{name: documents.column(name) for name in names}, **_columns_of(decided.columns)})
        # Both stages look at all texts, which is a quarter of what an export costs.
        unchecked = not {"scores", "clusters"} & unit.payload.keys()
        opened = Opened(unit, decided, table.combine_chunks(), unchecked)
        if not apart:
            yield from _batches(opened, 0, documents.column("text"))
            return
        parts = parts_of(unit, PART_ROWS)
        starts = [part.payload["row"] - unit.payload["row"] for part in parts]
        for part, start, stop in zip(parts, starts, [*starts[1:], len(decided)], strict=True):
            if all_rows or decided.keep[start:stop].any():
                yield from _batches(opened, start, read_column(part, "text"))

    def _check(self, unit: Unit, documents: int, decided: Decided) -> None:
        if documents != len(decided):
            raise DataError(
                f"{unit.source}: {documents:,} documents, but {len(decided):,} decisions "
                f"({unit.payload['decisions']}); the file was changed, or these are decisions on another"
            )


def _columns_of(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _batches(opened: Opened, start: int, texts: pa.ChunkedArray | None) -> Iterator[Batch]:
    """One batch, or several where an array of strings would be over 2 GiB."""
    for piece in pa.table({"text": texts}).combine_chunks().column("text").chunks:
        yield Batch(opened, start, piece)
        start += len(piece)
