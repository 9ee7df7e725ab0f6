"""HTML bytes to text: charsets right, wrong and unknown; no page depends on another; what is masked and repaired."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from crawl_help import ENGLISH, GERMAN, article
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jql.crawl.extract import decode_html, extract_text, repair_text, self_test

RUSSIAN = "Паром выходит из гавани дважды в день, рано утром и поздно вечером, когда вода стоит высоко."
POLISH = "Prom wypływa z portu dwa razy dziennie, a rybacy naprawiają sieci na nabrzeżu, żeby zdążyć przed świtem."
JAPANESE = "船は一日に二回、港を出ます。漁師は岸壁で網を直しています。"


@pytest.mark.parametrize(
    "text, codec, label",
    [
        (RUSSIAN, "utf-8", "utf-8"),
        (RUSSIAN, "cp1251", "windows-1251"),
        (RUSSIAN, "koi8-r", "KOI8-R"),
        (POLISH, "iso-8859-2", "iso-8859-2"),
        (JAPANESE, "shift_jis", "shift_jis"),
        (JAPANESE, "euc_jp", "euc-jp"),
        (JAPANESE, "iso2022_jp", "iso-2022-jp"),
        (RUSSIAN, "utf-16", "utf-16"),
        (POLISH, "utf-16-le", "utf-16le"),
        ("plain words", "utf-16-be", "utf-16be"),
        ("“Möwe” – 5 €", "cp1252", "windows-1252"),
        # Browsers take ISO-8859-1 and ASCII for windows-1252, and pages are written for browsers.
        ("“Möwe” – 5 €", "cp1252", "iso-8859-1"),
        ("“Möwe” – 5 €", "cp1252", "us-ascii"),
        ("ağaç şiir", "cp1254", "iso-8859-9"),
    ],
)
def test_declared_charsets(text: str, codec: str, label: str) -> None:
    assert decode_html(text.encode(codec), label) == text


@pytest.mark.parametrize("label", ["windows-1251", "iso-8859-1", "iso-8859-2", "us-ascii", "klingon", "", "none", None])
@pytest.mark.parametrize("text", [RUSSIAN, POLISH, JAPANESE])
def test_utf8_is_read_as_utf8_whatever_the_server_says(text: str, label: str | None) -> None:
    assert decode_html(text.encode(), label) == text


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("label", [None, "iso-8859-2"])
def test_a_byte_order_mark_decides_and_is_no_text(codec: str, label: str | None) -> None:
    assert decode_html(RUSSIAN.encode(codec), label) == RUSSIAN


@pytest.mark.parametrize(
    "tag",
    [
        "<meta charset=windows-1251>",
        '<META CharSet = "Windows-1251" />',
        "<meta http-equiv='Content-Type' content='text/html; charset=windows-1251'>",
    ],
)
def test_the_page_names_its_charset_where_the_server_does_not(tag: str) -> None:
    page = f"<html><head><title>x</title>{tag}</head><p>Ёж</p>"
    assert decode_html(page.encode("cp1251"), None) == page
    assert decode_html(page.encode("cp1251"), "no-such-charset") == page
    assert decode_html(page.encode("cp1251"), "koi8-r") != page  # the server goes before the page


@pytest.mark.parametrize("label", [None, "no-such-charset", "utf-8"])
def test_detection_is_the_last_resort(label: str | None) -> None:
    text = RUSSIAN * 5
    assert decode_html(text.encode("cp1251"), label) == text


@settings(max_examples=200, deadline=None)
@given(
    data=st.binary(max_size=300),
    label=st.none()
    | st.text(max_size=12)
    | st.sampled_from(
        [
            "idna",
            "punycode",
            "undefined",
            "unicode_escape",
            "hex",
            "rot13",
            "utf-7",
            "utf-16",
            "a\0b",
            "\udcff",
            "x" * 9999,
        ]
    ),
)
@example(data=b"\xff" * 70, label="idna")
@example(data=b"<meta charset=punycode>\xff-\xff", label=None)
def test_any_bytes_and_any_label_give_text(data: bytes, label: str | None) -> None:
    assert isinstance(decode_html(data, label), str)


def test_main_text_without_menu_and_footer() -> None:
    assert extract_text(article(*ENGLISH)) == "\n".join(["The ferry", *ENGLISH])
    assert extract_text("<html><body></body></html>") == "" and extract_text("") == ""


ODD = [*range(0x20), *range(0x7F, 0xA0), 0xFFFD, 0xFFFE, 0xFFFF, 0xFDD0, 0x1FFFE]


@pytest.mark.parametrize("write", [chr, "&#{};".format, "&#x{:x};".format, "&#X00{:X};".format, "&#{} ".format])
def test_a_character_that_is_no_text_does_not_cost_the_page(write: Callable[[int], str]) -> None:
    for code in ODD:
        text = extract_text(article(*ENGLISH, f"Before {write(code)} after."))
        assert text.startswith("The ferry\n" + "\n".join(ENGLISH) + "\nBefore") and text.endswith("after."), hex(code)
    assert extract_text(article(*ENGLISH, "&#160;&#1234;&#x1F600;&#x1ab;&#300; end.")).endswith("Ӓ😀ƫĬ end.")


def test_a_declared_encoding_in_an_xml_prologue_does_not_break_text_that_is_decoded_already() -> None:
    page = article(RUSSIAN, RUSSIAN[::-1]).replace("<!DOCTYPE html>", '<?xml version="1.0" encoding="windows-1251"?>')
    assert RUSSIAN in extract_text(page)


def test_four_equal_pages_give_four_equal_texts() -> None:
    texts = [extract_text(article(*ENGLISH)) for _ in range(4)]
    assert texts[0] and texts == [texts[0]] * 4


PAGES = [
    article(*ENGLISH),
    article(*ENGLISH[:2], *GERMAN[:1]),
    article(*GERMAN, title="Die Fähre"),
    article(*ENGLISH, "Write to captain@harbour.example or mate@harbour.example.", "The server is 8.8.8.8 or 9.9.9.9."),
    article("Mail cook@harbour.example, boy@harbour.example, both@harbour.example today.", *ENGLISH[2:]),
    article(*ENGLISH[:3], "The shop’s page says Ã¤, Ã¶ and Ã¼.", *["The same line of the menu again."] * 5),
    "<html><body><p>broken <b>page",
]


def text_of(page: str) -> str:
    return repair_text(extract_text(page))


ALONE = {i: text_of(page) for i, page in enumerate(PAGES)}


@settings(max_examples=30, deadline=None)
@given(order=st.lists(st.integers(0, len(PAGES) - 1), max_size=12))
def test_no_text_depends_on_the_pages_before_it(order: list[int]) -> None:
    assert [text_of(PAGES[i]) for i in order] == [ALONE[i] for i in order]


def test_mail_and_public_addresses_are_masked_and_encodings_mended() -> None:
    assert ALONE[3].endswith(
        "Write to email@example.com or email@example.com.\nThe server is 22.214.171.124 or 22.214.171.124."
    )
    assert "ä, ö and ü" in ALONE[5]
    assert (
        repair_text("home is 192.168.0.1 or 127.0.0.1") == "home is 192.168.0.1 or 127.0.0.1"
    )  # nobody's in particular
    assert repair_text("one\n||\ntwo | three") == "one\n\n\ntwo | three"  # lines of nothing but pipes go


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from(list("ab &<>;\n\r\tamplt#39x@.8\u200b\ufeff")), max_size=40))
def test_repair_of_repaired_ascii_changes_nothing(text: str) -> None:
    once = repair_text(text)
    assert repair_text(once) == once


@pytest.mark.parametrize(
    "text, once, twice",
    [
        ("|\u00a0", "|", ""),  # stripping makes a line of pipes
        ("\u00a0€â", "€â", "ۉ"),  # ftfy sees another encoding without the space
    ],
)
def test_repair_is_not_idempotent_elsewhere(text: str, once: str, twice: str) -> None:
    """Known and harmless as long as it runs once per text."""
    assert (repair_text(text), repair_text(once)) == (once, twice)


def run_self_test(stub: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    (tmp_path / "trafilatura.py").write_text(stub)
    code = "from jql.crawl.extract import self_test\nself_test()\nprint('fine')"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "stub, what",
    [
        (
            "raise ImportError('lxml.html.clean is now a separate project')",
            r"lxml.html.clean is now a separate project",
        ),
        ("def extract(html, **options):\n    return None", "a known page gave ''"),
        ("def extract(html, **options):\n    return 'Home'", "a known page gave 'Home'"),
    ],
)
def test_a_broken_installation_is_an_error_and_not_empty_pages(stub: str, what: str, tmp_path: Path) -> None:
    result = run_self_test(stub, tmp_path)
    assert result.returncode == 1 and "fine" not in result.stdout
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("jql.errors.JqlError: text extraction is broken") and what in last and "reinstall" in last


def test_the_installation_here_is_sound() -> None:
    self_test()
