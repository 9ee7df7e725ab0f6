"""The requests under way to one endpoint: tries and waits, answers that are missing, what ends it all.

There is one mechanism of retries, `Asking.complete`.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import TracebackType

from jql.errors import RecipeError
from jql.llm.chat import Endpoint, EndpointError, Reply, Request, Sampling
from jql.llm.completion import Completion, body_of, wait_s
from jql.llm.connection import Connection, Failure, Loop

PATIENCE_S = 600.0  # a server that asks to come back later than this is not waited for
_REFUSED = {
    401: "set the environment variable {key} to a key that is valid there",
    402: "pay there, then run the same command again",
    403: "set the environment variable {key} to a key that may use this model",
    404: "check base_url (it ends in /v1 with most servers) and model",
    405: "check base_url (it ends in /v1 with most servers)",
}


@dataclass
class Bill:
    """What one request has cost so far, over all its tries: token counts of every body, None where it did not tell."""

    tokens_in: list[int | None] = field(default_factory=list)
    tokens_out: list[int | None] = field(default_factory=list)
    retries: int = 0

    def add(self, tokens_in: int | None, tokens_out: int | None) -> None:
        """Add what a body tells."""
        self.tokens_in.append(tokens_in)
        self.tokens_out.append(tokens_out)


def _total(counts: list[int | None]) -> int | None:
    told = [count for count in counts if count is not None]
    return sum(told) if told and len(told) == len(counts) else None


def _read_key(name: str) -> str:
    key = os.environ.get(name, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise RecipeError(f"environment variable {name}: has characters that an HTTP header cannot have; set it anew")
    return key


class Asking:
    """One call of `ask`: the requests under way, and what was learnt of the server."""

    def __init__(self, endpoint: Endpoint, sampling: Sampling) -> None:
        self.endpoint, self.sampling = endpoint, sampling
        self.connection = Connection(
            endpoint.base_url, _read_key(endpoint.key_env), endpoint.timeout_s, endpoint.concurrency
        )
        self.slots = asyncio.Semaphore(endpoint.concurrency)
        self.at_once = sampling.answers  # answers that the server gives to one request
        self.gives_labels = False
        self.fingerprint: str | None = None
        self.loop: Loop[tuple[Request, list[Reply]]] = Loop()

    def __enter__(self) -> "Asking":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loop.close(self.connection.close())

    def send(self, request: Request) -> None:
        """Put a request on its way."""
        self.loop.start(self.answer(request))

    def finished(self, within_s: float) -> Iterator[tuple[Request, list[Reply]]]:
        """What is answered, waiting up to `within_s` for the first; an error comes after all that is answered."""
        errors = []
        for future in self.loop.finished(within_s):
            error = future.exception()
            if error is None:
                yield future.result()
            else:
                errors.append(error)
        if errors:
            raise errors[0]

    async def answer(self, request: Request) -> tuple[Request, list[Reply]]:
        """Its replies, `sampling.answers` of them."""
        await self.slots.acquire()
        bill, started = Bill(), time.monotonic()
        replies, failure = await self.collect(request, bill)
        seconds = time.monotonic() - started
        self.slots.release()  # but not after an EndpointError: then nothing more is sent
        if failure is not None:
            failed = Reply(None, None, failure.kind, None, None, 0, 0, 0.0, 0, str(failure))
            replies += [failed] * (self.sampling.answers - len(replies))
        replies[0] = replace(
            replies[0],
            tokens_in=_total(bill.tokens_in),
            tokens_out=_total(bill.tokens_out),
            seconds=seconds,
            retries=bill.retries,
        )
        return request, replies

    async def collect(self, request: Request, bill: Bill) -> tuple[list[Reply], Failure | None]:
        """As many answers as are wanted, or those that came before the failure, and the failure."""
        wanted, at_once, replies = self.sampling.answers, self.at_once, list[Reply]()
        while len(replies) < wanted:
            n = min(at_once, wanted - len(replies))
            try:
                found = await self.complete(request, n, len(replies), bill)
            except Failure as failure:
                if n > 1 and not replies and failure.status in (400, 422):
                    at_once = 1  # some servers refuse more; if it was something else, the next try tells
                    continue
                return replies, failure
            at_once = min(at_once, len(found.choices)) if len(found.choices) < n else at_once
            self.at_once = min(self.at_once, at_once)
            replies += [Reply(c.text, c.finish, None, c.labels, found.model, 0, 0, 0.0, 0) for c in found.choices[:n]]
        return replies, None

    async def complete(self, request: Request, n: int, number: int, bill: Bill) -> Completion:
        """Answers from number `number` on, up to `n`, tried until it works or there is no use in it.

        Raises:
            Failure: of this request. EndpointError: of all.
        """
        sampling = self.sampling
        settings = {
            "model": self.endpoint.model,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "n": n if n > 1 else None,
            "seed": None if sampling.seed is None else sampling.seed + number,  # not the same answer three times
            "logprobs": True if sampling.labels else None,
            "top_logprobs": sampling.labels or None,
        }
        body = body_of(request.messages, settings, self.endpoint.extra)
        while True:
            try:
                found = await self.connection.complete(body)
                break
            except Failure as failure:
                if failure.tokens != (None, None):
                    bill.add(*failure.tokens)
                again = failure.again and bill.retries < self.endpoint.retries
                self.check(failure, again)
                if not again:
                    raise
                await asyncio.sleep(wait_s(bill.retries, self.endpoint.backoff_s, failure.asked_s))
                bill.retries += 1
        bill.add(found.tokens_in, found.tokens_out)
        self.learn(found)
        return found

    def check(self, failure: Failure, again: bool) -> None:
        """Whether a failure is of the endpoint as a whole.

        Raises:
            EndpointError: it is.
        """
        todo = None
        if failure.status in _REFUSED:
            todo = _REFUSED[failure.status].format(key=self.endpoint.key_env)
        elif failure.status == 429 and "insufficient_quota" in str(failure):
            todo = _REFUSED[402]
        elif failure.asked_s > PATIENCE_S:
            todo = f"it asks to come back in {failure.asked_s:,.0f} s; run the same command again then"
        elif failure.nobody and not again:
            todo = "nobody answers; start the server or correct base_url, then run the same command again"
        if todo:
            raise EndpointError(f"{self.endpoint}: {failure.kind} ({failure}); {todo}", failure.status)

    def learn(self, found: Completion) -> None:
        """Keep what the answer shows of the server.

        Raises:
            EndpointError: log-probabilities were asked for and it has given none yet.
        """
        self.fingerprint = found.fingerprint or self.fingerprint
        self.gives_labels = self.gives_labels or any(c.labels is not None for c in found.choices)
        if self.sampling.labels and not self.gives_labels:
            raise EndpointError(
                f"{self.endpoint}: gave no log-probabilities; set score: sampled, or use a server that gives them "
                "such as vLLM"
            )
