"""An export in another order than the input's: shuffled or sorted over a whole language, three phases on the engine.

    export/keys    per document unit   sorted only: a sample of the keys, for buckets of about equal size
    export/rows    per group of units  kept rows with their key                         partitioned by language and key
    export/files   per file or more    the rows of a file in their order

A row's key is 64 bits: shuffled, a hash of the document's id and the number of its copy with the recipe's seed; sorted,
its rank, best first, then a hash. Rows are ordered by language and key, so by nothing of how they came; documents of
one id follow the input. A bucket is a range of that order, and what a worker holds at a time; files are cut from the
order itself, so each but the last of a language has exactly its number of documents.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from jql.engine import storage
from jql.engine.exchange import read_part
from jql.engine.plan import Unit
from jql.engine.receipt import ASIDE
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import Guard, Output, Stage
from jql.recipe import Recipe
from jql.select.batch import Batch
from jql.select.columns import export_schema
from jql.select.keys import Buckets, Order, copy_keys, files_of, sampled_bounds, uniform_bounds
from jql.select.reasons import encode
from jql.select.row_groups import RowGroups, add_sums
from jql.select.rows import Reader
from jql.select.unit_groups import add_removed, read_group

VERSION = 2
BUCKET = 50_000  # most documents of a bucket, about: 150 MB of web pages
SAMPLE = 100  # keys drawn to a bucket; sizes of buckets then vary by a tenth
HELD_BYTES = 256 << 20  # of rows that wait to be partitioned; each lot has a row group in every bucket
KEY = pa.schema([("language", pa.string()), ("key", pa.uint64())])


class KeyWorker:
    """Draws kept documents of a unit by their hash, for the quantiles of the keys."""

    def __init__(self, reader: Reader, order: Order, shares: dict[str, float]) -> None:
        self.reader, self.order, self.shares = reader, order, shares

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """KEY rows."""
        guard.arm(100)
        decided = self.reader.decided(unit)
        kept = np.flatnonzero(decided.keep) if "scores" in unit.payload else np.empty(0, np.int64)
        if not len(kept):
            return Output({"": (KEY, [])}, len(decided))
        ids = storage.read_table(unit.payload["scores"], ["id"]).column("id").take(pa.array(kept)).to_pylist()
        rank = decided.columns.column("rank").to_numpy()[kept]
        keys = self.order.keys(ids, rank, np.zeros(len(kept), np.int64))
        shares = np.array([self.shares.get(name, 0.0) for name in decided.names])[decided.codes[kept]]
        drawn = copy_keys(keys, np.ones(len(keys), np.int64)) / 2.0**64 < shares
        languages = [decided.names[code] for code in decided.codes[kept[drawn]]]
        table = pa.table({"language": pa.array(languages, pa.string()), "key": keys[drawn]}, KEY)
        return Output({"": (KEY, [table])}, len(decided))


class RowWorker:
    """Gives the kept documents of a group of units to the buckets."""

    def __init__(self, reader: Reader, order: Order, buckets: Buckets, row_group: int, removed: bool) -> None:
        self.reader, self.order, self.buckets = reader, order, buckets
        self.row_group, self.removed = row_group, removed
        self.schema = export_schema(reader.heads, reader.clustered)
        self.aside = export_schema(reader.heads, reader.clustered, removed=True)

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """Exported rows with bucket, key and document, a row group a bucket; removed documents aside."""
        output = Output(stats={"tables": {}, "buckets": {}})
        output.mixed = self._pieces(unit, guard, output)
        return output

    def _pieces(self, unit: Unit, guard: Guard, output: Output) -> Iterator[tuple[str, pa.Table | None]]:
        waiting: list[pa.Table] = []
        held = 0
        groups = RowGroups(self.row_group)
        for batch in read_group(unit, self.reader, self.removed, guard, output):
            rows = self._rows(batch, output.stats["buckets"])
            if held + rows.nbytes > HELD_BYTES:
                yield from self._parted(waiting)
                held = 0
            waiting.append(rows)
            held += rows.nbytes
            if self.removed:
                yield from add_removed(batch, self.aside, groups, output.stats["tables"])
        yield from self._parted(waiting)
        yield from groups.rest()

    def _rows(self, batch: Batch, counts: dict[str, dict[str, int]]) -> pa.Table:
        """The kept documents of a batch, as often as they are to be written, with their keys; `counts` counts them."""
        decided = batch.decided
        kept = batch.kept
        copies = np.zeros(len(kept), np.int64)
        if self.reader.repeat:
            times = decided.repeats[kept]
            kept = np.repeat(kept, times)
            copies = np.arange(len(kept)) - np.repeat(np.cumsum(times) - times, times)
        table = batch.take(kept, self.schema)
        rank = table.column("rank").to_numpy()
        keys = self.order.keys(table.column("id").to_pylist(), rank, copies)
        buckets = self.buckets.of(decided.names, decided.codes[kept], keys)
        both, numbers = np.unique(decided.codes[kept] * self.buckets.number + buckets, return_counts=True)
        for place, number in zip(both.tolist(), numbers.tolist(), strict=True):
            into = counts.setdefault(decided.names[place // self.buckets.number], {})
            bucket = str(place % self.buckets.number)
            into[bucket] = into.get(bucket, 0) + number
        gids = kept | batch.opened.unit.index << 32
        for name, values in (("gid", gids), ("key", keys), ("part", buckets.astype(np.int32))):
            table = table.add_column(0, name, pa.array(values))
        return table

    def _parted(self, waiting: list[pa.Table]) -> Iterator[tuple[str, pa.Table]]:
        """The rows that wait, a piece a bucket; none waits any more."""
        if not waiting:
            return
        together = pa.concat_tables(waiting).combine_chunks()
        waiting.clear()
        if not together.num_rows:
            return
        parts = together.column("part").to_numpy()
        order = np.argsort(parts, kind="stable")
        bounds = [0, *(np.flatnonzero(np.diff(parts[order])) + 1).tolist(), len(order)]
        for a, b in itertools.pairwise(bounds):
            yield self.buckets.table(int(parts[order[a]])), together.take(pa.array(order[a:b]))


class FileWorker:
    """Writes files from the buckets that their rows are in."""

    def __init__(self, schema: pa.Schema, paths: dict[str, list[str]], buckets: Buckets, row_group: int) -> None:
        self.schema, self.paths, self.buckets, self.row_group = schema, paths, buckets, row_group

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """A table a language."""
        output = Output(stats={"tables": {}})
        output.mixed = self._pieces(unit, guard, output)
        return output

    def _pieces(self, unit: Unit, guard: Guard, output: Output) -> Iterator[tuple[str, pa.Table | None]]:
        bucket, table = -1, self.schema.empty_table()
        places: dict[str, np.ndarray] = {}
        for file in unit.payload["files"]:
            language, groups = file["language"], RowGroups(self.row_group)
            for wanted, start, stop in file["ranges"]:
                guard.arm(100)
                if bucket != wanted:
                    bucket, table, places = wanted, self.schema.empty_table(), {}  # not two of them in memory
                    table, places = self._open(bucket)
                for at in range(start, stop, self.row_group):
                    rows = places[language][at : min(stop, at + self.row_group)]
                    piece = table.take(pa.array(rows)).cast(self.schema)
                    output.rows_in += piece.num_rows
                    add_sums(output.stats["tables"], language, piece)
                    yield from groups.add(language, piece)
            yield from groups.rest()

    def _open(self, bucket: int) -> tuple[pa.Table, dict[str, np.ndarray]]:
        """The rows of a bucket, and where those of each language are, in order."""
        table = read_part(self.paths[self.buckets.table(bucket)], bucket, ["key", "gid", *self.schema.names])
        names, codes = encode(table.column("language"))
        order = np.lexsort((table.column("gid").to_numpy(), table.column("key").to_numpy(), codes))
        ends = np.cumsum(np.bincount(codes, minlength=len(names)))
        places = dict(zip(names, np.split(order, ends[:-1]), strict=True))
        # In one piece, which 32-bit offsets into 2 GiB of text would not let it be.
        text = self.schema.get_field_index("text")
        table = table.select(self.schema.names)
        return table.set_column(text, "text", table.column(text).cast(pa.large_string())).combine_chunks(), places


@dataclass(frozen=True)
class Inputs:
    """What an export in order is made from.

    Attributes:
        counts: language -> rows, copies counted; may be too many.
        units: of documents. groups: of those, with at least so many kept documents each.
        mark: what stands for all of it in a fingerprint.
    """

    counts: dict[str, int]
    units: Callable[[], Iterable[Unit]]
    groups: Callable[[int], Iterable[Unit]]
    mark: dict[str, Any]


def run_ordered(recipe: Recipe, run: StageRunner, reader: Reader, inputs: Inputs) -> tuple[StageRun, StageRun]:
    """Write the kept documents in order; returns the stage with the files, and the one that read the documents."""
    wish = recipe.export
    assert wish.order != "input"
    order = Order(wish.order, recipe.seed if wish.order == "shuffled" else 0)
    size = min(wish.file_documents, BUCKET)
    buckets, mark = _make_buckets(run, reader, order, inputs, size)
    config: dict[str, Any] = {"order": wish.order, "seed": order.seed, "size": size, "repeat": wish.repeat}
    config |= {"removed": wish.row_group if wish.removed else 0}
    settings: dict[str, Any] = {"reader": reader, "order": order, "buckets": buckets}
    settings |= {"row_group": wish.row_group, "removed": wish.removed}
    stage = Stage("export/rows", VERSION, config, mark, RowWorker, settings, "many", "export_crash")
    rows = run.run(stage, lambda: inputs.groups(size))

    paths, counts = _found(rows)
    schema = export_schema(reader.heads, reader.clustered)
    settings = {"schema": schema, "paths": paths, "buckets": buckets, "row_group": wish.row_group}
    config = {"file_documents": wish.file_documents, "row_group": wish.row_group}
    stage = Stage("export/files", VERSION, config, rows.mark(), FileWorker, settings, "filter", "export_crash")

    def units() -> Iterator[Unit]:
        for i, files in enumerate(files_of(counts, wish.file_documents, size)):
            languages = sorted({file["language"] for file in files})
            what = languages[0] + (f" to {languages[-1]}" if len(languages) > 1 else "")
            weight = sum(b - a for file in files for _, a, b in file["ranges"])
            yield Unit(i, f"files {i}: {what}", weight, {"files": files})

    return run.run(stage, units), rows


def _make_buckets(
    run: StageRunner, reader: Reader, order: Order, inputs: Inputs, size: int
) -> tuple[Buckets, dict[str, Any]]:
    """Buckets of about `size` rows, and the mark of all that they are from."""
    number = {language: max(1, round(count / size)) for language, count in inputs.counts.items() if count}
    if order.order == "shuffled" or reader.cuts is None:
        return Buckets.make({code: uniform_bounds(n) for code, n in number.items()}, inputs.counts, size), inputs.mark
    shares = {language: SAMPLE * n / inputs.counts[language] for language, n in number.items() if n > 1}
    settings = {"reader": replace(reader, heads=reader.cuts.heads, clustered=False), "order": order, "shares": shares}
    stage = Stage("export/keys", VERSION, {"size": size}, inputs.mark, KeyWorker, settings, "many", "export_crash")
    keys = run.run(stage, inputs.units)
    drawn = pa.concat_tables([KEY.empty_table(), *keys.tables()])
    return Buckets.make(sampled_bounds(drawn, number), inputs.counts, size), {**inputs.mark, "keys": keys.mark()}


def _found(rows: StageRun) -> tuple[dict[str, list[str]], dict[str, dict[int, int]]]:
    """Table of the exchange -> its files, and language -> bucket -> rows."""
    paths: dict[str, list[str]] = {}
    counts: dict[str, dict[int, int]] = {}
    for receipt in rows.receipts():
        for name in sorted(name for name in receipt.files if not name.startswith(ASIDE)):
            paths.setdefault(name, []).append(rows.path(receipt, name))
        for language, by_bucket in receipt.stats["buckets"].items():
            into = counts.setdefault(language, {})
            for bucket, n in by_bucket.items():
                into[int(bucket)] = into.get(int(bucket), 0) + n
    return paths, counts
