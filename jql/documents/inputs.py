"""Folders of documents as units: Parquet (FineWeb2's as it stands), JSONL, or what the crawl stage wrote."""

import itertools
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jql.documents.rows import lines, parse_line
from jql.engine import storage
from jql.engine.fingerprint import digest_of, identify_file
from jql.engine.plan import Unit
from jql.engine.run import StageRun
from jql.errors import InputError, one_line
from jql.schema import DOCUMENT

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz")
JSONL_BYTES = 128 << 20  # of a plain JSONL file in one unit; a compressed one cannot be entered in the middle


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
        return cls.of_files(list_files(path), unit_rows, language)

    @classmethod
    def of_files(cls, files: list[str], unit_rows: int, language: str | None) -> "Documents":
        """These files, as one input.

        Raises:
            InputError: none can be read as documents, or all are empty.
        """
        units = list(input_units(files, unit_rows, language))
        if not units:
            raise InputError(f"{files[0]}: {len(files)} files without a row; check the input")
        return cls({**input_mark(files), "unit_rows": unit_rows, "language": language}, lambda: iter(units), language)

    def beside(self, **tables: StageRun | None) -> Iterator[Unit]:
        """The units with the paths of their side tables in the payload, by name; none for a unit a stage has missed."""
        paths = {name: {r.unit: stage.path(r) for r in stage.receipts()} for name, stage in tables.items() if stage}
        for unit in self.units():
            found = {name: path[unit.index] for name, path in paths.items() if unit.index in path}
            yield Unit(unit.index, unit.source, unit.weight, {**unit.payload, **found})


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
        _, line = next(lines(path), (0, b""))
    except (OSError, EOFError, zlib.error):
        return  # the unit is quarantined when its turn comes; the others are read
    row, problem = parse_line(line)
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
