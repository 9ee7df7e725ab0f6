"""The annotate stage: a score of every head for every document, in a table aligned with the documents, without text."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from jql.annotator.annotator import Annotator
from jql.annotator.histogram import histogram, pack
from jql.documents import Documents, read_documents
from jql.engine import storage
from jql.engine.plan import Unit
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import Guard, Output, Stage
from jql.recipe import Recipe
from jql.schema import score_schema

VERSION = 1


class AnnotateWorker:
    """Scores the documents of a unit."""

    def __init__(self, annotator: str, batch: int, one_copy: bool, language: str | None) -> None:
        self.annotator = Annotator.load(annotator)
        self.batch, self.one_copy, self.language = batch, one_copy, language

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """SCORE rows, one for every document; histograms count one document of each cluster."""
        table = read_documents(unit, ["text"], self.language)
        n = table.num_rows
        texts, problems = table.column("text").to_pylist(), table.column("problem").to_pylist()
        first = self._representatives(unit, n)
        reasons: list[str | None] = []
        for row in range(n):
            reason = problems[row] or guard.poison.get(row)
            if reason is None and not texts[row].strip():
                reason = "empty"
            if reason is None and self.one_copy and not first[row]:
                reason = "duplicate"
            reasons.append(reason)
        rows = np.array([r for r in guard.rows(n) if reasons[r] is None], np.int64)
        codes = table.column("language").to_pylist()
        points = self._score(texts, codes, rows, guard)
        heads = self.annotator.heads
        bad = np.ones(n, bool)
        bad[rows] = False
        columns = {head: pa.array(points[:, i], pa.float32(), mask=bad) for i, head in enumerate(heads)}
        out = pa.table(
            {
                "id": table.column("id"),
                "language": table.column("language"),
                "reason": pa.array(reasons, pa.string()),
                **columns,
            },
            schema=score_schema(heads),
        )
        counted = rows[first[rows]]
        languages = np.array(codes, object)
        stats = {"histograms": histograms(points[counted], languages[counted], heads)}
        stats["languages"] = dict(sorted(Counter(languages.tolist()).items()))
        return Output.of(out, n, Counter(r for r in reasons if r), **stats)

    def _score(self, texts: list[str], languages: list[str], rows: np.ndarray, guard: Guard) -> np.ndarray:
        """float32 (n, H): scores of the rows, zero elsewhere."""
        points = np.zeros((len(texts), len(self.annotator.heads)), np.float32)
        for at in range(0, len(rows), self.batch):
            batch = rows[at : at + self.batch]
            guard.arm(10)
            scores = self.annotator.score([texts[r] for r in batch], [languages[r] for r in batch])
            points[batch] = np.stack([scores[h] for h in self.annotator.heads], axis=1)
        return points

    def _representatives(self, unit: Unit, n: int) -> np.ndarray:
        """Bool (n,): the one document of each cluster; all of them where there was no dedup."""
        if "clusters" not in unit.payload:
            return np.ones(n, bool)
        column = storage.read_table(unit.payload["clusters"], ["representative"]).column(0)
        result: np.ndarray = column.fill_null(False).to_numpy()
        return result


def histograms(points_NH: np.ndarray, languages_N: np.ndarray, heads: list[str]) -> dict[str, Any]:
    """Language -> head -> packed histogram of its scores."""
    found: dict[str, Any] = {}
    for language in sorted(set(languages_N.tolist())):
        ours = points_NH[languages_N == language]
        found[language] = {head: pack(histogram(ours[:, i])) for i, head in enumerate(heads)}
    return found


def run_annotate(recipe: Recipe, run: StageRunner, documents: Documents, clusters: StageRun | None) -> StageRun:
    """Score the documents."""
    annotator = Annotator.load(recipe.annotate.annotator)
    one_copy = recipe.annotate.copies == "one" and clusters is not None
    inputs = {"documents": documents.mark, "clusters": clusters.mark() if clusters else ""}
    stage = Stage(
        name="annotate",
        version=VERSION,
        config={"annotator": annotator.name, "revision": annotator.revision, "one_copy": one_copy},
        inputs=inputs,
        factory=AnnotateWorker,
        settings={
            "annotator": recipe.annotate.annotator,
            "batch": recipe.annotate.batch,
            "one_copy": one_copy,
            "language": documents.language,
        },
        law="aligned",
        crash="score_crash",
    )
    return run.run(stage, lambda: documents.beside(clusters=clusters))
