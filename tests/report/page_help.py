"""A small made-up run folder, in the shapes that a run leaves, and the page that explores it, served."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pyarrow as pa

from jql.annotator.histogram import Bins, Histograms
from jql.documents import Documents, document_name
from jql.engine import storage
from jql.engine.plan import UNIT, Plan
from jql.recipe import dump_recipe, make_recipe
from jql.report.explore import Explorer
from jql.report.explore_app import explore_app, make_server
from jql.select.outlook import Outlook
from jql.truth.label.guard import Guard, new_token
from jql.truth.label.serve import listen

TEXTS = {
    "deu_Latn": "Ein Dreieck hat drei Ecken. Die Summe seiner Winkel beträgt 180 Grad.",
    "arb_Arab": "ترقص النحلة لتدل على مكان الزهور (نحو 100 متر).",
    "tha_Thai": "น้ำเดือดเร็วขึ้นบนภูเขา เพราะอากาศกดน้อยลง",
}
DOCUMENTS = {"deu_Latn": 200, "arb_Arab": 120, "tha_Thai": 80, "swe_Latn": 12}


@dataclass
class Made:
    """What a run folder is made with."""

    documents: Mapping[str, int] = field(default_factory=lambda: DOCUMENTS)
    rates: Mapping[str, float] = field(default_factory=lambda: {"deu_Latn": 0.5})
    heads: Sequence[str] = ("web", "llama3", "edu")
    voting: Sequence[str] = ("web", "llama3")
    domains: Sequence[str | None] = ("example.org", "news.example", None)
    texts: Mapping[str, str] = field(default_factory=lambda: TEXTS)
    prefix: str = "document"
    name: str = "small run"
    select: Mapping[str, Any] = field(default_factory=dict)
    reason: str = "empty"


def write_documents(run: Path, made: Made) -> Documents:
    """Two files of documents; every tenth is a copy of the one before it."""
    folder = run / "input"
    rows = [
        {
            "id": f"{made.prefix} {language} {i - (i % 10 == 9)}" + (" copy" if i % 10 == 9 else ""),
            "text": f"{made.texts.get(language, 'Some text.')}\n\nNumber {i}." + " More of it." * (i % 7) * 20,
            "language": language,
            "url": None,
            "date": f"{2019 + i % 5}-0{1 + i % 9}-01T00:00:00Z",
        }
        for language, n in made.documents.items()
        for i in range(n)
    ]
    table = pa.Table.from_pylist(rows)
    half = table.num_rows // 2
    for name, part in (("a", table.slice(0, half)), ("b", table.slice(half))):
        storage.write_file(str(folder / f"{name}.parquet"), part)
    return Documents.of_path(str(folder), 30_000, None)


def make_outlook(made: Made, documents: Documents) -> Outlook:
    """Histograms of all documents, and a sample of them; scores rise with length and differ a little by head."""
    random = np.random.default_rng(0)
    units = list(documents.units())
    tables = [storage.read_table(unit.payload["path"]) for unit in units]
    table = pa.concat_tables(tables)
    n = table.num_rows
    unit = np.concatenate([np.full(len(t), u.index, np.int32) for u, t in zip(units, tables, strict=True)])
    row = np.concatenate([np.arange(len(t), dtype=np.int32) for t in tables])
    sizes = np.array([len(text.encode()) for text in table.column("text").to_pylist()])
    ids = table.column("id").to_pylist()
    languages = np.array(table.column("language").to_pylist())
    shared = sizes / sizes.max() * 2 + random.normal(1, 0.5, n)
    points = np.stack([shared + random.normal(0, 0.3, n) for _ in made.heads], axis=1).astype(np.float32)
    first = np.array([not id.endswith(" copy") for id in ids])
    reasons = [made.reason if i % 25 == 3 else None for i in range(n)]
    counted = first & np.array([reason is None for reason in reasons])
    names = sorted(set(languages.tolist()))
    codes = np.array([names.index(code) for code in languages])
    histograms = Histograms(made.heads, Bins.over(0, 5))
    measures = np.stack([np.ones(n, np.int64), sizes, sizes // 4])
    histograms.add(points[counted], codes[counted], names, measures[:, counted])
    null = np.array([reason is not None for reason in reasons])
    sample = pa.table(
        {
            "unit": unit,
            "row": row,
            "id": ids,
            "language": languages,
            "cluster": np.array([document_name(id.removesuffix(" copy")) for id in ids], np.uint64),
            "cluster_size": np.where(np.arange(n) % 10 >= 8, 2, 1),
            "representative": first,
            "bytes": sizes,
            "tokens": sizes // 4,
            "language_score": np.full(n, 0.9, np.float32),
            "domain": [made.domains[i % len(made.domains)] for i in range(n)],
            "date": table.column("date"),
            "filter_reason": pa.nulls(n, pa.string()),
            "reason": pa.array(reasons, pa.string()),
            **{f"score_{head}": pa.array(points[:, h], mask=null) for h, head in enumerate(made.heads)},
            "rate": [made.rates.get(code, 1.0) for code in languages],
        }
    )
    clusters = sample.column("cluster").to_numpy()
    drawn = (clusters % 1000) / 1000 < sample.column("rate").to_numpy()
    return Outlook(histograms, sample.filter(pa.array(drawn)), {"name": "edu", "revision": "0123"})


def write_run(run: Path, made: Made | None = None) -> str:
    """A run folder after dedup, annotate and select."""
    made = made or Made()
    documents = write_documents(run, made)
    outlook = make_outlook(made, documents)
    settings = {"heads": list(made.voting), "quantile": 0.6, **made.select}
    recipe = make_recipe(
        {
            "name": made.name,
            "output": str(run),
            "stages": ["dedup", "annotate", "select"],
            "documents": {"path": str(run / "input")},
            "select": settings,
        }
    )
    cuts = outlook.cuts(recipe.select)
    kept = outlook.kept(recipe.select, cuts)
    outlook.save(str(run), kept)
    (run / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    (run / "cuts.json").write_text(json.dumps(cuts.to_json()), encoding="utf-8")
    (run / "summary.json").write_text(json.dumps(summary_of(made, outlook, recipe, cuts, kept)), encoding="utf-8")
    plan = Plan.build(documents.units())
    storage.write_table(str(run / "annotate" / "abcdef"), "plan-1.parquet", UNIT, [plan.table])
    (run / "annotate" / "abcdef" / "stage.json").write_text(json.dumps({"plan": "plan-1.parquet"}))
    write_log(run, {"event": "stage", "stage": "annotate", "folder": str(run / "annotate" / "abcdef")})
    return str(run)


def write_log(run: Path, *events: Mapping[str, Any]) -> None:
    """run.log: an earlier run, which does not count, then one with these events."""
    old = [{"event": "start"}, {"event": "stage_end", "stage": "dedup/pairs", "missing": 7}]
    lines = [
        *old,
        {"event": "start", "time": "2026-01-02T03:04:05"},
        *events,
        {"event": "end", "time": "2026-01-02T04:00:00"},
    ]
    (run / "run.log").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"event": "cut o')


def summary_of(made: Made, outlook: Outlook, recipe: Any, cuts: Any, kept: np.ndarray) -> dict[str, Any]:
    """summary.json, as if what the sample keeps was all that is kept."""
    languages = {}
    for code, n in made.documents.items():
        mine = outlook.codes == outlook.names.index(code) if code in outlook.names else np.zeros(len(kept), bool)
        rows = kept & mine
        tokens = int(outlook.sample.column("tokens").to_numpy()[rows].sum())
        lost = n - int(rows.sum())
        dropped = {"below_cut": lost - lost // 10, "duplicate": lost // 10 - 1, made.reason: 1}
        languages[code] = {
            "documents": n,
            "representatives": n - n // 10,
            "kept": int(rows.sum()),
            "dropped": dropped,
            "doubtful": {"documents": 3, "kept": 1},
            "kept_bytes": 4 * tokens,
            "kept_tokens": tokens,
        }
    judge = {"documents": 50, "scored": 48, "tokens_in": 9000, "tokens_out": 700, "seconds": 12.5}
    judge |= {"kinds": {"ok": 144, "no_score": 6}, "origins": {"synthetic": 50}, "judgments": "judge/x/data"}
    dropped = {"no_text": 5, "below_cut": 300, made.reason: 4}
    time = {
        "units": 2,
        "rows": 400,
        "worker_hours": 0.002,
        "cpu_hours": 0.002,
        "gpu_hours": 0.0,
        "rows_per_second": 55.5,
    }
    return {
        "name": made.name,
        "jql": "0.1.0",
        "total": {
            "records": 420,
            "documents": sum(made.documents.values()),
            "kept": sum(entry["kept"] for entry in languages.values()),
            "judges": {"qwen": judge},
        },
        "dropped": dropped,
        "languages": languages,
        "groups": {"made-up": {"codes": list(made.documents)[:2], "documents": 320, "kept": 90}},
        "prediction": outlook.predict(recipe.select, cuts),
        "stages": {},
        "time": {
            "dedup/pairs": time,
            "dedup/sizes": time,
            "annotate": {**time, "predicted": [0.003, 0.002, 0.004], "difference": -0.33},
        },
    }


@contextmanager
def explored(run: str) -> Iterator[str]:
    """The address of the exploring page of a run folder, served by a thread until the end of the block."""
    with listen(0) as socket:
        port, token = socket.getsockname()[1], new_token()
        server = make_server(Guard({token: explore_app(Explorer(run))}, port))
        thread = Thread(target=server.run, kwargs={"sockets": [socket]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}/{token}/"
        finally:
            server.should_exit = True
            thread.join()
