"""The crawl stage: every record is a document or dropped with its reason, whatever the pages and files are like."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED, needs_shared, run_here
from crawl_help import ENGLISH, GERMAN, article, http_block, page_record, warc_record, zipped

from jql.crawl.crawl import run_crawl
from jql.engine.receipt import Receipt
from jql.engine.run import Run
from jql.errors import IncompleteError, InputError, RecipeError
from jql.recipe import Recipe, make_recipe
from jql.schema import DOCUMENT, SIGNALS

GOOD = [page_record(article(*ENGLISH, f"This is page {i}."), 100 + i) for i in range(3)]


def recipe(folder: Path, *more: str) -> Recipe:
    """A crawl of folder/in without the URL lists, in this process."""
    settings = [f"output={folder}/run", "engine.backend=inline", "crawl.url_filter=false", *more]
    return make_recipe({"stages": ["crawl"], "crawl": {"input": [str(folder / "in")]}}, settings)


def put(folder: Path, name: str, data: bytes) -> Path:
    """A file in folder/in."""
    path = folder / "in" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def crawl(made: Recipe) -> tuple[list[dict[str, Any]], list[Receipt]]:
    """The documents and the receipts of a crawl."""
    with Run(made.output, made.engine) as run:
        stage = run_crawl(made, run)
        rows = []
        for table in stage.tables():
            assert table.schema.equals(DOCUMENT)
            rows += table.to_pylist()
        return rows, list(stage.receipts())


def check_counts(rows: list[dict[str, Any]], receipts: list[Receipt]) -> dict[str, int]:
    """All drops; every record read is a row or one of them."""
    drops: dict[str, int] = {}
    for receipt in receipts:
        assert receipt.rows_in == receipt.accepted + sum(receipt.drops.values())
        for reason, count in receipt.drops.items():
            drops[reason] = drops.get(reason, 0) + count
    assert sum(receipt.accepted for receipt in receipts) == len(rows)
    return drops


def test_a_page_becomes_a_document_with_all_its_columns(tmp_path: Path) -> None:
    path = put(tmp_path, "a.warc.gz", zipped([GOOD[0], page_record(article(*GERMAN[:2]), 7)]))
    rows, receipts = crawl(recipe(tmp_path))
    assert check_counts(rows, receipts) == {}
    english, german = rows
    assert english["text"] == "\n".join(["The ferry", *ENGLISH, "This is page 0."])
    assert (english["id"], english["url"]) == ("urn:uuid:page-100", "http://harbour.example/page/100")
    assert (english["language"], german["language"]) == ("eng_Latn", "deu_Latn") and english["language_score"] > 0.9
    assert (english["file_path"], english["warc_offset"]) == (str(path), 0)
    assert gzip.decompress(path.read_bytes()[german["warc_offset"] :]).startswith(b"WARC/1.0")
    assert english["date"] == "2026-11-01T00:00:00Z"
    assert [name for name in english if name.startswith("signal_")] == [f"signal_{name}" for name in SIGNALS]
    assert english["signal_n_words"] == len(english["text"].replace(",", "").replace(";", "").split())
    assert english["filter_reason"] is None and german["filter_reason"] is not None  # fifty words are wanted
    assert receipts[0].stats["languages"] == {"deu_Latn": 1, "eng_Latn": 1}
    assert receipts[0].bytes_in == path.stat().st_size


def test_every_reason_occurs_and_is_counted(tmp_path: Path) -> None:
    records = [
        *GOOD,
        GOOD[1],
        page_record(article(*GERMAN), 1),
        page_record("<html><body></body></html>", 2),
        page_record(article(*ENGLISH), 3, "https://xvideos.com/page"),
        page_record("<p>" + "much " * 30_000, 4),
        warc_record(http_block(b"gone", status="HTTP/1.1 410 Gone"), name="<urn:5>"),
        warc_record(http_block(b"%PDF", kind="application/pdf"), name="<urn:6>"),
        warc_record(http_block(b"\x0b", "Content-Encoding: br"), name="<urn:7>"),
        warc_record(b"ignored", kind="request"),
    ]
    put(tmp_path, "a.warc", b"".join(records))
    rows, receipts = crawl(
        recipe(tmp_path, "crawl.url_filter=true", "crawl.languages=[eng_Latn]", "crawl.max_bytes=100000")
    )
    assert check_counts(rows, receipts) == {
        "duplicate_id": 1,
        "other_language": 1,
        "no_text": 1,
        "url_domain": 1,
        "too_large": 1,
        "http_status": 1,
        "not_html": 1,
        "content_encoding": 1,
    }
    assert receipts[0].rows_in == 11
    assert [row["id"] for row in rows] == [f"urn:uuid:page-{100 + i}" for i in range(3)]


def test_wet_files(tmp_path: Path) -> None:
    texts = ["\n".join(ENGLISH), "\n".join(GERMAN) + "\x00 \nMail: a@harbour.example", "   \n"]
    records = [
        warc_record(text.encode(), f"http://x.example/{i}", "conversion", f"<urn:{i}>") for i, text in enumerate(texts)
    ]
    put(tmp_path, "a.warc.wet.gz", zipped([warc_record(b"", kind="warcinfo"), *records]))
    rows, receipts = crawl(recipe(tmp_path))
    assert check_counts(rows, receipts) == {"no_text": 1}
    assert [row["text"] for row in rows] == [texts[0], "\n".join(GERMAN) + " \nMail: email@example.com"]
    assert [row["language"] for row in rows] == ["eng_Latn", "deu_Latn"]


def test_the_order_of_names_is_the_order_of_units_and_tables_do_not_depend_on_other_files(tmp_path: Path) -> None:
    put(tmp_path, "b.warc", GOOD[1])
    put(tmp_path, "a.warc", GOOD[0] + GOOD[2])
    put(tmp_path, "notes.txt", b"no WARC, and not looked at")
    rows, receipts = crawl(recipe(tmp_path))
    assert [row["id"][-3:] for row in rows] == ["100", "102", "101"]
    (tmp_path / "in" / "a.warc").unlink()
    alone, again = crawl(recipe(tmp_path, f"output={tmp_path}/other"))
    assert alone == rows[2:] and again[0].files[""].sha256 == receipts[1].files[""].sha256


def test_odd_characters_reach_the_table_as_valid_text(tmp_path: Path) -> None:
    page = article(*ENGLISH, "one &#0; two &#xD800; three &#xFFFE; four &#x85; five \ufeff six").encode()
    put(tmp_path, "a.warc", page_record(page + b"\xff\xfe\x00\x80", 1))
    rows, _ = crawl(recipe(tmp_path))
    text = rows[0]["text"]
    assert "four" in text and "\x00" not in text and text.encode("utf-8")


TAGS = 10_000_000


@pytest.mark.parametrize(
    "page, limit, reasons",
    [
        pytest.param(b"<p>" + b" " * 200_000_000, 10_000_000, {"too_large": 1}, id="200 MB"),
        # libxml2 stops at 256 levels: cheap, and the text before it is found.
        pytest.param(article(*ENGLISH).encode() + b"<b>" * TAGS, 50_000_000, {}, id="10 million nested b"),
        pytest.param(b"<html><body>" + b"<div>" * TAGS, 60_000_000, {"no_text": 1}, id="10 million nested div"),
    ],
)
def test_poison_pages_cost_no_more_than_themselves(
    page: bytes, limit: int, reasons: dict[str, int], tmp_path: Path
) -> None:
    path = put(tmp_path, "a.warc.gz", zipped([GOOD[0], page_record(page, 1), *GOOD[1:]]))
    assert path.stat().st_size < 1_000_000
    rows, receipts = crawl(recipe(tmp_path, f"crawl.max_bytes={limit}"))
    assert check_counts(rows, receipts) == reasons
    assert [row["id"][-3:] for row in rows if not row["id"].endswith("-1")] == ["100", "101", "102"]
    assert len(rows) == 4 - len(reasons)


def slow_page(items: int) -> str:
    """A flat page that is quadratic in trafilatura's Python code."""
    return "<html><body><article><p>" + "word<br>" * items


def stuck_page(links: int) -> str:
    """A flat page that is quadratic inside libxml2, where no signal reaches Python."""
    return "<html><body><article><p>" + "<a href=x>word and </a>" * links


def test_a_slow_page_is_dropped_as_timeout_in_this_process(tmp_path: Path) -> None:
    put(tmp_path, "a.warc.gz", zipped([GOOD[0], page_record(slow_page(100_000), 1), *GOOD[1:]]))
    rows, receipts = crawl(recipe(tmp_path, "crawl.timeout_s=1"))
    assert check_counts(rows, receipts) == {"timeout": 1}
    assert [row["id"][-3:] for row in rows] == ["100", "101", "102"]


def test_a_page_that_hangs_the_process_is_found_and_dropped(tmp_path: Path, ray_address: str) -> None:
    put(tmp_path, "a.warc.gz", zipped([GOOD[0], page_record(stuck_page(150_000), 1), *GOOD[1:]]))
    put(tmp_path, "b.warc.gz", zipped([page_record(article(*GERMAN), 5)]))
    # A sound page takes 10 ms; four processes have to hang for three times the limit until the page is found.
    settings = ["engine.backend=ray", f"engine.address={ray_address}", "engine.workers=2", "crawl.timeout_s=0.6"]
    rows, receipts = crawl(recipe(tmp_path, *settings))
    assert check_counts(rows, receipts) == {"timeout": 1}
    assert [row["id"][-3:] for row in rows] == ["100", "101", "102", "e-5"]


def test_an_unreadable_file_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    bad = put(tmp_path, "b.warc.gz", zipped(GOOD)[:-20])
    put(tmp_path, "a.warc.gz", zipped(GOOD[:1]))
    put(tmp_path, "c.warc.gz", zipped(GOOD[1:2]))
    message = rf"crawl: 1 of 3 units are missing: {bad}: .*cut at byte.*fetch it again; repair or remove the input"
    with pytest.raises(IncompleteError, match=message):
        crawl(recipe(tmp_path))
    rows, receipts = crawl(recipe(tmp_path, "engine.tolerate_missing=0.4"))
    assert [row["id"][-3:] for row in rows] == ["100", "101"] and check_counts(rows, receipts) == {}
    bad.write_bytes(zipped(GOOD[2:]))
    rows, _ = crawl(recipe(tmp_path))
    assert [row["id"][-3:] for row in rows] == ["100", "102", "101"]


@pytest.mark.parametrize(
    "settings, message",
    [
        (["crawl.input=[]"], r"crawl\.input: nothing to crawl; name WARC files or folders, or set crawl\.dump"),
        (
            ["crawl.dump=2025-05", "crawl.input=[]"],
            r"crawl\.dump: expected an id such as CC-MAIN-2025-05, got '2025-05'",
        ),
        (["crawl.input=[/nowhere/at/all]"], r"/nowhere/at/all: no such file or folder; check the input path"),
    ],
)
def test_nothing_to_crawl(settings: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        crawl(recipe(tmp_path, *settings))


def test_a_folder_without_warc_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match=r"in: an empty folder, expected files ending in \.warc, \.warc\.gz, \.wet"):
        crawl(recipe(tmp_path))
    put(tmp_path, "notes.txt", b"")
    with pytest.raises(InputError, match=r"in: 1 other files, expected files ending in \.warc"):
        crawl(recipe(tmp_path))


def command(tmp_path: Path, *settings: str) -> int:
    """The exit code of `jql run` of a recipe file that crawls tmp_path/in."""
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"stages: [crawl]\noutput: {tmp_path}/run\nengine: {{backend: inline}}\n"
        f"crawl: {{input: [{tmp_path}/in], url_filter: false}}\n"
    )
    return run_here("run", str(path), *settings, "--json")


@pytest.mark.parametrize(
    "settings, message",
    [
        (["crawl.input=[/nowhere]"], "/nowhere: no such file or folder; check the input path"),
        ([], "/in: an empty folder, expected files ending in"),
        (["crawl.languages=[deu_Latm]"], "unknown language 'deu_Latm': .*did you mean deu_Latn"),
        (["crawl.languages=[no]"], "unknown language 'no': .*did you mean nob_Latn or nno_Latn"),
        (["crawl.max_byte=5"], "crawl.max_byte: unknown key; did you mean max_bytes"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    settings: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    code = command(tmp_path, *settings)
    said = capfd.readouterr().err
    lines = said.strip().splitlines()
    assert code == 2 and len(lines) == 1, said
    assert lines[0].startswith("jql: ") and re.search(message, lines[0]), lines[0]


def test_an_unreadable_file_is_exit_code_1_and_a_sound_one_0(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bad = put(tmp_path, "a.warc.gz", b"this is no archive")
    code, said = command(tmp_path), capfd.readouterr().err
    assert code == 1 and "Traceback" not in said
    last = said.strip().splitlines()[-1]
    assert last.startswith("jql: crawl: 1 of 1 units are missing") and f"{bad}: not a WARC file" in last
    bad.write_bytes(zipped(GOOD))
    code, said = command(tmp_path), capfd.readouterr()
    assert code == 0, said.err
    found = json.loads(said.out.splitlines()[-1])
    assert (found["documents"], found["records"], found["dropped"]) == (3, 3, {})


@needs_shared
@pytest.mark.parametrize("name", ["whirlwind.warc.gz", "whirlwind.warc.wet.gz"])
def test_a_genuine_record_of_common_crawl_is_one_aragonese_page(name: str, tmp_path: Path) -> None:
    rows, receipts = crawl(recipe(tmp_path, f"crawl.input=[{SHARED}/warc/{name}]"))
    assert check_counts(rows, receipts) == {}
    assert [row["language"] for row in rows] == ["arg_Latn"]
    assert "wikipedia.org" in rows[0]["url"] and rows[0]["filter_reason"] is None  # no thresholds for Aragonese
