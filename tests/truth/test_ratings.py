import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import SHARED, needs_shared
from truth_help import RUBRIC, rating, write_rubric

from jql.errors import InputError, RecipeError
from jql.schema import RATING
from jql.truth.label.store import Event, Store
from jql.truth.ratings import read_ratings


def write(path, *rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def test_a_row_a_rating(tmp_path):
    path = tmp_path / "ratings.parquet"
    pq.write_table(pa.Table.from_pylist([rating("d", "ann", 3.0), rating("d", "bo", None)], RATING), path)
    read = read_ratings(str(path))
    assert read.ratings.equals(pq.read_table(path))
    assert (read.texts, read.sources, read.left_out) == ({}, {}, {})
    assert read.origins() == {"human": 2}


def test_a_row_a_document_with_the_scores_of_all(tmp_path):
    path = tmp_path / "lists.parquet"
    rows = [{"id": "1", "text": "A river.", "language": "eng_Latn", "scores": [0.0, 2.0, None]}]
    rows += [{"id": "2", "text": None, "language": "eng_Latn", "scores": [1.0, float("nan"), 1.0]}]
    pq.write_table(pa.Table.from_pylist(rows), path)
    read = read_ratings(str(path), origin="model")
    found = [(row["id"], row["rater"], row["score"], row["reason"]) for row in read.ratings.to_pylist()]
    assert found == [
        ("1", "1", 0.0, None),
        ("1", "2", 2.0, None),
        ("1", "3", None, "no_score"),
        ("2", "1", 1.0, None),
        ("2", "3", 1.0, None),
    ]
    assert read.texts == {"1": "A river."}
    assert read.left_out == {"not_a_number": 1}
    assert read.origins() == {"model": 5}


def test_the_published_columns(tmp_path):
    path = tmp_path / "human.parquet"
    pq.write_table(pa.table({"text": ["A river.", "Ein Fluss."], "score": [2.5, 0], "language": ["en", "de"]}), path)
    read = read_ratings(str(path), format="published")
    assert read.ratings.column("rater").to_pylist() == ["published"] * 2
    assert read.ratings.column("language").to_pylist() == ["eng_Latn", "deu_Latn"]
    assert read.texts == {f"{path}: row 1": "A river.", f"{path}: row 2": "Ein Fluss."}


def make_run(folder):
    rows = [
        ("d1", "d1", "eng_Latn", "A river."),
        ("d2", "d1", "deu_Latn", "Ein Fluss."),
        ("d3", "d3", "eng_Latn", "Sea"),
    ]
    columns = zip(("id", "source", "language", "text"), zip(*rows, strict=True), strict=True)
    pq.write_table(pa.table({name: list(values) for name, values in columns}), folder / "documents.parquet")
    (folder / "rubric.yaml").write_text(RUBRIC)
    store = Store(str(folder))
    store.ratings.append(Event("ann", "d1", "rated", 3, seconds=2.0, guideline="v1"), 0)
    store.ratings.append(Event("bo", "d2", "skipped", reason="spam", guideline="v1"), 0)
    return store


def test_a_run_of_the_rating_page(tmp_path):
    make_run(tmp_path).close()
    read = read_ratings(str(tmp_path))
    found = [(row["id"], row["rater"], row["score"], row["reason"]) for row in read.ratings.to_pylist()]
    assert found == [("d1", "ann", 3.0, None), ("d2", "bo", None, "spam")]
    assert read.texts == {"d1": "A river.", "d2": "Ein Fluss.", "d3": "Sea"}
    assert read.sources == {"d2": "d1"}
    with pytest.raises(RecipeError, match="a run of the rating page, not a file of format csv"):
        read_ratings(str(tmp_path), format="csv")


def test_a_run_keeps_the_scale_of_its_rubric(tmp_path):
    store = make_run(tmp_path)
    store.ratings.append(Event("cy", "d1", "rated", 4), 0)
    store.close()
    with pytest.raises(InputError, match="rating of d1 by cy: score is 4, expected 0 to 3 as in rubric teaching"):
        read_ratings(str(tmp_path))


def test_folders_that_hold_no_ratings(tmp_path):
    (tmp_path / "assignments.parquet").touch()
    with pytest.raises(InputError, match="nobody has rated yet"):
        read_ratings(str(tmp_path))
    (tmp_path / "assignments.parquet").rename(tmp_path / "else.parquet")
    with pytest.raises(InputError, match="neither a run of the rating page nor of Argilla"):
        read_ratings(str(tmp_path))


def test_scores_outside_the_rubric_name_file_and_row(tmp_path):
    path = write(tmp_path / "r.jsonl", rating("d", "ann", 3.0), rating("d", "bo", 5.0))
    rubric = write_rubric(tmp_path)
    with pytest.raises(InputError, match=r"r\.jsonl: line 2: score is 5, expected 0 to 3 as in rubric teaching"):
        read_ratings(path, rubric=rubric)
    assert read_ratings(path).ratings.num_rows == 2


def test_rows_of_no_use_are_counted(tmp_path):
    path = write(
        tmp_path / "r.jsonl",
        rating("d", "ann", 3.0),
        rating("d", "bo", 3.0) | {"score": float("inf")},
        rating("e", "ann", 1.0, language="xx"),
        rating("e", "bo", 1.0, language=None),
        rating(None, "ann", 1.0),
        rating("d", None, 1.0),
    )
    read = read_ratings(path)
    assert read.ratings.num_rows == 1
    assert read.left_out == {"not_a_number": 1, "language_unknown": 2, "no_id": 1, "no_rater": 1}


def test_the_later_rating_of_a_rater_counts(tmp_path):
    early, late = "2025-01-31T10:30:00+01:00", "2025-01-31T09:45:00Z"  # in words the other way round
    rows = [rating("d", "ann", 1.0, rated_at=late), rating("d", "ann", 2.0, rated_at=early), rating("d", "bo", 2.0)]
    read = read_ratings(write(tmp_path / "r.jsonl", *rows))
    assert read.ratings.column("score").to_pylist() == [1.0, 2.0]
    assert read.left_out == {"superseded": 1}


@pytest.mark.parametrize("times", [(None, None), ("2025-01-31", None), ("2025-01-31T00:00:00Z", "2025-01-31")])
def test_two_ratings_of_which_none_is_the_later_are_refused(tmp_path, times):
    rows = [
        rating("d", "ann", 1.0, rated_at=times[0]),
        rating("x", "bo", 1.0),
        rating("d", "ann", 2.0, rated_at=times[1]),
    ]
    with pytest.raises(
        InputError, match=r"r\.jsonl: line 3: ann rated d at .*r\.jsonl: line 1 too, and rated_at does not"
    ):
        read_ratings(write(tmp_path / "r.jsonl", *rows))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"score": "good"}, "line 2: score is 'good', expected a number; correct it, or leave it empty"),
        ({"score": True}, "line 2: score is True, expected a number"),
        ({"score": 10**400}, "line 2: score is 1000"),
        ({"seconds": "long"}, "line 2: seconds is 'long', expected a number"),
        ({"seconds": float("nan")}, "line 2: seconds is nan, expected a number; leave it empty"),
        ({"origin": "me"}, "line 2: origin is 'me', expected human, model, synthetic"),
        ({"rater": ["bo"]}, r"line 2: rater is \['bo'\], expected text"),
        ({"reason": "\ud800"}, "line 2: reason holds half a character"),
        ({"id": "d", "language": "deu_Latn"}, "line 2: language of d is another than at .*line 1; give documents ids"),
        ({"id": "d", "text": "The sea."}, "line 2: text of d is another than at .*line 1"),
        ({"id": "d", "rater": "ann", "rated_at": "noon"}, "line 2: rated_at is 'noon', expected a time such as 2025"),
    ],
)
def test_rows_that_are_wrong(tmp_path, row, message):
    first = {**rating("d", "ann", 1.0, rated_at="2025-01-31"), "text": "A river."}
    with pytest.raises(InputError, match=message):
        read_ratings(write(tmp_path / "r.jsonl", first, {**rating("e", "bo", 2.0), **row}))


def test_running_numbers_are_names(tmp_path):
    row = {"id": 7, "rater": 1, "score": 2, "language": "eng_Latn"}
    (found,) = read_ratings(write(tmp_path / "r.jsonl", row)).ratings.to_pylist()
    assert (found["id"], found["rater"], found["score"]) == ("7", "1", 2.0)


def test_a_file_that_does_not_say_its_language(tmp_path):
    path = write(tmp_path / "r.jsonl", {"id": "d", "rater": "ann", "score": 1})
    with pytest.raises(InputError, match=r"no column language \(columns: id, rater, score\); give the language"):
        read_ratings(path)
    assert read_ratings(path, language="deu_Latn").ratings.column("language").to_pylist() == ["deu_Latn"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"format": "xlsx"}, "format: expected argilla, csv, jsonl, parquet, published, got 'xlsx'"),
        ({"origin": "me"}, "origin: expected human, model, synthetic, got 'me'"),
        ({"language": "german"}, "unknown language 'german': .* did you mean deu_Latn"),
        ({"format": "csv"}, r"r\.jsonl: no \.csv file, and the format says csv"),
        ({"format": "argilla"}, "format argilla has fields and responses"),
        ({"format": "published"}, "format published has only text, score, language"),
    ],
)
def test_options_that_do_not_fit(tmp_path, option, message):
    path = write(tmp_path / "r.jsonl", rating("d", "ann", 1.0) | {"text": "A river."})
    with pytest.raises(RecipeError, match=message):
        read_ratings(path, **option)


def test_columns_that_are_no_ratings(tmp_path):
    path = write(tmp_path / "r.jsonl", {"id": "d", "user": "ann", "points": 1})
    with pytest.raises(InputError, match="columns id, user, points; expected id, rater, score; or id, scores; or text"):
        read_ratings(path)


@needs_shared
@pytest.mark.parametrize(("name", "documents", "raters", "texts"), [("60x3", 60, 3, 0), ("38x8", 38, 8, 38)])
def test_the_real_lists(name, documents, raters, texts):
    read = read_ratings(str(SHARED / "ratings" / f"educational_{name}.parquet"))
    assert read.ratings.num_rows == documents * raters
    assert len(read.texts) == texts
    assert not read.left_out
