"""Made-up ground truth and judges of known quality."""

import dataclasses
import io
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from jql.agreement.aggregate import aggregate
from jql.agreement.figures import Settings
from jql.schema import JUDGMENT, TRUTH

FEW = Settings(resamples=100)
LANGUAGES = ("deu_Latn", "fra_Latn")


def make_truth(
    sources: int = 60, languages: tuple[str, ...] = LANGUAGES, raters: int = 3, origin: str = "human", seed: int = 0
) -> pa.Table:
    """Every source in every language, rated by the same three of so many raters; ids such as d007.fra_Latn."""
    generator = np.random.default_rng(seed)
    rows = []
    for source in range(sources):
        quality = generator.uniform(0, 5)
        names = sorted(f"rater {n}" for n in generator.choice(raters, 3, replace=False))
        ratings = [float(np.clip(np.round(quality + generator.normal(0, 0.6)), 0, 5)) for _ in names]
        for language in languages:
            document = {"id": f"d{source:03d}.{language}", "source": f"d{source:03d}", "language": language}
            rated = {"score": aggregate(ratings), "raters": names, "ratings": ratings, "rule": "majority"}
            text = f"Lesson {source} " + "about rivers " * int(generator.integers(1, 9))
            rows.append({**document, **rated, "text": text, "origin": origin})
    return pa.Table.from_pylist(rows, schema=TRUTH)


def make_judge(
    truth: pa.Table, noise: float, *, seed: int = 1, offset: float = 0.0, invalid: float = 0.0, origin: str = "model"
) -> pa.Table:
    """Truth plus offset plus noise, of which half is the source's own; so large a share of documents has no score."""
    generator = np.random.default_rng(seed)
    of_source: dict[str, float] = {}
    rows = []
    for document in truth.select(["id", "source", "language", "text", "score"]).to_pylist():
        shared = of_source.setdefault(document["source"], generator.normal(0, noise))
        score = (document["score"] or 0.0) + offset + (shared + generator.normal(0, noise)) / 2
        lost = generator.random() < invalid
        answers = [None] * 3 if lost else [score] * 3
        document |= {"score": answers[0], "reason": "no_score" if lost else None, "scores": answers}
        cost = {"tokens_in": 800, "tokens_out": 100, "seconds": 1.5, "spread": None if lost else 0.0}
        rows.append({**document, **cost, "kinds": ["no_score" if lost else "ok"] * 3, "judge": "j", "origin": origin})
    return pa.Table.from_pylist(rows, schema=JUDGMENT)


def change(table: pa.Table, row: int, **values: Any) -> pa.Table:
    """The table with some values of one row changed."""
    rows = table.to_pylist()
    rows[row] |= values
    return pa.Table.from_pylist(rows, schema=table.schema)


def without(settings: Settings, **values: Any) -> Settings:
    return dataclasses.replace(settings, **values)


def rendered(tables: list[Any], width: int = 120) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    for table in tables:
        console.print(table)
    return stream.getvalue()
