"""Folders of documents as units: Parquet (FineWeb2's as it stands), JSONL, or what the crawl stage wrote."""

import gzip
import itertools
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from jql.engine import storage
from jql.engine.fingerprint import digest_of, identify_file
from jql.engine.plan import Unit
from jql.engine.run import StageRun
from jql.errors import DataError, InputError, one_line
from jql.languages import ALIASES, languages
from jql.schema import DOCUMENT


@dataclass(frozen=True)
class Documents:
    """The documents of a run: from the crawl, or from a folder.

    Attributes:
        mark: what stands for them in the fingerprint of a stage that reads them.
        units: makes their units, numbered from 0.
        language: None (a column says it), a code for all of them, or "identify".
    """

    mark: dict[str, Any]
    units: Callable[[], Iterator[Unit]]
    language: str | None = None

    @classmethod
    def of_stage(cls, crawl: StageRun) -> "Documents":
        """What the crawl stage of this run committed."""
        return cls(crawl.mark(), lambda: stage_units(crawl))

    @classmethod
    def of_path(cls, path: str, unit_rows: int, language: str | None) -> "Documents":
        """Files at a path.

        Raises:
            InputError: nothing there, or no files that can be read as documents.
        """
        files = list_files(path)
        units = list(input_units(files, unit_rows, language))
        if not units:
            raise InputError(f"{path}: {len(files)} files without a row; check the input")
        return cls({**input_mark(files), "unit_rows": unit_rows, "language": language}, lambda: iter(units), language)


SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz")
JSONL_BYTES = 128 << 20  # of a plain JSONL file in one unit; a compressed one cannot be entered in the middle
_CODE = re.compile("[a-z]{3}_[A-Z][a-z]{3}")
_ALWAYS = ("id", "language", "language_script")


def list_files(path: str, suffixes: tuple[str, ...] = SUFFIXES) -> list[str]:
    """The input files at a path: itself, or all below a folder, sorted.

    Raises:
        InputError: nothing there, a file of another kind, or a folder without such files.
    """
    expected = f"expected files ending in {', '.join(suffixes)}"
    fs, inner = storage.filesystem(path)
    if not fs.exists(inner):
        raise InputError(f"{path}: no such file or folder; check the input path")
    if fs.isfile(inner):
        if not path.endswith(suffixes):
            raise InputError(f"{path}: not a kind of file that is read; {expected}")
        return [path]
    names = storage.find(path)
    files = [storage.join(path, n) for n in names if n.endswith(suffixes)]
    if not files:
        raise InputError(f"{path}: {f'{len(names)} other files' if names else 'an empty folder'}, {expected}")
    return files


def input_units(files: list[str], unit_rows: int, language: str | None) -> Iterator[Unit]:
    """Units of files: row-group ranges of about `unit_rows` rows (Parquet), byte ranges or whole files (JSONL).

    Raises:
        InputError: a file that cannot be read, or without the columns needed.
    """
    with ThreadPoolExecutor(16) as pool:
        index = 0
        for pieces in pool.map(lambda path: _pieces(path, unit_rows, language), files):
            for source, weight, payload in pieces:
                yield Unit(index, source, weight, payload)
                index += 1


def _pieces(path: str, unit_rows: int, language: str | None) -> list[tuple[str, int, dict[str, Any]]]:
    """Source, weight and payload of the units of one file."""
    if path.endswith(".parquet"):
        return _parquet_pieces(path, unit_rows, language)
    fs, inner = storage.filesystem(path)
    size = int(fs.info(inner)["size"] or 0)
    check_first_line(path, language)
    if path.endswith(".gz") or size <= JSONL_BYTES:
        return [(path, size, {"format": "jsonl", "path": path, "bytes": None})] if size else []
    cuts = [*range(0, size, JSONL_BYTES), size]
    ranges = itertools.pairwise(cuts)
    return [(f"{path}[{a}:{b}]", b - a, {"format": "jsonl", "path": path, "bytes": [a, b]}) for a, b in ranges]


def _parquet_pieces(path: str, unit_rows: int, language: str | None) -> list[tuple[str, int, dict[str, Any]]]:
    fs, inner = storage.filesystem(path)
    try:
        with fs.open(inner, "rb") as handle:
            meta = pq.ParquetFile(handle).metadata
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({one_line(error)}); fetch it again") from error
    check_columns(path, meta.schema.to_arrow_schema(), language)
    pieces = []
    start, row, rows, size = 0, 0, 0, 0
    for g in range(meta.num_row_groups):
        rows, size = rows + meta.row_group(g).num_rows, size + meta.row_group(g).total_byte_size
        if rows >= unit_rows or (rows and g == meta.num_row_groups - 1):
            payload = {"format": "parquet", "path": path, "groups": [start, g + 1], "row": row}
            pieces.append((f"{path}[{start}:{g + 1}]", size, payload))
            start, row, rows, size = g + 1, row + rows, 0, 0
    return pieces


def check_columns(path: str, schema: pa.Schema, language: str | None) -> None:
    """Whether a Parquet schema can be read as documents.

    Raises:
        InputError: naming the column, what it is, and what was expected.
    """
    _check_names(path, "column", schema.names, language)
    kind = schema.field("text").type
    if kind not in (pa.string(), pa.large_string(), pa.string_view(), pa.null()):
        raise InputError(f"{path}: column 'text' is {kind}, expected string")
    for field in DOCUMENT:
        if field.name in schema.names:
            try:
                pa.nulls(0, schema.field(field.name).type).cast(field.type)
            except pa.ArrowNotImplementedError:
                found = f"column {field.name!r} is {schema.field(field.name).type}, expected {field.type}"
                raise InputError(f"{path}: {found}; rename or convert it") from None


def check_first_line(path: str, language: str | None) -> None:
    """Whether the first line of a JSONL file, if it is an object, has the fields of a document.

    Raises:
        InputError: naming the field.
    """
    try:
        _, line = next(_lines(path), (0, b""))
    except (OSError, EOFError, zlib.error):
        return  # the unit is quarantined when its turn comes; the others are read
    row, problem = _parse_line(line)
    if problem is None:
        _check_names(f"{path}: line 1", "field", list(row), language)


def _check_names(where: str, what: str, names: list[str], language: str | None) -> None:
    if "text" not in names:
        raise InputError(
            f"{where}: no {what} 'text' ({what}s: {', '.join(names)}); rename the {what} that holds the text"
        )
    if "language" not in names and language is None:
        raise InputError(
            f"{where}: no {what} 'language'; set documents.language to a code such as deu_Latn, or to identify"
        )


def stage_units(documents: StageRun) -> Iterator[Unit]:
    """Units of a crawl in this run: one per committed unit, with its index, numbered anew where units are missing."""
    for index, receipt in enumerate(documents.receipts()):
        file = receipt.files[""]
        path = documents.path(receipt)
        yield Unit(index, path, file.bytes, {"format": "parquet", "path": path, "groups": None, "row": 0})


def input_mark(files: list[str]) -> dict[str, Any]:
    """Identity of the input files for a fingerprint."""
    with ThreadPoolExecutor(16) as pool:
        marks = list(pool.map(identify_file, files))
    return {"files": len(files), "bytes": sum(m["size"] for m in marks), "first": files[0], "digest": digest_of(marks)}


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


def _kind(name: str) -> pa.DataType:
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
    for offset, line in _lines(path, start, stop):
        row, problem = _parse_line(line)
        problems.append(problem)
        offsets.append(offset)
        for name, column in columns.items():
            column.append(_value(row.get(name), _kind(name)))
    table = pa.table({name: pa.array(column, _kind(name)) for name, column in columns.items()})
    table = table.append_column("problem", pa.array(problems, pa.string()))
    return table, lambda: [f"{path}:{offset}" for offset in offsets]


def _lines(path: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
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


def _parse_line(line: bytes) -> tuple[dict[str, Any], str | None]:
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
    out |= {name: have[name].cast(_kind(name)) if name in have else pa.nulls(n, _kind(name)) for name in wanted}
    return pa.table(out)


def document_name(id: str) -> int:
    """64-bit hash of a document's id: what names a document, and a cluster, whatever the order of the inputs."""
    return xxhash.xxh3_64_intdigest(id.encode("utf-8", "surrogatepass"))


def repeated_ids(table: pa.Table) -> np.ndarray:
    """Documents of a unit whose id an earlier one has that can be used, bool (N,); needs `id` and `problem`."""
    usable = np.flatnonzero(pc.is_null(table.column("problem")).to_numpy(zero_copy_only=False))
    places = table.column("id").take(pa.array(usable)).combine_chunks().dictionary_encode().indices.to_numpy()
    _, first = np.unique(places, return_index=True)
    repeated = np.zeros(table.num_rows, bool)
    repeated[np.delete(usable, first)] = True
    return repeated


def canonical_language(code: str) -> str:
    """A code as iso639-3_Script; one that names a single language of ours in another way is completed, else und."""
    if _CODE.fullmatch(code):
        return code
    head, _, script = code.replace("-", "_").partition("_")
    head = head.lower()
    if head in ALIASES:
        found = list(ALIASES[head])
    else:
        found = [k.code for k in languages().values() if head in (k.iso639_1, k.code[:3])]
    found = [c for c in found if not script or c.endswith(f"_{script.title()}")]
    return found[0] if len(found) == 1 else "und"


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
