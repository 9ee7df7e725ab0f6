"""HTML bytes -> main text (trafilatura), and what is done to the text afterwards: encoding repair, masking of PII."""

import codecs
from functools import lru_cache
from typing import Any

from jql.errors import JqlError

_SELF_TEST = (
    "<html><body><nav><a href='/'>Home</a></nav><article><h1>Tides</h1><p>The sea rises and falls twice a day because the "
    "Moon pulls on the water. The difference is largest when Sun and Moon stand in one line with the Earth.</p><p>Sailors "
    "have kept tables of these times for centuries, and harbours still print them every year.</p></article></body></html>"
)


def decode_html(data: bytes, charset: str | None) -> str:
    """Bytes as text: the declared charset if it fits, else UTF-8, else what detection says; never an error."""
    for name in (charset, "utf-8"):
        if name is None:
            continue
        try:
            codecs.lookup(name)
            return data.decode(name)
        except (LookupError, UnicodeDecodeError):
            continue
    import cchardet

    guess = cchardet.detect(data[:100_000])["encoding"] or "latin-1"
    try:
        return data.decode(guess, errors="replace")
    except LookupError:
        return data.decode("latin-1")


def extract_text(html: str) -> str:
    """Main text of a page, "" if there is none.

    trafilatura's own deduplication stays off: its cache lives across documents, so that the text of a page would depend on
    the pages before it (four equal pages gave one text).
    """
    import trafilatura

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
        raise JqlError(f"text extraction is broken: a known page gave {text[:60]!r}; reinstall with the project's constraints")


@lru_cache(1)
def _formatters() -> tuple[Any, Any, Any]:
    from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter, SymbolLinesFormatter

    # One replacement each: datatrove takes several in turn across documents, so that a text would depend on its neighbours.
    pii = PIIFormatter(email_replacement="email@example.com", ip_replacement="22.214.171.124")
    return FTFYFormatter(), pii, SymbolLinesFormatter(symbols_to_remove=["|"], replace_char="\n")


def repair_text(text: str) -> str:
    """Broken encodings mended, e-mail and public IP addresses masked, lines of table pipes removed; as FineWeb2 does."""
    ftfy, pii, symbols = _formatters()
    return str(symbols.format(pii.format(ftfy.format(text)))).strip()
