"""The frozen plan of a stage: its units, in a file that is written once and never changes."""

import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from jql.engine import storage
from jql.engine.fingerprint import Fingerprint
from jql.errors import RecipeError

UNIT = pa.schema([("index", pa.int64()), ("source", pa.string()), ("weight", pa.int64()), ("payload", pa.string())])


@dataclass(frozen=True)
class Unit:
    """One idempotent piece of a stage.

    `index` numbers the units of a plan from 0; units that share an index in two stages are aligned row for row.
    `weight` (bytes or rows) only orders the work, longest first. `payload` is what the stage's worker needs, as JSON.
    """

    index: int
    source: str
    weight: int = 0
    payload: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The unit in file names; folders of 1,000, so that no folder holds a million files."""
        return f"{self.index // 1000:05d}/{self.index % 1000:03d}"


class Plan:
    """Units of a stage as one Arrow table: 1,000,000 of them take about 200 MB, not one Python object each."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @classmethod
    def build(cls, units: Iterable[Unit]) -> "Plan":
        """Plan of the units in their order; index must count from 0."""
        pieces = []
        iterator = iter(units)
        count = 0
        while chunk := list(islice(iterator, 10_000)):
            assert [u.index for u in chunk] == list(range(count, count + len(chunk))), "unit indices must count from 0"
            count += len(chunk)
            pieces.append(
                pa.table(
                    {
                        "index": [u.index for u in chunk],
                        "source": [u.source for u in chunk],
                        "weight": [u.weight for u in chunk],
                        "payload": [json.dumps(u.payload, sort_keys=True) for u in chunk],
                    },
                    schema=UNIT,
                )
            )
        return cls(pa.concat_tables(pieces) if pieces else UNIT.empty_table())

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def unit(self, index: int) -> Unit:
        """The unit of an index."""
        row = self.table.slice(index, 1).to_pylist()[0]
        return Unit(row["index"], row["source"], row["weight"], json.loads(row["payload"]))

    def __iter__(self) -> Iterator[Unit]:
        for batch in self.table.to_batches(max_chunksize=10_000):
            for row in batch.to_pylist():
                yield Unit(row["index"], row["source"], row["weight"], json.loads(row["payload"]))

    def order(self) -> np.ndarray:
        """int64 (U,): unit indices, heaviest first, equal weights by index."""
        weights = self.table.column("weight").to_numpy()
        return np.lexsort((np.arange(len(weights)), -weights))


def open_plan(folder: str, fingerprint: Fingerprint, units: Iterable[Unit]) -> Plan:
    """The plan in a stage's folder; made from `units` if there is none yet, else `units` is not looked at.

    It is committed as a unit is: the table under a name of its own, then stage.json, created if absent, which names it.

    Raises:
        RecipeError: if the folder's plan was made for another fingerprint.
    """
    meta = storage.join(folder, "stage.json")
    if not storage.exists(meta):
        plan = Plan.build(units)
        name = f"plan-{uuid.uuid4().hex[:8]}.parquet"
        storage.write_table(folder, name, UNIT, [plan.table])
        record = {"digest": fingerprint.digest, "fields": fingerprint.fields, "units": len(plan), "plan": name}
        if storage.create(meta, json.dumps(record, indent=1, sort_keys=True).encode()):
            return plan
        storage.delete(storage.join(folder, name))
    found = json.loads(storage.read_bytes(meta))
    if found["digest"] != fingerprint.digest:
        raise RecipeError(
            f"{folder}: holds a plan for another recipe ({fingerprint.differs(found['fields'])}); choose another output"
        )
    return Plan(storage.read_table(storage.join(folder, found["plan"])))
