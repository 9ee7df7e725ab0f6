"""The replies stage: documents to a judge's raw answers, each written down as it arrives; a later stage reads them.

A unit killed half-way finds its answers in its journal and asks only for the rest; the committed table is made of both.
"""

import json
import weakref
from collections import Counter
from dataclasses import replace
from typing import Any

import pyarrow as pa

from jql.documents import Documents, read_documents
from jql.engine import storage
from jql.engine.fingerprint import identify_file
from jql.engine.plan import Unit
from jql.engine.run import StageRun, StageRunner, stage_fingerprint
from jql.engine.stage import Guard, Output, Stage
from jql.errors import StopError
from jql.judge.earlier import EarlierReplies
from jql.judge.judgments import read_reply
from jql.judge.parse import invalid_share
from jql.judge.stored import StoredReplies, stored_files
from jql.llm.endpoint import Endpoint, Sampling
from jql.llm.once import ask_once, prompt_of
from jql.llm.serve import Server
from jql.llm.spending import Spending
from jql.recipe import Judge, Judging
from jql.rubric import Rubric, make_rubric
from jql.schema import REPLY

VERSION = 1
TOP_LABELS = 20  # what servers give at most; a label below the 20 most probable tokens adds next to nothing
SURE_ANSWERS = 500  # a judge is refused on the way once so many answers of a worker are read
TOLD = ("tokens_in", "tokens_out", "retries", "seconds")
UNTOLD = dict.fromkeys(REPLY.names) | {"answer": 0, "origin": "model"}


def sampling_of(judge: Judge) -> Sampling:
    """How a judge is asked."""
    if judge.score == "expected":
        return Sampling(answers=1, temperature=1.0, top_p=1.0, max_tokens=1, labels=TOP_LABELS)
    return Sampling(judge.answers, judge.temperature, judge.top_p, judge.max_tokens)


class RepliesWorker:
    """Asks a judge about the documents of a unit, or looks its stored replies up."""

    def __init__(
        self,
        judge: dict[str, Any],
        name: str,
        rubric: dict[str, Any],
        limits: dict[str, Any],
        files: list[str],
        earlier: dict[str, Any],
        language: str | None,
    ) -> None:
        self.judge, self.name, self.rubric = Judge.model_validate_json(json.dumps(judge)), name, make_rubric(rubric)
        self.limits, self.language = limits, language
        self.stored = StoredReplies(files) if files else None
        self.kinds: Counter[str] = Counter()
        self.server: Server | None = None
        if self.stored is None:
            self.earlier = EarlierReplies(**earlier)
            self.endpoint, self.spending = self._endpoint(), self._spending()

    def _endpoint(self) -> Endpoint:
        judge, url = self.judge, self.judge.endpoint
        if judge.serve:
            self.server = Server(judge.serve, judge.model)
            weakref.finalize(self, self.server.close)
            url = self.server.base_url
        assert url is not None, "a judge has one of endpoint, serve and replies"
        names = ("timeout_s", "retries", "concurrency")
        return Endpoint(url, judge.model, judge.key, **{n: self.limits[n] for n in names}, extra=judge.extra)

    def _spending(self) -> Spending:
        budget = (self.limits["budget_tokens"], self.limits["budget_money"])
        return Spending(self.limits["spent"], *budget, self.judge.price_in, self.judge.price_out)

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """REPLY rows in the order of the documents."""
        table = read_documents(unit, ["text"], self.language)
        n = table.num_rows
        texts, problems = table.column("text").to_pylist(), table.column("problem").to_pylist()
        ids, codes = table.column("id").to_pylist(), table.column("language").to_pylist()
        reasons: dict[int, str] = {}
        seen: set[str] = set()
        for row in range(n):
            reason = problems[row] or guard.poison.get(row)
            reason = reason or (None if texts[row].strip() else "empty") or ("id_again" if ids[row] in seen else None)
            if reason:
                reasons[row] = reason
            else:
                seen.add(ids[row])
        rows = [r for r in guard.rows(n) if r not in reasons]
        requests = {ids[r]: self.rubric.messages(texts[r], codes[r], self.judge.score) for r in rows}
        found = self._ask(requests, guard) if self.stored is None else self._replay(requests, self.stored)
        replies = [reply for id in requests for reply in found[id]]
        out = pa.Table.from_pylist(replies, schema=REPLY)
        return Output({"": (REPLY, [out])}, n, Counter(reasons.values()), _totals(replies))

    def _replay(self, requests: dict[str, Any], stored: StoredReplies) -> dict[str, list[dict[str, Any]]]:
        known = stored.of(list(requests))
        found = {}
        for id, messages in requests.items():
            prompt = prompt_of(messages)
            replies = [{**UNTOLD, **reply, "id": id} for reply in known.get(id, [])]
            if any(reply["prompt"] not in (None, prompt) for reply in replies):
                replies = [{**UNTOLD, "id": id, "error": "other_prompt"}]
            found[id] = replies or [{**UNTOLD, "id": id, "error": "not_stored"}]
        return found

    def _ask(self, requests: dict[str, Any], guard: Guard) -> dict[str, list[dict[str, Any]]]:
        def alive() -> None:
            guard.arm()
            if self.server:
                self.server.check()

        known = self.earlier.of(requests)
        left = {id: messages for id, messages in requests.items() if id not in known}
        sampling = sampling_of(self.judge)
        return known | ask_once(self.endpoint, sampling, left, guard.keep(), self.spending, alive, self._watch)

    def _watch(self, rows: list[dict[str, Any]]) -> None:
        """Refuse a judge early, before the whole budget went into answers that nobody can read."""
        limit = self.limits["refuse_above"]
        if limit is None:
            return
        self.kinds.update(read_reply(row, self.rubric, self.judge.score).kind for row in rows)
        if self.kinds.total() >= SURE_ANSWERS and invalid_share(self.kinds) > limit:
            raise StopError(refusal(self.name, self.kinds, limit))


def refusal(name: str, kinds: Counter[str], limit: float) -> str:
    """The line that refuses a judge for its unreadable answers."""
    bad = ", ".join(f"{kind} {n:,}" for kind, n in kinds.most_common() if kind != "ok")
    return (
        f"judge {name}: {invalid_share(kinds):.1%} of {kinds.total():,} answers cannot be read ({bad}), at most "
        f"{limit:.0%} are allowed; look at its replies, mend rubric.patterns, leave it out, or raise judge.max_invalid"
    )


def _totals(replies: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums for the receipt, None of what nobody told."""
    known = {name: [r[name] for r in replies if r[name] is not None] for name in TOLD}
    sums = {name: round(sum(values), 3) if values else None for name, values in known.items()}
    return {**sums, "origins": dict(Counter(r["origin"] for r in replies))}


def run_replies(
    run: StageRunner, step: str, name: str, part: Judging, rubric: Rubric, documents: Documents, root: str
) -> StageRun:
    """Ask one judge about documents.

    Args:
        step: rank or judge; the former looks at a judge however much of what it says cannot be read.
        root: the run's folder, where what was spent is counted.
    """
    judge = part.judges[name]
    files = stored_files(name, judge.replies)
    version = {"rubric": rubric.prompt_version, "kind": judge.score}
    replayed = {"replies": [identify_file(file)["mark"] for file in files]}
    # What was sampled and how is of no matter to replies that were stored before.
    config = {"model": judge.model, "revision": judge.revision, "extra": judge.extra, **vars(sampling_of(judge))}
    config = {**version, **(replayed if files else config)}
    names = ("timeout_s", "retries", "concurrency", "budget_tokens", "budget_money")
    limits = {n: getattr(part, n) for n in names} | {"spent": storage.join(root, "spent", step, name)}
    limits["refuse_above"] = part.max_invalid if step == "judge" else None
    settings = {
        "judge": judge.model_dump(mode="json"),
        "name": name,
        "rubric": rubric.model_dump(mode="json"),
        "limits": limits,
        "files": files,
        "language": documents.language,
    }
    stage = Stage(
        name=f"{step}/{name}/replies",
        version=VERSION,
        config=config,
        inputs={"documents": documents.mark},
        factory=RepliesWorker,
        settings=settings,
        law="many",
        crash="judge_crash",
        gpus=judge.gpus if judge.serve else 0.0,
        again=bool(judge.replies),  # a second attempt at an endpoint would be paid for twice
    )
    earlier = {"root": root, "name": name, "fields": stage_fingerprint(stage).fields}
    return run.run(replace(stage, settings={**settings, "earlier": earlier}), documents.units)
