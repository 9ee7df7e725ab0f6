"""Exchange by key: a unit writes its rows by partition, a unit of a later phase reads one partition of all of them."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from jql.engine import storage


def partitioned(table: pa.Table, parts: np.ndarray, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of a table with their partition, one piece (so one row group) a partition, in order of the partition.

    Args:
        parts: int (N,), partition of each row. Order within a partition is kept.
    """
    order = np.argsort(parts, kind="stable")
    ordered = table.take(pa.array(order)).add_column(0, "part", pa.array(parts[order].astype(np.int32)))
    bounds = np.flatnonzero(np.diff(parts[order])) + 1
    for a, b in zip([0, *bounds], [*bounds, len(order)], strict=True):
        if b > a:
            yield ordered.slice(a, b - a).cast(schema)


def read_part(paths: list[str], part: int, columns: Sequence[str]) -> pa.Table:
    """The rows of one partition in many files; only its row groups are read."""
    tables = [storage.read_table(path, columns, [("part", "=", part)]) for path in paths]
    return pa.concat_tables(tables)
