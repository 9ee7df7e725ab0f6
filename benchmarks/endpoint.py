"""Requests a second of the endpoint client, against a server on loopback that answers each after 50 ms.

    python benchmarks/endpoint.py [--requests 5000] [--memory 100000]

Prints one JSON line. The server is a process of its own on the same two cores, so what is left for the client is less
than a real server elsewhere would leave. `--memory`: requests of a generator that the last run sends, 64 in flight.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from jql.llm.endpoint import Endpoint, Reply, Request, Sampling, ask

DELAY_S = 0.05
TEXT = "word " * 500


def serve(port: int) -> None:
    """Answer every request after DELAY_S with a chat completion of about 80 words."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "word " * 80}}
    usage = {"prompt_tokens": 500, "completion_tokens": 100, "total_tokens": 600}
    body = json.dumps({"object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)

    class Answer(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport, self.got = transport, b""

        def data_received(self, data: bytes) -> None:
            self.got += data
            while (end := self.got.find(b"\r\n\r\n")) >= 0:
                lines = self.got[:end].lower().split(b"\r\n")
                length = int(next(line for line in lines if line.startswith(b"content-length")).split(b":")[1])
                if len(self.got) < end + 4 + length:
                    return
                self.got = self.got[end + 4 + length :]
                asyncio.get_running_loop().call_later(DELAY_S, self.transport.write, head + body)

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(forever())


def requests(n: int) -> Iterator[Request]:
    for i in range(n):
        yield Request(str(i), [{"role": "user", "content": f"{i} {TEXT}"}])


def rate(port: int, concurrency: int, n: int) -> dict[str, Any]:
    """Requests a second, as a share of concurrency / DELAY_S, and milliseconds of processor time for each."""
    endpoint = Endpoint(f"http://127.0.0.1:{port}/v1", "m", concurrency=concurrency)
    answered: list[str | None] = []

    def count(request: Request, replies: list[Reply]) -> None:
        answered.append(replies[0].error)

    ask(endpoint, Sampling(), requests(concurrency), count)
    answered.clear()
    started, used = time.monotonic(), time.process_time()
    ask(endpoint, Sampling(), requests(n), count)
    seconds = time.monotonic() - started
    return {
        "concurrency": concurrency,
        "requests_s": round(n / seconds),
        "of_ideal": round(n / seconds / (concurrency / DELAY_S), 2),
        "cpu_ms": round(1000 * (time.process_time() - used) / n, 2),
        "failed": sum(error is not None for error in answered),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--memory", type=int, default=100_000)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    load = os.getloadavg()[0]
    server = subprocess.Popen([sys.executable, __file__, "--serve", str(port)])
    try:
        rates = [rate(port, concurrency, options.requests) for concurrency in (16, 32, 64, 256)]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        long = rate(port, 64, options.memory)
    finally:
        server.terminate()
        server.wait()
    result = {
        "benchmark": "endpoint",
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load_before": round(load, 1),
        "command": " ".join(["python", *sys.argv]),
        "rates": rates,
        "long": {"requests": options.memory, **long},
        "max_rss_mb": [before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
