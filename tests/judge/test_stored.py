"""Stored replies: every layout that they come in, and what is wrong with them."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.errors import DataError, InputError
from jql.judge.stored import StoredReplies, replies_of, stored_files


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_row_a_reply_comes_back_in_the_order_of_its_answers(tmp_path):
    rows = [
        {"id": "a", "answer": 1, "text": "one"},
        {"id": "b", "text": "other"},
        {"id": "a", "answer": 0, "text": "zero"},
    ]
    stored = StoredReplies([write_lines(tmp_path / "r.jsonl", rows)])
    found = stored.of(["a", "b", "c"])
    assert [r["text"] for r in found["a"]] == ["zero", "one"]
    assert [r["text"] for r in found["b"]] == ["other"] and "c" not in found
    assert {r["origin"] for r in found["a"]} == {"model"}


def test_a_list_of_replies_a_document(tmp_path):
    table = pa.table({"id": ["x", "y"], "replies": [["first", "second"], []]})
    pq.write_table(table, tmp_path / "r.parquet")
    files = stored_files("alpha", (str(tmp_path / "r.parquet"),))
    found = StoredReplies(files).of(["x", "y"])
    assert [(r["answer"], r["text"]) for r in found["x"]] == [(0, "first"), (1, "second")]
    assert found.get("y", []) == []


def test_two_files_are_one_store(tmp_path):
    pq.write_table(pa.table({"id": ["x"], "text": ["parquet"]}), tmp_path / "a.parquet")
    other = write_lines(tmp_path / "b.jsonl", [{"id": "z", "text": "lines", "origin": "synthetic"}])
    found = StoredReplies([str(tmp_path / "a.parquet"), other]).of(["x", "z"])
    assert found["x"][0]["text"] == "parquet"
    assert found["z"][0]["origin"] == "synthetic"


@given(st.lists(st.text(max_size=20), max_size=6))
def test_a_list_is_numbered_from_zero_in_its_order(texts):
    found = replies_of({"id": "a", "replies": texts})
    assert [r["answer"] for r in found] == list(range(len(texts)))
    assert [r["text"] for r in found] == texts


def test_bad_stores(tmp_path):
    pq.write_table(pa.table({"document": ["x"], "text": ["t"]}), tmp_path / "names.parquet")
    with pytest.raises(
        InputError, match=r"judge alpha: .*names\.parquet: columns document, text; expected id, and text"
    ):
        stored_files("alpha", (str(tmp_path / "names.parquet"),))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=r"broken\.parquet: not a readable Parquet file"):
        stored_files("alpha", (str(tmp_path / "broken.parquet"),))
    with pytest.raises(InputError, match=r"nowhere: no such file or folder"):
        stored_files("alpha", (str(tmp_path / "nowhere"),))
    twice = write_lines(tmp_path / "twice.jsonl", [{"id": "a", "text": "1"}, {"id": "a", "text": "2"}])
    with pytest.raises(DataError, match=r"twice\.jsonl: document a has 2 stored replies numbered \[0, 0\]; number"):
        StoredReplies([twice]).of(["a"])
    (tmp_path / "half.jsonl").write_text('{"id": "a", "text": "fine"}\n{"id": "b", "te\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"half\.jsonl: the line at byte 28: expected an object with id"):
        StoredReplies([str(tmp_path / "half.jsonl")]).of(["a"])
