"""WARC and WET files: whole ones are read record by record, damaged ones are errors and never short files."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SHARED, needs_shared, write_warc
from crawl_help import article, http_block, page_record, warc_record, zipped
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jql.crawl.warc import WebRecord, read_warc
from jql.errors import DataError

LARGE = 1_000_000
PAGES = [article(f"The ferry number {i} leaves at noon, å ß 船.") for i in range(4)]
RECORDS = [
    warc_record(b"software: by hand\r\n", kind="warcinfo", name="<urn:uuid:0>"),
    page_record(PAGES[0], 0),
    page_record(PAGES[1], 1),
    warc_record(b"GET / HTTP/1.1\r\n\r\n", kind="request", name="<urn:uuid:9>"),
    page_record(PAGES[2], 2),
]


def read(path: Path, data: bytes | None = None, max_bytes: int = LARGE) -> list[WebRecord]:
    """All records of a file, which is first written where there is `data`."""
    if data is not None:
        path.write_bytes(data)
    return list(read_warc(str(path), path.name, max_bytes))


def read_until_error(path: Path, data: bytes) -> tuple[list[WebRecord], DataError | None]:
    """The records that come before the error, and the error if there is one."""
    path.write_bytes(data)
    found = []
    try:
        for record in read_warc(str(path), path.name, LARGE):
            found.append(record)
    except DataError as error:
        return found, error
    return found, None


@pytest.mark.parametrize("compress", [True, False])
def test_pages_come_back_as_another_writer_wrote_them(tmp_path: Path, compress: bool) -> None:
    pages = [(f"http://harbour.example/{i}", page.encode()) for i, page in enumerate(PAGES)]
    found = read(write_warc(tmp_path / "a.warc", pages, compress))
    assert [(r.url, r.payload) for r in found] == pages
    assert {(r.charset, r.problem, r.extracted) for r in found} == {("utf-8", None, False)}
    assert len({r.id for r in found}) == 4 and all(r.id.startswith("urn:uuid:") for r in found)


@pytest.mark.parametrize("compress", [True, False])
def test_offsets_point_at_the_records(tmp_path: Path, compress: bool) -> None:
    data = zipped(RECORDS) if compress else b"".join(RECORDS)
    for record in read(tmp_path / "a.warc", data):
        rest = data[record.offset :]
        alone = read(tmp_path / "b.warc", rest)[0]
        start = zlib.decompressobj(31).decompress(rest) if compress else rest
        assert start.startswith(b"WARC/1.0\r\nWARC-Type: response") and record.id.encode() in start[:300]
        assert (alone.id, alone.payload, alone.offset) == (record.id, record.payload, 0)


def test_other_record_types_are_passed_over(tmp_path: Path) -> None:
    assert [r.id for r in read(tmp_path / "a", zipped(RECORDS))] == [
        "urn:uuid:page-0",
        "urn:uuid:page-1",
        "urn:uuid:page-2",
    ]


def test_one_gzip_stream_around_all_records_is_read_too(tmp_path: Path) -> None:
    found = read(tmp_path / "a.warc.gz", gzip.compress(b"".join(RECORDS)))
    assert [r.payload for r in found] == [page.encode() for page in PAGES[:3]]


def test_conversions_are_extracted_text(tmp_path: Path) -> None:
    text = "Die Fähre fährt.\nÖfter.".encode()
    record = read(tmp_path / "a.wet", warc_record(text, kind="conversion"))[0]
    assert record.extracted and record.payload == text and record.problem is None


def test_a_record_without_id_is_named_by_its_place(tmp_path: Path) -> None:
    bare = page_record(PAGES[0]).replace(b"WARC-Record-ID: <urn:uuid:page-1>\r\n", b"")
    found = read(tmp_path / "a.warc", RECORDS[0] + bare)
    assert found[0].id == f"a.warc:{len(RECORDS[0])}"


def test_header_names_in_any_case_folded_lines_and_bare_newlines(tmp_path: Path) -> None:
    body = PAGES[0].encode()
    block = b"HTTP/1.1 200\nCONTENT-TYPE:text/html;\n charset='ISO-8859-2'\n\n" + body
    record = page_record("").split(b"\r\n\r\n")[0].replace(b"Content-Length", b"x-length").replace(b"\r\n", b"\n")
    found = read(tmp_path / "a", record + f"\ncontent-LENGTH: {len(block)}\n\n".encode() + block + b"\n\n")
    assert [(r.payload, r.charset) for r in found] == [(body, "iso-8859-2")]


def chunked(body: bytes, size: int = 37) -> bytes:
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(f"{len(p):x}\r\n".encode() + p + b"\r\n" for p in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "headers, encode",
    [
        (("Transfer-Encoding: chunked",), chunked),
        (("Content-Encoding: gzip",), gzip.compress),
        (("Content-Encoding: x-gzip",), gzip.compress),
        (("Content-Encoding: GZIP", "Transfer-Encoding: Chunked"), lambda body: chunked(gzip.compress(body))),
        (("Content-Encoding: deflate",), zlib.compress),
        (("Content-Encoding: deflate",), lambda body: zlib.compress(body)[2:-4]),
        (("Content-Encoding: identity",), bytes),
        # What crawlers store after they decoded it themselves, with the header left as it was.
        (("Transfer-Encoding: chunked",), bytes),
        (("Content-Encoding: gzip",), bytes),
        (("Content-Encoding: deflate",), bytes),
    ],
)
def test_transfer_and_content_encodings_are_undone(
    tmp_path: Path, headers: tuple[str, ...], encode: Callable[[bytes], bytes]
) -> None:
    body = article("The tide comes in. " * 20).encode()
    assert read(tmp_path / "a", warc_record(http_block(encode(body), *headers)))[0].payload == body


@pytest.mark.parametrize("encoding", ["br", "zstd", "klingon"])
def test_an_encoding_that_cannot_be_undone_is_a_problem_of_the_page(tmp_path: Path, encoding: str) -> None:
    record, after = read(
        tmp_path / "a", warc_record(http_block(b"\x1b\x00", f"Content-Encoding: {encoding}")) + RECORDS[1]
    )
    assert (record.problem, record.payload, after.problem) == ("content_encoding", b"", None)


@pytest.mark.parametrize(
    "block, problem",
    [
        (http_block(b"gone", status="HTTP/1.1 404 Not Found"), "http_status"),
        (http_block(b"moved", status="HTTP/2 301"), "http_status"),
        (b"no HTTP at all", "http_status"),
        (b"", "http_status"),
        (http_block(b"%PDF", kind="application/pdf"), "not_html"),
        (http_block(b"<html>", kind="application/xhtml+xml"), None),
        (http_block(b"words", kind="text/plain"), None),
        (http_block(b"<html>", kind=""), None),
        (http_block(b"<html>", status="HTTP/1.0 200"), None),
    ],
)
def test_what_is_no_page_says_why(tmp_path: Path, block: bytes, problem: str | None) -> None:
    assert read(tmp_path / "a", warc_record(block))[0].problem == problem


def test_a_dns_answer_is_no_page(tmp_path: Path) -> None:
    record = warc_record(b"20261101\nharbour.example. 300 IN A 192.0.2.1\n", "dns:harbour.example")
    data = record.replace(b"application/http; msgtype=response", b"text/dns")
    assert read(tmp_path / "a", data)[0].problem == "not_html"


@pytest.mark.parametrize("compress", [True, False])
def test_too_large_pages_are_passed_over(tmp_path: Path, compress: bool) -> None:
    records = [page_record(b"x" * 200_000, 7), page_record(PAGES[0], 8)]
    data = zipped(records) if compress else b"".join(records)
    large, small = read(tmp_path / "a", data, max_bytes=100_000)
    assert (large.problem, large.payload, large.id) == ("too_large", b"", "urn:uuid:page-7")
    assert small.payload == PAGES[0].encode()


def test_a_bomb_in_the_content_encoding_is_too_large(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    record = read(tmp_path / "a", warc_record(http_block(bomb, "Content-Encoding: gzip")))[0]
    assert (record.problem, record.payload) == ("too_large", b"")


@pytest.mark.parametrize(
    "data", [b"", b"\x1f\x8b", b"junk " * 100, b"WARX/1.0\r\n", b"PK\x03\x04", gzip.compress(b"hello", mtime=0)]
)
def test_what_is_no_warc_is_named(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(
        DataError, match=r"x\.warc\.gz: (not a WARC file|cut at byte).*(check the input|fetch it again)"
    ):
        read(tmp_path / "x.warc.gz", data)


@pytest.mark.parametrize("length", ["", "-5", "many", "9" * 5000])
def test_a_record_without_a_usable_length(tmp_path: Path, length: str) -> None:
    with pytest.raises(
        DataError, match=r"x: the record at byte 0 has no usable Content-Length \(found .*fetch it again"
    ):
        read(tmp_path / "x", warc_record(b"abc", length=length))


def test_a_length_that_lies(tmp_path: Path) -> None:
    short = warc_record(http_block(b"abcdefghij"), length="20") + RECORDS[1]
    with pytest.raises(DataError, match=r"x: cut or damaged at byte \d+ \(found .*, expected WARC/\)"):
        read(tmp_path / "x", short)


def test_a_header_without_end(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cut or damaged in the header of the record at byte 0"):
        read(tmp_path / "x", b"WARC/1.0\r\n" + b"a: b\r\n" * 300_000)
    with pytest.raises(DataError, match=r"cut or damaged in the header of the record at byte 0"):
        read(tmp_path / "x", b"WARC/1.0\r\n" + b"a" * 3_000_000)


@pytest.mark.parametrize("tail", [b"junk", b"\0" * 600, b"\x1f\x8b\x08"])
@pytest.mark.parametrize("compress", [True, False])
def test_trailing_garbage_is_an_error(tmp_path: Path, compress: bool, tail: bytes) -> None:
    found, error = read_until_error(tmp_path / "x", (zipped(RECORDS) if compress else b"".join(RECORDS)) + tail)
    assert len(found) == 3 and error is not None and "fetch it again" in str(error)


WHOLE = {True: zipped(RECORDS), False: b"".join(RECORDS)}


def ends(compress: bool) -> list[int]:
    """Where each record ends in the file."""
    sizes = [len(gzip.compress(r, mtime=0)) if compress else len(r) for r in RECORDS]
    return [sum(sizes[: i + 1]) for i in range(len(sizes))]


@pytest.mark.parametrize("compress", [True, False])
def test_every_cut_gives_the_whole_records_before_it_and_an_error(tmp_path: Path, compress: bool) -> None:
    """At all positions. Only a cut between two records passes, which nothing can see in the file itself."""
    pages = {0: [], 1: [0], 2: [0, 1], 3: [0, 1], 4: [0, 1, 2]}  # pages up to a record
    for cut in range(len(WHOLE[compress])):
        found, error = read_until_error(tmp_path / "x", WHOLE[compress][:cut])
        done = [i for i, end in enumerate(ends(compress)) if end <= cut]
        before = [f"urn:uuid:page-{i}" for i in (pages[done[-1]] if done else [])]
        ids = [record.id for record in found]
        assert ids[: len(before)] == before and len(ids) <= len(before) + 1
        assert all(record.payload == PAGES[i].encode() for i, record in enumerate(found))
        # In a plain file a record's two empty lines carry nothing, so what is cut within them is no loss.
        lossless = any(cut in range(end - (0 if compress else 4), end + 1) for end in ends(compress))
        assert (error is None) == lossless, cut


@settings(max_examples=200, deadline=None)
@given(compress=st.booleans(), place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@example(compress=True, place=0.999, flip=1)
def test_a_flipped_byte_never_changes_a_page_of_a_gzip_file_in_silence(
    tmp_path_factory: pytest.TempPathFactory, compress: bool, place: float, flip: int
) -> None:
    data = bytearray(WHOLE[compress])
    data[int(place * len(data))] ^= flip
    found, error = read_until_error(tmp_path_factory.getbasetemp() / "flipped", bytes(data))
    if error is None and compress:  # a plain file has no checksum
        assert [record.payload for record in found] == [page.encode() for page in PAGES[:3]]


@settings(max_examples=60, deadline=None)
@given(bodies=st.lists(st.binary(max_size=2000), max_size=8), compress=st.booleans(), large=st.integers(0, 200_000))
def test_any_bodies_come_back(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], compress: bool, large: int
) -> None:
    bodies = [*bodies, b"\x1f\x8bWARC/1.0\r\n\r\n" * (large // 14)]  # beyond one block, and looking like a record
    records = [page_record(body, i) for i, body in enumerate(bodies)]
    data = zipped(records) if compress else b"".join(records)
    found = read(tmp_path_factory.getbasetemp() / "bodies", data)
    assert [record.payload for record in found] == bodies


@needs_shared
def test_a_genuine_record_of_common_crawl() -> None:
    folder = SHARED / "warc"
    (page,) = read(folder / "whirlwind.warc.gz")
    (text,) = read(folder / "whirlwind.warc.wet.gz")
    assert read(folder / "whirlwind.warc.wat.gz") == []
    assert page.url == text.url and page.problem is None and not page.extracted and text.extracted
    assert b"<html" in page.payload.lower()
