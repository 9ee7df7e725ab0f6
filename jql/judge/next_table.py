"""The table of documents to label next: what may be asked for, how it is written, and what is told about it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from jql.documents import list_files
from jql.engine import storage
from jql.errors import InputError, RecipeError
from jql.languages import check_language
from jql.schema import JUDGMENT

NEXT = pa.schema(
    [
        *(JUDGMENT.field(name) for name in ("id", "source", "language", "text")),
        pa.field("acquisition", pa.float64(), nullable=False),
        pa.field("by", pa.string(), nullable=False),
    ]
)
"""By language and within it the most wanted first; read as documents as it stands. `by` says what acquisition is."""


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        out: a Parquet file, local or remote. documents: the budget.
        by: what decides. languages: those wanted, none for all.
    """

    out: str
    documents: int
    by: str
    languages: Sequence[str]
    seed: int

    def check(self, ways: Sequence[str]) -> None:
        """Whether this can be had.

        Raises:
            RecipeError: the option, what it is and what was expected.
        """
        if self.by not in ways:
            raise RecipeError(f"by: expected {' or '.join(ways)}, got {self.by!r}")
        for name, value, least in (("documents", self.documents, 1), ("seed", self.seed, 0)):
            if value < least:
                raise RecipeError(f"{name}: expected {least} or more, got {value}")
        if not self.out.endswith(".parquet"):
            raise RecipeError(f"out: expected a file ending in .parquet, got {self.out}")
        for code in self.languages:
            check_language(code)


def read_rows(path: str, columns: list[str]) -> Iterator[dict[str, Any]]:
    """These columns of the Parquet files at a path, row by row.

    Raises:
        InputError: no files there, or a column is missing.
    """
    for file in list_files(path, (".parquet",)):
        try:
            table = storage.read_table(file, columns)
        except pa.ArrowInvalid as error:
            raise InputError(f"{file}: expected the columns {', '.join(columns)} ({error})") from error
        yield from table.to_pylist()


def next_table(rows: list[dict[str, Any]], acquisition_C: np.ndarray, by: str) -> pa.Table:
    """NEXT rows of documents (id, source or null, language, text) and their acquisition, float64."""
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in ("id", "language", "text")}
    columns["source"] = [row["source"] or row["id"] for row in rows]
    return pa.table({**columns, "acquisition": acquisition_C, "by": [by] * len(rows)}, schema=NEXT)


def write_next(where: str, wish: Wish, table: pa.Table, held: Counter[str], left_out: Counter[str]) -> dict[str, Any]:
    """Write it, and say what was chosen of what each language held.

    Args:
        where: the input. held: language -> documents that could be chosen. left_out: reason -> documents.

    Returns:
        out, by, documents, wanted, languages (held and chosen), left_out.

    Raises:
        InputError: nothing to choose from, in all or in a language that was asked for. OutputError: see storage.
    """
    missing = [code for code in wish.languages if not held[code]]
    if missing or not held:
        left = ", ".join(f"{reason} {count:,}" for reason, count in sorted(left_out.items())) or "nothing"
        what = f"document of {', '.join(missing)}" if missing else "document"
        raise InputError(f"{where}: no {what} that can be labelled (left out: {left}); check the input")
    storage.write_file(wish.out, table)
    chosen = Counter(table.column("language").to_pylist())
    return {
        "out": wish.out,
        "by": wish.by,
        "documents": table.num_rows,
        "wanted": wish.documents,
        "languages": {code: {"held": held[code], "chosen": chosen[code]} for code in sorted(held)},
        "left_out": dict(sorted(left_out.items())),
    }
