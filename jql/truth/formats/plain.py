"""Ratings in tables: a row a rating, a row a document with the scores of all, or a row a document with one score."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from jql.errors import InputError
from jql.schema import RATING
from jql.truth.formats.files import Row, csv_bytes

RATED = pa.schema([*RATING, ("text", pa.string()), ("source", pa.string())])
"""RATING with the document's text and source where they are known, so that a file of ratings stands alone."""

PUBLISHED = pa.schema([("text", pa.string()), ("score", pa.float64()), ("language", pa.string())])
"""The columns of the published human set: a row a document, with the score that its ratings came to."""

PUBLISHED_RATER = "published"


@dataclass(frozen=True)
class Found:
    """A rating as a file has it, not checked yet: values by the names of RATED; `unused` says why it is of no use."""

    where: str
    values: dict[str, Any]
    unused: str | None = None


def rating_rows(rows: Sequence[Row]) -> Iterator[Found]:
    """Of a table with a row for each document and rater."""
    for where, row in rows:
        yield Found(where, {name: row.get(name) for name in RATED.names})


def listed_rows(rows: Sequence[Row]) -> Iterator[Found]:
    """Of a table with a row a document and a list of `scores`; raters are named 1, 2, ... by their place in it.

    Raises:
        InputError: `scores` is no list.
    """
    for where, row in rows:
        scores = row.get("scores")
        if not isinstance(scores, list):
            raise InputError(f"{where}: scores is {scores!r:.40}, expected a list of numbers, one a rater")
        document = {name: row.get(name) for name in RATED.names if name != "score"}
        for i, score in enumerate(scores, 1):
            yield Found(where, {**document, "rater": str(i), "score": score})


def published_rows(rows: Sequence[Row]) -> Iterator[Found]:
    """Of a table in the columns of the published set: one rating a document, by a rater named published.

    A document without an id is named by its place in the file, as documents are elsewhere.
    """
    for where, row in rows:
        document = {name: row.get(name) for name in RATED.names}
        yield Found(where, {**document, "id": document["id"] or where, "rater": PUBLISHED_RATER})


def csv_file(rows: Iterable[dict[str, Any]]) -> bytes:
    """Ratings as CSV; see csv_bytes for empty texts and formulas."""
    return csv_bytes(RATED.names, rows)


def jsonl_file(rows: Iterable[dict[str, Any]]) -> bytes:
    """Ratings as JSON, one a line."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()
