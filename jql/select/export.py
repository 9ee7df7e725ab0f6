"""The export stage: kept documents as Parquet by language, in the input's order or another, and their publication."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from jql.documents import Documents
from jql.engine import storage
from jql.engine.plan import Unit
from jql.engine.receipt import Receipt
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import Guard, Output, Stage
from jql.errors import RecipeError
from jql.recipe import Recipe
from jql.select.card import PENDING
from jql.select.columns import export_schema
from jql.select.cuts import Cuts
from jql.select.ordered import VERSION, Inputs, run_ordered
from jql.select.row_groups import RowGroups, add_sums, no_sums
from jql.select.rows import Reader
from jql.select.unit_groups import REMOVED, add_removed, read_group, units_in_groups

FOLDERS = ("data", "removed")


@dataclass
class Exported(StageRun):
    """The stage with the exported tables; `reading` is the one that read the documents, where that was another."""

    reading: StageRun | None = None


class ExportWorker:
    """Writes the kept documents of a group of document units, one file a language, in the order of the input."""

    def __init__(self, reader: Reader, row_group: int, removed: bool) -> None:
        self.reader, self.row_group, self.removed = reader, row_group, removed
        self.schema = export_schema(reader.heads, reader.clustered)
        self.aside = export_schema(reader.heads, reader.clustered, removed=True)

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """A table a language; removed documents aside."""
        output = Output(stats={"tables": {}})
        output.mixed = self._pieces(unit, guard, output)
        return output

    def _pieces(self, unit: Unit, guard: Guard, output: Output) -> Iterator[tuple[str, pa.Table | None]]:
        groups, sums = RowGroups(self.row_group), output.stats["tables"]
        for batch in read_group(unit, self.reader, self.removed, guard, output):
            kept = batch.kept
            if self.reader.repeat:
                kept = np.repeat(kept, batch.decided.repeats[kept])
            for language, rows in batch.by_language(kept):
                table = batch.take(rows, self.schema)
                add_sums(sums, language, table)
                yield from groups.add(language, table)
            if self.removed:
                yield from add_removed(batch, self.aside, groups, sums)
        yield from groups.rest()


def run_export(
    recipe: Recipe,
    run: StageRunner,
    documents: Documents,
    clusters: StageRun | None,
    scores: StageRun | None,
    decisions: StageRun,
    cuts: Cuts | None,
) -> StageRun:
    """Write the kept documents below the run folder; `publish` makes them visible.

    Raises:
        RecipeError: to be sorted, but nothing was scored.
    """
    wish = recipe.export
    if wish.order == "sorted" and cuts is None:
        raise RecipeError(
            "export.order: sorted needs ranks, and nothing was scored; add the annotate stage, or choose another order"
        )
    heads: list[str] = []
    if scores is not None:
        from jql.annotator.annotator import Annotator

        heads = Annotator.load(recipe.annotate.annotator).heads
    reader = Reader(heads, clusters is not None, cuts, wish.repeat)
    mark: dict[str, Any] = {"documents": documents.mark, "decisions": decisions.mark()}

    def units() -> Iterator[Unit]:
        return documents.beside(clusters=clusters, scores=scores, decisions=decisions)

    def groups(size: int) -> Iterator[Unit]:
        return units_in_groups(size, documents, clusters, scores, decisions)

    if wish.order != "input":
        most = recipe.select.rehydrate if wish.repeat else 1
        counts = {code: most * reasons["kept"] for code, reasons in drop_counts(decisions).items()}
        files, rows = run_ordered(recipe, run, reader, Inputs(counts, units, groups, mark))
        return Exported(**vars(files), reading=rows)
    config = {name: getattr(wish, name) for name in ("order", "file_documents", "row_group", "repeat", "removed")}
    settings = {"reader": reader, "row_group": wish.row_group, "removed": wish.removed}
    law: Any = "many" if wish.repeat else "filter"
    stage = Stage("export", VERSION, config, mark, ExportWorker, settings, law, "export_crash")
    return run.run(stage, lambda: groups(wish.file_documents))


def publish(export: StageRun, target: str) -> dict[str, Any]:
    """Put the committed files under their final names, data/LANGUAGE/train-00000-of-00005.parquet, removed/ likewise.

    Files of an earlier export go. From here until `write_card` the target has no manifest but a list of what may be in
    it, for whoever comes next.

    Returns:
        Language -> documents, characters, bytes, tokens, size in memory and files; under `removed` the same of those.

    Raises:
        RecipeError: the target's folders hold files that no export of jql wrote.
    """
    found, sources = _named(export)
    there = {f"{folder}/{name}" for folder in FOLDERS for name in storage.find(storage.join(target, folder))}
    ours = _published(target)
    if foreign := sorted(there - ours):
        raise RecipeError(
            f"export.path: {target} holds {len(foreign)} files that are not from an export of jql ({foreign[0]}); "
            "choose another folder, or move them away"
        )
    storage.put(storage.join(target, PENDING), json.dumps(sorted(ours | sources.keys())).encode())
    storage.delete(storage.join(target, "manifest.json"))
    for name in sorted(there - sources.keys()):
        storage.delete(storage.join(target, name))
    for name, source in sources.items():
        storage.copy(source, storage.join(target, name))
    return found


def _named(export: StageRun) -> tuple[dict[str, Any], dict[str, str]]:
    """What `publish` returns, and final name -> where the file lies."""
    found: dict[str, Any] = {}
    lying: dict[str, list[tuple[dict[str, Any], str]]] = {}
    for stage, receipt, name in _tables(export):
        language, removed = name.removeprefix(REMOVED), name.startswith(REMOVED)
        entry = found.setdefault(language, {**no_sums(), "files": []})
        entry = entry.setdefault("removed", {**no_sums(), "files": []}) if removed else entry
        for what, count in receipt.stats["tables"][name].items():
            entry[what] = entry.get(what, 0) + count
        if file := receipt.files.get(name):
            entry["files"].append({"name": "", "rows": file.rows, "bytes": file.bytes, "sha256": file.sha256})
            path = stage.path(receipt, name)
            lying.setdefault(f"{FOLDERS[removed]}/{language}", []).append((entry["files"][-1], path))
    sources = {}
    for folder, files in lying.items():
        for number, (entry, path) in enumerate(files):
            entry["name"] = f"{folder}/train-{number:05d}-of-{len(files):05d}.parquet"
            sources[entry["name"]] = path
    return dict(sorted(found.items())), sources


def _tables(export: StageRun) -> Iterator[tuple[StageRun, Receipt, str]]:
    """The tables to be published, with the stage and the receipt they are of."""
    reading = export.reading if isinstance(export, Exported) else None
    for stage in [export, reading] if reading else [export]:
        for receipt in stage.receipts():
            for name in sorted(receipt.stats["tables"]):
                yield stage, receipt, name


def _published(target: str) -> set[str]:
    """Names that earlier exports gave to files in a folder, also those that were stopped half way."""
    names: set[str] = set()
    if storage.exists(path := storage.join(target, "manifest.json")):
        for entry in json.loads(storage.read_bytes(path)).get("export", {}).values():
            names |= {file["name"] for part in (entry, entry.get("removed", {})) for file in part.get("files", [])}
    if storage.exists(path := storage.join(target, PENDING)):
        names |= set(json.loads(storage.read_bytes(path)))
    return names


def drop_counts(decisions: StageRun) -> dict[str, Counter[str]]:
    """Language -> reason -> documents, over the whole run; kept documents count as `kept`."""
    total: dict[str, Counter[str]] = {}
    for receipt in decisions.receipts():
        for language, counts in receipt.stats["languages"].items():
            total.setdefault(language, Counter()).update(counts)
    return dict(sorted(total.items()))
