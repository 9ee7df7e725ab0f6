"""Does a second worker double the speed of the crawl, the CPU-bound stage? One against two workers on the same files.

    python benchmarks/workers.py [--copies 4] [--repeat 3]

The sample pages, copied with other word orders, in 24 WARC files. A crawl of two other files comes first and pays for
Ray, the actors and what they load, so that only work is timed. Medians over fresh processes; prints one JSON line.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FILES = 24


def measure(folder: str, workers: int) -> dict[str, float]:
    """Wall seconds of the crawl stage."""
    from jql.crawl.crawl import run_crawl
    from jql.engine.receipt import Totals
    from jql.engine.run import Run
    from jql.recipe import Recipe, make_recipe

    def recipe(source: str) -> Recipe:
        return make_recipe({"stages": ["crawl"], "crawl": {"input": [source]}, "engine": {"workers": workers}})

    with tempfile.TemporaryDirectory() as out, Run(out, recipe(folder).engine) as run:
        run_crawl(recipe(f"{folder}/warm"), run)
        stage = run_crawl(recipe(f"{folder}/work"), run)
        totals = Totals()
        for receipt in stage.receipts():
            totals.add(receipt)
    return {"wall_s": round(stage.seconds, 2), "in_units_s": round(totals.seconds, 2), "documents": totals.rows_in}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs=2, metavar=("FOLDER", "WORKERS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only[0], int(options.only[1]))))
        return
    from faults import make_input

    with tempfile.TemporaryDirectory() as folder:
        make_input(Path(folder) / "work", FILES, options.copies)
        make_input(Path(folder) / "warm", 4, 1)
        runs: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
        for _ in range(options.repeat):
            for workers, found in runs.items():
                line = [sys.executable, __file__, "--only", folder, str(workers)]
                out = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout
                found.append(json.loads(out.splitlines()[-1]))
    one, two = ({k: statistics.median(r[k] for r in found) for k in found[0]} for found in runs.values())
    print(
        json.dumps(
            {
                "benchmark": "workers",
                "date": time.strftime("%Y-%m-%d"),
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
                "load_before": round(os.getloadavg()[0], 1),
                "repeat": options.repeat,
                "one": one,
                "two": two,
                "speedup": round(one["wall_s"] / two["wall_s"], 2),
                "speedups": sorted(round(a["wall_s"] / b["wall_s"], 2) for a, b in zip(*runs.values(), strict=True)),
            }
        )
    )


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = str(ROOT)
    main()
