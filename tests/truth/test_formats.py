import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from truth_help import NAMES, rating

from jql.errors import InputError
from jql.truth.formats.files import csv_bytes, read_rows
from jql.truth.formats.plain import RATED, csv_file
from jql.truth.ratings import read_ratings

ANN, BO, CY = (f"00000000-0000-0000-0000-00000000000{i}" for i in (1, 2, 3))

# As `records.to_json` of argilla 2.8.0 writes records; the texts are made up.
NESTED = [
    {
        "id": "d1",
        "fields": {"text": "A river."},
        "metadata": {"language": "eng_Latn"},
        "suggestions": {"score": {"value": 4, "score": 0.5, "agent": "model"}},
        "responses": {
            "score": [
                {"value": 3, "user_id": ANN},
                {"value": None, "user_id": BO},
                {"value": 2, "user_id": CY},
            ],
            "comment": [{"value": "long", "user_id": ANN}],
        },
        "vectors": {},
        "status": "completed",
        "_server_id": None,
    },
    {
        "id": "d2",
        "fields": {"text": "نهر طويل"},
        "metadata": {"language": "arb_Arab"},
        "suggestions": {},
        "responses": {},
        "vectors": {},
        "status": "pending",
        "_server_id": None,
    },
]

# The same records as `records.to_datasets` of argilla 2.8.0 has them.
FLAT = [
    {
        "id": "d1",
        "status": "completed",
        "_server_id": None,
        "text": "A river.",
        "language": "eng_Latn",
        "score.responses": [3, None, 2],
        "score.responses.users": [ANN, BO, CY],
        "score.responses.status": ["submitted", "discarded", "draft"],
        "comment.responses": ["long"],
        "comment.responses.users": [ANN],
        "comment.responses.status": ["submitted"],
        "score.suggestion": 4,
        "score.suggestion.score": 0.5,
        "score.suggestion.agent": "model",
    },
    {
        "id": "d2",
        "status": "pending",
        "_server_id": None,
        "text": "نهر طويل",
        "language": "arb_Arab",
        "score.responses": None,
        "score.responses.users": None,
        "score.responses.status": None,
    },
]


def columns(path):
    rows = read_ratings(str(path)).ratings.to_pylist()
    return [(row["id"], row["rater"], row["score"], row["reason"]) for row in rows]


def test_nested_records_of_argilla(tmp_path):
    path = tmp_path / "records.json"
    path.write_text(json.dumps(NESTED))
    # This form keeps no status: the draft of cy looks like any other response.
    expected = [("d1", ANN, 3.0, None), ("d1", BO, None, "discarded"), ("d1", CY, 2.0, None)]
    assert columns(path) == columns(tmp_path) == expected  # to_disk makes a folder with records.json in it
    read = read_ratings(str(path))
    assert read.texts == {"d1": "A river."}
    assert read.left_out == {"unrated": 1}
    assert set(read.ratings.column("origin").to_pylist()) == {"human"}


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "json"])
def test_flat_records_of_argilla(tmp_path, suffix):
    path = tmp_path / f"export.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(FLAT), path)
    else:
        path.write_text(json.dumps(FLAT) if suffix == "json" else "\n".join(map(json.dumps, FLAT)))
    assert columns(path) == [("d1", ANN, 3.0, None), ("d1", BO, None, "discarded")]
    assert read_ratings(str(path)).left_out == {"draft": 1, "unrated": 1}


def test_labels_of_argilla_are_numbers_in_quotes(tmp_path):
    record = {**NESTED[0], "responses": {"quality": [{"value": "3", "user_id": ANN}]}}
    path = tmp_path / "records.json"
    path.write_text(json.dumps([record]))
    assert columns(path) == [("d1", ANN, 3.0, None)]  # and the only question needs no name


def test_the_question_that_holds_the_score(tmp_path):
    path = tmp_path / "records.json"
    answers = [{"value": 1, "user_id": ANN}]
    path.write_text(json.dumps([{**NESTED[0], "responses": {"clarity": answers, "use": answers}}]))
    with pytest.raises(InputError, match="questions answered: clarity, use; expected one, or one called score"):
        read_ratings(str(path))
    assert read_ratings(str(path), question="use").ratings.num_rows == 1
    with pytest.raises(InputError, match="no question 'score' was answered; questions: clarity, use"):
        read_ratings(str(path), question="score")


def test_what_argilla_changed_counts_and_the_rest_comes_from_us(tmp_path):
    known = {ANN: {"rater": "ann", "seconds": 4.0}, BO: {"rater": "bo", "reason": "spam"}}
    answers = [{"value": 1, "user_id": ANN}, {"value": 2, "user_id": BO}, {"value": 3, "user_id": CY}]
    record = {**NESTED[0], "metadata": {"language": "eng_Latn", "jql": json.dumps(known)}}
    path = tmp_path / "records.json"
    path.write_text(json.dumps([{**record, "responses": {"score": answers}}]))
    assert columns(path) == [("d1", "ann", 1.0, None), ("d1", "bo", 2.0, None), ("d1", CY, 3.0, None)]
    path.write_text(json.dumps([{**record, "metadata": {"language": "eng_Latn", "jql": "[1]"}}]))
    with pytest.raises(InputError, match="record 1: metadata jql is not what jql wrote there"):
        read_ratings(str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"responses": [1]}, "record 1: responses has another shape"),
        ({"responses": {"score": {"value": 3}}}, r"record 1: responses\.score has another shape"),
        ({"responses": {"score": [{"value": "good", "user_id": ANN}]}}, "record 1: score is 'good', expected a number"),
        ({"responses": {"score": [{"value": [1], "user_id": ANN}]}}, r"record 1: score is \[1\], expected a number"),
        ({"responses": {"score": [{"value": 3}]}}, r"no rating of use \(no_rater 1\)"),
        ({"metadata": {}}, r"no rating of use \(language_unknown 3\)"),
    ],
)
def test_records_that_cannot_be_used(tmp_path, change, message):
    path = tmp_path / "records.json"
    path.write_text(json.dumps([{**NESTED[0], **change}]))
    with pytest.raises(InputError, match=message):
        read_ratings(str(path))


def test_flat_records_that_do_not_fit_together(tmp_path):
    path = tmp_path / "export.jsonl"
    path.write_text(json.dumps({**FLAT[0], "score.responses": [3]}))
    with pytest.raises(InputError, match=r"line 1: score\.responses has 1 values, 3 users, 3 statuses"):
        read_ratings(str(path))


@given(st.lists(st.tuples(NAMES, NAMES), max_size=4))
def test_cells_of_csv_come_back_as_they_were(tmp_path_factory, cells):
    path = tmp_path_factory.getbasetemp() / "cells.csv"
    path.write_bytes(csv_bytes(["a", "b"], [{"a": a, "b": b} for a, b in cells]))
    assert [row for _, row in read_rows(str(path))] == [{"a": a, "b": b} for a, b in cells]


def test_csv_of_a_spreadsheet(tmp_path):
    path = tmp_path / "sheet.csv"
    text = 'id,rater,score,language,text\r\nd1,ann,3,deu_Latn,"’tis a ""river"",\nwide"\r\n\r\nd2,ann,,de,\'tis\r\n'
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert columns(path) == [("d1", "ann", 3.0, None), ("d2", "ann", None, "no_score")]
    assert read_ratings(str(path)).texts == {"d1": '’tis a "river",\nwide', "d2": "'tis"}


def test_a_text_longer_than_the_csv_reader_takes_by_itself(tmp_path):
    path = tmp_path / "long.csv"
    path.write_bytes(csv_file([{**rating("d", "ann", 1.0), "text": "a,b " * 100_000}]))
    assert read_ratings(str(path)).texts == {"d": "a,b " * 100_000}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"id,rater,score,language\nd,ann,3\n", r"a\.csv: line 2: 3 cells, expected 4"),
        ("a.csv", b'id,rater,score,language\n"d,ann,3,deu_Latn\n', r"a\.csv: line 2: not CSV"),
        ("a.csv", b"id,rater,score\xff\n", r"a\.csv: not UTF-8 \(byte 14\)"),
        ("a.jsonl", b'{"id": "d"}\n\n{"id": \n', r"a\.jsonl: line 3: not JSON"),
        ("a.jsonl", b"[1]\n", r"a\.jsonl: line 1: found list, expected an object"),
        ("a.json", b'{"id": 1}', r"a\.json: found dict, expected a list of records"),
        ("a.parquet", b"PAR1", r"a\.parquet: cannot be read"),
        ("a.txt", b"", r"a\.txt: not a kind of file that ratings are read from; expected \.parquet"),
        ("a.csv", b"", r"a\.csv: no rows; expected ratings"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_ratings(str(tmp_path / name))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: no such file; check the path"):
        read_ratings(str(tmp_path / "none.csv"))


def test_columns_are_those_of_ratings_and_documents():
    assert RATED.names[-2:] == ["text", "source"]
    assert csv_file([]).decode().strip().split(",") == RATED.names
