"""Which rows of ground truth are originals, and tables that are no ground truth."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from translated import truth_rows, write_truth

from jql.errors import InputError
from jql.truth.originals import read_originals


def test_translations_and_copies_are_left_out_and_counted(tmp_path):
    rows = truth_rows(4)
    rows[1] |= {"id": "doc0/deu_Latn", "source": "doc0", "translator": "someone"}
    rows[2] |= {"source": "doc0"}
    rows += [{**rows[3], "id": "far1", "source": "far"}, {**rows[3], "id": "far2", "source": "far"}]
    found = read_originals(write_truth(tmp_path / "truth.parquet", rows))
    assert [row["id"] for row in found.rows] == ["doc0", "doc3", "far1"]
    assert found.rows[0] == rows[0]
    assert found.left_out == {"translation": 2, "copy": 1}
    assert found.origins() == {"synthetic": 3}


def test_a_folder_is_read_file_by_file(tmp_path):
    write_truth(tmp_path / "b.parquet", truth_rows(2)[1:])
    write_truth(tmp_path / "a.parquet", truth_rows(1))
    assert [row["id"] for row in read_originals(str(tmp_path)).rows] == ["doc0", "doc1"]


def test_an_id_that_is_there_twice_is_refused(tmp_path):
    path = write_truth(tmp_path / "truth.parquet", truth_rows(2) + truth_rows(1))
    with pytest.raises(InputError, match=r"id 'doc0' is there 2 times; give each document one of its own"):
        read_originals(path)


def test_translations_alone_are_refused(tmp_path):
    rows = [{**row, "translator": "someone"} for row in truth_rows()]
    with pytest.raises(InputError, match="3 rows, none of them an original"):
        read_originals(write_truth(tmp_path / "truth.parquet", rows))


def test_what_is_no_truth_table_is_refused(tmp_path):
    path = str(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="no such file"):
        read_originals(path)
    pq.write_table(pa.table({"id": ["a"], "text": ["b"]}), path)
    with pytest.raises(InputError, match=r"no TRUTH table, it has no column source, language, .*; make the table with"):
        read_originals(path)
    table = pa.Table.from_pylist(truth_rows(1))
    pq.write_table(table.set_column(table.column_names.index("score"), "score", [["good"]]), path)
    with pytest.raises(InputError, match=r"other.parquet: no TRUTH table \(.*good.*\)"):
        read_originals(path)
    pq.write_table(pa.Table.from_pylist([{**truth_rows(1)[0], "text": None}]), path)
    with pytest.raises(InputError, match=r"other.parquet: no TRUTH table \(.*text.*\)"):
        read_originals(path)
    (tmp_path / "other.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        read_originals(path)
