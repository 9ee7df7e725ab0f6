"""Folders of documents as units: Parquet (FineWeb2's as it stands), JSONL, or what the crawl stage wrote."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jql.engine import storage
from jql.engine.fingerprint import digest_of, identify_file
from jql.engine.plan import Unit
from jql.engine.run import StageRun
from jql.errors import DataError, InputError, RecipeError, one_line
from jql.languages import languages

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
_CODE = re.compile("[a-z]{3}_[A-Z][a-z]{3}")
_STRINGS = ("url", "date", "dump", "file_path", "filter_reason")


def list_files(path: str, suffixes: tuple[str, ...] = SUFFIXES) -> list[str]:
    """The input files at a path: itself, or all below a folder, sorted.

    Raises:
        InputError: nothing there, or a folder without such files.
    """
    fs, inner = storage.filesystem(path)
    if not fs.exists(inner):
        raise InputError(f"{path}: no such file or folder; check the input path")
    if fs.isfile(inner):
        return [path]
    names = storage.find(path)
    files = [storage.join(path, n) for n in names if n.endswith(suffixes)]
    if not files:
        what = f"{len(names)} other files" if names else "an empty folder"
        raise InputError(f"{path}: {what}, expected files ending in {', '.join(suffixes)}")
    return files


def input_units(files: list[str], unit_rows: int, language: str | None) -> Iterator[Unit]:
    """Units of document files: row-group ranges of about `unit_rows` rows of a Parquet file, or a whole JSONL file.

    Raises:
        InputError: a Parquet file that cannot be read, or without the columns needed.
    """
    index = 0
    for path in files:
        if not path.endswith(".parquet"):
            size = int(storage.filesystem(path)[0].info(storage.filesystem(path)[1])["size"] or 0)
            yield Unit(index, path, size, {"format": "jsonl"})
            index += 1
            continue
        fs, inner = storage.filesystem(path)
        try:
            with fs.open(inner, "rb") as handle:
                meta = pq.ParquetFile(handle).metadata
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path}: not a readable Parquet file ({one_line(error)}); fetch it again") from error
        check_columns(path, meta.schema.to_arrow_schema(), language)
        groups = [meta.row_group(g) for g in range(meta.num_row_groups)]
        start, rows, size = 0, 0, 0
        for g, group in enumerate(groups):
            rows, size = rows + group.num_rows, size + group.total_byte_size
            if rows >= unit_rows or g == len(groups) - 1:
                yield Unit(index, f"{path}[{start}:{g + 1}]", size, {"format": "parquet", "path": path, "groups": [start, g + 1]})
                index, start, rows, size = index + 1, g + 1, 0, 0


def check_columns(path: str, schema: pa.Schema, language: str | None) -> None:
    """Whether a Parquet schema can be read as documents.

    Raises:
        InputError: naming the column, what it is, and what was expected.
    """
    if "text" not in schema.names:
        raise InputError(f"{path}: no column 'text' (columns: {', '.join(schema.names)}); rename the column that holds the text")
    kind = schema.field("text").type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise InputError(f"{path}: column 'text' is {kind}, expected string")
    if "language" not in schema.names and language is None:
        raise InputError(f"{path}: no column 'language'; set documents.language to a code such as deu_Latn, or to identify")


def stage_units(documents: StageRun) -> Iterator[Unit]:
    """Units of a crawl in this run: one per committed unit, with its index, numbered anew where units are missing."""
    for index, receipt in enumerate(documents.receipts()):
        file = receipt.files[""]
        path = documents.path(receipt)
        yield Unit(index, path, file.bytes, {"format": "parquet", "path": path, "groups": None})


def input_mark(files: list[str]) -> dict[str, Any]:
    """Identity of the input files for a fingerprint."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(16) as pool:
        marks = list(pool.map(identify_file, files))
    return {"files": len(files), "bytes": sum(m["size"] for m in marks), "first": files[0], "digest": digest_of(marks)}


def read_documents(unit: Unit, columns: Iterable[str], language: str | None = None) -> pa.Table:
    """The documents of a unit: `id`, `language`, `problem` (null, or why the row cannot be used) and the columns asked for.

    Columns the input does not have come back as nulls. A problem is one of text_null, text_type, json, duplicate_id,
    language_unknown; rows with a problem keep their place, so that side tables stay aligned.

    Raises:
        DataError: the file cannot be read.
    """
    wanted = list(dict.fromkeys(columns))
    try:
        if unit.payload["format"] == "jsonl":
            table = _read_jsonl(unit.source, wanted)
        else:
            table = _read_parquet(unit.payload["path"], unit.payload["groups"], wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, EOFError) as error:
        raise DataError(f"{unit.source}: cannot be read ({type(error).__name__}: {one_line(error)})") from error
    return _normalise(unit, table, wanted, language)


def _read_parquet(path: str, groups: list[int] | None, wanted: list[str]) -> pa.Table:
    fs, inner = storage.filesystem(path)
    with fs.open(inner, "rb") as handle:
        file = pq.ParquetFile(handle)
        names = set(file.schema_arrow.names)
        columns = [c for c in dict.fromkeys([*wanted, "id", "text", "language", "language_script"]) if c in names]
        chosen = list(range(*groups)) if groups else list(range(file.metadata.num_row_groups))
        return file.read_row_groups(chosen, columns=columns)


def _read_jsonl(path: str, wanted: list[str]) -> pa.Table:
    fs, inner = storage.filesystem(path)
    names = list(dict.fromkeys([*wanted, "id", "text", "language", "language_script"]))
    columns: dict[str, list[Any]] = {name: [] for name in names}
    problems: list[str | None] = []
    with fs.open(inner, "rb") as raw:
        lines = gzip.GzipFile(fileobj=raw) if path.endswith(".gz") else raw
        for line in lines:
            row, problem = _parse_line(line)
            problems.append(problem)
            for name in names:
                value = row.get(name)
                columns[name].append(value if value is None or name.startswith(("signal_", "language_score")) else str(value))
    table = pa.table({n: pa.array(v, pa.float32() if n.startswith(("signal_", "language_score")) else pa.string()) for n, v in columns.items()})
    return table.append_column("problem", pa.array(problems, pa.string()))


def _parse_line(line: bytes) -> tuple[dict[str, Any], str | None]:
    try:
        row = json.loads(line)
        "".join(v for v in row.values() if isinstance(v, str)).encode()
    except (ValueError, AttributeError):
        return {}, "json"
    if row.get("text") is not None and not isinstance(row["text"], str):
        return {**row, "text": None}, "text_type"
    return row, None


def _normalise(unit: Unit, table: pa.Table, wanted: list[str], language: str | None) -> pa.Table:
    n = table.num_rows
    problems = table.column("problem").to_pylist() if "problem" in table.column_names else [None] * n
    text_null = pc.is_null(table.column("text")).to_pylist() if "text" in table.column_names else [False] * n
    ids = table.column("id").cast(pa.string()).to_pylist() if "id" in table.column_names else [None] * n
    codes = _languages(table, n, language)
    seen: Counter[str] = Counter()
    for i in range(n):
        if ids[i] is None:
            ids[i] = f"{unit.source}:{i}"
        seen[ids[i]] += 1
        if problems[i] is None and text_null[i]:
            problems[i] = "text_null"
        if problems[i] is None and seen[ids[i]] > 1:
            problems[i] = "duplicate_id"
        if problems[i] is None and codes[i] == "und" and language != "identify":
            problems[i] = "language_unknown"
    out: dict[str, pa.Array] = {"id": pa.array(ids, pa.string()), "language": pa.array(codes, pa.string()), "problem": pa.array(problems, pa.string())}
    for name in wanted:
        if name in out:
            continue
        if name in table.column_names:
            column = table.column(name)
            out[name] = column.cast(pa.string()) if name == "text" or name in _STRINGS else column
        else:
            out[name] = pa.nulls(n, pa.string() if name in _STRINGS or name == "text" else pa.float32())
    return pa.table(out)


def canonical_language(code: str) -> str:
    """A language code as iso639-3_Script; two-letter and bare three-letter codes of our languages are completed, else und."""
    if _CODE.fullmatch(code):
        return code
    found = [k.code for k in languages().values() if code.lower() in (k.iso639_1, k.code[:3])]
    return found[0] if len(found) == 1 else "und"


def _languages(table: pa.Table, n: int, language: str | None) -> list[str]:
    if language == "identify":
        from jql.crawl.language import load_identifier

        identifier = load_identifier("default")
        return [identifier.identify(t)[0] if t else "und" for t in table.column("text").to_pylist()]
    if "language" not in table.column_names or (language is not None):
        if language is None:
            raise RecipeError("no column 'language'; set documents.language")
        return [language] * n
    codes = table.column("language").cast(pa.string()).to_pylist()
    scripts = table.column("language_script").to_pylist() if "language_script" in table.column_names else [None] * n
    joined = [f"{c}_{s}" if c and s and "_" not in c else c for c, s in zip(codes, scripts, strict=True)]
    known = {code: canonical_language(code) for code in set(joined) if code}
    return [known.get(code, "und") if code else "und" for code in joined]
