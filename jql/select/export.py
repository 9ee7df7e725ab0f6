"""The export stage: kept documents as Parquet by language, a manifest, and a card that `datasets` reads."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jql.documents import Documents, read_documents
from jql.engine import storage
from jql.engine.plan import Unit
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import Guard, Output, Stage
from jql.errors import RecipeError
from jql.recipe import Recipe
from jql.select.card import PENDING

VERSION = 1
COLUMNS: dict[str, pa.DataType] = {
    "id": pa.string(),
    "text": pa.string(),
    "language": pa.string(),
    "language_score": pa.float32(),
    "url": pa.string(),
    "date": pa.string(),
    "dump": pa.string(),
    "file_path": pa.string(),
    "warc_offset": pa.int64(),
    "filter_reason": pa.string(),
}
"""What an exported row has of its document; columns an input lacks are null."""


def export_schema(heads: list[str], clustered: bool) -> pa.Schema:
    """Schema of an exported file; scores are named score_HEAD."""
    fields = list(COLUMNS.items())
    fields += [("cluster", pa.uint64()), ("cluster_size", pa.int64())] if clustered else []
    return pa.schema(fields + [(f"score_{head}", pa.float32()) for head in heads])


class ExportWorker:
    """Writes the kept documents of a group of document units, one file a language."""

    def __init__(self, heads: list[str], clustered: bool, language: str | None) -> None:
        self.heads, self.clustered, self.language = heads, clustered, language
        self.schema = export_schema(heads, clustered)

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """One table a language, documents in input order."""
        output = Output()
        kept: dict[str, list[pa.Table]] = {}
        for member in unit.payload["members"]:
            guard.arm(100)
            table, reasons = self._member(Unit(member["index"], member["source"], 0, member))
            output.rows_in += len(reasons)
            output.drops.update(r for r in reasons if r is not None)
            for language in sorted(set(table.column("language").to_pylist())):
                kept.setdefault(language, []).append(table.filter(pc.equal(table.column("language"), language)))
        # One piece a language: pieces are row groups, and a unit holds only few documents of most languages.
        output.tables = {language: (self.schema, [pa.concat_tables(kept[language])]) for language in sorted(kept)}
        counts = {language: sum(t.num_rows for t in tables) for language, tables in sorted(kept.items())}
        chars = {
            language: sum(int(pc.sum(pc.utf8_length(t.column("text"))).as_py() or 0) for t in ts)
            for language, ts in sorted(kept.items())
        }
        output.stats = {"documents": counts, "characters": chars}
        return output

    def _member(self, unit: Unit) -> tuple[pa.Table, list[str | None]]:
        """The kept documents of a unit with the export's columns, and why each document is dropped (None: kept)."""
        reasons = storage.read_table(unit.payload["decisions"], ["reason"]).column("reason")
        if not reasons.null_count:  # also a unit whose texts could not be read for scoring
            return self.schema.empty_table(), reasons.to_pylist()
        table = read_documents(unit, COLUMNS, self.language)
        columns = {name: table.column(name) for name in COLUMNS}
        nulls = pa.nulls(table.num_rows)
        if self.clustered:
            path = unit.payload.get("clusters")
            clusters = storage.read_table(path) if path else {"cluster": nulls, "cluster_size": nulls}
            columns |= {name: clusters[name] for name in ("cluster", "cluster_size")}
        if self.heads:
            path = unit.payload.get("scores")
            scores = storage.read_table(path, self.heads) if path else dict.fromkeys(self.heads, nulls)
            columns |= {f"score_{head}": scores[head] for head in self.heads}
        kept = pa.table(columns).filter(pc.is_null(reasons))
        return kept.select(self.schema.names).cast(self.schema), reasons.to_pylist()


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


def run_export(
    recipe: Recipe,
    run: StageRunner,
    documents: Documents,
    clusters: StageRun | None,
    scores: StageRun | None,
    decisions: StageRun,
) -> StageRun:
    """Write the kept documents below the run folder; `publish` makes them visible."""
    heads: list[str] = []
    if scores is not None:
        from jql.annotator.annotator import Annotator

        heads = Annotator.load(recipe.annotate.annotator).heads
    settings = {"heads": heads, "clustered": clusters is not None, "language": documents.language}
    inputs: dict[str, Any] = {"documents": documents.mark, "decisions": decisions.mark()}

    def units() -> Iterator[Unit]:
        kept = {r.unit: r.accepted for r in decisions.receipts()}
        # Without those that are missing, where that is tolerated.
        beside = documents.beside(clusters=clusters, scores=scores, decisions=decisions)
        members = [unit for unit in beside if unit.index in kept]
        for number, group in enumerate(group_units([kept[u.index] for u in members], recipe.export.file_documents)):
            payload = [{**m.payload, "index": m.index, "source": m.source} for m in (members[i] for i in group)]
            yield Unit(number, f"group {number}", sum(members[i].weight for i in group), {"members": payload})

    stage = Stage("export", VERSION, recipe.export.deciding(), inputs, ExportWorker, settings, "filter", "export_crash")
    return run.run(stage, units)


def publish(export: StageRun, target: str) -> dict[str, Any]:
    """Put the committed files under their final names, data/LANGUAGE/NNNNN.parquet; those of an earlier export go.

    From here until `write_card` the target has no manifest but a list of what may be in it, for whoever comes next.

    Returns:
        Language -> documents, characters, files.

    Raises:
        RecipeError: the target's data folder holds files that no export of jql wrote.
    """
    found: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for receipt in export.receipts():
        for language, file in receipt.files.items():
            name = f"data/{language}/{receipt.unit:05d}.parquet"
            sources[name] = export.path(receipt, language)
            entry = found.setdefault(language, {"documents": 0, "characters": 0, "files": []})
            entry["documents"] += receipt.stats["documents"][language]
            entry["characters"] += receipt.stats["characters"][language]
            entry["files"].append({"name": name, "rows": file.rows, "bytes": file.bytes, "sha256": file.sha256})
    there = {f"data/{name}" for name in storage.find(storage.join(target, "data"))}
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
    return dict(sorted(found.items()))


def _published(target: str) -> set[str]:
    """Names that earlier exports gave to files in a folder, also those that were stopped half way."""
    names: set[str] = set()
    if storage.exists(path := storage.join(target, "manifest.json")):
        manifest = json.loads(storage.read_bytes(path))
        names |= {file["name"] for entry in manifest.get("export", {}).values() for file in entry["files"]}
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
