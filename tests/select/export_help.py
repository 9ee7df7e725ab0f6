"""Documents with chosen decisions, scores and clusters beside them, and an export of them without the stages before."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from conftest import WORDS

from jql.annotator.histogram import Bins, Histograms
from jql.documents import Documents, parts_of, read_documents
from jql.engine.progress import console
from jql.engine.run import Run
from jql.engine.stage import Output, Stage
from jql.recipe import make_recipe
from jql.schema import CLUSTER, DECISION, score_schema
from jql.select.card import write_card
from jql.select.cuts import Cuts, LanguageCut
from jql.select.export import publish, run_export

HEADS = ["edu", "web", "llama3", "llama31"]
CODES = ["deu_Latn", "eng_Latn", "swe_Latn"]


def make_documents(folder, files=4, rows=30, group=7, codes=CODES, kind="parquet"):
    """Files of documents f0-0, f0-1, ... in row groups of `group`; every third has all that a crawl says of one."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for f in range(files):
        made = [
            {
                "id": f"f{f}-{i}",
                "text": " ".join(random.choice(WORDS, random.integers(1, 30))) + " ü",
                "language": codes[random.integers(len(codes))],
                "language_score": 0.75,
                "url": f"https://a.example/{f}/{i}" if i % 3 == 0 else None,
                "warc_offset": 100 * i if i % 3 == 0 else None,
            }
            for i in range(rows)
        ]
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(made), folder / f"{f}.parquet", row_group_size=group)
        else:
            (folder / f"{f}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    return folder


class SideWorker:
    """A table beside each unit, drawn by the ids of its documents: of 10, `kept` are kept."""

    def __init__(self, table, kept, short):
        self.table, self.kept, self.short = table, kept, short

    def __call__(self, unit, guard):
        """A row for each document, or one too few."""
        table = pa.concat_tables([read_documents(part, []) for part in parts_of(unit, 10)])
        ids = table.column("id").to_pylist()
        draws = [np.random.default_rng([len(id), *id.encode()]) for id in ids]
        columns = {"id": table.column("id"), "language": table.column("language")}
        if self.table == "scores":
            points = np.array([draw.integers(0, 8, len(HEADS)) / 2 for draw in draws], np.float32)
            columns |= {head: points[:, h] for h, head in enumerate(HEADS)}
            columns |= {"reason": pa.nulls(len(ids)), "bytes": [7] * len(ids), "tokens": [len(id) for id in ids]}
            return self.output(columns, score_schema(HEADS))
        if self.table == "clusters":
            size = [int(draw.integers(1, 9)) for draw in draws]
            columns |= {"cluster": [len(id) for id in ids], "cluster_size": size, "representative": [True] * len(ids)}
            return self.output(columns, CLUSTER)
        keep = np.array([draw.integers(10) < self.kept for draw in draws])
        columns["keep"] = keep
        columns["reason"] = [None if k else "below_cut" for k in keep]
        columns["repeats"] = [1 + len(id) % 3 if k else None for id, k in zip(ids, keep, strict=True)]
        languages: dict[str, Counter[str]] = {}
        for code, k in zip(columns["language"].to_pylist(), keep, strict=True):
            languages.setdefault(code, Counter())["kept" if k else "below_cut"] += 1
        told = {code: dict(counts) for code, counts in languages.items()}
        return self.output(columns, DECISION, Counter(below_cut=int((~keep).sum())), languages=told)

    def output(self, columns, schema, drops=None, **stats):
        """The table, or what is left of it."""
        table = pa.table([columns[f.name] for f in schema], names=schema.names).cast(schema)
        return Output.of(table.slice(1) if self.short else table, table.num_rows - self.short, drops, **stats)


def make_cuts(codes=CODES):
    """Cuts of two heads, whose ranks are a score's share of 0 to 4."""
    histograms = Histograms(["edu", "web"], Bins())
    counts = np.tile(np.bincount(Bins().of(np.arange(8) / 2), minlength=4000), (3, 2, 1))
    histograms.counts = {code: counts for code in codes}
    cuts = {code: LanguageCut(code, "quantile", 0.5, np.array([2.0, 2.0])) for code in codes}
    return Cuts(["edu", "web"], "all", 0.5, cuts, histograms)


def export(documents, folder, kept=5, scored=True, clustered=False, short="", engine=None, **wish: Any):
    """Export, publish, and write the card; the data set's folder. `short`: the table that is a row too short."""
    seed = wish.pop("seed", 0)
    parts = {"output": str(folder), "engine": engine or {"backend": "inline"}, "export": wish, "seed": seed}
    parts |= {"stages": ["dedup", "annotate", "select", "export"], "documents": {"path": str(documents)}}
    recipe = make_recipe(parts)
    found = Documents.of_path(str(documents), 10, None)
    names = ["decisions"] + ["scores"] * scored + ["clusters"] * clustered
    with Run(str(folder), make_recipe({"engine": {"backend": "inline"}}).engine, console(quiet=True)) as run:
        tables = {}
        for name in names:
            settings = {"table": name, "kept": kept, "short": int(name == short)}
            tables[name] = run.run(Stage(name, 1, settings, {}, SideWorker, settings, "aligned"), found.units)
    with Run(str(folder), recipe.engine, console(quiet=True)) as run:
        beside = (tables.get("clusters"), tables.get("scores"), tables["decisions"])
        made = run_export(recipe, run, found, *beside, make_cuts() if scored else None)
        target = recipe.export.path or str(folder / "dataset")
        files = publish(made, target)
        languages: dict[str, Counter[str]] = {}
        for receipt in tables["decisions"].receipts():
            for code, counts in receipt.stats["languages"].items():
                languages.setdefault(code, Counter()).update(counts)
        write_card(target, manifest_of(recipe, files, languages))
    return Path(target)


def manifest_of(recipe, files, languages):
    """A manifest like that of a run."""
    told = {
        code: {"documents": n.total(), "kept": n["kept"], "dropped": {"below_cut": n["below_cut"]}}
        for code, n in sorted(languages.items())
    }
    total = {name: sum(entry[name] for entry in told.values()) for name in ("documents", "kept")}
    dropped = {"below_cut": total["documents"] - total["kept"]}
    return {
        "name": "test",
        "jql": "0",
        "annotator": None,
        "fingerprints": {"export": "0123456789abcdef01"},
        "recipe": recipe.model_dump(mode="json", by_alias=True),
        "summary": {"total": total, "dropped": dropped, "languages": told},
        "export": files,
    }


def rows_of(dataset, folder="data", language="*"):
    """All rows of the files, in the order of their names."""
    files = sorted(dataset.glob(f"{folder}/{language}/*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]
