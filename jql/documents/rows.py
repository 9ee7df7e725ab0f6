"""The rows of a unit of documents, as one table whatever the input: identity, language, what is wrong with a row."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from jql.engine import storage
from jql.engine.plan import Unit
from jql.errors import DataError, one_line
from jql.languages import canonical_language
from jql.schema import DOCUMENT

_ALWAYS = ("id", "language", "language_script")


def read_documents(unit: Unit, columns: Iterable[str], language: str | None = None) -> pa.Table:
    """The documents of a unit: `id`, `language`, `problem` (null, or why the row is of no use), the columns asked for.

    Columns the input does not have come back as nulls; the text is only read where it is asked for or may be null. A
    document without an id is named by its file and place. A problem is one of text_null, text_type, json,
    language_unknown; such rows keep their place, so that side tables stay aligned.

    Raises:
        DataError: the file cannot be read.
    """
    wanted = [name for name in dict.fromkeys(columns) if name not in ("id", "language")]
    payload = unit.payload
    try:
        if payload["format"] == "jsonl":
            table, names = _read_jsonl(payload, wanted)
        else:
            table, names = _read_parquet(payload, wanted, language == "identify")
        return _normalise(table, names, wanted, language)
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{unit.source}: cannot be read ({type(error).__name__}: {one_line(error)})") from error


def read_column(unit: Unit, name: str) -> pa.ChunkedArray | None:
    """One column of the documents of a unit and nothing else, as its type in DOCUMENT; None where Parquet lacks it.

    Raises:
        DataError: the file cannot be read.
    """
    payload = unit.payload
    if payload["format"] != "parquet":
        return read_documents(unit, [name]).column(name)
    try:
        fs, inner = storage.filesystem(payload["path"])
        with fs.open(inner, "rb") as handle:
            file = pq.ParquetFile(handle)
            if name not in file.schema_arrow.names:
                return None
            groups = range(*payload["groups"]) if payload["groups"] else range(file.metadata.num_row_groups)
            return file.read_row_groups(list(groups), columns=[name]).column(name).cast(kind_of(name))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{unit.source}: cannot be read ({type(error).__name__}: {one_line(error)})") from error


def parts_of(unit: Unit, rows: int) -> list[Unit]:
    """The unit in parts of at least so many rows (the last may be smaller), to be read one after the other.

    Parquet is parted between row groups; JSONL is one part.

    Raises:
        DataError: the file cannot be read.
    """
    payload = unit.payload
    if payload["format"] != "parquet":
        return [unit]
    try:
        fs, inner = storage.filesystem(payload["path"])
        with fs.open(inner, "rb") as handle:
            meta = pq.ParquetFile(handle).metadata
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{unit.source}: cannot be read ({type(error).__name__}: {one_line(error)})") from error
    parts, row, waiting = [], payload["row"], 0
    start, stop = payload["groups"] or (0, meta.num_row_groups)
    for group in range(start, stop):
        waiting += meta.row_group(group).num_rows
        if waiting >= rows or group == stop - 1:
            parts.append(replace(unit, payload={**payload, "groups": [start, group + 1], "row": row}))
            start, row, waiting = group + 1, row + waiting, 0
    return parts or [unit]


def kind_of(name: str) -> pa.DataType:
    """The Arrow type that a column of a document is read as."""
    if name == "minhash_cluster_size":  # FineWeb2's
        return pa.int64()
    return DOCUMENT.field(name).type if name in DOCUMENT.names else pa.string()


def _read_parquet(payload: dict[str, Any], wanted: list[str], text: bool) -> tuple[pa.Table, Callable[[], list[str]]]:
    """The columns that are there, and how rows are named by their place; the text if it is wanted or may be null."""
    path, groups = payload["path"], payload["groups"]
    fs, inner = storage.filesystem(path)
    with fs.open(inner, "rb") as handle:
        file = pq.ParquetFile(handle)
        chosen = list(range(*groups)) if groups else list(range(file.metadata.num_row_groups))
        text = text or _may_be_null(file.metadata, chosen)
        needed = dict.fromkeys([*wanted, *_ALWAYS, *(["text"] if text else [])])
        table = file.read_row_groups(chosen, columns=[c for c in file.schema_arrow.names if c in needed])
        rows = sum(file.metadata.row_group(g).num_rows for g in chosen)
    if not table.num_columns:  # nothing but a text, which was not needed
        table = pa.table({"id": pa.nulls(rows, pa.string())})
    return table, lambda: [f"{path}:{payload['row'] + i}" for i in range(rows)]


def _may_be_null(meta: pq.FileMetaData, groups: list[int]) -> bool:
    """Whether the statistics leave it open that a text is null; if not, the texts need not be read to know."""
    for g in groups:
        group = meta.row_group(g)
        column = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == "text")
        known = column.statistics
        if group.num_rows and (known is None or not known.has_null_count or known.null_count):
            return True
    return False


def _read_jsonl(payload: dict[str, Any], wanted: list[str]) -> tuple[pa.Table, Callable[[], list[str]]]:
    """The fields wanted as columns of their types, and the names of the rows by the byte their line starts at."""
    path = payload["path"]
    start, stop = payload["bytes"] or (0, None)
    names = dict.fromkeys([*wanted, *_ALWAYS, "text"])
    columns: dict[str, list[Any]] = {name: [] for name in names}
    problems: list[str | None] = []
    offsets: list[int] = []
    for offset, line in lines(path, start, stop):
        row, problem = parse_line(line)
        problems.append(problem)
        offsets.append(offset)
        for name, column in columns.items():
            column.append(_value(row.get(name), kind_of(name)))
    table = pa.table({name: pa.array(column, kind_of(name)) for name, column in columns.items()})
    table = table.append_column("problem", pa.array(problems, pa.string()))
    return table, lambda: [f"{path}:{offset}" for offset in offsets]


def lines(path: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
    """The lines that start in a range of bytes and are not blank, and where they start."""
    fs, inner = storage.filesystem(path)
    with fs.open(inner, "rb") as raw:
        lines = gzip.GzipFile(fileobj=raw) if path.endswith(".gz") else raw
        offset = max(0, start - 1)
        lines.seek(offset)
        if start:  # a line that began before belongs to the range before
            offset += len(lines.readline())
        while stop is None or offset < stop:
            line = lines.readline()
            if not line:
                return
            if line.strip():
                yield offset, line
            offset += len(line)


def parse_line(line: bytes) -> tuple[dict[str, Any], str | None]:
    """The object of a line, and what is wrong with it."""
    try:
        row = json.loads(line)
        "".join(v for v in row.values() if isinstance(v, str)).encode()
    except (ValueError, AttributeError, RecursionError):
        return {}, "json"
    if row.get("text") is not None and not isinstance(row["text"], str):
        return {**row, "text": None}, "text_type"
    return row, None


def _value(value: Any, kind: pa.DataType) -> Any:
    """A JSON value as one of an Arrow type, null where it is none."""
    if value is None or pa.types.is_string(kind):
        return value if value is None or isinstance(value, str) else str(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**63:
        return None
    return float(value) if pa.types.is_floating(kind) else int(value)


def _normalise(table: pa.Table, names: Callable[[], list[str]], wanted: list[str], language: str | None) -> pa.Table:
    n = table.num_rows
    have = {name: table.column(name) for name in table.column_names}
    nulls = pa.nulls(n, pa.string())
    ids = have["id"].cast(pa.string()) if "id" in have else pa.chunked_array([nulls])
    if ids.null_count:
        ids = pc.coalesce(ids, pa.array(names(), pa.string()))
    problem = have.get("problem", nulls)
    if "text" in have:
        have["text"] = have["text"].cast(pa.string())
        have["text"].validate(full=True)
        problem = pc.coalesce(problem, pc.if_else(pc.is_null(have["text"]), "text_null", nulls))
    codes = _languages(have, n, language)
    if language != "identify":
        problem = pc.coalesce(problem, pc.if_else(pc.equal(codes, "und"), "language_unknown", nulls))
    out = {"id": ids, "language": codes, "problem": problem}
    out |= {name: have[name].cast(kind_of(name)) if name in have else pa.nulls(n, kind_of(name)) for name in wanted}
    return pa.table(out)


def document_name(id: str, seed: int = 0) -> int:
    """64-bit hash of a document's id: what names a document, and a cluster, whatever the order of the inputs.

    With a seed, what documents are drawn by.
    """
    return xxhash.xxh3_64_intdigest(id.encode("utf-8", "surrogatepass"), seed=seed)


def repeated_ids(table: pa.Table) -> np.ndarray:
    """Documents of a unit whose id an earlier one has that can be used, bool (N,); needs `id` and `problem`."""
    usable = np.flatnonzero(pc.is_null(table.column("problem")).to_numpy(zero_copy_only=False))
    ids = table.column("id") if len(usable) == table.num_rows else table.column("id").take(pa.array(usable))
    repeated = np.zeros(table.num_rows, bool)
    if len(ids.unique()) == len(usable):  # the usual case, and found in half the time
        return repeated
    _, first = np.unique(ids.combine_chunks().dictionary_encode().indices.to_numpy(), return_index=True)
    repeated[np.delete(usable, first)] = True
    return repeated


def _languages(have: dict[str, pa.ChunkedArray], n: int, language: str | None) -> pa.Array:
    """The language of each document, und where it is not known."""
    if language == "identify":
        from jql.crawl.language import load_identifier

        identify = load_identifier("default").identify
        return pa.array([identify(t)[0] if t else "und" for t in have["text"].to_pylist()], pa.string())
    if language is not None:
        return pa.array([language] * n, pa.string())
    codes = have["language"].cast(pa.string())
    if "language_script" in have:
        joined = pc.binary_join_element_wise(codes, have["language_script"].cast(pa.string()), "_")
        codes = pc.if_else(pc.match_substring(codes, "_"), codes, pc.coalesce(joined, codes))
    encoded = (codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes).dictionary_encode()
    known = pa.array([canonical_language(code) for code in encoded.dictionary.to_pylist()], pa.string())
    return known.take(encoded.indices).fill_null("und")
