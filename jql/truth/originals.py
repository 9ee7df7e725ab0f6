"""The documents of ground truth that nobody has translated."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from jql.documents.inputs import list_files
from jql.engine import storage
from jql.errors import InputError, one_line
from jql.schema import TRUTH


@dataclass(frozen=True)
class Originals:
    """Rows of TRUTH that are no translations, in order, each with a `source` of its own; the others, by reason."""

    rows: list[dict[str, Any]]
    left_out: Counter[str]

    def origins(self) -> dict[str, int]:
        """Origin -> documents."""
        return dict(sorted(Counter(row["origin"] for row in self.rows).items()))


def read_originals(path: str) -> Originals:
    """The originals of a TRUTH table, a file or a folder of them.

    Left out are translations (with a translator, or of a document that is there too) and copies (documents of a source
    that is not there, but that an earlier one has as well).

    Raises:
        InputError: nothing there, no TRUTH table, an id that is there twice, or no original.
    """
    rows = [row for file in list_files(path, (".parquet",)) for row in read_truth(file).to_pylist()]
    ids = Counter(row["id"] for row in rows)
    if twice := [id for id, times in ids.items() if times > 1]:
        raise InputError(f"{path}: id {twice[0]!r} is there {ids[twice[0]]} times; give each document one of its own")
    found: dict[str, dict[str, Any]] = {}
    left_out: Counter[str] = Counter()
    for row in rows:
        if row["translator"] is not None or (row["source"] != row["id"] and row["source"] in ids):
            left_out["translation"] += 1
        elif row["source"] in found:
            left_out["copy"] += 1
        else:
            found[row["source"]] = row
    if not found:
        raise InputError(f"{path}: {len(rows):,} rows, none of them an original (translator null); name another table")
    return Originals(list(found.values()), left_out)


def read_truth(file: str) -> pa.Table:
    """One file of TRUTH.

    Raises:
        InputError: naming the column.
    """
    hint = "make the table with jql truth aggregate"
    try:
        table = storage.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file}: not a readable Parquet file ({one_line(error)}); fetch it again") from error
    if missing := [name for name in TRUTH.names if name not in table.column_names]:
        raise InputError(f"{file}: no TRUTH table, it has no column {', '.join(missing)}; {hint}")
    try:
        return table.select(TRUTH.names).cast(TRUTH)
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{file}: no TRUTH table ({one_line(error)}); {hint}") from error
