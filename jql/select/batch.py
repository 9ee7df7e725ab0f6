"""Documents of a unit in memory: the decisions on all of them, and some of their texts. Letter: N documents."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jql.engine.plan import Unit
from jql.errors import DataError, one_line
from jql.select.columns import source_of


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
    """Some documents of a unit with their texts, which are in several arrays, the first of them the unit's `start`."""

    opened: Opened
    start: int
    texts: list[pa.StringArray]

    @property
    def decided(self) -> Decided:
        """The decisions on the unit."""
        return self.opened.decided

    def __len__(self) -> int:
        return sum(map(len, self.texts))

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
        """Exported rows, copied, of documents of the unit that are here.

        Args:
            rows: int, the documents, ascending; as often as they are to be taken.

        Raises:
            DataError: a text is not UTF-8.
        """
        found: dict[str, Any] = columns_of(self.opened.columns.take(pa.array(rows)))
        texts = self._take_texts(rows)
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

    def _take_texts(self, rows: np.ndarray) -> pa.ChunkedArray:
        """From each array what is wanted of it: to make one of them first would be to copy all texts."""
        starts = self.start + np.cumsum([0, *map(len, self.texts)])
        bounds = np.searchsorted(rows, starts).tolist()
        wanted = zip(self.texts, starts.tolist(), bounds, bounds[1:], strict=False)
        return pa.chunked_array([t.take(pa.array(rows[a:b] - s)) for t, s, a, b in wanted if a < b], pa.string())


def columns_of(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    """The columns of a table by name."""
    return dict(zip(table.column_names, table.columns, strict=True))
