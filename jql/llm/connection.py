"""The connections to one endpoint: one try of one request, and the thread that their event loop runs in."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from jql.errors import JqlError, one_line
from jql.llm.completion import BadBody, Completion, asked_wait_s, read_completion, said

CONNECT_S = 10.0
AGAIN = (408, 409, 425, 429)  # and every 5xx
LOCAL = ("127.0.0.1", "localhost", "::1")
T = TypeVar("T")


class Failure(Exception):
    """A try that failed.

    Attributes:
        kind: timeout, connection, http_<status>, empty_body, bad_json, bad_schema. status: of HTTP, None if none came.
        asked_s: seconds that the server asks to wait. again: whether another try may help.
        nobody: no connection could be made at all.
        tokens: in and out, where a body that is no answer tells what it cost.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        status: int | None = None,
        asked_s: float = 0.0,
        again: bool = True,
        nobody: bool = False,
        tokens: tuple[int | None, int | None] = (None, None),
    ) -> None:
        super().__init__(detail)
        self.kind, self.status, self.asked_s, self.again, self.nobody = kind, status, asked_s, again, nobody
        self.tokens = tokens


class Connection:
    """Keeps up to `most` connections open. The client library's own retries are off; aiohttp carries it.

    At 256 requests at a time the library's usual carrier, httpx2, spends 1.5 ms of processor time on a request, as it
    looks through its whole pool for each; aiohttp spends 0.6 ms.
    """

    def __init__(self, base_url: str, key: str, timeout_s: float, most: int) -> None:
        """`key` may be empty.

        Raises:
            JqlError: the client library is not installed.
        """
        try:
            import aiohttp
            import httpx2
            import openai
        except ImportError as error:
            raise JqlError(f"language models need the openai library ({error}); pip install 'jql[judge]'") from error
        self._openai, self._aiohttp, self._response = openai, aiohttp, httpx2.Response
        self._timeout_s = timeout_s
        self._key = key
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=key or "none",
            max_retries=0,
            timeout=openai.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S)),
            http_client=openai.DefaultAioHttpClient(
                limits=httpx2.Limits(max_connections=most, max_keepalive_connections=most),
                # A proxy of the environment must not stand between a worker and the server beside it.
                trust_env=urlsplit(base_url).hostname not in LOCAL,
            ),
        )

    async def complete(self, body: dict[str, Any]) -> Completion:
        """Try once.

        Raises:
            Failure: whatever went wrong, with no secret in its text.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._client.post("/chat/completions", body=body, cast_to=self._response)
            return read_completion(response.content)
        except BadBody as error:
            raise Failure(error.kind, self._open(str(error)), tokens=error.tokens) from None
        except self._openai.APIStatusError as error:
            status = error.status_code
            raise Failure(
                f"http_{status}",
                self._open(said(error.response.content)),
                status=status,
                asked_s=asked_wait_s(error.response.headers.get("retry-after")),
                again=status in AGAIN or status >= 500,
            ) from None
        except (self._openai.OpenAIError, self._aiohttp.ClientError, OSError) as error:
            raise self._unanswered(error) from None

    def _unanswered(self, error: BaseException) -> Failure:
        # aiohttp's own error is the cause of httpx2's, which is the cause of openai's; only the first is exact.
        chain: list[BaseException] = [error]
        while chain[-1].__cause__ is not None:
            chain.append(chain[-1].__cause__)
        unreachable = (self._aiohttp.ClientConnectorError, self._aiohttp.ConnectionTimeoutError)
        for link in chain:
            if isinstance(link, unreachable):
                return Failure("connection", self._open(one_line(link)), nobody=True)
        if any(isinstance(link, TimeoutError) for link in chain):
            return Failure("timeout", f"no whole answer within {self._timeout_s:g} s")
        # aiohttp calls nonsense on the wire a status of 400, which the server never said.
        return Failure("connection", self._open(getattr(chain[-1], "message", "") or one_line(chain[-1])))

    def _open(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


class Loop(Generic[T]):
    """An event loop in a thread of its own, and a queue of what is finished there."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._done: SimpleQueue[Future[T]] = SimpleQueue()
        self._thread = threading.Thread(target=self._loop.run_forever, name="jql-endpoint", daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> None:
        """Let `work` run."""
        asyncio.run_coroutine_threadsafe(work, self._loop).add_done_callback(self._done.put)

    def finished(self, within_s: float) -> Iterator[Future[T]]:
        """What is finished by now; if nothing is, the first that is within `within_s`."""
        here = self._done.qsize()
        if not here and within_s > 0:
            with suppress(Empty):
                yield self._done.get(timeout=within_s)
        for _ in range(here):
            yield self._done.get_nowait()

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Cancel what still runs, do `last`, and end the thread."""
        asyncio.run_coroutine_threadsafe(_cancel_others(last), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others(last: Coroutine[Any, Any, None]) -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await last
