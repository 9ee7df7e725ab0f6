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
from jql.judge.parse import expected_score, parse_reply
from jql.recipe import Judging
from jql.rubric import Rubric, make_rubric
from jql.schema import JUDGMENT

VERSION = 1


def read_scores(replies: list[dict[str, Any]], rubric: Rubric, kind: str) -> list[tuple[float | None, str]]:
    """Score and kind of each of a document's replies (REPLY rows); the score is null where the kind is not `ok`."""
    found: list[tuple[float | None, str]] = []
    for reply in replies:
        if reply["error"]:
            found.append((None, reply["error"]))
        elif kind == "expected":
            read = expected_score([(e["label"], e["logprob"]) for e in reply["labels"] or ()], rubric)
            found.append((read.score, read.kind))
        else:
            parsed = parse_reply(reply["text"], reply["finish"], rubric)
            found.append((parsed.score, parsed.kind))
    return found


def judgment(replies: list[dict[str, Any]], rubric: Rubric, kind: str, rule: str) -> dict[str, Any]:
    """The columns of a JUDGMENT row that come from a document's replies."""
    read = read_scores(replies, rubric, kind)
    scores = [score for score, _ in read if score is not None]
    score = aggregate(scores, rule)
    spread = float(np.std(scores)) if scores else None
    if kind == "expected" and scores:
        spread = expected_score([(e["label"], e["logprob"]) for e in replies[0]["labels"]], rubric).spread
    origins = {reply["origin"] for reply in replies}
    return {
        "score": score,
        "reason": None if scores else Counter(kind for _, kind in read).most_common(1)[0][0],
        "scores": [score for score, _ in read],
        "kinds": [kind for _, kind in read],
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
