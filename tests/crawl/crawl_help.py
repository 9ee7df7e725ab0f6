"""What the crawl's tests share: pages, WARC and WET bytes made by hand, a loopback server that misbehaves on request."""

import gzip
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENGLISH = (
    "The ferry leaves the harbour twice a day, early in the morning and late in the afternoon, when the water is high.",
    "Fishermen mend their nets on the quay while the gulls wait for what they throw away, and nobody is in a hurry.",
    "In winter the boat carries flour, letters and the doctor; in summer it carries visitors with heavy bags.",
    "The captain has made the crossing more than nine thousand times and still looks at the clouds before each one.",
)
GERMAN = (
    "Die Fähre verlässt den Hafen zweimal am Tag, früh am Morgen und spät am Nachmittag, wenn das Wasser hoch steht.",
    "Am Kai flicken die Fischer ihre Netze, während die Möwen auf das warten, was übrig bleibt, und niemand hat Eile.",
    "Im Winter bringt das Schiff Mehl, Briefe und den Arzt; im Sommer bringt es Gäste mit schweren Taschen.",
)


def article(*paragraphs: str, title: str = "The ferry") -> str:
    """A page with a menu, a body of these paragraphs, and a footer."""
    body = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    return (
        f"<!DOCTYPE html><html><head><title>{title}</title></head><body><nav><a href='/'>Start</a></nav>"
        f"<article><h1>{title}</h1>{body}</article><footer>All rights reserved</footer></body></html>"
    )


def http_block(
    body: bytes, *headers: str, status: str = "HTTP/1.1 200 OK", kind: str = "text/html; charset=utf-8"
) -> bytes:
    """An HTTP response as it stands in a WARC file."""
    lines = [status, *([f"Content-Type: {kind}"] if kind else []), *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def warc_record(
    block: bytes,
    url: str = "http://harbour.example/",
    kind: str = "response",
    name: str = "<urn:uuid:1>",
    length: str | None = None,
    extra: str = "",
) -> bytes:
    """One record, plain, with its two empty lines."""
    content = {"response": "application/http; msgtype=response", "conversion": "text/plain"}.get(kind, "text/x")
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2026-11-01T00:00:00Z\r\n"
        f"WARC-Record-ID: {name}\r\nContent-Type: {content}\r\n{extra}"
    )
    size = str(len(block)) if length is None else length
    return (head + (f"Content-Length: {size}\r\n" if size else "") + "\r\n").encode() + block + b"\r\n\r\n"


def page_record(html: str | bytes, number: int = 1, url: str | None = None) -> bytes:
    """A response record with this page, an id and an URL of its own."""
    body = html.encode() if isinstance(html, str) else html
    return warc_record(
        http_block(body), url or f"http://harbour.example/page/{number}", name=f"<urn:uuid:page-{number}>"
    )


def zipped(records: list[bytes]) -> bytes:
    """The records as Common Crawl stores them: a gzip member each."""
    return b"".join(gzip.compress(record, mtime=0) for record in records)


@dataclass
class Server:
    """A loopback HTTP server.

    Attributes:
        files: path -> content.
        trouble: path -> what to do with its next requests, one after the other: a status with its Retry-After or
            None, "cut" (half of the body, then the connection ends), "short" (a piece that says it is whole, but is
            smaller than what was asked for). Afterwards all is well.
        only: which methods are troubled.
        ranges: whether Range is understood.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    trouble: dict[str, list[Any]] = field(default_factory=dict)
    only: tuple[str, ...] = ("GET",)
    ranges: bool = True
    requests: Counter[str] = field(default_factory=Counter)
    address: str = ""

    def next_trouble(self, path: str, method: str) -> Any:
        """What goes wrong with this request, or None."""
        left = self.trouble.get(path, [])
        return left.pop(0) if left and method in self.only else None


def span(asked: str, size: int) -> tuple[int, int]:
    """First and last byte of a Range header."""
    start, _, end = asked.removeprefix("bytes=").partition("-")
    return int(start), min(int(end or size), size - 1)


class Handler(BaseHTTPRequestHandler):
    server_state: Server

    def do_HEAD(self) -> None:
        self.answer("HEAD")

    def do_GET(self) -> None:
        self.answer("GET")

    def answer(self, method: str) -> None:
        self.server_state.requests[self.path] += 1
        self.server_state.requests[method] += 1
        trouble = self.server_state.next_trouble(self.path, method)
        if isinstance(trouble, tuple):
            self.refuse(*trouble)
            return
        data = self.server_state.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        first, last = span(asked, len(data)) if asked and self.server_state.ranges else (0, len(data) - 1)
        self.send_response(206 if asked and self.server_state.ranges else 200)
        if asked and self.server_state.ranges:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        piece = data[first : last + 1]
        if trouble == "short" and method == "GET":  # a size that lies would be seen by the WARC reader only
            piece = piece[: len(piece) // 2]
        self.send_header("Content-Length", str(len(piece)))
        self.end_headers()
        if method == "GET":
            self.wfile.write(piece[: len(piece) // 2] if trouble == "cut" else piece)
        self.close_connection = trouble == "cut"

    def refuse(self, status: int, retry_after: int | None) -> None:
        self.send_response(status)
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(**settings: Any) -> Iterator[Server]:
    """A Server on a free port of 127.0.0.1 for as long as it is needed."""
    server = Server(**settings)
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"server_state": server}))
    http.daemon_threads = True
    server.address = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
