"""Rows of a file of ratings, each with its place: CSV, JSON, JSONL, Parquet. Rating files are small and read whole."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from jql.engine import storage
from jql.errors import InputError, one_line

SUFFIXES = (".parquet", ".jsonl", ".json", ".csv")
LONGEST_CELL = 1 << 30  # csv refuses cells of more than 131,072 characters, and web pages are longer

_FORMULA = tuple("=+-@\t\r")

Row = tuple[str, dict[str, Any]]
"""Where a row stands, for messages, and its values by column."""


def read_rows(path: str) -> list[Row]:
    """All rows of a file, local or remote; rows and lines count from 1.

    Raises:
        InputError: no such file, a file of another kind, or one that cannot be read; names the line.
    """
    if not storage.exists(path):
        raise InputError(f"{path}: no such file; check the path")
    if not path.endswith(SUFFIXES):
        raise InputError(f"{path}: not a kind of file that ratings are read from; expected {', '.join(SUFFIXES)}")
    try:
        if path.endswith(".parquet"):
            rows = storage.read_table(path).to_pylist()
            return [(f"{path}: row {i}", row) for i, row in enumerate(rows, 1)]
        data = storage.read_bytes(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read ({one_line(error)}); write it again") from error
    try:
        text = data.decode("utf-8-sig")  # spreadsheets begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 (byte {error.start:,}); save it as UTF-8") from None
    if path.endswith(".csv"):
        return _csv_rows(path, text)
    if path.endswith(".json"):
        found = _parsed(path, text)
        if not isinstance(found, list):
            raise InputError(f"{path}: found {type(found).__name__}, expected a list of records; export it as a list")
        return [_object(f"{path}: record {i}", value) for i, value in enumerate(found, 1)]
    lines = [(f"{path}: line {i}", line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    return [_object(where, _parsed(where, line)) for where, line in lines]


def _parsed(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({one_line(error)}); correct it") from None


def _object(where: str, value: Any) -> Row:
    if not isinstance(value, dict):
        raise InputError(f"{where}: found {type(value).__name__}, expected an object with the columns of a rating")
    return where, value


def _csv_rows(path: str, text: str) -> list[Row]:
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    names: list[str] = []
    try:
        for cells in reader:
            where = f"{path}: line {reader.line_num}"
            if not names:
                names = cells
            elif cells and len(cells) != len(names):
                raise InputError(f"{where}: {len(cells)} cells, expected {len(names)} as in the first line; correct it")
            elif cells:
                rows.append((where, {name: _of_cell(cell) for name, cell in zip(names, cells, strict=True)}))
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: not CSV ({one_line(error)}); correct it") from None
    return rows


def csv_bytes(names: Sequence[str], rows: Iterable[dict[str, Any]]) -> bytes:
    """Rows as CSV (RFC 4180, UTF-8) that gives the same rows when it is read here.

    Nulls are empty cells. A text that is empty, or that a spreadsheet would run as a formula (it begins with = + - @,
    tab or carriage return), gets an apostrophe in front, which spreadsheets take for "text" and which is taken off here
    again; numbers are never changed.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(names)
    for row in rows:
        writer.writerow([_to_cell(row.get(name)) for name in names])
    return out.getvalue().encode()


def _to_cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value)
    return f"'{value}" if not value or value.startswith(_FORMULA) or _is_marked(value) else value


def _of_cell(cell: str) -> str | None:
    if not cell:
        return None
    return cell[1:] if _is_marked(cell) else cell


def _is_marked(cell: str) -> bool:
    """Whether it begins as a text with our apostrophe in front does; 'tis does not."""
    return cell == "'" or cell.startswith(tuple(f"'{sign}" for sign in (*_FORMULA, "'")))
