"""Groups of document units that are exported together, and what is common to all ways of doing it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from jql.documents import Documents
from jql.engine.ahead import ahead
from jql.engine.plan import Unit
from jql.engine.receipt import ASIDE
from jql.engine.run import StageRun
from jql.engine.stage import Guard, Output
from jql.errors import DataError
from jql.select.batch import Batch, Decided
from jql.select.row_groups import RowGroups, add_sums, no_sums
from jql.select.rows import Reader

AHEAD = 3  # batches that are read while a row group is written, which takes as long as to read two of them
REMOVED = ASIDE + "removed/"
"""What the names of tables begin with that hold removed documents; the language follows."""


def group_units(counts: list[int], size: int) -> list[list[int]]:
    """Consecutive units in groups that hold at least `size` kept documents each, the last one what is left."""
    groups: list[list[int]] = [[]]
    kept = 0
    for index, count in enumerate(counts):
        if kept >= size:
            groups.append([])
            kept = 0
        groups[-1].append(index)
        kept += count
    return [group for group in groups if group]


def units_in_groups(
    size: int, documents: Documents, clusters: StageRun | None, scores: StageRun | None, decisions: StageRun
) -> Iterator[Unit]:
    """The document units with the paths of their side tables, in groups of at least `size` kept documents."""
    kept = {r.unit: r.accepted for r in decisions.receipts()}
    # Without those that are missing, where that is tolerated.
    beside = documents.beside(clusters=clusters, scores=scores, decisions=decisions)
    members = [unit for unit in beside if unit.index in kept]
    for number, group in enumerate(group_units([kept[u.index] for u in members], size)):
        payload = [{**m.payload, "index": m.index, "source": m.source} for m in (members[i] for i in group)]
        yield Unit(number, f"group {number}", sum(members[i].weight for i in group), {"members": payload})


@dataclass(frozen=True)
class Unread:
    """Language -> documents that could not be read, of a unit that keeps nothing."""

    counts: dict[str, int]


def read_group(unit: Unit, reader: Reader, removed: bool, guard: Guard, output: Output) -> Iterator[Batch]:
    """The documents of a group's units, a batch at a time, the next one read meanwhile; `output` counts them.

    Raises:
        DataError: as of the reader.
    """
    guard.arm(100)
    for found in ahead(_read(unit, reader, removed), depth=AHEAD):
        guard.arm(100)
        if isinstance(found, Decided):
            output.rows_in += len(found)
            output.drops.update(found.dropped)
        elif isinstance(found, Unread):
            for language, count in found.counts.items():
                sums = output.stats["tables"].setdefault(REMOVED + language, no_sums())
                sums["unread"] = sums.get("unread", 0) + count
        else:
            yield found


def _read(unit: Unit, reader: Reader, removed: bool) -> Iterator[Decided | Batch | Unread]:
    """The decisions on each unit of a group, and then its documents."""
    for member in unit.payload["members"]:
        member = Unit(member["index"], member["source"], 0, member)
        decided = reader.decided(member)
        yield decided
        read = 0
        try:
            for batch in reader.batches(member, decided, removed):
                yield batch
                read += len(batch)
        except DataError:
            if decided.keep.any():
                raise
            # Nothing of this unit is kept, perhaps because it cannot be read; the others of its group can.
            yield Unread(decided.count(np.arange(read, len(decided))))


def add_removed(
    batch: Batch, schema: pa.Schema, groups: RowGroups, sums: dict[str, dict[str, int]]
) -> Iterator[tuple[str, pa.Table]]:
    """Put the removed documents of a batch to the row groups of their languages; gives out what is complete."""
    for language, rows in batch.by_language(batch.removed):
        table = batch.take(rows, schema)
        add_sums(sums, REMOVED + language, table)
        yield from groups.add(REMOVED + language, table)
