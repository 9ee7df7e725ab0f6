"""The annotate stage: a score of every head for every document, in a table aligned with the documents, without text.

Reading, tokenizing, encoding, heads and writing overlap: each part of a unit is read while the one before is encoded,
and its scores are written while the next is.
"""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from jql.annotator.annotator import Annotator
from jql.annotator.histogram import add_by_language, pack_by_language
from jql.documents import Documents, parts_of, read_documents
from jql.engine import storage
from jql.engine.plan import Unit
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import Guard, Output, Stage
from jql.recipe import Recipe
from jql.schema import score_schema

VERSION = 1
PART_ROWS = 8_192
"""Rows that are read at a time."""
BATCH_CHARS = 1_000_000
"""Characters of a batch: a CPU's core takes some minutes for them, and the watch over a batch is half an hour."""
HELD_BACK = "cascade"
"""Reason of a document whose first score says that the annotator would not keep it."""


@dataclass
class Part:
    """Rows of a unit on their way.

    Attributes:
        ids, languages, reasons: of each of the n rows; a reason says why it has no score.
        rows: those that are scored here; others may have been before. counted: bool (n,), one of each cluster, which
            the histograms count.
        points: float32 (n, H). left: batches that have no scores yet.
    """

    ids: pa.ChunkedArray
    languages: list[str]
    reasons: list[str | None]
    rows: np.ndarray
    counted: np.ndarray
    points: np.ndarray
    left: int = 0


@dataclass
class Counts:
    """What a unit's receipt says of it: rows by language, and histograms of the scores by language."""

    languages: Counter[str] = field(default_factory=Counter)
    histograms: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, part: Part) -> None:
        """Count a part; documents that a cascade has held back count as below every score."""
        self.languages.update(part.languages)
        held = np.array([reason == HELD_BACK for reason in part.reasons], bool)
        part.points[held] = -np.inf
        rows = np.flatnonzero(part.counted & (held | np.array([reason is None for reason in part.reasons], bool)))
        add_by_language(part.points[rows], np.array(part.languages, object)[rows], self.histograms)

    def to_stats(self, heads: list[str]) -> dict[str, Any]:
        """As it stands in the receipt."""
        packed = pack_by_language(self.histograms, heads)
        return {"histograms": packed, "languages": dict(sorted(self.languages.items()))}


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

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """SCORE rows, one for every document; histograms count one document of each cluster."""
        output = Output()
        output.tables[""] = (score_schema(self.annotator.heads), self._tables(unit, guard, output))
        return output

    def _tables(self, unit: Unit, guard: Guard, output: Output) -> Iterator[pa.Table]:
        heads, counts = self.annotator.heads, Counts()
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
                counts.add(part)
                output.rows_in += len(part.reasons)
                output.drops.update(reason for reason in part.reasons if reason)
                yield _table(part, heads)
        output.stats = counts.to_stats(heads)

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
            languages = table.column("language").to_pylist()
            yield Part(table.column("id"), languages, reasons, np.array(rows, np.int64), counted, points), texts
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


def _table(part: Part, heads: list[str]) -> pa.Table:
    """The SCORE rows of a part."""
    unscored = np.array([reason is not None for reason in part.reasons], bool)
    scores = {head: pa.array(part.points[:, i], pa.float32(), mask=unscored) for i, head in enumerate(heads)}
    columns = {"id": part.ids, "language": part.languages, "reason": pa.array(part.reasons, pa.string()), **scores}
    return pa.table(columns, schema=score_schema(heads))


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
