"""HTML and JSON for a page that shows hostile text: what is not said to be markup is escaped, without exception."""

import html
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_VOID = {"br", "input", "link", "meta"}
_IN_SCRIPT = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


class Markup(str):
    """A string that is markup already; only `tag` and `join` make one from anything else."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"


def plain(text: str) -> str:
    """Text without what no page can hold (control characters, halves of surrogate pairs): U+FFFD stands there."""
    return _CONTROLS.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def join(*children: Child) -> Markup:
    """Children as markup, one after the other: Markup as it is, any other string escaped, None left out."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, str | int):
            parts.append(html.escape(plain(str(child))))
        else:
            parts.append(join(*child))
    return Markup("".join(parts))


def tag(name: str, *children: Child, **attributes: str | int | float | bool | None) -> Markup:
    """An element. `class_` is class, `data_code` is data-code; True is an attribute without a value, None is none.

    There is no way to give it an inline style or script: the page's policy forbids both.
    """
    given = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        assert re.fullmatch("[a-zA-Z][a-zA-Z-]*", key) and key != "style" and not key.startswith("on"), key
        given.append(f" {key}" if value is True else f' {key}="{html.escape(plain(str(value)))}"')
    inner = join(*children)
    return Markup(f"<{name}{''.join(given)}>{inner}" + ("" if name in _VOID else f"</{name}>"))


def script_json(value: Any) -> Markup:
    """JSON that may stand inside of a script element: nothing in it ends the element or opens a comment."""
    return Markup(json.dumps(_plain_strings(value), ensure_ascii=False, allow_nan=False).translate(_IN_SCRIPT))


def _plain_strings(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {plain(str(key)): _plain_strings(inner) for key, inner in value.items()}
    return [_plain_strings(inner) for inner in value] if isinstance(value, list | tuple) else value


def foreign(text: str | None) -> Markup:
    """A word from the data (a domain, a reason, a name), which keeps its direction and its marks to itself."""
    return tag("bdi", "" if text is None else text)


@dataclass(frozen=True)
class Column:
    """A column of a table: numbers stand at the right, `wide` ones take the room that is left."""

    title: str
    number: bool = True
    wide: bool = False
    hint: str | None = None


def table(columns: Sequence[Column], rows: Iterable[Sequence[Child]], total: Sequence[Child] | None = None) -> Markup:
    """A table in a box that it may scroll in; the first cell of a row is its head. `total` is a last row."""
    classes = ["number" if c.number else "wide" if c.wide else None for c in columns]
    head = [
        tag("th", column.title, scope="col", class_=name, title=column.hint)
        for column, name in zip(columns, classes, strict=True)
    ]
    body = [_row(cells, classes) for cells in rows]
    foot = tag("tfoot", _row(total, classes)) if total else None
    inner = tag("table", tag("thead", tag("tr", head)), tag("tbody", body), foot)
    full = len(columns) > 5 or any(column.wide for column in columns)
    return tag("div", inner, class_="box full" if full else "box", tabindex=0, role="region", aria_label="table")


def _row(cells: Sequence[Child], classes: Sequence[str | None]) -> Markup:
    made = [
        tag("td" if place else "th", cell, class_=name, scope=None if place else "row")
        for place, (cell, name) in enumerate(zip(cells, classes, strict=True))
    ]
    return tag("tr", made)


def bar(*shares: tuple[float, str]) -> Markup:
    """A strip of parts, each a share of the whole in [0, 1] and a class; what is left of it stays empty."""
    rects, at = [], 0.0
    for share, name in shares:
        width = min(100.0 - at, 100 * max(0.0, share))
        rects.append(tag("rect", x=f"{at:.2f}", width=f"{width:.2f}", height=8, class_=name))
        at += width
    return tag("svg", rects, class_="bar", viewBox="0 0 100 8", preserveAspectRatio="none", aria_hidden="true")
