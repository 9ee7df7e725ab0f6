"""Row groups of several tables at a time, from rows that come in any order, in bounded memory; and sums of them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

HELD_BYTES = 256 << 20  # 8 languages wait for 10,000 web pages each, or 80 for 1,000


class RowGroups:
    """Collects rows by the name of their table, and gives out row groups of a number of rows.

    Where all that waits comes to more than HELD_BYTES, what is largest goes as it is, so a row group may be smaller:
    memory depends neither on the rows of a table nor on how many tables there are.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._waiting: dict[str, list[pa.Table]] = {}
        self._rows: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """Bytes that wait."""
        return self._bytes.total()

    def add(self, name: str, table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        """Take rows in; gives out what is complete."""
        self._put(name, table)
        while self._rows[name] >= self.rows:
            _, together = self._take(name)
            yield name, together.slice(0, self.rows)
            if together.num_rows > self.rows:
                self._put(name, together.slice(self.rows))
        while self.held > HELD_BYTES:
            yield self._take(max(self._bytes, key=lambda n: (self._bytes[n], n)))

    def _put(self, name: str, table: pa.Table) -> None:
        self._waiting.setdefault(name, []).append(table)
        self._rows[name] += table.num_rows
        self._bytes[name] += table.get_total_buffer_size()  # also of what a slice is from, which stays with it

    def _take(self, name: str) -> tuple[str, pa.Table]:
        together = pa.concat_tables(self._waiting[name])
        self._waiting[name] = []
        self._rows[name] = self._bytes[name] = 0
        return name, together

    def rest(self) -> Iterator[tuple[str, pa.Table | None]]:
        """What still waits, table by table, and None after each: it is whole."""
        for name in sorted(self._waiting):
            if self._waiting[name]:
                yield self._take(name)
            yield name, None


def no_sums() -> dict[str, int]:
    """Sums of no rows: documents, characters, bytes and tokens of the texts, `size` in memory."""
    return dict.fromkeys(("documents", "characters", "bytes", "tokens", "size"), 0)


def add_sums(sums: dict[str, dict[str, int]], name: str, table: pa.Table) -> None:
    """Add rows to the sums of their table."""
    into = sums.setdefault(name, no_sums())
    found: dict[str, Any] = {
        "documents": table.num_rows,
        "characters": pc.sum(pc.utf8_length(table.column("text"))).as_py(),
        "bytes": pc.sum(table.column("bytes")).as_py(),
        "tokens": pc.sum(table.column("tokens")).as_py(),
        "size": table.nbytes,
    }
    for key, value in found.items():
        into[key] += value or 0
