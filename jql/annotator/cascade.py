"""The cascade: a cheap annotator scores everything, and the big one only what could still pass the cut.

annotate/first    per document unit   SCORE of the cheap annotator
annotate/sample   per document unit   SAMPLE: documents drawn in each language, scored by the big one too
thresholds        here                of each language, with the bound on what is lost
annotate          per document unit   SCORE of the big annotator, reason `cascade` where it was not asked
"""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from jql.annotator.annotate import annotate_stage, representatives
from jql.annotator.annotator import Annotator
from jql.annotator.cascade_bound import Bound, bound_of, loss_at
from jql.annotator.counts import bins_of
from jql.annotator.heads import choose_heads
from jql.documents import Documents, document_name, read_documents
from jql.engine import storage
from jql.engine.fingerprint import digest_of
from jql.engine.plan import Unit
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import Guard, Output, Stage
from jql.errors import RecipeError
from jql.recipe import Cascade, Recipe

VERSION = 1


def sample_schema(heads: list[str]) -> pa.Schema:
    """SAMPLE: place in the unit, language, the score that goes before, and those of the heads."""
    scores = [(head, pa.float32()) for head in heads]
    return pa.schema([("row", pa.int64()), ("language", pa.string()), ("before", pa.float32()), *scores])


class SampleWorker:
    """Draws documents that the cheap annotator has scored, and scores them with the big one."""

    def __init__(self, annotator: str, head: str, rates: dict[str, float], seed: int, language: str | None) -> None:
        """`rates`: language -> share of its documents that is drawn."""
        self.annotator = Annotator.load(annotator)
        self.annotator.encoder()
        self.head, self.rates, self.seed, self.language = head, rates, seed, language

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """SAMPLE rows; one of each cluster is drawn from."""
        first = storage.read_table(unit.payload["first"], ["id", "language", "reason", self.head])
        n, reasons, languages = first.num_rows, first.column("reason").to_pylist(), first.column("language").to_pylist()
        ids, counted = first.column("id").to_pylist(), representatives(unit)
        rows = [
            row
            for row in guard.rows(n)
            if reasons[row] is None
            and row not in guard.poison
            and (counted is None or counted[row])
            and is_drawn(ids[row], self.seed, self.rates[languages[row]])
        ]
        heads, codes = self.annotator.heads, [languages[row] for row in rows]
        points_NH = np.zeros((0, len(heads)), np.float32)
        if rows:
            texts = read_documents(unit, ["text"], self.language).column("text").take(pa.array(rows)).to_pylist()
            guard.arm(100)
            points = self.annotator.score(texts, codes)
            points_NH = np.stack([points[head] for head in heads], axis=1)
        finite = np.flatnonzero(np.isfinite(points_NH).all(axis=1))  # others get their reason where all are scored
        rows, codes = [rows[i] for i in finite], [codes[i] for i in finite]
        before = first.column(self.head).take(pa.array(rows, pa.int64()))
        scores = dict(zip(heads, points_NH[finite].T, strict=True))
        out = pa.table({"row": rows, "language": codes, "before": before, **scores}, schema=sample_schema(heads))
        return Output.of(out, n, Counter(guard.poison.values()), drawn=dict(sorted(Counter(codes).items())))


def is_drawn(id: str, seed: int, rate: float) -> bool:
    """Whether a document is in a random share of the documents."""
    return document_name(id, seed) < rate * 2**64


def rates_of(first: StageRun, sample: int) -> dict[str, float]:
    """Language -> share of its scored documents that makes a sample of about `sample`."""
    counts: Counter[str] = Counter()
    for receipt in first.receipts():
        counts.update(dict.fromkeys(receipt.stats["languages"], 0))
        counts.update(receipt.stats["counted"])
    return {language: min(1.0, sample / count) if count else 0.0 for language, count in sorted(counts.items())}


def bounds_of(sample: StageRun, heads: list[str], wish: Cascade, slack: float) -> dict[str, Bound]:
    """Language -> threshold and bound; `slack` is the width of a bin, by which a cut may be off."""
    columns = ["language", "before", *heads]
    table = pa.concat_tables([sample_schema(heads).empty_table().select(columns), *sample.tables(columns=columns)])
    languages = np.array(table.column("language").to_pylist(), object)
    before = table.column("before").to_numpy()
    points = np.stack([table.column(head).to_numpy() for head in heads], axis=1)
    found = {}
    for language in sorted(set(languages.tolist())):
        rows = languages == language
        found[language] = bound_of(
            before[rows], points[rows], wish.quantile, wish.rule, wish.loss, wish.confidence, slack=slack
        )
    return found


def run_cascade(
    recipe: Recipe, wish: Cascade, run: StageRunner, documents: Documents, clusters: StageRun | None
) -> tuple[StageRun, dict[str, Any]]:
    """Score the documents in two steps; returns the big annotator's scores, and what was held back by language.

    Raises:
        RecipeError: a head that an annotator does not have, or the same annotator twice.
    """
    first, second = Annotator.load(wish.annotator), Annotator.load(recipe.annotate.annotator)
    if first.revision == second.revision:
        raise RecipeError(
            f"annotate.cascade.annotator: {wish.annotator} is annotate.annotator itself; name a cheaper one"
        )
    if wish.head and wish.head not in first.heads:
        raise RecipeError(
            f"annotate.cascade.head: {wish.annotator} has no head {wish.head!r}; it has {', '.join(first.heads)}"
        )
    head, heads = wish.head or first.heads[0], choose_heads(wish.heads, second.heads, "annotate.cascade.heads")
    address = recipe.annotate.annotator
    inputs: dict[str, Any] = {"documents": documents.mark, "clusters": clusters.mark() if clusters else ""}
    everything = run.run(
        annotate_stage("annotate/first", recipe, first, wish.annotator, inputs, documents),
        lambda: documents.beside(clusters=clusters),
    )
    rates = rates_of(everything, wish.sample)
    settings = {"head": head, "rates": rates, "seed": recipe.seed, "language": documents.language}
    inputs = {**inputs, "first": everything.mark()}
    big = annotate_stage("annotate", recipe, second, address, inputs, documents)
    sampled = run.run(
        Stage(
            name="annotate/sample",
            version=VERSION,
            config={"revision": second.revision, "head": head, "rates": digest_of(rates), "seed": recipe.seed},
            inputs=inputs,
            factory=SampleWorker,
            settings={"annotator": address, **settings},
            law="many",
            crash="score_crash",
            gpus=big.gpus,
        ),
        lambda: (u for u in documents.beside(clusters=clusters, first=everything) if "first" in u.payload),
    )
    bounds = bounds_of(sampled, heads, wish, bins_of(second).width)
    thresholds = {code: bound.threshold for code, bound in bounds.items() if bound.threshold is not None}
    stage = replace(
        big,
        config={**big.config, "cascade": {**wish.deciding(), "head": head, "thresholds": digest_of(thresholds)}},
        inputs={**inputs, "sample": sampled.mark()},
        settings={**big.settings, "head": head, "thresholds": thresholds},
    )
    scores = run.run(stage, lambda: documents.beside(clusters=clusters, first=everything, sample=sampled))
    told = {**wish.model_dump(mode="json"), "head": head, "heads": heads, "before": second.name}
    return scores, {**told, **_promises(recipe.select.quantile, wish, bounds, len(heads))}


def _promises(quantile: float, wish: Cascade, bounds: dict[str, Bound], heads: int) -> dict[str, Any]:
    """Bounds by language, and what they say of the quantile that is selected at."""
    later = max(quantile, wish.quantile)
    languages = {
        code: {**bound.to_json(), "loss_at_select": loss_at(wish.loss, wish.quantile, later, heads)}
        for code, bound in bounds.items()
    }
    return {"select_quantile": later, "languages": languages}
