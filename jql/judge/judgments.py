"""The judgments stage: a judge's raw replies to scores. A better parser runs this again and asks nobody."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from jql.agreement.aggregate import aggregate
from jql.documents import Documents, read_documents
from jql.engine import storage
from jql.engine.plan import Unit
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import Guard, Output, Stage
from jql.judge.parse import Expected, Parsed, expected_score, parse_reply
from jql.recipe import Judging
from jql.rubric import Rubric, make_rubric
from jql.schema import JUDGMENT

VERSION = 1


def read_reply(reply: dict[str, Any], rubric: Rubric, kind: str) -> Parsed | Expected:
    """How a REPLY row is read; where there is an error, it is the kind."""
    if reply["error"]:
        return Parsed(None, reply["error"])
    if kind == "expected":
        return expected_score([(e["label"], e["logprob"]) for e in reply["labels"] or ()], rubric)
    return parse_reply(reply["text"], reply["finish"], rubric)


def judgment(replies: list[dict[str, Any]], rubric: Rubric, kind: str, rule: str) -> dict[str, Any]:
    """The columns of a JUDGMENT row that come from a document's replies."""
    read = [read_reply(reply, rubric, kind) for reply in replies]
    scores = [one.score for one in read if one.score is not None]
    spread = read[0].spread if isinstance(read[0], Expected) else float(np.std(scores)) if scores else None
    origins = {reply["origin"] for reply in replies}
    return {
        "score": aggregate(scores, rule),
        "reason": None if scores else Counter(one.kind for one in read).most_common(1)[0][0],
        "scores": [one.score for one in read],
        "kinds": [one.kind for one in read],
        "spread": spread,
        "tokens_in": _sum(replies, "tokens_in"),
        "tokens_out": _sum(replies, "tokens_out"),
        "seconds": _sum(replies, "seconds"),
        "origin": "synthetic" if "synthetic" in origins else "model",
    }


def _sum(replies: list[dict[str, Any]], name: str) -> Any:
    """The sum over a document's replies, None where the server told nothing."""
    known = [reply[name] for reply in replies if reply[name] is not None]
    return sum(known) if known else None


class JudgmentsWorker:
    """Reads the replies of a unit."""

    def __init__(self, name: str, rubric: dict[str, Any], kind: str, rule: str, language: str | None) -> None:
        self.name, self.rubric, self.kind, self.rule = name, make_rubric(rubric), kind, rule
        self.language = language

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """JUDGMENT rows, one for every document that was asked about."""
        table = read_documents(unit, ["text", "source"], self.language)
        replies: dict[str, list[dict[str, Any]]] = {}
        for reply in storage.read_table(unit.payload["replies"]).to_pylist():
            replies.setdefault(reply["id"], []).append(reply)
        rows: list[dict[str, Any]] = []
        drops: Counter[str] = Counter()
        for document in table.to_pylist():
            reason = document["problem"] or (None if document["text"].strip() else "empty")
            # Taken out, so that a second document of that id is not judged.
            mine = None if reason else replies.pop(document["id"], None)
            if mine is None:
                drops[reason or "not_asked"] += 1
                continue
            found = judgment(mine, self.rubric, self.kind, self.rule)
            known = {name: document[name] for name in ("id", "language", "text")}
            rows.append({**known, "source": document["source"] or document["id"], "judge": self.name, **found})
        out = pa.Table.from_pylist(rows, schema=JUDGMENT)
        return Output.of(out, table.num_rows, drops, **_counts(rows))


def _counts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the receipt tells of a unit's judgments."""
    kinds = Counter(kind for row in rows for kind in row["kinds"])
    return {
        "kinds": dict(sorted(kinds.items())),
        "scored": sum(row["score"] is not None for row in rows),
        "origins": dict(sorted(Counter(row["origin"] for row in rows).items())),
        "languages": dict(sorted(Counter(row["language"] for row in rows).items())),
    }


def run_judgments(
    run: StageRunner, step: str, name: str, part: Judging, rubric: Rubric, documents: Documents, replies: StageRun
) -> StageRun:
    """Read one judge's replies."""
    kind = part.judges[name].score
    settings = {"name": name, "rubric": rubric.model_dump(mode="json"), "kind": kind, "rule": part.rule}
    read = {"patterns": list(rubric.patterns), "scale": list(rubric.scale), "kind": kind, "rule": part.rule}
    stage = Stage(
        name=f"{step}/{name}/judgments",
        version=VERSION,
        config=read,
        inputs={"documents": documents.mark, "replies": replies.mark()},
        factory=JudgmentsWorker,
        settings={**settings, "language": documents.language},
        law="filter",
    )
    return run.run(stage, lambda: documents.beside(replies=replies))
