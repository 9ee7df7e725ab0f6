"""The annotate stage: a score of every head for every document, in a table aligned with the documents, without text.

Reading, tokenizing, encoding, heads and writing overlap: each part of a unit is read while the one before is encoded,
and its scores are written while the next is.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from jql.annotator.annotator import Annotator
from jql.annotator.counts import COUNTS, Counts
from jql.annotator.part import HELD_BACK, SIZED, Part
from jql.annotator.sizes import Sizes
from jql.documents import Documents, parts_of, read_documents
from jql.engine import storage
from jql.engine.plan import Unit
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import Guard, Output, Stage
from jql.recipe import Recipe
from jql.schema import COUNT, score_schema

VERSION = 2
PART_ROWS = 8_192
"""Rows that are read at a time."""
BATCH_CHARS = 1_000_000
"""Characters of a batch: a CPU's core takes some minutes for them, and the watch over a batch is half an hour."""


class AnnotateWorker:
    """Scores the documents of a unit; of a cascade, those that the annotator before has not held back."""

    def __init__(
        self,
        annotator: str,
        batch: int,
        one_copy: bool,
        language: str | None,
        head: str = "",
        thresholds: dict[str, float] | None = None,
    ) -> None:
        """`thresholds`: language -> lowest score of the first annotator's `head` that goes on."""
        self.annotator = Annotator.load(annotator)
        self.annotator.encoder()  # when the worker starts, not in its first unit
        self.batch, self.one_copy, self.language = batch, one_copy, language
        self.head, self.thresholds = head, thresholds or {}
        self.sizes = Sizes()

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """SCORE rows, one for every document, and COUNT rows, which count one document of each cluster."""
        output, counts = Output(), Counts(self.annotator)
        output.tables[""] = (score_schema(self.annotator.heads), self._tables(unit, guard, output, counts))
        output.tables[COUNTS] = (COUNT, (counts.histograms.to_table() for _ in range(1)))  # once all were counted
        return output

    def _tables(self, unit: Unit, guard: Guard, output: Output, counts: Counts) -> Iterator[pa.Table]:
        heads = self.annotator.heads
        on_the_way: deque[tuple[Part, np.ndarray]] = deque()

        def batches() -> Iterator[tuple[list[str], list[str]]]:
            for part, texts in self._parts(unit, guard):
                batched = batches_of(part.rows, [len(texts[row]) for row in part.rows], self.batch)
                part.left = len(batched)
                for rows in batched:  # one without rows, too: its part must come out
                    on_the_way.append((part, rows))
                    yield [texts[r] for r in rows], [part.languages[r] for r in rows]

        for points in self.annotator.stream(batches()):
            guard.arm(10)
            part, rows = on_the_way.popleft()
            part.points[rows] = points
            part.left -= 1
            if part.left == 0:
                part.refuse_unfinite()
                counts.add(part)
                output.rows_in += len(part.reasons)
                output.drops.update(reason for reason in part.reasons if reason)
                yield part.to_table(heads)
        output.stats = counts.to_stats()

    def _parts(self, unit: Unit, guard: Guard) -> Iterator[tuple[Part, list[str]]]:
        """The parts of a unit and their texts, in order; read when they are asked for."""
        first, held, known = representatives(unit), self._held_back(unit), self._known(unit)
        at = 0
        for piece in parts_of(unit, PART_ROWS):
            table = read_documents(piece, ["text"], self.language)
            n = table.num_rows
            texts, problems = table.column("text").to_pylist(), table.column("problem").to_pylist()
            counted = np.ones(n, bool) if first is None else first[at : at + n]
            points = np.zeros((n, len(self.annotator.heads)), np.float32)
            reasons = [problems[row] or guard.poison.get(at + row) for row in range(n)]
            rows, looked_at = [], guard.rows(at + n)
            for row in range(n):
                if reasons[row] is None and not texts[row].strip():
                    reasons[row] = "empty"
                if reasons[row] is None and self.one_copy and not counted[row]:
                    reasons[row] = "duplicate"
                if reasons[row] is None and at + row in known:
                    points[row] = known[at + row]
                elif reasons[row] is None and held is not None and held[at + row]:
                    reasons[row] = HELD_BACK
                elif reasons[row] is None and at + row in looked_at:
                    rows.append(row)
            sized = [row for row in range(n) if reasons[row] in SIZED and at + row in looked_at]
            sizes = np.full((2, n), -1, np.int64)
            sizes[:, sized] = self.sizes([texts[row] for row in sized])
            languages = table.column("language").to_pylist()
            yield Part(table.column("id"), languages, reasons, np.array(rows, np.int64), counted, points, sizes), texts
            at += n

    def _held_back(self, unit: Unit) -> np.ndarray | None:
        """Bool (n,): the documents that a cascade holds back; None without one, or where its first stage is missing."""
        if not self.thresholds or "first" not in unit.payload:
            return None
        table = storage.read_table(unit.payload["first"], ["language", self.head])
        least = {code: self.thresholds.get(code, -np.inf) for code in table.column("language").unique().to_pylist()}
        least_n = np.array([least[code] for code in table.column("language").to_pylist()], np.float64)
        below: np.ndarray = table.column(self.head).to_numpy() < least_n  # NaN where there is no score: not below
        return below

    def _known(self, unit: Unit) -> dict[int, np.ndarray]:
        """Row -> scores that were made for the sample of a cascade."""
        if "sample" not in unit.payload:
            return {}
        table = storage.read_table(unit.payload["sample"], ["row", *self.annotator.heads])
        points = np.stack([table.column(head).to_numpy() for head in self.annotator.heads], axis=1)
        return dict(zip(table.column("row").to_pylist(), points, strict=True))


def batches_of(rows: np.ndarray, chars: list[int], most: int) -> list[np.ndarray]:
    """Rows in batches of at most `most` texts and about BATCH_CHARS characters; without rows, one empty batch."""
    batches: list[list[int]] = [[]]
    together = 0
    for row, length in zip(rows.tolist(), chars, strict=True):
        if batches[-1] and (len(batches[-1]) == most or together + length > BATCH_CHARS):
            batches.append([])
            together = 0
        batches[-1].append(row)
        together += length
    return [np.array(batch, np.int64) for batch in batches]


def representatives(unit: Unit) -> np.ndarray | None:
    """Bool (n,): the one document of each cluster; None where there was no dedup."""
    if "clusters" not in unit.payload:
        return None
    column = storage.read_table(unit.payload["clusters"], ["representative"]).column(0)
    result: np.ndarray = column.fill_null(False).to_numpy()
    return result


def annotate_stage(
    name: str, recipe: Recipe, annotator: Annotator, address: str, inputs: dict[str, Any], documents: Documents
) -> Stage:
    """The stage that scores all documents with an annotator, which lies at `address`."""
    one_copy = recipe.annotate.copies == "one" and bool(inputs["clusters"])
    return Stage(
        name=name,
        version=VERSION,
        config={"annotator": annotator.name, "revision": annotator.revision, "one_copy": one_copy},
        inputs=inputs,
        factory=AnnotateWorker,
        settings={
            "annotator": address,
            "batch": recipe.annotate.batch,
            "one_copy": one_copy,
            "language": documents.language,
        },
        law="aligned",
        crash="score_crash",
        gpus=gpus_of(annotator, recipe),
    )


def gpus_of(annotator: Annotator, recipe: Recipe) -> float:
    """GPUs of a worker: what the recipe says; without that one for a transformer, where the cluster has any."""
    if annotator.spec.kind == "static":
        return 0.0
    if recipe.annotate.gpus is not None:
        return recipe.annotate.gpus
    from jql.engine.ray_pool import cluster_gpus

    return min(1.0, cluster_gpus(recipe.engine))


def run_annotate(
    recipe: Recipe, run: StageRunner, documents: Documents, clusters: StageRun | None
) -> tuple[StageRun, dict[str, Any] | None]:
    """Score the documents; returns what a cascade held back, too, if there is one."""
    if recipe.annotate.cascade is not None:
        from jql.annotator.cascade import run_cascade

        return run_cascade(recipe, recipe.annotate.cascade, run, documents, clusters)
    address = recipe.annotate.annotator
    inputs = {"documents": documents.mark, "clusters": clusters.mark() if clusters else ""}
    stage = annotate_stage("annotate", recipe, Annotator.load(address), address, inputs, documents)
    return run.run(stage, lambda: documents.beside(clusters=clusters)), None
