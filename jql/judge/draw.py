"""Which documents of a run are judged: about as many of each language, by a seeded hash of their ids.

Two phases on the engine, so that no process sees the whole corpus: count the documents of each language, then keep each
document with the share that its language needs.
"""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from jql.documents import Documents, document_name, read_documents
from jql.engine.plan import Unit
from jql.engine.run import StageRunner
from jql.engine.stage import Guard, Output, Stage

VERSION = 1
DRAWN = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
    ]
)


def shares(counts: dict[str, int], per_language: int) -> dict[str, float]:
    """Language -> share of its documents, in (0, 1], that makes about `per_language` of them."""
    return {code: min(1.0, per_language / n) for code, n in sorted(counts.items()) if n}


def drawn(ids: list[str], languages: list[str], share: dict[str, float], seed: int) -> np.ndarray:
    """Bool (N,): which documents are drawn; the same ones whatever the order and the units they come in."""
    below = {code: int(s * 2**64) for code, s in share.items()}
    hashed = (document_name(i, seed % 2**64) for i in ids)
    pairs = zip(hashed, languages, strict=True)
    return np.array([h < below.get(code, 0) for h, code in pairs], bool)


class CountWorker:
    """Counts the usable documents of a unit by language."""

    def __init__(self, language: str | None) -> None:
        self.language = language

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """No table; the counts are in the receipt."""
        table = read_documents(unit, [], self.language)
        problems = table.column("problem").to_pylist()
        codes = [c for c, p in zip(table.column("language").to_pylist(), problems, strict=True) if p is None]
        drops = Counter(p for p in problems if p)
        return Output(rows_in=table.num_rows, drops=drops, stats={"languages": dict(sorted(Counter(codes).items()))})


class DrawWorker:
    """Keeps the documents of a unit that are drawn."""

    def __init__(self, share: dict[str, float], seed: int, language: str | None) -> None:
        self.share, self.seed, self.language = share, seed, language

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """DRAWN rows."""
        table = read_documents(unit, ["text", "source"], self.language)
        problems = table.column("problem").to_pylist()
        ids = table.column("id").to_pylist()
        chosen = drawn(ids, table.column("language").to_pylist(), self.share, self.seed)
        rows = np.flatnonzero([p is None and c for p, c in zip(problems, chosen, strict=True)])
        drops = Counter(p or "not_drawn" for p, c in zip(problems, chosen, strict=True) if p or not c)
        taken = table.take(rows)
        sources = [
            s or i for s, i in zip(taken.column("source").to_pylist(), taken.column("id").to_pylist(), strict=True)
        ]
        columns: dict[str, Any] = {name: taken.column(name) for name in ("id", "language", "text")}
        return Output.of(
            pa.table({**columns, "source": sources}).select(DRAWN.names).cast(DRAWN), table.num_rows, drops
        )


def run_draw(run: StageRunner, documents: Documents, per_language: int, seed: int) -> Documents:
    """The documents to be judged."""
    inputs = {"documents": documents.mark}
    counted = run.run(
        Stage("judge/count", VERSION, {}, inputs, CountWorker, {"language": documents.language}, "many"),
        documents.units,
    )
    counts: Counter[str] = Counter()
    for receipt in counted.receipts():
        counts.update(receipt.stats["languages"])
    share = shares(counts, per_language)
    settings = {"share": share, "seed": seed, "language": documents.language}
    config = {"per_language": per_language, "seed": seed}
    stage = Stage("judge/draw", VERSION, config, {**inputs, "counted": counted.mark()}, DrawWorker, settings, "filter")
    return Documents.of_stage(run.run(stage, documents.units))
