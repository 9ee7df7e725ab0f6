"""Ask any OpenAI-compatible chat endpoint (vLLM, SGLang, TGI, llama.cpp, Ollama, commercial) many things at once.

The connections live on an event loop in a thread of their own: callbacks run in the caller's thread, may take their
time, and work where an event loop runs already (notebooks).
"""

import time
from collections.abc import Callable, Iterable

from jql.llm.asking import Asking
from jql.llm.chat import Endpoint, EndpointError, Reply, Request, Sampling

__all__ = ["Endpoint", "EndpointError", "Reply", "Request", "Sampling", "ask", "nothing", "probe"]

BREAKER = 20  # requests in a row that failed for good: then it is not the documents
OF_THE_DOCUMENT = {"http_400", "http_413", "http_422"}  # too long, say: no sign of a dead server once it has answered


def nothing() -> None:
    """Do nothing."""


def ask(
    endpoint: Endpoint,
    sampling: Sampling,
    requests: Iterable[Request],
    on_reply: Callable[[Request, list[Reply]], None],
    alive: Callable[[], None] = nothing,
) -> None:
    """Send the requests, `endpoint.concurrency` at a time, and hand over each one's `sampling.answers` replies.

    Replies come in any order, in this thread. `requests` may be endless: it is read no further ahead than twice the
    concurrency. `alive` is called about every second. What on_reply, alive or requests raise stops everything and
    comes out: what was not sent is not sent, what is under way is cancelled. A server that gives fewer answers than
    asked for, or refuses to give more than one, is asked again for those that are missing.

    Raises:
        EndpointError: wrong key, unknown model, nobody answers, no log-probabilities, or 20 failures in a row.
    """
    todo, more, waiting, failures, beat = iter(requests), True, 0, 0, time.monotonic() + 1
    answered = False
    with Asking(endpoint, sampling) as asking:
        while more or waiting:
            room = more and waiting < 2 * endpoint.concurrency
            if room:
                request = next(todo, None)
                more = request is not None
                if request is not None:
                    asking.send(request)
                    waiting += 1
            for request, replies in asking.finished(0 if room else beat - time.monotonic()):
                waiting -= 1
                on_reply(request, replies)
                answered = answered or not all(reply.error for reply in replies)
                if not (answered and replies[0].error in OF_THE_DOCUMENT):
                    failures = failures + 1 if all(reply.error for reply in replies) else 0
                if failures >= BREAKER:
                    raise EndpointError(
                        f"{endpoint}: {failures} requests in a row failed, the last with {replies[0].error} "
                        f"({replies[0].detail}); see to the endpoint, then run the same command again"
                    )
            if time.monotonic() >= beat:
                alive()
                beat = time.monotonic() + 1


def probe(endpoint: Endpoint) -> str | None:
    """What the server says of the model's version, None if nothing; asks for one token, so it returns once that works.

    Raises:
        EndpointError: it does not answer.
    """
    with Asking(endpoint, Sampling(temperature=0, max_tokens=1)) as asking:
        asking.send(Request("probe", [{"role": "user", "content": "Say yes."}]))
        while not (found := list(asking.finished(1.0))):
            pass
    reply = found[0][1][0]
    if reply.error:
        raise EndpointError(f"{endpoint}: not ready, {reply.error} ({reply.detail}); see to the server")
    named = reply.model if reply.model != endpoint.model else None
    return ", ".join(word for word in (named, asking.fingerprint) if word) or None
