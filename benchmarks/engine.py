"""What the engine costs: seconds a unit beyond its work, and the driver's memory at a million planned units.

    python benchmarks/engine.py [--units 10000] [--planned 1000000] [--executed 20000] [--repeat 3]

Overhead: a stage of empty units (read nothing, write an empty table, commit a receipt) on a local Ray with 2 workers.
`overhead_ms` is wall seconds x workers / units, what a unit costs the worker that takes it; `wall_ms` is wall seconds /
units. Starting Ray and its actors is timed apart: a first stage of 2 units pays for it.

Memory: the peak resident set of a driver process that plans `planned` units, writes and reads the plan, builds the
ledger, executes `executed` of them, and goes through the ledger's states for all others without a worker (a million
receipts on this disk would measure the disk). Median of the repeats; prints one JSON line.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jql.engine.attempt import Outcome
from jql.engine.fingerprint import Fingerprint
from jql.engine.ledger import Ledger
from jql.engine.plan import Unit, open_plan
from jql.engine.run import Run
from jql.engine.stage import Guard, Output, Stage
from jql.recipe import Engine

WORKERS = 2
EMPTY = pa.schema([("id", pa.int64())])


class EmptyWorker:
    """Makes an empty table of every unit."""

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """No rows."""
        return Output.of(EMPTY.empty_table(), 0)


def empty_stage(name: str) -> Stage:
    return Stage(name, 1, {}, {}, EmptyWorker, {}, "filter")


def empty_units(n: int) -> Iterator[Unit]:
    return (Unit(i, f"s3://bucket/crawl/segment-{i:09d}.warc.gz", n - i) for i in range(n))


def peak_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def measure_overhead(units: int, backend: str) -> dict[str, float]:
    """Wall time of the empty units, in a fresh folder."""
    workers = WORKERS if backend == "ray" else 1
    engine: Any = Engine.model_validate({"backend": backend, "workers": workers})
    with tempfile.TemporaryDirectory() as folder, Run(folder, engine) as run:
        started = time.monotonic()
        run.run(empty_stage("start"), lambda: empty_units(2))
        start_s = time.monotonic() - started
        started = time.monotonic()
        run.run(empty_stage("empty"), lambda: empty_units(units))
        wall_s = time.monotonic() - started
    return {
        "start_s": round(start_s, 2),
        "wall_s": round(wall_s, 2),
        "wall_ms": round(1000 * wall_s / units, 2),
        "overhead_ms": round(1000 * wall_s * workers / units, 2),
        "driver_peak_mb": peak_mb(),
    }


def measure_memory(planned: int, executed: int) -> dict[str, float]:
    """Peak memory of this process, the driver, step by step."""
    import ray

    from jql.engine.ray_pool import Pool, start_ray

    seen: dict[str, float] = {"imports_mb": peak_mb()}
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        open_plan(folder, Fingerprint.of(n=planned), empty_units(planned))
        plan = open_plan(folder, Fingerprint.of(n=planned), ())
        seen |= {"plan_s": round(time.monotonic() - started, 1), "plan_mb": peak_mb()}
        start_ray(None, WORKERS)
        pool = Pool(WORKERS)
        order = plan.order()
        pool.execute(empty_stage("empty"), folder, plan, Ledger(order[:executed]), lambda outcome: None, 60.0)
        pool.close()
        ray.shutdown()
        seen["executed_mb"] = peak_mb()
        ledger = Ledger(order)
        np.isin(order, np.arange(planned // 2))
        started = time.monotonic()
        while task := ledger.next():
            plan.unit(task.unit)
            ledger.finished(task, Outcome(task.unit, "committed"))
        seen |= {"ledger_s": round(time.monotonic() - started, 1), "peak_mb": peak_mb()}
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--planned", type=int, default=1_000_000)
    parser.add_argument("--executed", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", choices=("ray", "inline", "memory"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only == "memory":
        print(json.dumps(measure_memory(options.planned, options.executed)))
        return
    if options.only:
        print(json.dumps(measure_overhead(options.units, options.only)))
        return

    def repeated(only: str, times: int) -> dict[str, Any]:
        """Medians over fresh processes."""
        line = [sys.executable, __file__, *sys.argv[1:], "--only", only]
        runs = [json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE).stdout) for _ in range(times)]
        return {key: statistics.median(r[key] for r in runs) for key in runs[0]}

    print(
        json.dumps(
            {
                "benchmark": "engine",
                "date": time.strftime("%Y-%m-%d"),
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
                "load_before": round(os.getloadavg()[0], 1),
                "repeat": options.repeat,
                "units": options.units,
                "workers": WORKERS,
                "ray": repeated("ray", options.repeat),
                "inline": repeated("inline", options.repeat),
                "memory": {"planned": options.planned, "executed": options.executed, **repeated("memory", 1)},
            }
        )
    )


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
