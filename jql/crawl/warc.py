"""Records of a WARC or WET file, gzip or plain; a file that is cut or is no WARC is an error, never a short file."""

import io
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from warcio.archiveiterator import ArchiveIterator
from warcio.bufferedreaders import ChunkedDataReader, DecompressingBufferedReader
from warcio.exceptions import ArchiveLoadFailed

from jql.errors import DataError, one_line


@dataclass(frozen=True)
class WebRecord:
    """A page (`response`) or its extracted text (`conversion`).

    Attributes:
        problem: why the payload was not read (too_large, http_status, not_html), else None; `payload` is then empty.
        offset: of the record in the file, bytes.
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
        size = os.path.getsize(path)
        if not _starts_as_warc(file):
            raise DataError(f"{name}: not a WARC file ({size:,} bytes, its start is not WARC/); check the input")
        yield from _records(file, size, name, max_bytes)


def _starts_as_warc(file: BinaryIO) -> bool:
    start = file.read(2048)
    file.seek(0)
    if start[:2] == b"\x1f\x8b":
        try:
            start = zlib.decompressobj(wbits=31).decompress(start, 5)
        except zlib.error:
            return False
    return start[:5] == b"WARC/"


def _records(file: BinaryIO, size: int, name: str, max_bytes: int) -> Iterator[WebRecord]:
    iterator = ArchiveIterator(file)
    offset = 0
    try:
        for record in iterator:
            offset = iterator.offset
            if not hasattr(record.raw_stream, "limit"):
                raise DataError(f"{name}: the header of the record at byte {offset} is cut or has no Content-Length; fetch it again")
            if record.rec_type in ("response", "conversion"):
                yield _web_record(record, offset, name, max_bytes)
            while record.raw_stream.read(1 << 20):
                continue
            if record.raw_stream.limit > 0:
                raise DataError(
                    f"{name}: cut inside the record at byte {offset} ({record.raw_stream.limit:,} bytes are missing); fetch it again"
                )
    except (ArchiveLoadFailed, zlib.error, OSError, EOFError) as error:
        raise DataError(f"{name}: damaged after byte {offset} ({one_line(error)}); fetch it again") from error
    if iterator.offset < size:
        raise DataError(f"{name}: cut at byte {size:,}, inside the header of the record at byte {iterator.offset}; fetch it again")


def _web_record(record: object, offset: int, name: str, max_bytes: int) -> WebRecord:
    headers = record.rec_headers  # type: ignore[attr-defined]
    extracted = record.rec_type == "conversion"  # type: ignore[attr-defined]
    http = record.http_headers  # type: ignore[attr-defined]
    length = record.raw_stream.limit  # type: ignore[attr-defined]
    kind = (http.get_header("Content-Type") or "") if http else ""
    problem: str | None = None
    payload = b""
    if length > max_bytes:
        problem = "too_large"
    elif http and http.get_statuscode()[:1] != "2":
        problem = "http_status"
    elif http and kind and not any(t in kind.lower() for t in ("html", "text/plain")):
        problem = "not_html"
    else:
        payload = record.raw_stream.read()  # type: ignore[attr-defined]
        payload = _decoded(payload, http, max_bytes) if http else payload
        if len(payload) > max_bytes:
            problem, payload = "too_large", b""
    return WebRecord(
        id=(headers.get_header("WARC-Record-ID") or f"{name}:{offset}").strip("<>"),
        url=headers.get_header("WARC-Target-URI") or "",
        date=headers.get_header("WARC-Date") or "",
        offset=offset,
        extracted=extracted,
        payload=payload,
        charset=_charset(kind),
        problem=problem,
    )


def _decoded(payload: bytes, http: object, max_bytes: int) -> bytes:
    """Undo transfer and content encoding, reading one byte more than allowed at most: a bomb stays small."""
    stream: object = io.BytesIO(payload)
    if "chunked" in (http.get_header("Transfer-Encoding") or "").lower():  # type: ignore[attr-defined]
        stream = ChunkedDataReader(stream)
    encoding = (http.get_header("Content-Encoding") or "").lower()  # type: ignore[attr-defined]
    if encoding in ("gzip", "deflate", "br"):
        stream = DecompressingBufferedReader(stream, decomp_type=encoding)
    pieces, left = [], max_bytes + 1
    while left > 0 and (piece := stream.read(min(left, 1 << 20))):  # type: ignore[attr-defined]
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _charset(content_type: str) -> str | None:
    for part in content_type.split(";")[1:]:
        key, _, value = part.strip().partition("=")
        if key.lower() == "charset" and value:
            return value.strip("\"' ").lower()
    return None
