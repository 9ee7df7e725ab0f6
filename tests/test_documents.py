"""Documents from folders: what is read, what is refused with which message, what gets a reason."""

import gzip
import itertools
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import SHARED, needs_shared
from hypothesis import given
from hypothesis import strategies as st

from jql.documents import Documents, read_column, read_documents, repeated_ids
from jql.engine.plan import Unit
from jql.errors import DataError, InputError
from jql.languages import canonical_language

TEXT = "Ein Satz über Flüsse und Berge."


def parquet(path: Path, rows: int = 10, group: int = 100, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    start = {"id": [f"{path.stem}-{i}" for i in range(rows)], "text": [f"{TEXT} {i}" for i in range(rows)]}
    start |= {"language": ["deu_Latn"] * rows}
    table = pa.table({k: v for k, v in {**start, **columns}.items() if v is not None})
    pq.write_table(table, path, row_group_size=group)
    return path


def jsonl(path: Path, rows: list[Any]) -> Path:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    data = b"\n".join(lines) + b"\n"
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def units_of(path: Path | str, unit_rows: int = 1000, language: str | None = None) -> list[Unit]:
    return list(Documents.of_path(str(path), unit_rows, language).units())


def read(path: Path | str, columns: tuple[str, ...] = ("text",), language: str | None = None) -> dict[str, list[Any]]:
    tables = [read_documents(unit, columns, language) for unit in units_of(path, 1000, language)]
    return dict(pa.concat_tables(tables).to_pydict())


def test_units_are_ranges_of_whole_row_groups(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", 10, group=3)
    parquet(tmp_path / "deep" / "b.parquet", 2)
    units = units_of(tmp_path, unit_rows=5)
    assert [u.index for u in units] == [0, 1, 2]
    assert [u.payload["groups"] for u in units] == [[0, 2], [2, 4], [0, 1]]
    assert [u.payload["row"] for u in units] == [0, 6, 0]
    ids = [read_documents(u, []).column("id").to_pylist() for u in units]
    assert ids == [[f"a-{i}" for i in range(6)], [f"a-{i}" for i in range(6, 10)], ["b-0", "b-1"]]


def test_rows_without_id_are_named_by_their_place_whatever_the_units(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", 10, group=3, id=None)
    found = [
        [i for unit in units_of(path, unit_rows) for i in read_documents(unit, []).column("id").to_pylist()]
        for unit_rows in (1, 5, 100)
    ]
    assert found[0] == [f"{path}:{i}" for i in range(10)]
    assert found[0] == found[1] == found[2]


def test_a_null_id_is_named_by_its_place(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", 2, id=[None, "x"])
    assert read(path)["id"] == [f"{path}:0", "x"]


def test_fineweb2_layout(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", 3, language=["deu", "nob", None], language_script=["Latn"] * 3)
    found = read(path)
    assert found["language"] == ["deu_Latn", "nob_Latn", "und"]
    assert found["problem"] == [None, None, "language_unknown"]


def test_language_column_missing_given_or_identified(tmp_path: Path) -> None:
    texts = ["Das ist ein ganz gewöhnlicher deutscher Satz über das Wetter.", "Það er gott veður á Íslandi í dag."]
    path = parquet(tmp_path / "a.parquet", 2, text=texts, language=None)
    with pytest.raises(InputError, match=r"a\.parquet: no column 'language'; set documents\.language to a code"):
        units_of(path)
    assert read(path, language="deu_Latn")["language"] == ["deu_Latn"] * 2
    assert read(path, language="identify")["language"] == ["deu_Latn", "isl_Latn"]
    assert read(path, (), language="identify")["language"] == ["deu_Latn", "isl_Latn"]


def test_unknown_codes_get_a_reason(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", 5, language=["de", "no", "qq", "", "xyz_Latn"])
    found = read(path)
    assert found["language"] == ["deu_Latn", "und", "und", "und", "xyz_Latn"]
    assert found["problem"] == [None, "language_unknown", "language_unknown", "language_unknown", None]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("deu_Latn", "deu_Latn"),
        ("de", "deu_Latn"),
        ("DEU", "deu_Latn"),
        ("de-Latn", "deu_Latn"),
        ("deu_Cyrl", "deu_Cyrl"),  # well formed: its own language, if a strange one
        ("sr", "und"),  # two scripts
        ("sr_Cyrl", "srp_Cyrl"),
        ("sr-latn", "srp_Latn"),
        ("no", "und"),  # two languages
        ("est", "ekk_Latn"),
        ("zho", "cmn_Hani"),
        ("", "und"),
        ("english", "und"),
    ],
)
def test_canonical_language(code: str, expected: str) -> None:
    assert canonical_language(code) == expected


def test_null_text_keeps_its_place_even_if_no_text_is_asked_for(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", 3, text=["a b", None, ""])
    assert read(path)["problem"] == [None, "text_null", None]
    assert read(path, ())["problem"] == [None, "text_null", None]


def test_text_is_not_read_where_it_is_not_needed(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", 200, 1000, text=[str(i) * 500 for i in range(200)])
    data = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(0).column(1)
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(bytes(data))
    assert len(read(path, ())["id"]) == 200
    with pytest.raises(DataError, match=r"a\.parquet\[0:1\]: cannot be read"):
        read(path, ("text",))


def test_text_is_read_where_statistics_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"id": ["a", "b"], "text": ["x", None], "language": ["deu_Latn"] * 2})
    pq.write_table(table, path, write_statistics=False)
    assert read(path, ())["problem"] == [None, "text_null"]


def test_duplicate_ids(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", 5, id=["x", "y", "x", "x", "z"], text=[None, "b", "c", "d", "e"])
    # The first x has no text, so the second is the document of that name.
    (unit,) = units_of(path, 10)
    assert repeated_ids(read_documents(unit, ["text"])).tolist() == [False, False, False, True, False]


@pytest.mark.parametrize("kind", [pa.int64(), pa.list_(pa.string()), pa.binary()])
def test_text_of_a_wrong_type_is_refused(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": pa.nulls(2, kind), "language": ["deu_Latn"] * 2}), path)
    with pytest.raises(InputError, match=r"a\.parquet: column 'text' is .*, expected string"):
        units_of(path)


def test_other_columns_of_a_wrong_type_are_refused_at_once(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", 2, url=[["http://x"], ["http://y"]])
    with pytest.raises(InputError, match=r"column 'url' is list<.*>, expected string; rename or convert it"):
        units_of(path)


def test_columns_are_cast_to_the_document_schema(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "a.parquet",
        2,
        id=[7, 8],
        date=[datetime(2024, 1, 2)] * 2,
        language_score=[0.5, 1.0],
        warc_offset=[1, 2],
    )
    table = read_documents(units_of(path)[0], ["date", "language_score", "warc_offset", "url", "signal_n_words"])
    assert table.column("id").to_pylist() == ["7", "8"]
    assert table.column("date").to_pylist()[0].startswith("2024-01-02")
    assert table.schema.field("language_score").type == pa.float32()
    assert table.schema.field("warc_offset").type == pa.int64()
    assert table.column("url").null_count == 2 and table.schema.field("url").type == pa.string()
    assert table.schema.field("signal_n_words").type == pa.float32()


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_one_column_is_what_the_documents_say(tmp_path: Path, kind: str) -> None:
    columns = {"language_score": [i / 8 for i in range(9)] + [None], "minhash_cluster_size": [*range(9), None]}
    path = parquet(tmp_path / "a.parquet", 10, group=3, **columns)
    if kind == "jsonl":
        path = jsonl(tmp_path / "a.jsonl", pq.read_table(path).to_pylist())
    units = units_of(path, unit_rows=5)
    assert len(units) == (2 if kind == "parquet" else 1)
    for name in [*columns, "text", "url"]:
        whole = pa.chunked_array([c for u in units for c in read_documents(u, [name]).column(name).chunks])
        found = [read_column(unit, name) for unit in units]
        if name == "url" and kind == "parquet":
            assert found == [None, None]
        else:
            assert pa.chunked_array([c for column in found for c in column.chunks]).equals(whole)  # type: ignore[union-attr]
            assert {column.type for column in found if column} == {whole.type}


def test_one_column_that_cannot_be_read(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", 2, language_score=["high", "low"])
    [unit] = units_of(path)
    with pytest.raises(DataError, match=rf"{path}.*: cannot be read \(ArrowInvalid: .*low"):
        read_column(unit, "language_score")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=rf"{path}.*: cannot be read \(ArrowInvalid: "):
        read_column(unit, "language_score")
    path.unlink()
    with pytest.raises(DataError, match=rf"{path}.*: cannot be read \(FileNotFoundError: "):
        read_column(unit, "language_score")


def test_text_that_is_not_utf8_is_unreadable_with_a_clear_line(tmp_path: Path) -> None:
    text = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.array([0, 2], pa.int32()).buffers()[1], pa.py_buffer(b"\xff\xfe")]
    )
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": text, "language": ["deu_Latn"]}), path)
    with pytest.raises(DataError, match=r"(?i)cannot be read .*utf8"):
        read(path)


def test_no_text_column(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"content": ["a"], "language": ["deu_Latn"]}), path)
    with pytest.raises(InputError, match=r"no column 'text' \(columns: content, language\); rename the column"):
        units_of(path)
    path = jsonl(tmp_path / "b.jsonl", [{"content": "a", "language": "deu_Latn"}])
    with pytest.raises(InputError, match=r"b\.jsonl: line 1: no field 'text' \(fields: content, language\)"):
        units_of(path)


def test_missing_empty_and_foreign_inputs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such file or folder"):
        units_of(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"an empty folder, expected files ending in \.parquet, \.jsonl, \.jsonl\.gz"):
        units_of(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="1 other files, expected files ending in"):
        units_of(tmp_path)
    with pytest.raises(InputError, match=r"notes\.txt: not a kind of file that is read"):
        units_of(tmp_path / "notes.txt")


def test_files_without_rows(tmp_path: Path) -> None:
    parquet(tmp_path / "none.parquet", 0)
    (tmp_path / "none.jsonl").write_bytes(b"")
    with pytest.raises(InputError, match="2 files without a row"):
        units_of(tmp_path)
    parquet(tmp_path / "some.parquet", 2)
    assert len(read(tmp_path)["id"]) == 2


@pytest.mark.parametrize("content", [b"", b"PAR1 this is no Parquet PAR1", b"x" * 1000])
def test_corrupt_parquet(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.parquet: not a readable Parquet file .*; fetch it again"):
        units_of(tmp_path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_jsonl_rows(tmp_path: Path, name: str) -> None:
    rows: list[Any] = [
        {
            "id": "a",
            "text": "eins",
            "language": "deu_Latn",
            "language_score": 0.5,
            "warc_offset": 7,
            "url": "http://x/",
        },
        b"{broken",
        {"id": 2, "text": 12, "language": "deu_Latn"},
        b"",
        {"id": "c", "text": None, "language": "deu_Latn"},
        b"[1, 2]",
        b'{"id": "d", "text": "\\ud800", "language": "deu_Latn"}',
        {"text": "sechs", "language": "de", "language_score": "high", "warc_offset": 1e400, "url": ["x"]},
        b"[" * 100_000,
    ]
    path = jsonl(tmp_path / name, rows)
    found = read(path, ("text", "language_score", "warc_offset", "url"))
    assert found["problem"] == [None, "json", "text_type", "text_null", "json", "json", None, "json"]
    assert found["text"] == ["eins", None, None, None, None, None, "sechs", None]
    assert found["id"][:1] + found["id"][2:4] == ["a", "2", "c"]
    offset = sum(len(r if isinstance(r, bytes) else json.dumps(r).encode()) + 1 for r in rows[:7])
    assert found["id"][6] == f"{path}:{offset}"
    assert found["language_score"] == [0.5, *[None] * 7]
    assert found["warc_offset"] == [7, *[None] * 7]
    assert found["url"][6] == "['x']"


@given(st.sets(st.integers(1, 3000), max_size=12))
def test_jsonl_in_byte_ranges_gives_every_line_once(tmp_path_factory: pytest.TempPathFactory, cuts: set[int]) -> None:
    rows = [{"text": "w" * (i % 7), "language": "deu_Latn", "id": f"{i}"} for i in range(40)]
    path = jsonl(tmp_path_factory.getbasetemp() / "ranges.jsonl", rows)
    size = path.stat().st_size
    bounds = [0, *sorted(c for c in cuts if c < size), size]
    ranges = [{"format": "jsonl", "path": str(path), "bytes": [a, b]} for a, b in itertools.pairwise(bounds)]
    found = pa.concat_tables(read_documents(Unit(i, str(path), 0, r), ["text"]) for i, r in enumerate(ranges))
    assert found.to_pydict() == read(path)


def test_truncated_gzip_is_unreadable(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl.gz", [{"text": f"{i}", "language": "deu_Latn"} for i in range(1000)])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz: cannot be read \(EOFError"):
        read(path)
    path.write_bytes(b"no gzip at all")
    with pytest.raises(DataError, match=r"a\.jsonl\.gz: cannot be read \(BadGzipFile"):
        read(path)


def test_the_mark_changes_with_content_not_with_order(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet")
    before = Documents.of_path(str(tmp_path), 100, None).mark
    assert Documents.of_path(str(tmp_path), 100, None).mark == before
    parquet(tmp_path / "a.parquet", text=[f"{TEXT} {9 - i}" for i in range(10)])
    assert Documents.of_path(str(tmp_path), 100, None).mark != before


def test_s3(tmp_path: Path, s3: str) -> None:
    import s3fs

    fs = s3fs.S3FileSystem()
    fs.put_file(str(parquet(tmp_path / "a.parquet", 3)), f"{s3}/docs/a.parquet")
    line = {"id": "j", "text": "eins", "language": "deu_Latn"}
    fs.put_file(str(jsonl(tmp_path / "b.jsonl.gz", [line])), f"{s3}/docs/b.jsonl.gz")
    assert read(f"{s3}/docs")["id"] == ["a-0", "a-1", "a-2", "j"]
    with pytest.raises(InputError, match=r"s3://jql-test/nothing: no such file or folder"):
        units_of(f"{s3}/nothing")


@needs_shared
def test_fineweb2_as_it_stands() -> None:
    found = read(str(SHARED / "fineweb2_raw"), ("text", "filter_reason"))
    assert len(found["id"]) == 1598
    assert set(found["problem"]) == {None}
    assert set(found["language"]) == {"deu_Latn", "nob_Latn", "spa_Latn", "srp_Cyrl"}
