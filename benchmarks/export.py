"""What the export costs beside a bare copy of the same rows with pyarrow, and whether its memory is flat.

    python benchmarks/export.py [--documents 400000] [--repeat 3] [--folder FOLDER]

Synthetic documents in 10 languages, the n-th with an n-th of the documents of the first; lengths as on the web
(lognormal, sigma 1, mean 3 kB); in Parquet as FineWeb2 has it (row groups of 1,000), with the tables that dedup,
annotate and select leave beside them; 30 % are kept.

    ours   the export stage on the inline backend, in the input's order: languages apart, in row groups of 10,000, with
           everything that a row has (ranks, scores, cluster, source); hashed, synced to the disk and committed
    bare   10 row groups at a time are read, put beside the columns of the other tables that an export has, filtered by
           the keep mask, and written to one file: no ranks, no sizes, no source, no hash, no languages
    least  the same with the columns of the documents alone

Alternated in one process; wall seconds, and user and system seconds of all threads. A ratio is that of the medians; its
range, the least and the most of the rounds. Memory: the most that a fresh process had resident, with the documents
once and four times; they are one group of units, so one file a language, either way. Prints one JSON line.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jql.annotator.annotator import Annotator
from jql.annotator.histogram import BINS, Bins, Histograms
from jql.documents import Documents
from jql.engine.plan import Unit
from jql.engine.progress import console
from jql.engine.run import Run, StageRun
from jql.engine.stage import Guard, Output, Stage
from jql.recipe import make_recipe
from jql.schema import CLUSTER, DECISION, score_schema
from jql.select.columns import OF_DOCUMENT
from jql.select.cuts import Cuts, LanguageCut
from jql.select.export import run_export

LANGUAGES = [
    "ces_Latn",
    "deu_Latn",
    "ell_Grek",
    "eng_Latn",
    "fra_Latn",
    "ita_Latn",
    "pol_Latn",
    "rus_Cyrl",
    "spa_Latn",
    "swe_Latn",
]
SHARES = 1 / np.arange(1, 11) / (1 / np.arange(1, 11)).sum()
KEPT = 0.3
MEAN_BYTES = 3000
FILE_ROWS, ROW_GROUP = 100_000, 1000
BARE_GROUPS = 10


def make_pool(random: np.random.Generator) -> tuple[bytes, np.ndarray]:
    """40 MB of words, an eighth of them Cyrillic, frequent and rare ones; and where the words start."""
    alphabets = ["abcdefghijklmnopqrstuvwxyzäöüé"] * 7 + ["абвгдежзийклмнопрстуфхцчшщъыьэюя"]
    words = []
    for i in range(50_000):
        letters = alphabets[i % 8]
        words.append(("".join(letters[j] for j in random.integers(0, len(letters), random.integers(2, 12)))).encode())
    shares = 1 / (np.arange(len(words)) + 2.7)  # Zipf's law, as Mandelbrot has it
    drawn = [words[i] for i in random.choice(len(words), 4_500_000, p=shares / shares.sum())]
    return b" ".join(drawn), np.cumsum([0, *(len(word) + 1 for word in drawn[:-1])])


def make_texts(pool: bytes, starts: np.ndarray, lengths: np.ndarray, random: np.random.Generator) -> pa.Array:
    """Texts of about these lengths in bytes, from whole words of the pool."""
    begin = starts[np.searchsorted(starts, random.integers(0, starts[-1] - 200_000, len(lengths)))]
    end = starts[np.searchsorted(starts, begin + lengths)] - 1
    return pa.array([pool[a:b].decode() for a, b in zip(begin.tolist(), end.tolist(), strict=True)], pa.string())


def make_documents(folder: Path, documents: int) -> None:
    """Files of FILE_ROWS documents, the columns that an export has of its input."""
    random = np.random.default_rng(0)
    pool, starts = make_pool(random)
    for file in range(-(-documents // FILE_ROWS)):
        rows = min(FILE_ROWS, documents - file * FILE_ROWS)
        with pq.ParquetWriter(folder / f"{file:05d}.parquet", pa.schema(list(OF_DOCUMENT.items()))) as writer:
            for at in range(0, rows, ROW_GROUP):
                n = min(ROW_GROUP, rows - at)
                lengths = np.clip(random.lognormal(np.log(MEAN_BYTES) - 0.5, 1.0, n), 100, 100_000).astype(np.int64)
                numbers = [file * FILE_ROWS + at + i for i in range(n)]
                columns = {
                    "id": [f"<urn:uuid:{random.bytes(16).hex()}>" for _ in numbers],
                    "text": make_texts(pool, starts, lengths, random),
                    "language": [LANGUAGES[i] for i in random.choice(len(LANGUAGES), n, p=SHARES)],
                    "language_score": random.random(n, np.float32),
                    "url": [f"https://www.example-{i % 4001}.org/pages/{random.bytes(6).hex()}" for i in numbers],
                    "date": [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}T{i % 24:02d}:00:00Z" for i in numbers],
                    "dump": ["CC-MAIN-2024-51"] * n,
                    "file_path": [f"s3://crawl/segments/{file}/warc/{at // 5000:05d}.warc.gz"] * n,
                    "warc_offset": random.integers(0, 10**9, n),
                    "filter_reason": pa.nulls(n, pa.string()),
                }
                writer.write_table(pa.table(columns, pa.schema(list(OF_DOCUMENT.items()))))


class SideWorker:
    """A table beside each unit of documents: decisions, scores or clusters, at random."""

    def __init__(self, table: str, heads: list[str]) -> None:
        self.table, self.heads = table, heads

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """A row for each document."""
        first, stop = unit.payload["groups"]
        columns = pq.ParquetFile(unit.payload["path"]).read_row_groups(range(first, stop), ["id", "language"])
        n, ids, languages = columns.num_rows, columns.column("id"), columns.column("language")
        random = np.random.default_rng([unit.index, len(self.table)])
        if self.table == "decisions":
            keep = random.random(n) < KEPT
            reason = pa.array(np.where(keep, None, "below_cut"), pa.string())
            found = {"language": languages.cast(DECISION.field("language").type), "keep": keep}
            found |= {"reason": reason.cast(DECISION.field("reason").type), "repeats": pa.nulls(n, pa.int32())}
            stats = {"languages": {"all": {"kept": int(keep.sum())}}}
            return Output.of(pa.table(found, DECISION), n, Counter(below_cut=int((~keep).sum())), **stats)
        if self.table == "scores":
            scores: dict[str, Any] = {head: random.normal(2, 1, n).astype(np.float32) for head in self.heads}
            sizes = random.integers(100, 10_000, n)
            found = {"id": ids, "language": languages, "reason": pa.nulls(n, pa.string()), "bytes": sizes}
            return Output.of(pa.table({**found, "tokens": sizes // 4, **scores}, score_schema(self.heads)), n)
        found = {"id": ids, "cluster": random.integers(0, 2**63, n).astype(np.uint64)}
        found |= {"cluster_size": random.integers(1, 50, n), "representative": np.ones(n, bool)}
        return Output.of(pa.table(found, CLUSTER), n)


def make_cuts(heads: list[str]) -> Cuts:
    """Cuts that ranks can be had from."""
    bins = Bins()
    counts = np.tile(1 + bins.of(np.linspace(0, 4, BINS)), (len(LANGUAGES), 3, len(heads), 1)).astype(np.int64)
    histograms = Histograms(heads, bins)
    histograms.counts = dict(zip(LANGUAGES, counts, strict=True))
    cut = np.full(len(heads), 2.0)
    return Cuts(heads, "all", 0.7, {code: LanguageCut(code, "quantile", 0.7, cut) for code in LANGUAGES}, histograms)


class Prepared:
    """A run folder with decisions, scores and clusters of the documents."""

    def __init__(self, documents: Path, times: int, run: Path) -> None:
        self.paths = sorted(documents.glob("*.parquet")) * times
        parts: dict[str, Any] = {"engine": {"backend": "inline"}, "export": {"file_documents": 10**9}}
        self.recipe = make_recipe({"output": str(run), **parts})
        heads = Annotator.load(self.recipe.annotate.annotator).heads
        self.heads, self.cuts = heads, make_cuts(heads)

    @property
    def documents(self) -> Documents:
        """The documents."""
        return Documents.of_files([str(path) for path in self.paths], self.recipe.documents.unit_rows, None)

    def beside(self, run: Run) -> dict[str, StageRun]:
        """The tables beside the documents; made if they are not there."""
        found = {}
        for name in ("decisions", "scores", "clusters"):
            settings = {"table": name, "heads": self.heads}
            stage = Stage(name, 1, {"files": len(self.paths)}, {}, SideWorker, settings, "aligned")
            documents = self.documents
            found[name] = run.run(stage, documents.units)
        return found

    def export(self) -> tuple[StageRun, float, float]:
        """The export stage anew; wall seconds and processor seconds."""
        with Run(self.recipe.output, self.recipe.engine, console(quiet=True)) as run:
            tables = self.beside(run)
            documents = self.documents
            documents.mark["again"] = time.time()  # else it would be done already
            started = clocks()
            args = (tables["clusters"], tables["scores"], tables["decisions"])
            made = run_export(self.recipe, run, documents, *args, self.cuts)
            return made, *since(started)

    def bare(self, out: Path, beside: bool) -> tuple[int, float, float]:
        """A bare copy, with or without the columns beside the documents; rows, wall seconds and processor seconds."""
        with Run(self.recipe.output, self.recipe.engine, console(quiet=True)) as run:
            tables = self.beside(run)
        paths = {name: [stage.path(r) for r in stage.receipts()] for name, stage in tables.items()}
        wanted = {"scores": ["tokens", *self.heads], "clusters": ["cluster", "cluster_size"]} if beside else {}
        columns = [*OF_DOCUMENT]
        rows = at = 0
        started = clocks()
        keep = pq.read_table(paths["decisions"], columns=["keep"]).column("keep")
        others = [pq.read_table(paths[name], columns=columns) for name, columns in wanted.items()]
        schema = pa.schema([*OF_DOCUMENT.items(), *(field for table in others for field in table.schema)])
        with pq.ParquetWriter(out, schema, compression="zstd") as writer:
            for path in self.paths:
                file = pq.ParquetFile(path)
                for first in range(0, file.num_row_groups, BARE_GROUPS):
                    groups = range(first, min(first + BARE_GROUPS, file.num_row_groups))
                    table = file.read_row_groups(groups, columns=columns)
                    found = [*table.columns, *(c for t in others for c in t.slice(at, table.num_rows).columns)]
                    kept = pa.table(found, schema).filter(keep.slice(at, table.num_rows))
                    writer.write_table(kept)
                    at, rows = at + table.num_rows, rows + kept.num_rows
        return rows, *since(started)


def peak_mb() -> float:
    """The most that this process had resident; what getrusage says begins with the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def clocks() -> tuple[float, float]:
    """Wall and processor seconds so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.monotonic(), used.ru_utime + used.ru_stime


def since(started: tuple[float, float]) -> tuple[float, float]:
    """Wall and processor seconds since then."""
    now = clocks()
    return now[0] - started[0], now[1] - started[1]


def compare(prepared: Prepared, scratch: Path, repeat: int) -> Iterator[dict[str, float]]:
    """All ways, one after the other."""
    out = scratch / "bare.parquet"
    for number in range(repeat + 1):
        found: dict[str, float] = {}
        rows, found["least_wall_s"], found["least_cpu_s"] = prepared.bare(out, False)
        _, found["bare_wall_s"], found["bare_cpu_s"] = prepared.bare(out, True)
        made, found["ours_wall_s"], found["ours_cpu_s"] = prepared.export()
        receipts = list(made.receipts())
        assert rows == sum(r.accepted for r in receipts), "all must have the same rows"
        found["bare_mb"] = out.stat().st_size / 1e6
        found["ours_mb"] = sum(file.bytes for r in receipts for file in r.files.values()) / 1e6
        found["kept"] = rows
        for receipt in receipts:
            for name in receipt.files:
                os.unlink(made.path(receipt, name))
        if number:  # the first round reads the files into the cache
            yield found


def ratio(rounds: list[dict[str, float]], than: str, what: str) -> dict[str, float]:
    """Ratio of the medians, and the least and the most of the rounds."""
    ours, theirs = ([found[f"{way}_{what}"] for found in rounds] for way in ("ours", than))
    each = [a / b for a, b in zip(ours, theirs, strict=True)]
    middle = statistics.median(ours) / statistics.median(theirs)
    return {"ratio": round(middle, 3), "least": round(min(each), 3), "most": round(max(each), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=400_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", help="where to keep the documents; none takes one that goes again")
    parser.add_argument("--times", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        documents = folder / "documents"
        if not documents.is_dir():
            documents.mkdir(parents=True)
            make_documents(documents, options.documents)
        if options.times:
            prepared = Prepared(documents, options.times, Path(temporary) / "run")
            before = peak_mb()
            made, wall_s, _ = prepared.export()
            rows = sum(r.rows_in for r in made.receipts())
            found = {"documents": rows, "wall_s": wall_s, "before_mb": before, "peak_mb": peak_mb()}
            print(json.dumps({key: round(value, 1) for key, value in found.items()}))
            return
        prepared = Prepared(documents, 1, Path(temporary) / "run")
        load = os.getloadavg()[0]
        rounds = list(compare(prepared, Path(temporary), options.repeat))
        line = [sys.executable, __file__, "--folder", str(folder), "--times"]

        def memory(times: int) -> Any:
            return json.loads(subprocess.run([*line, str(times)], check=True, stdout=subprocess.PIPE).stdout)

        print(
            json.dumps(
                {
                    "benchmark": "export",
                    "date": time.strftime("%Y-%m-%d"),
                    "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
                    "load_before": round(load, 1),
                    "repeat": options.repeat,
                    "documents": options.documents,
                    **{key: round(statistics.median(found[key] for found in rounds), 2) for key in rounds[0]},
                    "to_bare": {what: ratio(rounds, "bare", f"{what}_s") for what in ("wall", "cpu")},
                    "to_least": {what: ratio(rounds, "least", f"{what}_s") for what in ("wall", "cpu")},
                    "memory": [memory(1), memory(4)],
                }
            )
        )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
    main()
