"""What an exported row says, in what row groups it comes, and that nothing is lost on the way."""

import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from export_help import CODES, export, make_documents, rows_of
from hypothesis import given
from hypothesis import strategies as st

from jql.documents import Documents
from jql.engine.receipt import ASIDE
from jql.errors import IncompleteError, RecipeError
from jql.select import row_groups
from jql.select.columns import export_schema, source_of
from jql.select.row_groups import RowGroups


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    return make_documents(tmp_path_factory.mktemp("documents") / "in")


def ids(rows):
    return [row["id"] for row in rows]


def test_every_row_traces_to_its_source(documents, tmp_path):
    lines = make_documents(tmp_path / "lines", kind="jsonl")
    tables = {str(path): pq.read_table(path).to_pylist() for path in documents.glob("*.parquet")}
    tables |= {str(p): list(map(json.loads, p.read_text().splitlines())) for p in lines.glob("*.jsonl")}
    for folder, out in ((documents, "a"), (lines, "b")):
        rows = rows_of(export(folder, tmp_path / out))
        assert len(rows) > 40
        for row in rows:
            found = tables[row["source"]][row["source_row"]]
            assert {name: row[name] for name in found} == found


def test_a_unit_of_a_crawl_is_named_alike_in_all_run_folders(tmp_path):
    path = "s3://bucket/runs/mine/crawl/0123456789ab/data/00000/017-4be2c1d0.parquet"
    unit = next(iter(Documents.of_path(str(make_documents(tmp_path / "in", files=1)), 10, None).units()))
    crawled = {"format": "parquet", "path": path, "groups": None, "row": 0}
    assert source_of(type(unit)(0, path, 0, crawled)) == "crawl/0123456789ab/00000/017"
    ranged = {"format": "jsonl", "path": "a.jsonl", "bytes": [0, 10]}
    assert source_of(type(unit)(0, "a.jsonl[0:10]", 0, ranged)) == "a.jsonl[0:10]"
    assert source_of(unit) == str(tmp_path / "in" / "0.parquet")


def test_sizes_ranks_and_weights(documents, tmp_path):
    for row in rows_of(export(documents, tmp_path / "run", clustered=True)):
        assert (row["bytes"], row["tokens"]) == (len(row["text"].encode()), len(row["id"]))
        below = [sum(score > at / 2 for at in range(8)) + 0.5 for score in (row["score_edu"], row["score_web"])]
        assert row["rank"] == pytest.approx(sum(below) / 16)
        assert row["repeats"] == 1 + len(row["id"]) % 3 and row["weight"] == pytest.approx(row["repeats"] * row["rank"])
        assert row["cluster"] == len(row["id"]) and 1 <= row["cluster_size"] < 9
    for row in rows_of(export(documents, tmp_path / "plain", scored=False)):
        assert row["rank"] is row["tokens"] is None and row["weight"] == row["repeats"]
        assert row["bytes"] == len(row["text"].encode()) and "score_edu" not in row and "cluster" not in row


@pytest.mark.parametrize("order", ["input", "shuffled"])
def test_row_groups_are_of_the_size_that_was_asked_for(documents, tmp_path, order):
    out = export(documents, tmp_path / "run", kept=10, order=order, row_group=4, file_documents=50)
    for path in out.glob("data/*/*.parquet"):
        meta = pq.read_metadata(path)
        sizes = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        assert all(size == 4 for size in sizes[:-1]) and 0 < sizes[-1] <= 4
        assert pq.read_schema(path).equals(export_schema(["edu", "web", "llama3", "llama31"], False))


def test_a_file_holds_a_language_of_a_group_of_units_in_the_order_of_the_input(documents, tmp_path):
    one = export(documents, tmp_path / "one")
    many = export(documents, tmp_path / "many", file_documents=1)
    assert len(list(one.glob("data/*/*.parquet"))) == 3 < len(list(many.glob("data/*/*.parquet")))
    for code in CODES:
        rows = rows_of(one, language=code)
        assert ids(rows) == sorted(ids(rows), key=lambda id: (id[:2], int(id[3:])))
        assert rows == rows_of(many, language=code)


@pytest.mark.parametrize("order", ["input", "shuffled"])
def test_repeated_documents_stand_as_often_as_they_should_be_seen(documents, tmp_path, order):
    said = rows_of(export(documents, tmp_path / "said", order=order))
    written = rows_of(export(documents, tmp_path / "written", order=order, repeat=True, file_documents=20))
    assert Counter(ids(written)) == {row["id"]: row["repeats"] for row in said}
    assert all(row["repeats"] == 1 and row["weight"] == row["rank"] for row in written)


@pytest.mark.parametrize("order", ["input", "shuffled", "sorted"])
def test_removed_documents_have_their_reason(documents, tmp_path, order):
    out = export(documents, tmp_path / "run", order=order, removed=True, row_group=8)
    kept, removed = rows_of(out), rows_of(out, "removed")
    every = [row["id"] for path in documents.glob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert sorted(ids(kept) + ids(removed)) == sorted(every)
    assert {row["reason"] for row in removed} == {"below_cut"} and "reason" not in kept[0]
    assert all(row["repeats"] is row["weight"] is None and row["rank"] is not None for row in removed)
    exported = json.loads((out / "manifest.json").read_text())["export"]
    for code in CODES:
        found = exported[code]["removed"]
        assert found["documents"] == len(rows_of(out, "removed", code)) == sum(f["rows"] for f in found["files"])
        assert all((out / file["name"]).is_file() for file in found["files"])


def test_without_the_removed_ones_their_files_go_again(documents, tmp_path):
    target = str(tmp_path / "out")
    export(documents, tmp_path / "run", path=target, removed=True)
    assert list((tmp_path / "out").glob("removed/*/*.parquet"))
    export(documents, tmp_path / "run", path=target)
    assert not list((tmp_path / "out").glob("removed/*/*.parquet"))


def corrupt(path, column):
    """Overwrite the first pages of a column; the footer stays whole."""
    data = bytearray(path.read_bytes())
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(column)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(bytes(data))


def test_what_is_removed_and_cannot_be_read_is_counted(tmp_path):
    documents = make_documents(tmp_path / "in", files=2, codes=["deu_Latn"])
    table = pq.read_table(documents / "0.parquet")
    pq.write_table(table.slice(0, 10), documents / "2.parquet")
    corrupt(documents / "2.parquet", 1)
    out = export(documents, tmp_path / "run", kept=0, removed=True)
    found = json.loads((out / "manifest.json").read_text())["export"]["deu_Latn"]
    assert (found["documents"], found["removed"]["documents"], found["removed"]["unread"]) == (0, 60, 10)
    assert "60 dropped documents with their `reason`; 10 more could not be read" in (out / "README.md").read_text()


@pytest.mark.parametrize("order", ["input", "shuffled", "sorted"])
@pytest.mark.parametrize("short", ["scores", "clusters"])
def test_a_table_beside_with_other_rows_is_refused(documents, tmp_path, short, order):
    with pytest.raises(IncompleteError, match=rf"\[0:2\]: 14 decisions \(.*\), but 13 rows of {short} \(/"):
        export(documents, tmp_path / "run", clustered=True, short=short, order=order)
    assert not (tmp_path / "run" / "dataset").exists() and left(tmp_path) == []


def test_decisions_on_other_documents_are_refused(documents, tmp_path):
    what = r"0\.parquet\[0:2\]: 14 documents, but 13 decisions \(.*\); the file was changed"
    with pytest.raises(IncompleteError, match=what):
        export(documents, tmp_path / "run", kept=10, scored=False, short="decisions")
    assert not (tmp_path / "run" / "dataset").exists() and left(tmp_path) == []


def left(folder):
    """Files that the export stage has left."""
    return [p for p in folder.glob("run/export/**/data/**/*") if p.is_file() and "keys" not in p.parts]


def test_an_error_in_the_middle_of_a_group_leaves_nothing(tmp_path):
    documents = make_documents(tmp_path / "in")
    corrupt(documents / "2.parquet", 1)
    with pytest.raises(IncompleteError, match=r"2\.parquet\[0:2\]: cannot be read"):
        export(documents, tmp_path / "run", row_group=2)
    assert not (tmp_path / "run" / "dataset").exists() and left(tmp_path) == []


def test_texts_that_are_not_utf8_are_refused_where_none_has_looked_before(tmp_path):
    (tmp_path / "in").mkdir()
    texts = pa.array([b"good", b"bad \xff"]).view(pa.string())
    table = pa.table({"id": ["f0-0", "f0-1"], "text": texts, "language": ["deu_Latn"] * 2})
    pq.write_table(table, tmp_path / "in" / "0.parquet")
    with pytest.raises(IncompleteError, match=r"0\.parquet\[0:1\]: cannot be read \(.*Invalid UTF8"):
        export(tmp_path / "in", tmp_path / "run", kept=10, scored=False)


def test_sorted_needs_scores(documents, tmp_path):
    with pytest.raises(RecipeError, match=r"export\.order: sorted needs ranks, and nothing was scored; add"):
        export(documents, tmp_path / "run", scored=False, order="sorted")


adds = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30)), max_size=12)


@given(adds, st.integers(1, 12), st.sampled_from([500, 1 << 20]))
def test_row_groups_lose_nothing_and_are_never_too_large(adds, rows, held):
    before, row_groups.HELD_BYTES = row_groups.HELD_BYTES, held
    try:
        groups, given_out, put_in, whole = RowGroups(rows), {}, {}, []
        for number, (name, n) in enumerate(adds):
            table = pa.table({"x": pa.array(range(1000 * number, 1000 * number + n), pa.int64())})
            put_in.setdefault(name, []).extend(table.column("x").to_pylist())
            for found, piece in groups.add(name, table):
                given_out.setdefault(found, []).append(piece.column("x").to_pylist())
            assert groups.held <= held
        for found, piece in groups.rest():
            if piece is None:
                whole.append(found)
            else:
                assert found not in whole
                given_out.setdefault(found, []).append(piece.column("x").to_pylist())
    finally:
        row_groups.HELD_BYTES = before
    assert whole == sorted(put_in)
    assert {name: [x for piece in pieces for x in piece] for name, pieces in given_out.items()} == put_in
    for pieces in given_out.values():
        assert all(0 < len(piece) <= rows for piece in pieces)
        assert held == 500 or all(len(piece) == rows for piece in pieces[:-1])


def test_removed_tables_lie_aside_so_that_the_law_of_kept_rows_holds(documents, tmp_path):
    export(documents, tmp_path / "run", removed=True)
    (receipt,) = (json.loads(p.read_text()) for p in (tmp_path / "run" / "export").rglob("receipts/**/*.json"))
    main = [file["rows"] for name, file in receipt["files"].items() if not name.startswith(ASIDE)]
    assert sum(main) == receipt["accepted"] and receipt["rows_in"] == 120
