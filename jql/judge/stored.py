"""Replies that were stored before, as a judge that asks nobody: REPLY tables, JSONL, or lists of replies."""

import json
import zlib
from collections import defaultdict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jql.documents.inputs import list_files
from jql.documents.rows import lines
from jql.engine import storage
from jql.errors import DataError, InputError, one_line
from jql.schema import REPLY

COLUMNS: tuple[str, ...] = tuple(name for name in REPLY.names if name != "id")


def stored_files(judge: str, paths: tuple[str, ...]) -> list[str]:
    """The files of stored replies.

    Raises:
        InputError: nothing there, or a Parquet file without `id` and `text` or `replies`.
    """
    files = [file for path in paths for file in list_files(path)]
    for file in files:
        if file.endswith(".parquet"):
            fs, inner = storage.filesystem(file)
            try:
                with fs.open(inner, "rb") as handle:
                    names = pq.ParquetFile(handle).schema_arrow.names
            except (pa.ArrowException, OSError) as error:
                raise InputError(f"{file}: not a readable Parquet file ({one_line(error)}); fetch it again") from error
            if "id" not in names or not {"text", "replies"} & set(names):
                found = ", ".join(names)
                raise InputError(
                    f"judge {judge}: {file}: columns {found}; expected id, and text (a row a reply) or replies (a list)"
                )
    return files


class StoredReplies:
    """Replies by the id of their document."""

    def __init__(self, files: list[str]) -> None:
        self.files = files
        self.jsonl: dict[str, list[dict[str, Any]]] | None = None

    def of(self, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
        """Id -> its replies as REPLY rows, ordered by `answer`; documents without one are left out.

        Raises:
            DataError: a file cannot be read, or a document has two replies of one number.
        """
        found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for file in self.files:
            if file.endswith(".parquet"):
                try:
                    rows = storage.read_table(file, filters=[("id", "in", ids)]).to_pylist() if ids else []
                except (pa.ArrowException, OSError) as error:
                    raise DataError(f"{file}: cannot be read ({one_line(error)}); fetch it again") from error
                for row in rows:
                    found[row["id"]] += replies_of(row)
        if self.jsonl is None:
            self.jsonl = _read_jsonl([f for f in self.files if not f.endswith(".parquet")])
        for id in ids:
            if id in self.jsonl:
                found[id] += self.jsonl[id]
        for id, replies in found.items():
            replies.sort(key=lambda reply: reply["answer"])
            numbers = [reply["answer"] for reply in replies]
            if len(set(numbers)) < len(numbers):
                raise DataError(
                    f"{self.files[0]}: document {id} has {len(numbers)} stored replies numbered {numbers}; "
                    "number the answers of a document from 0, each once"
                )
        return dict(found)


def replies_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """REPLY rows of one stored row: one reply, or a list of texts."""
    known = {name: row.get(name) for name in COLUMNS}
    if row.get("replies") is not None:
        known["origin"] = known["origin"] or "model"
        return [{**known, "text": text, "answer": number} for number, text in enumerate(row["replies"])]
    return [{**known, "answer": row.get("answer") or 0, "origin": row.get("origin") or "model"}]


def _read_jsonl(files: list[str]) -> dict[str, list[dict[str, Any]]]:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for file in files:
        try:
            for offset, line in lines(file):
                try:
                    row = json.loads(line)
                    found[str(row["id"])] += replies_of(row)
                except (ValueError, TypeError, KeyError, AttributeError) as error:
                    expected = "expected an object with id, and text or replies"
                    raise DataError(f"{file}: the line at byte {offset}: {expected} ({one_line(error)})") from error
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{file}: cannot be read ({one_line(error)}); fetch it again") from error
    return dict(found)
