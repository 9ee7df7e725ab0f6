"""The embed stage: judged documents to their label and dense features, once; what heads are trained on."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from jql.annotator.features import Features
from jql.documents import Documents, read_documents
from jql.encoder.encoder import EncoderSpec, load_encoder
from jql.engine.plan import Unit
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import Guard, Output, Stage
from jql.errors import DataError
from jql.schema import embedding_schema

VERSION = 1
BATCH = 256


class EmbedWorker:
    """Encodes the judged documents of a unit."""

    def __init__(self, spec: dict[str, Any], features: dict[str, Any]) -> None:
        self.encoder = load_encoder(EncoderSpec.from_json(spec, "embed"))
        self.features = Features(**{**features, "ngrams": False})  # sparse; computed where they are used
        self.dense = self.features.dense(self.encoder.spec)

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """EMBEDDING rows, one for every judged document."""
        table = read_documents(unit, ["text", "score", "source"])
        n = table.num_rows
        texts, problems = table.column("text").to_pylist(), table.column("problem").to_pylist()
        labels = [
            label_of(value, f"{unit.source}, row {i}") for i, value in enumerate(table.column("score").to_pylist())
        ]
        reasons: list[str | None] = []
        for row in range(n):
            reason = problems[row] or guard.poison.get(row)
            reason = (
                reason or (None if texts[row].strip() else "empty") or ("no_label" if labels[row] is None else None)
            )
            reasons.append(reason)
        rows = [int(r) for r in guard.rows(n) if reasons[r] is None]
        dense_ND = np.zeros((n, self.dense), np.float32)
        for at in range(0, len(rows), BATCH):
            guard.arm(60)
            batch = rows[at : at + BATCH]
            dense_ND[batch], _ = self.features.of([texts[r] for r in batch], self.encoder)
        bad = np.ones(n, bool)
        bad[rows] = False
        ids = table.column("id").to_pylist()
        values = pa.FixedSizeListArray.from_arrays(pa.array(dense_ND.ravel()), self.dense, mask=pa.array(bad))
        sources = [source or id for source, id in zip(table.column("source").to_pylist(), ids, strict=True)]
        out = pa.table(
            {
                "id": ids,
                "language": table.column("language"),
                "source": sources,
                "reason": pa.array(reasons, pa.string()),
                "label": pa.array(labels, pa.float64()),
                "chars": [len(text) if text else 0 for text in texts],
                "features": values,
            },
            schema=embedding_schema(self.dense),
        )
        return Output.of(out, n, Counter(r for r in reasons if r))


def label_of(value: str | None, where: str) -> float | None:
    """A label as a number, None where there is none.

    Raises:
        DataError: it is something else.
    """
    if value is None or value.strip().lower() in ("", "nan", "none", "null"):
        return None
    try:
        return float(value)
    except ValueError:
        raise DataError(
            f"{where}: score {value!r}, expected a number or null; parse the judge's answers first"
        ) from None


def run_embed(run: StageRunner, judge: str, documents: Documents, spec: EncoderSpec, features: Features) -> StageRun:
    """Embed the judged documents of one judge."""
    settings = {"spec": spec.to_json(), "features": {"chars": features.chars, "surface": features.surface}}
    stage = Stage(
        name=f"train/embed/{judge}",
        version=VERSION,
        config={"encoder": spec.to_json(), "features": replace(features, ngrams=False).to_json()},
        inputs={"documents": documents.mark},
        factory=EmbedWorker,
        settings=settings,
        law="aligned",
        crash="embed_crash",
    )
    return run.run(stage, documents.units)
