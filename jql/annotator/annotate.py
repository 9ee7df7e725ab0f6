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


@dataclass
class Part:
    """Rows of a unit on their way.

    Attributes:
        ids, languages, reasons: of each of the n rows; a reason says why it is not scored.
        rows: those that are scored here. counted: bool (n,), one of each cluster, which the histograms count.
        points: float32 (n, H). left: batches that have no scores yet.
    """

    ids: pa.ChunkedArray
    languages: list[str]
    reasons: list[str | None]
    rows: np.ndarray
    counted: np.ndarray
    points: np.ndarray
    left: int


@dataclass
class Counts:
    """What a unit's receipt says of it: rows by language, and histograms of the scores by language."""

    languages: Counter[str] = field(default_factory=Counter)
    histograms: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, part: Part) -> None:
        """Count a part."""
        self.languages.update(part.languages)
        rows = part.rows[part.counted[part.rows]]
        add_by_language(part.points[rows], np.array(part.languages, object)[rows], self.histograms)

    def to_stats(self, heads: list[str]) -> dict[str, Any]:
        """As it stands in the receipt."""
        packed = pack_by_language(self.histograms, heads)
        return {"histograms": packed, "languages": dict(sorted(self.languages.items()))}


class AnnotateWorker:
    """Scores the documents of a unit."""

    def __init__(self, annotator: str, batch: int, one_copy: bool, language: str | None) -> None:
        self.annotator = Annotator.load(annotator)
        self.annotator.encoder()  # when the worker starts, not in its first unit
        self.batch, self.one_copy, self.language = batch, one_copy, language

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """SCORE rows, one for every document; histograms count one document of each cluster."""
        output = Output(stats=Counts().to_stats([]))
        output.tables[""] = (score_schema(self.annotator.heads), self._tables(unit, guard, output))
        return output

    def _tables(self, unit: Unit, guard: Guard, output: Output) -> Iterator[pa.Table]:
        heads, counts = self.annotator.heads, Counts()
        on_the_way: deque[tuple[Part, np.ndarray]] = deque()

        def batches() -> Iterator[tuple[list[str], list[str]]]:
            for part, texts in self._parts(unit, guard):
                cuts = range(self.batch, len(part.rows), self.batch)
                batched = np.split(part.rows, list(cuts))
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
                output.stats = counts.to_stats(heads)
                yield _table(part, heads)

    def _parts(self, unit: Unit, guard: Guard) -> Iterator[tuple[Part, list[str]]]:
        """The parts of a unit and their texts, in order; read when they are asked for."""
        first = representatives(unit)
        at = 0
        for piece in parts_of(unit, PART_ROWS):
            table = read_documents(piece, ["text"], self.language)
            n = table.num_rows
            texts, problems = table.column("text").to_pylist(), table.column("problem").to_pylist()
            counted = np.ones(n, bool) if first is None else first[at : at + n]
            reasons = [problems[row] or guard.poison.get(at + row) for row in range(n)]
            for row in range(n):
                if reasons[row] is None and not texts[row].strip():
                    reasons[row] = "empty"
                if reasons[row] is None and self.one_copy and not counted[row]:
                    reasons[row] = "duplicate"
            here = guard.rows(at + n)
            rows = np.array([row for row in range(n) if at + row in here and reasons[row] is None], np.int64)
            points = np.zeros((n, len(self.annotator.heads)), np.float32)
            languages = table.column("language").to_pylist()
            yield Part(table.column("id"), languages, reasons, rows, counted, points, 0), texts
            at += n


def _table(part: Part, heads: list[str]) -> pa.Table:
    """The SCORE rows of a part."""
    unscored = np.ones(len(part.reasons), bool)
    unscored[part.rows] = False
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
