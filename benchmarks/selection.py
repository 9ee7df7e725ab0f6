"""Selection: cuts of 100 M documents from histograms, decisions a second, how right cuts and predictions are, memory.

    OMP_NUM_THREADS=1 python benchmarks/selection.py [--data FOLDER] [--polars FOLDER] [--only cuts decisions ...]

cuts         5,000 units of 20,000 documents in 40 languages and 3 heads: their COUNT tables are committed on the engine
             as the annotate stage does it (50 different ones, again and again), merged, and cut
decisions    rows a second and core of the verdicts, in memory and from files to the written table, beside duckdb and
             polars (a folder of `pip install --target`); see selection_decisions.py
ranks        rank error of cuts, on 10 M made-up scores of each shape, and on real documents scored by `edu`
predictions  on the real documents: coverage of the 95 % intervals, error of token budgets
memory       peak resident set of the decision step, at 1x and 4x the rows of a unit and the number of units

Real documents are a folder like FineWeb2's, with `text` and `language`; what needs them is left out without --data.
Without --only everything runs and benchmarks/results/selection.json is written; with it, only that part of the file is.
Prints one JSON line.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from heuristics_agreement import machine
from selection_accuracy import full_run, measure_predictions, measure_ranks
from selection_decisions import (
    CODES,
    HEADS,
    ROW_GROUP,
    decide,
    made_points,
    made_rules,
    made_tables,
    made_unit,
    measure_decisions,
)

from jql.annotator.counts import COUNTS, merged
from jql.annotator.histogram import Bins, Histograms
from jql.engine import storage
from jql.engine.plan import Unit
from jql.engine.run import Run, StageRun
from jql.engine.stage import Guard, Output, Stage
from jql.recipe import Engine, Select
from jql.schema import COUNT, score_schema
from jql.select.outlook import Outlook
from jql.select.sample import sample_schema

DIFFERENT, DIFFERENT_FILES = 50, 5
ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "benchmarks/results/selection.json"


class CountsWorker:
    """Leaves the histograms of a unit, and no scores, as those are not read for them."""

    def __init__(self, rows: int) -> None:
        self.rows, self.made = rows, [made_counts(seed, rows) for seed in range(DIFFERENT)]

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """One of the tables that were made before."""
        tables = {"": (score_schema(HEADS), []), COUNTS: (COUNT, [self.made[unit.index % DIFFERENT]])}
        return Output(tables, self.rows, stats={"counted": dict.fromkeys(CODES, self.rows // len(CODES))})


def made_counts(seed: int, rows: int) -> pa.Table:
    """COUNT rows of a made-up unit."""
    rng, histograms = np.random.default_rng(seed), Histograms(HEADS, Bins())
    codes_N, points_NH = made_points(rng, rows)
    sizes = [rng.lognormal(mean, 1, rows).astype(np.int64) for mean in (7.5, 6)]
    histograms.add(points_NH, codes_N, CODES, np.stack([np.ones(rows, np.int64), *sizes]))
    return histograms.to_table()


def measure_cuts(folder: Path, units: int, rows: int) -> dict[str, Any]:
    """Sizes, and seconds from the units' tables to one and from there to the cuts."""
    engine: Any = Engine.model_validate({"backend": "inline"})
    with Run(str(folder / "run"), engine) as run:
        stage = Stage("annotate", 1, {}, {}, CountsWorker, {"rows": rows}, "many")
        scores, committing = _timed(lambda: run.run(stage, lambda: _units(units)))
        total, compacting = _timed(lambda: merged(run, scores, HEADS, Bins(), "select/counts"))
        steps = [one for one in run.stages if one.name.startswith("select/counts")]
    root = total.path(next(iter(total.receipts())))
    read, written = (
        sum(_bytes(one, COUNTS if one is scores else "") for one in part) for part in _parts(scores, steps)
    )

    def cut() -> dict[str, Any]:
        table = storage.read_table(root)
        histograms = Histograms.of_table(table, HEADS, Bins())
        sample = sample_schema(HEADS).empty_table().append_column("rate", pa.array([], pa.float64()))
        return Outlook(histograms, sample, {}).cuts(Select(quantile=0.7)).to_json()

    cut()
    cuts, cutting = _timed(cut)
    counted = sum(entry["documents"] for entry in cuts["languages"].values())
    assert counted == units * rows and len(cuts["languages"]) == 40, "documents were lost on the way"
    unit = made_tables(np.random.default_rng(0), rows)["scores"]
    table = storage.write_table(str(folder), "scores.parquet", unit.schema, _pieces(unit))
    counts = [receipt.files[COUNTS] for receipt in _first(scores, DIFFERENT)]
    return {
        "documents": counted,
        "units": units,
        "languages": 40,
        "heads": len(HEADS),
        "different_units": DIFFERENT,
        "unit_counts": {
            "rows": round(np.mean([c.rows for c in counts])),
            "bytes": round(np.mean([c.bytes for c in counts])),
        },
        "unit_scores_bytes": table.bytes,
        "committing": committing,
        "compacting": {**compacting, "steps": len(steps), "bytes_read": read, "bytes_written": written},
        "compacted": {"rows": storage.read_table(root).num_rows, "bytes": os.path.getsize(root)},
        "cutting": cutting,
        "rank_error_at_most": max(entry["rank_error"] for entry in cuts["languages"].values()),
    }


def _units(n: int) -> Iterator[Unit]:
    return (Unit(i, f"segment-{i:09d}", 1) for i in range(n))


def _first(stage: StageRun, n: int) -> list[Any]:
    return [receipt for _, receipt in zip(range(n), stage.receipts(), strict=False)]


def _parts(scores: StageRun, steps: list[StageRun]) -> tuple[list[StageRun], list[StageRun]]:
    """The stages that merging reads, and those that it writes."""
    return [scores, *steps[:-1]], steps


def _bytes(stage: StageRun, table: str) -> int:
    return sum(receipt.files[table].bytes for receipt in stage.receipts())


def _pieces(table: pa.Table) -> list[pa.Table]:
    return [table.slice(at, ROW_GROUP) for at in range(0, table.num_rows, ROW_GROUP)]


def _timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, {"wall_s": round(time.perf_counter() - wall, 3), "cpu_s": round(time.process_time() - cpu, 3)}


def decide_units(folder: Path, units: int, rows: int) -> float:
    """Decide so many units, one after the other; the peak of this process in MB."""
    rules, made = made_rules(), [made_unit(folder, index, rows) for index in range(DIFFERENT_FILES)]
    (folder / "out").mkdir(exist_ok=True)
    for index in range(units):
        decide(replace(made[index % len(made)], index=index), rules, str(folder / "out"))
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return round(int(line.split()[1]) / 1024, 1)  # ru_maxrss would be that of the process that started this one


def measure_memory(folder: Path, rows: int) -> dict[str, Any]:
    """Peaks of fresh processes, in MB."""
    found: dict[str, Any] = {"rows_a_unit": rows, "units": 5}
    for name, units, many in [("imports", 0, rows), ("1x", 5, rows), ("units 4x", 20, rows), ("rows 4x", 5, 4 * rows)]:
        for index in range(DIFFERENT_FILES):
            made_unit(folder, index, many)
        line = [sys.executable, __file__, "--folder", str(folder), "--peak", str(units), str(many)]
        found[f"{name}_mb"] = float(subprocess.run(line, check=True, stdout=subprocess.PIPE).stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=("cuts", "decisions", "ranks", "predictions", "memory"), default=()
    )
    parser.add_argument("--data", type=Path, help="real documents")
    parser.add_argument("--folder", type=Path, help="where files are made and kept; else a temporary folder")
    parser.add_argument("--polars", help="folder that has polars")
    parser.add_argument("--units", type=int, default=5000)
    parser.add_argument("--unit-rows", type=int, default=20_000)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--file-rows", type=int, default=1_000_000)
    parser.add_argument("--ranked", type=int, default=10_000_000, help="made-up scores of each shape")
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--peak", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(decide_units(options.folder, *options.peak))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        _measure(options, folder.resolve())


def _measure(options: argparse.Namespace, folder: Path) -> None:
    real: list[Path] = []

    def run() -> Path | None:
        if options.data is not None and not real:
            real.append(full_run(options.data.resolve(), folder / "real"))
        return real[0] if real else None

    def decisions() -> dict[str, Any]:
        many = measure_decisions(folder, options.files, options.file_rows, options.polars)
        return {"large files": many, "units": measure_decisions(folder, 50, options.unit_rows, options.polars)}

    def predictions() -> dict[str, Any]:
        found = run()
        return {"left_out": "no --data"} if found is None else measure_predictions(found, options.resamples)

    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "memory": lambda: measure_memory(folder, options.file_rows // 4),
        "cuts": lambda: measure_cuts(Path(tempfile.mkdtemp(dir=folder)), options.units, options.unit_rows),
        "decisions": decisions,
        "ranks": lambda: measure_ranks(options.ranked, run()),
        "predictions": predictions,
    }
    known = json.loads(TARGET.read_text()) if options.only and TARGET.exists() else {}
    results = {"benchmark": "selection", "machine": machine(), **{k: v for k, v in known.items() if k in parts}}
    for name in options.only or parts:
        load = os.getloadavg()[0]
        part, seconds = _timed(parts[name])
        about = {"date": time.strftime("%Y-%m-%d"), "load_before": round(load, 1), "command": _command(options, name)}
        results[name] = {**about, **seconds, **part}
        print(f"{name}: {seconds['wall_s']} s", file=sys.stderr, flush=True)
        TARGET.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results))


def _command(options: argparse.Namespace, part: str) -> str:
    """How this part is measured again."""
    of = {
        "cuts": ("units", "unit_rows"),
        "decisions": ("files", "file_rows", "unit_rows", "polars"),
        "ranks": ("ranked", "data"),
        "predictions": ("resamples", "data"),
        "memory": ("file_rows",),
    }[part]
    words = {name: getattr(options, name) for name in of}
    words |= {name: "FOLDER" for name in ("data", "polars") if words.get(name)}
    given = [f"--{name.replace('_', '-')} {value}" for name, value in words.items() if value is not None]
    return f"OMP_NUM_THREADS=1 python benchmarks/selection.py --only {part} {' '.join(given)}"


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    main()
