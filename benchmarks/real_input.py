"""The main job on documents nobody here wrote: dedup, annotate, select and export of folders, by the command line.

    python benchmarks/real_input.py FOLDER... [--by annotator|heuristics|both] [--quantile 0.7] [--workers 2]

Prints one JSON line: near-duplicates, the share above each head's cut and above all cuts in each language (nominal is
1 - quantile a head), why documents were dropped, seconds of each stage, the load of the machine before. No text
and no row of the input is in it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

STAGES = ("dedup", "annotate", "select", "export")


def machine() -> str:
    """Processor, cores and Python."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def table(folder: Path) -> pa.Table:
    """All committed tables of a stage."""
    return pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("*/data/**/*.parquet")))


def stage_seconds(run: Path) -> dict[str, float]:
    """Seconds of each stage, all its phases together."""
    events = [json.loads(line) for line in (run / "run.log").read_text().splitlines()]
    seconds = dict.fromkeys(STAGES, 0.0)
    for event in events:
        if event["event"] == "stage_end":
            seconds[event["stage"].split("/")[0]] += event["seconds"]
    return {stage: round(s, 1) for stage, s in seconds.items()}


def shares(run: Path) -> dict[str, dict[str, float]]:
    """Language -> share of the documents that count (one of each cluster) above each head's cut, and all cuts."""
    cuts = json.loads((run / "cuts.json").read_text())
    scores = table(run / "annotate")
    counted = table(run / "dedup" / "clusters").column("representative").fill_null(False).to_numpy()
    languages = np.array(scores.column("language").to_pylist())
    points = {head: scores.column(head).to_numpy() for head in cuts["heads"]}
    found = {}
    for code, entry in cuts["languages"].items():
        if entry["cuts"] is None:
            continue
        rows = counted & (languages == code)
        above = {head: points[head][rows] >= cut for head, cut in entry["cuts"].items()}
        found[code] = {head: round(float(a.mean()), 4) for head, a in above.items()}
        found[code]["all"] = round(float(np.all(list(above.values()), axis=0).mean()), 4)
        first, second = (np.argsort(np.argsort(points[head][rows])) for head in cuts["heads"][:2])
        found[code]["rank_correlation"] = round(float(np.corrcoef(first, second)[0, 1]), 3)
    return found


def measure(documents: Path, by: str, quantile: float, workers: int, run: Path) -> dict[str, Any]:
    """Run the job, then count."""
    recipe = {"name": "real", "output": str(run), "stages": list(STAGES), "documents": {"path": str(documents)}}
    recipe |= {"engine": {"workers": workers}, "select": {"by": by, "quantile": quantile}}
    path = run.parent / "real.yaml"
    path.write_text(json.dumps(recipe))
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "jql", "run", str(path)], check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    summary = json.loads((run / "summary.json").read_text())
    clusters = table(run / "dedup" / "clusters")
    members = np.asarray(clusters.column("cluster_size").fill_null(1)) > 1
    total, found = summary["total"], shares(run)
    heads = sorted({head for entry in found.values() for head in entry} - {"all", "rank_correlation"})
    spread = {head: [min(e[head] for e in found.values()), max(e[head] for e in found.values())] for head in heads}
    return {
        "documents": total["documents"],
        "languages": len(summary["languages"]),
        "kept": total["kept"],
        "dropped": summary["dropped"],
        "near_duplicates": {
            "documents_in_clusters": int(members.sum()),
            "clusters": len(np.unique(np.asarray(clusters.column("cluster"))[members])),
            "largest": int(np.asarray(clusters.column("cluster_size").fill_null(1)).max()),
        },
        "nominal_share_per_head": round(1 - quantile, 4),
        "share_above_cut": {head: {"least": low, "most": high} for head, (low, high) in spread.items()},
        "seconds": {"wall": round(seconds, 1), **stage_seconds(run)},
        "documents_per_s": round(total["documents"] / seconds),
        "by_language": {
            code: {"documents": entry["documents"], "kept": entry["kept"], **found.get(code, {})}
            for code, entry in summary["languages"].items()
        },
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--by", default="annotator", choices=["annotator", "heuristics", "both"])
    parser.add_argument("--quantile", default=0.7, type=float)
    parser.add_argument("--workers", default=2, type=int)
    given = parser.parse_args()
    load = os.getloadavg()[0]
    inputs = {}
    for documents in given.folders:
        with tempfile.TemporaryDirectory() as folder:
            inputs[documents.name] = measure(documents, given.by, given.quantile, given.workers, Path(folder) / "run")
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "benchmark": "real_input",
        "command": f"python benchmarks/real_input.py {' '.join(sys.argv[1:])}",
        "machine": machine(),
        "load_before": round(load, 1),
        "inputs": inputs,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
