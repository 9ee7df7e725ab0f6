"""HTML bytes -> main text (trafilatura), and what is done to the text afterwards: encoding repair, masking of PII."""

import codecs
import re
from functools import lru_cache
from typing import Any

from jql.errors import JqlError

_SELF_TEST = (
    "<html><body><nav><a href='/'>Home</a></nav><article><h1>Tides</h1><p>The sea rises and falls twice a day because "
    "the Moon pulls on the water. The difference is largest when Sun and Moon stand in one line with the Earth.</p>"
    "<p>Sailors have kept tables of these times for centuries, and harbours still print them every year.</p></article>"
    "</body></html>"
)


# What browsers take these labels for (WHATWG Encoding Standard), where Python's codec of the same name knows less.
_SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}
# Python's codecs that are no charsets of pages: escapes, and what encodes host names.
_NO_CHARSETS = frozenset({"unicode-escape", "raw-unicode-escape", "idna", "punycode", "undefined"})
# Text in these looks like ASCII, and so like UTF-8.
_LIKE_ASCII = ("utf-16", "utf-32", "iso2022", "hz")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_META = re.compile(rb"""<meta[^>]{0,300}?charset\s*=\s*["']?\s*([\w.:-]{2,40})""", re.IGNORECASE)
_META_BYTES = 4096


# Characters that XML has not, raw and as numbers: for one of them trafilatura would throw the whole page away.
_NOT_XML = re.compile("[\x01-\x08\x0e-\x1f\ufffe\uffff]+")
_NOT_XML_NUMBER = re.compile(
    r"&#(?:0*(?:[1-8]|1[4-9]|2\d|3[01]|6553[45])(?!\d)|x0*(?:[1-8ef]|1[\da-f]|fff[ef])(?![\da-f]));?", re.IGNORECASE
)


def _codec(label: str) -> str | None:
    """Python's name of the codec that browsers take for a charset label; None if there is none."""
    try:
        name = codecs.lookup(label).name
    except (LookupError, ValueError):  # ValueError: a NUL in the label
        return None
    return None if name in _NO_CHARSETS else _SUPERSETS.get(name, name)


def decode_html(data: bytes, charset: str | None) -> str:
    """Bytes as text by byte order mark, as UTF-8 if they are that, by the charset of the HTTP header, of the page's own
    <meta>, else by what detection says; never an error.

    UTF-8 goes before what is declared: other text is hardly ever valid UTF-8 by chance, while servers that call every
    page ISO-8859-1 are common, and that never fails to decode.
    """
    meta = _META.search(data[:_META_BYTES])
    header = _codec(charset) if charset else None
    names = [name for mark, name in _BOMS if data.startswith(mark)][:1]
    names += [header] if header and header.startswith(_LIKE_ASCII) else []
    names += ["utf-8", header or "", (_codec(meta[1].decode("ascii", "ignore")) if meta else None) or ""]
    for name in filter(None, names):
        try:
            return data.decode(name)
        except (LookupError, UnicodeError):  # LookupError: a codec that does not make text, such as hex
            continue
    import cchardet

    guess = _codec(cchardet.detect(data[:100_000])["encoding"] or "") or "cp1252"
    return data.decode(guess, errors="replace")


def extract_text(html: str) -> str:
    """Main text of a page, "" if there is none.

    trafilatura's own deduplication stays off: its cache lives across documents, so that the text of a page would depend
    on the pages before it (four equal pages gave one text).
    """
    import trafilatura

    html = _NOT_XML_NUMBER.sub("", _NOT_XML.sub("", html))
    return trafilatura.extract(html, favor_precision=True, include_comments=False, deduplicate=False) or ""


def self_test() -> None:
    """Extract a known page, so that a broken installation is an error and not a crawl full of empty pages.

    Raises:
        JqlError: says what to install.
    """
    try:
        text = extract_text(_SELF_TEST)
    except ImportError as error:
        raise JqlError(f"text extraction is broken ({error}); reinstall with the project's constraints") from error
    if "Moon pulls on the water" not in text:
        raise JqlError(
            f"text extraction is broken: a known page gave {text[:60]!r}; reinstall with the project's constraints"
        )


@lru_cache(1)
def _formatters() -> tuple[Any, Any, Any]:
    from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter, SymbolLinesFormatter

    # One replacement each: datatrove takes several in turn across documents: a text would depend on its neighbours.
    pii = PIIFormatter(email_replacement="email@example.com", ip_replacement="22.214.171.124")
    return FTFYFormatter(), pii, SymbolLinesFormatter(symbols_to_remove=["|"], replace_char="\n")


def repair_text(text: str) -> str:
    """Broken encodings mended, e-mail and public IP addresses masked, lines of pipes removed; as FineWeb2 does."""
    ftfy, pii, symbols = _formatters()
    return str(symbols.format(pii.format(ftfy.format(text)))).strip()
