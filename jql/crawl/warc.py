"""Records of a WARC or WET file, gzip or plain; a file that is cut or is no WARC is an error, never a short file.

Read by hand and not by warcio, which ends quietly where a gzip member is cut outside of a record's payload (in its
header, its checksum, the header of the record) and goes on where a checksum is wrong. Nothing can see that a file was
cut exactly between two records.
"""

import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from warcio.bufferedreaders import ChunkedDataReader

from jql.errors import DataError

_BLOCK = 1 << 16
_LONGEST_HEADER = 1 << 20
_LONGEST_NUMBER = 18  # digits of a size in bytes
_STATUS = re.compile(r"HTTP/\S+ +(\d{3})\b")
_GZIP_WBITS = 31
_DEFLATE_WBITS = (15, -15)  # with and without zlib's header: servers send both


@dataclass(frozen=True)
class WebRecord:
    """A page (`response`) or its extracted text (`conversion`).

    Attributes:
        problem: why the payload was not read (too_large, http_status, not_html, content_encoding), else None; `payload`
            is then empty.
        offset: of the record in the file, bytes; of its gzip member, where the file is compressed.
        payload: HTML bytes of a page, UTF-8 text bytes of a conversion.
        charset: from the HTTP header, or None.
    """

    id: str
    url: str
    date: str
    offset: int
    extracted: bool
    payload: bytes
    charset: str | None
    problem: str | None


def read_warc(path: str, name: str, max_bytes: int) -> Iterator[WebRecord]:
    """The pages and conversions of a local file, in order; other record types are passed over.

    Args:
        name: what to call the file in errors and in made-up ids.
        max_bytes: payloads above this are not read, their problem is too_large.

    Raises:
        DataError: no WARC, truncated gzip, or cut inside a record; names the file and the byte.
    """
    with open(path, "rb") as file:
        yield from _records(_Stream(file), name, max_bytes)


class _Damaged(Exception):
    """The bytes are not what they should be; says where."""


class _Stream:
    """The plain bytes of a file, or of its gzip members one after the other, each of which has to be whole."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._raw = file.read(_BLOCK)
        self._gzip = self._raw[:2] == b"\x1f\x8b"
        self._inflate = zlib.decompressobj(_GZIP_WBITS)
        self._data = b"" if self._gzip else self._raw
        self._place = 0  # in _data
        self._read = len(self._raw)  # bytes of the file
        self._member = 0  # where the gzip member of _data begins

    def offset(self) -> int:
        """Where in the file the next byte lies, or where its gzip member begins; asked where at_end() is False."""
        return self._member if self._gzip else self._read - len(self._data) + self._place

    def at_end(self) -> bool:
        """Whether no byte is left."""
        return self._place == len(self._data) and not self._fill()

    def take(self, most: int) -> bytes:
        """The next bytes, at least one and at most `most`; none at the end."""
        if self.at_end():
            return b""
        piece = self._data[self._place : self._place + most]
        self._place += len(piece)
        return piece

    def peek(self, size: int) -> bytes:
        """The next few bytes, fewer at the end of a block; they stay to be read."""
        return b"" if self.at_end() else self._data[self._place : self._place + size]

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end of the file."""
        pieces = []
        while size and (piece := self.take(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def line(self) -> bytes:
        """The next line with its end; without one at the end of the file, or after a megabyte."""
        pieces, size = [], 0
        while size < _LONGEST_HEADER and not self.at_end():
            end = self._data.find(b"\n", self._place) + 1 or len(self._data)
            pieces.append(self._data[self._place : end])
            size += end - self._place
            self._place = end
            if pieces[-1].endswith(b"\n"):
                break
        return b"".join(pieces)

    def _fill(self) -> bool:
        """Make the next bytes available."""
        self._place = 0
        if not self._gzip:
            self._data = self._file.read(_BLOCK)
            self._read += len(self._data)
            return bool(self._data)
        self._data = b""
        while not self._data:
            if self._inflate.eof:
                self._member = self._read - len(self._raw)
                self._inflate = zlib.decompressobj(_GZIP_WBITS)
            started = self._member < self._read - len(self._raw)
            if not self._raw:
                self._raw = self._file.read(_BLOCK)
                self._read += len(self._raw)
            ended = not self._raw
            try:
                # Never more than a block at a time: a bomb is passed over in pieces.
                self._data = self._inflate.decompress(self._raw, _BLOCK)
            except zlib.error as error:
                raise _Damaged(f"damaged in the gzip member at byte {self._member:,} ({error})") from error
            if ended and not self._data:
                if started:
                    raise _Damaged(f"cut at byte {self._read:,}, inside the gzip member at byte {self._member:,}")
                return False
            self._raw = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
        return True


def _records(stream: _Stream, name: str, max_bytes: int) -> Iterator[WebRecord]:
    try:
        _check_start(stream, name)
        while not stream.at_end():
            offset = stream.offset()
            line = stream.line()
            if not line.strip():
                continue
            if not line.startswith(b"WARC/"):
                raise _Damaged(f"cut or damaged at byte {offset:,} (found {line[:20]!r}, expected WARC/)")
            headers = _headers(stream, offset)
            left = int(headers["content-length"])
            if headers.get("warc-type") in ("response", "conversion"):
                too_large = left > max_bytes
                payload = b"" if too_large else stream.read(left)
                left -= len(payload)
                if too_large or not left:
                    yield _web_record(headers, payload, offset, name, max_bytes, too_large)
            while left and (skipped := stream.take(left)):
                left -= len(skipped)
            if left:
                raise _Damaged(f"cut inside the record at byte {offset:,} ({left:,} bytes are missing)")
    except _Damaged as error:
        raise DataError(f"{name}: {error}; fetch it again") from error


def _check_start(stream: _Stream, name: str) -> None:
    """Whether the file begins as a WARC file does.

    Raises:
        DataError: it does not.
    """
    start = stream.peek(5)
    if not start:
        raise DataError(f"{name}: not a WARC file (it is empty); check the input")
    if start != b"WARC/":
        raise DataError(f"{name}: not a WARC file (it starts with {start!r}, expected WARC/); check the input")


def _headers(stream: _Stream, offset: int) -> dict[str, str]:
    """The header lines up to an empty one, by lower-case name, the first of each name.

    Raises:
        _Damaged: the file ends before the empty line, no end is in sight, or there is no Content-Length.
    """
    lines: list[bytes] = []
    size = 0
    while (line := stream.line()).strip() and size <= _LONGEST_HEADER:
        lines.append(line)
        size += len(line)
    if line.strip() or not line.endswith(b"\n"):
        raise _Damaged(f"cut or damaged in the header of the record at byte {offset:,}")
    headers = _parsed(lines)
    length = headers.get("content-length", "none")
    if not length.isdecimal() or len(length) > _LONGEST_NUMBER:
        raise _Damaged(f"the record at byte {offset:,} has no usable Content-Length (found {length[:40]})")
    return headers


def _parsed(lines: list[bytes]) -> dict[str, str]:
    found: dict[str, str] = {}
    last = ""
    for line in lines:
        text = line.decode("utf-8", "replace")
        if text[:1] in (" ", "\t") and last:
            found[last] += " " + text.strip()
            continue
        key, _, value = text.partition(":")
        last = key.strip().lower()
        found.setdefault(last, value.strip())
    return found


def _web_record(
    headers: dict[str, str], block: bytes, offset: int, name: str, max_bytes: int, too_large: bool
) -> WebRecord:
    extracted = headers["warc-type"] == "conversion"
    url = headers.get("warc-target-uri", "").strip("<>")
    kind = headers.get("content-type", "")
    problem = "too_large" if too_large else None
    if not extracted and not too_large and (kind.startswith("application/http") or url.startswith(("http:", "https:"))):
        block, kind, problem = _http(block, max_bytes)
    if not problem and kind and not any(wanted in kind.lower() for wanted in ("html", "text/plain")):
        problem = "not_html"
    return WebRecord(
        id=headers.get("warc-record-id", "").strip("<>") or f"{name}:{offset}",
        url=url,
        date=headers.get("warc-date", ""),
        offset=offset,
        extracted=extracted,
        payload=b"" if problem else block,
        charset=_charset(kind),
        problem=problem,
    )


def _http(block: bytes, max_bytes: int) -> tuple[bytes, str, str | None]:
    """Body, Content-Type and problem of an HTTP response."""
    head = io.BytesIO(block)
    status = _STATUS.match(head.readline(1000).decode("latin-1"))
    lines = []
    while (line := head.readline()).strip():
        lines.append(line)
    headers = _parsed(lines)
    kind = headers.get("content-type", "")
    if status is None or status[1][0] != "2":
        return b"", kind, "http_status"
    if kind and not any(wanted in kind.lower() for wanted in ("html", "text/plain")):
        return b"", kind, "not_html"
    body = head.read()
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = ChunkedDataReader(io.BytesIO(body)).read()
    encoding = headers.get("content-encoding", "").lower()
    if encoding in ("gzip", "x-gzip"):
        body = _inflated(body, (_GZIP_WBITS,), max_bytes + 1)
    elif encoding == "deflate":
        body = _inflated(body, _DEFLATE_WBITS, max_bytes + 1)
    elif encoding not in ("", "identity", "utf-8", "none"):
        return b"", kind, "content_encoding"
    return body, kind, "too_large" if len(body) > max_bytes else None


def _inflated(body: bytes, formats: tuple[int, ...], most: int) -> bytes:
    """The decompressed body, `most` bytes of it, so that a bomb stays small; as it is if it is not compressed."""
    for wbits in formats:
        try:
            return zlib.decompressobj(wbits).decompress(body, most)
        except zlib.error:
            continue
    return body


def _charset(content_type: str) -> str | None:
    for part in content_type.split(";")[1:]:
        key, _, value = part.strip().partition("=")
        if key.lower() == "charset" and value:
            return value.strip("\"' ").lower()
    return None
