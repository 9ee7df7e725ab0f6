"""Raters and replies that are real: agreement, aggregation, and what the parser reads of 5,000 replies.

    python benchmarks/judge_real.py DATA        # a folder with ratings/ and judged/multi26.parquet

Prints one JSON line. No row of the data is in the repository; see data/README.md for what is.
"""

import io
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from jql.agreement.aggregate import RULES, aggregate
from jql.pipeline import run_recipe
from jql.recipe import make_recipe
from jql.truth.agree import run_agree
from jql.truth.ratings import read_ratings

VALUES = ("value", "low", "high")


def agreement(path: Path, origin: str) -> dict[str, Any]:
    """Every figure of `jql truth agree` with its interval, and the scores that each rule makes."""
    quiet = Console(file=io.StringIO())
    measured = run_agree(str(path), origin=origin, console=quiet)["overall"]
    by_document: dict[str, list[float]] = {}
    for row in read_ratings(str(path), origin=origin).ratings.to_pylist():
        by_document.setdefault(row["id"], []).append(row["score"])
    scores = {rule: [aggregate(given, rule) for given in by_document.values()] for rule in RULES}
    rules = {rule: Counter(round(s, 2) for s in found if s is not None) for rule, found in scores.items()}
    figures = {**measured["figures"], "one_against_the_others": measured["ceiling"]["mean"]}
    return {
        "figures": {name: [_round(entry.get(key)) for key in VALUES] for name, entry in figures.items()},
        "scores": {rule: {str(k): n for k, n in sorted(counts.items())} for rule, counts in rules.items()},
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def replies(path: Path) -> dict[str, Any]:
    """The stored replies through `jql judge`, against the scores that were stored with them."""
    with tempfile.TemporaryDirectory() as folder:
        judges = {"stored": {"replies": [str(path)]}}
        recipe = {"output": folder, "stages": ["judge"], "engine": {"backend": "inline"}}
        recipe |= {"documents": {"path": str(path)}, "judge": {"judges": judges}}
        started = time.monotonic()
        result = run_recipe(make_recipe(recipe), Console(file=io.StringIO()))
        seconds = time.monotonic() - started
        judged = result.summary["total"]["judges"]["stored"]
        tables = [pq.read_table(file) for file in Path(judged["judgments"]).rglob("*.parquet")]
        rows = {row["id"]: row for row in pa.concat_tables(tables).to_pylist()}
    known = agree = 0
    shifts = []
    for row in pq.read_table(path).to_pylist():
        ours = rows[row["id"]]
        for stored, score in zip(row["scores"], ours["scores"], strict=True):
            known += stored is not None
            agree += stored is not None and stored == score
        before = [s for s in row["scores"] if s is not None]
        if before and ours["score"] is not None:
            shifts.append(abs(float(np.mean([s for s in ours["scores"] if s is not None])) - float(np.mean(before))))
    answers = sum(judged["kinds"].values())
    return {
        "answers": answers,
        "stored_readable": known,
        "readable": judged["kinds"]["ok"],
        "equal_where_stored": agree,
        "unreadable": {kind: n for kind, n in judged["kinds"].items() if kind != "ok"},
        "documents_with_a_score": judged["scored"],
        "mean_shift_of_a_document": round(float(np.mean(shifts)), 3),
        "seconds": round(seconds, 1),
    }


def main(data: Path) -> None:
    ratings = data / "ratings"
    result = {
        "benchmark": "judge_real",
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "command": "python benchmarks/judge_real.py DATA",
        "three_people_60_documents": agreement(ratings / "educational_60x3.parquet", "human"),
        "eight_passes_of_one_model_38_documents": agreement(ratings / "educational_38x8.parquet", "model"),
        "replies": replies(data / "judged" / "multi26.parquet"),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
