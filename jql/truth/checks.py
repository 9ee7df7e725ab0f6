"""Whether a rating is of use: its values as RATING has them, the scale kept, one rating of a rater a document."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import pyarrow as pa

from jql.errors import InputError
from jql.languages import canonical_language
from jql.rubric import Rubric
from jql.schema import RATING
from jql.truth.formats.plain import Found

ORIGINS = ("human", "model", "synthetic")
"""Strongest first."""

_TEXTS = ("id", "rater", "reason", "language", "guideline", "rated_at", "origin", "text", "source")

Placed = tuple[str, dict[str, Any]]
"""Where a rating stands, and its values."""


@dataclass(frozen=True)
class Checked:
    """What is of use: RATING in the order of the file, text and source by id where known; the rest, by reason."""

    ratings: pa.Table
    texts: dict[str, str]
    sources: dict[str, str]
    left_out: Counter[str]


def check_ratings(
    found: Iterable[Found], path: str, rubric: Rubric | None, language: str | None, origin: str
) -> Checked:
    """Ratings as a file has them, checked.

    Args:
        rubric: whose range the scores must keep; None takes any. language, origin: of rows that do not say.

    Raises:
        InputError: none is of use; a score that is text or out of range; two ratings of one rater of which none is the
            later; rows that differ on what a document is. Names the rows.
    """
    left_out: Counter[str] = Counter()
    documents: dict[str, dict[str, Placed]] = {"text": {}, "source": {}, "language": {}}
    kept: dict[tuple[str, str], Placed] = {}
    for rating in found:
        where, row = rating.where, _row(rating, language, origin, rubric)
        unused = rating.unused or _why_unused(row)
        if unused:
            left_out[unused] += 1
            continue
        for name, firsts in documents.items():
            if row[name] is not None:
                first, before = firsts.setdefault(row["id"], (where, row))
                if before[name] != row[name]:
                    raise InputError(
                        f"{where}: {name} of {row['id']} is another than at {first}; give documents ids of their own"
                    )
        key = (row["id"], row["rater"])
        if key in kept:
            left_out["superseded"] += 1
            kept[key] = _later(kept[key], (where, row))
        else:
            kept[key] = (where, row)
    if not kept:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in left_out.items()) or "no rows"
        raise InputError(f"{path}: no rating of use ({reasons}); check the file")
    table = pa.Table.from_pylist([{name: row[name] for name in RATING.names} for _, row in kept.values()], RATING)
    texts, sources = ({id: row[name] for id, (_, row) in documents[name].items()} for name in ("text", "source"))
    return Checked(table, texts, {id: source for id, source in sources.items() if source != id}, left_out)


def _row(rating: Found, language: str | None, origin: str, rubric: Rubric | None) -> dict[str, Any]:
    """The values with the types of RATING; a score that is not finite stays for _why_unused."""
    where, values = rating.where, rating.values
    row: dict[str, Any] = {name: _text(where, name, values.get(name)) for name in _TEXTS}
    row |= {name: _number(where, name, values.get(name)) for name in ("score", "seconds")}
    code = row["language"] or language
    row["language"] = canonical_language(code) if code else "und"
    row["origin"] = row["origin"] or origin
    if row["origin"] not in ORIGINS:
        raise InputError(f"{where}: origin is {row['origin']!r}, expected {', '.join(ORIGINS)}; correct it")
    score = row["score"]
    if score is None:
        row["reason"] = row["reason"] or "no_score"
    elif rubric and isfinite(score) and not rubric.low <= score <= rubric.high:
        ends = f"{rubric.low} to {rubric.high}"
        raise InputError(f"{where}: score is {score:g}, expected {ends} as in rubric {rubric.name}; correct it")
    if row["seconds"] is not None and not isfinite(row["seconds"]):
        raise InputError(f"{where}: seconds is {row['seconds']}, expected a number; leave it empty if it is not known")
    return row


def _text(where: str, name: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        if value is not None and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise InputError(f"{where}: {name} holds half a character (a lone surrogate); correct it") from None
        return value
    if name in ("id", "rater", "source") and isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # running numbers
    raise InputError(f"{where}: {name} is {value!r:.40}, expected text; correct it")


def _number(where: str, name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise InputError(f"{where}: {name} is {value!r:.40}, expected a number; correct it, or leave it empty")


def _why_unused(row: dict[str, Any]) -> str | None:
    if row["id"] is None or row["rater"] is None:
        return "no_id" if row["id"] is None else "no_rater"
    if row["score"] is not None and not isfinite(row["score"]):
        return "not_a_number"
    return "language_unknown" if row["language"] == "und" else None


def _later(a: Placed, b: Placed) -> Placed:
    """Of two ratings of a document by one rater the one that was given later."""
    times = [_time(where, row["rated_at"]) for where, row in (a, b)]
    if times[0] is None or times[1] is None or times[0] == times[1]:
        (first, row), (second, _) = a, b
        found = f"{row['rater']} rated {row['id']} at {first} too"
        raise InputError(f"{second}: {found}, and rated_at does not say which is the later; remove one of them")
    return a if times[0] > times[1] else b


def _time(where: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{where}: rated_at is {text!r:.40}, expected a time such as 2025-01-31T09:30:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
