"""Asking about the documents of a unit and paying for each once: replies are kept as they arrive, as REPLY rows."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from jql.errors import StopError
from jql.llm.endpoint import OF_THE_DOCUMENT, Endpoint, Reply, Request, Sampling, ask, nothing
from jql.llm.journal import Journal
from jql.llm.spending import Spending

Rows = list[dict[str, Any]]
TOLD = ("text", "finish", "error", "model", "tokens_in", "tokens_out", "seconds", "retries")


def prompt_of(messages: list[dict[str, str]]) -> str:
    """16 hex digits of the messages of a request."""
    canonical = json.dumps(messages, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def reply_rows(id: str, prompt: str, replies: list[Reply]) -> Rows:
    """REPLY rows of one request."""
    rows = []
    for number, reply in enumerate(replies):
        labels = [{"label": t, "logprob": p} for t, p in reply.labels] if reply.labels is not None else None
        row = {name: getattr(reply, name) for name in TOLD}
        rows.append({"id": id, "answer": number, "prompt": prompt, "labels": labels, "origin": "model", **row})
    return rows


def passing(rows: Rows) -> bool:
    """Whether a request failed in a way that another try may mend, such as an outage."""
    return any(row["error"] and row["error"] not in OF_THE_DOCUMENT for row in rows)


def ask_once(
    endpoint: Endpoint,
    sampling: Sampling,
    requests: Mapping[str, list[dict[str, str]]],
    folder: str,
    spending: Spending,
    alive: Callable[[], None] = nothing,
    see: Callable[[Rows], None] | None = None,
) -> dict[str, Rows]:
    """Id -> its replies: those that a journal in `folder` holds, and what the endpoint answers for the rest.

    What failed in passing is asked for a second time at the end and is never written into the journal.

    Args:
        requests: id -> messages. alive, see: called about every second, and with the replies of every request.

    Raises:
        EndpointError: see `ask`. BudgetError: the budget is spent. StopError: every one of several requests failed,
            none for what is in its document. What `alive` and `see` raise comes out.
    """
    journal = Journal(folder)
    found: dict[str, Rows] = {record["id"]: record["replies"] for record in journal.read()}

    def waiting() -> Iterator[Request]:
        for id, messages in requests.items():
            if id not in found:
                yield Request(id, messages)

    def keep(last: bool, request: Request, replies: list[Reply]) -> None:
        spending.add(replies[0].tokens_in or 0, replies[0].tokens_out or 0)
        rows = reply_rows(request.key, prompt_of(request.messages), replies)
        if passing(rows):
            if last:
                found[request.key] = rows
            return
        journal.append({"id": request.key, "replies": rows})
        found[request.key] = rows
        if see is not None:
            see(rows)

    def beat() -> None:
        alive()
        spending.check()

    try:
        beat()
        for last in (False, True):
            ask(endpoint, sampling, waiting(), partial(keep, last), beat)
    finally:
        journal.close()
        spending.flush()
    _refuse_outage(endpoint, [found[id] for id in requests])
    return found


def _refuse_outage(endpoint: Endpoint, replied: list[Rows]) -> None:
    failed = Counter(rows[0]["error"] for rows in replied if passing(rows))
    if failed.total() == len(replied) > 1:  # of a single one it may be the document that ends the server each time
        why = ", ".join(f"{error} {count:,}" for error, count in failed.most_common())
        raise StopError(
            f"{endpoint}: all {len(replied):,} requests of a unit failed ({why}); see to the endpoint, then run the "
            "same command again"
        )
