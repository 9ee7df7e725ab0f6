"""A chat server on a real socket that answers as scripted: every kind of trouble a client meets, and what it saw.

Run as a program (`hostile.py PORT`) it is a server that answers every prompt with "fine".
"""

import asyncio
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Act:
    """What the server does: `raw` goes over the wire after `delay_s`, in single bytes each `drip_s`; then it may hang up."""

    raw: bytes
    delay_s: float = 0.0
    drip_s: float = 0.0
    hang_up: bool = False


Script = Callable[[dict, int], Act]
"""From the body of a request and how often this prompt was seen before to what is done."""


def http(status: int, body: bytes, kind: str = "application/json", delay_s: float = 0.0, **headers: str) -> Act:
    lines = [f"HTTP/1.1 {status} {'OK' if status == 200 else 'Trouble'}", f"content-type: {kind}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return Act("\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body, delay_s)


def json_body(
    *texts: str | None, usage: tuple[int, int] | None = (7, 3), logprobs: object = None, **fields: object
) -> dict:
    choices = [
        {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": text}, "logprobs": logprobs}
        for i, text in enumerate(texts)
    ]
    body = {"object": "chat.completion", "model": "tiny", "choices": choices, **fields}
    return body | ({"usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]}} if usage else {})


def chat(*texts: str | None, delay_s: float = 0.0, **fields: object) -> Act:
    return http(200, json.dumps(json_body(*texts, **fields)).encode(), delay_s=delay_s)


def trouble(status: int, message: str = "no luck today", **headers: str) -> Act:
    return http(status, json.dumps({"error": {"message": message}}).encode(), **headers)


def steps(*acts: Act) -> Script:
    """The first act at the first try of a prompt, the second at the second, and so on; the last one for ever."""
    return lambda body, seen: acts[min(seen, len(acts) - 1)]


def prompt_of(body: dict) -> str:
    return body["messages"][-1]["content"]


def cases(acts: dict[str, Act], otherwise: Act) -> Script:
    """An act for each of some prompts."""
    return lambda body, seen: acts.get(prompt_of(body), otherwise)


FINE = chat("fine")
HALF_JSON = http(200, json.dumps(json_body("fine")).encode()[:40])
CUT_OFF = Act(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{", hang_up=True)
EMPTY = http(200, b"")
HANG_UP = Act(b"", hang_up=True)
NO_HTTP = Act(b"220 mail.example ESMTP\r\n\r\n", hang_up=True)
HTML = http(200, b"<html><body>Please log in</body></html>", "text/html")
NO_CHOICES = http(200, b'{"object": "chat.completion", "model": "tiny"}')
LIST = http(200, b"[1, 2]")


@dataclass
class Seen:
    body: dict
    headers: dict[str, str]


@dataclass
class Hostile:
    """`with Hostile(script) as server`: `base_url`, the requests `seen`, the most that were `peak` at a time, hang-ups."""

    script: Script
    seen: list[Seen] = field(default_factory=list)
    peak: int = 0
    left: int = 0  # clients that hung up before they had their answer
    port: int = 0

    def __post_init__(self) -> None:
        self._times: Counter[str] = Counter()
        self._now = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def prompts(self) -> list[str]:
        return [prompt_of(seen.body) for seen in self.seen]

    def __enter__(self) -> "Hostile":
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while act := await self._next(reader):
                if not await self._play(act, reader, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    async def _next(self, reader: asyncio.StreamReader) -> Act:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        body = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))) or b"{}")
        self.seen.append(Seen(body, headers))
        prompt = prompt_of(body)
        self._times[prompt] += 1
        return self.script(body, self._times[prompt] - 1)

    async def _play(self, act: Act, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self._now += 1
        self.peak = max(self.peak, self._now)
        try:
            if act.delay_s and not await self._patient(reader, act.delay_s):
                return False
            step = 1 if act.drip_s else max(1, len(act.raw))
            for i in range(0, len(act.raw), step):
                writer.write(act.raw[i : i + step])
                await writer.drain()
                if act.drip_s and not await self._patient(reader, act.drip_s):
                    return False
        finally:
            self._now -= 1
        return not act.hang_up

    async def _patient(self, reader: asyncio.StreamReader, seconds: float) -> bool:
        """Whether the client still waits after this time; it sends nothing while it does."""
        try:
            async with asyncio.timeout(seconds):
                await reader.read(1)
        except TimeoutError:
            return True
        self.left += 1
        return False


if __name__ == "__main__":
    with Hostile(steps(FINE), port=int(sys.argv[1])):
        threading.Event().wait()
