import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from rich.console import Console
from truth_help import many_ratings, rating, ratings_of

from jql.engine import storage
from jql.errors import InputError, RecipeError
from jql.truth.convert import ratings_table, run_export, run_import, write_ratings
from jql.truth.formats.argilla import argilla_file, user_id
from jql.truth.formats.plain import PUBLISHED
from jql.truth.ratings import read_ratings

SUFFIXES = {"argilla": "json", "csv": "csv", "jsonl": "jsonl", "parquet": "parquet"}
THREE = ratings_of(
    rating("d1", "ann", 3.0, rated_at="2025-01-31T09:30:00Z"),
    rating("d1", "bo", 2.0),
    rating("d1", "cy", 2.0),
    rating("d2", "ann", 0.0, language="arb_Arab"),
    rating("d2", "bo", None, language="arb_Arab"),
    rating("d3", "ann", 1.0),
    texts={"d1": "Rivers, long and wide.", "d2": "نهر طويل"},
)


@pytest.mark.parametrize("format", SUFFIXES)
@given(ratings=many_ratings())
@hypothesis_settings(max_examples=60)
def test_what_is_written_is_read_again(tmp_path_factory, format, ratings):
    file = str(tmp_path_factory.getbasetemp() / f"ratings.{SUFFIXES[format]}")
    write_ratings(ratings, file, format)
    again = read_ratings(file, format=format)
    assert again.ratings.to_pylist() == ratings.ratings.to_pylist()
    assert (again.texts, again.sources, again.left_out) == (ratings.texts, ratings.sources, {})


def test_import_leaves_a_table_that_stands_alone(tmp_path):
    source, out = str(tmp_path / "in.csv"), str(tmp_path / "out.parquet")
    write_ratings(THREE, source, "csv")
    read = run_import(source, out, "csv")
    assert pq.read_table(out).column("text").to_pylist()[:4] == ["Rivers, long and wide."] * 3 + ["نهر طويل"]
    assert read_ratings(out).ratings.equals(read.ratings)


def test_published_is_one_row_a_document_with_the_score_of_the_majority(tmp_path):
    out = str(tmp_path / "published.parquet")
    write_ratings(THREE, out, "published")
    table = pq.read_table(out)
    assert table.schema.names == PUBLISHED.names
    assert table.schema.types == PUBLISHED.types
    assert table.to_pylist() == [
        {"text": "Rivers, long and wide.", "score": 2.0, "language": "eng_Latn"},
        {"text": "نهر طويل", "score": 0.0, "language": "arb_Arab"},  # bo skipped it; d3 has no text
    ]
    again = str(tmp_path / "again.parquet")
    run_export(out, again, "published")
    assert pq.read_table(again).equals(table)


def test_what_no_human_rated_does_not_pass_for_human(tmp_path):
    out = str(tmp_path / "published.parquet")
    rows = [rating("d1", "ann", 3.0), rating("d1", "bot", 3.0, origin="model"), rating("d2", "ann", 1.0)]
    write_ratings(ratings_of(*rows, texts=THREE.texts), out, "published")
    assert read_ratings(out).ratings.column("origin").to_pylist() == ["model", "human"]


def test_published_without_texts_is_refused(tmp_path):
    with pytest.raises(InputError, match="none of 1 documents has a score and a text"):
        write_ratings(ratings_of(rating("d", "ann", 1.0)), str(tmp_path / "p.parquet"), "published")


def test_a_spreadsheet_runs_nothing_of_a_csv_file(tmp_path):
    file = tmp_path / "ratings.csv"
    evil = ratings_of(rating("=1+1", "@sum", -1.0), texts={"=1+1": '-cmd|" /C calc"!A0'})
    write_ratings(evil, str(file), "csv")
    cells = next(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"), newline="")))
    assert (cells["id"], cells["rater"], cells["text"]) == ("'=1+1", "'@sum", '\'-cmd|" /C calc"!A0')
    assert cells["score"] == "-1.0"  # a number is left alone
    assert read_ratings(str(file)).texts == evil.texts


def test_nulls_and_empty_texts_of_a_csv_file_are_two_things(tmp_path):
    file = tmp_path / "ratings.csv"
    write_ratings(ratings_of(rating("a", "ann", 1.0, guideline=""), rating("b", "ann", 1.0)), str(file), "csv")
    assert read_ratings(str(file)).ratings.column("guideline").to_pylist() == ["", None]


def test_argilla_gets_whole_numbers_and_users_as_uuids():
    rows = [{**rating("d", "ann", 3.0), "text": "A river.", "source": None}]
    rows += [{**rating("d", "bo", 2.5), "text": "A river.", "source": None}]
    (record,) = json.loads(argilla_file(rows))
    assert record["fields"] == {"text": "A river."}
    assert record["responses"] == {
        "score": [
            {"value": 3, "user_id": user_id("ann"), "status": "submitted"},
            {"value": 2.5, "user_id": user_id("bo"), "status": "submitted"},
        ]
    }
    assert user_id("ann") == user_id("ann") != user_id("bo")
    own = "00000000-0000-4000-8000-000000000001"
    assert user_id(own) == own


def test_an_object_store_holds_ratings_too(s3):
    for format, suffix in SUFFIXES.items():
        path = storage.join(s3, f"convert/ratings.{suffix}")
        write_ratings(THREE, path, format)
        assert read_ratings(path).ratings.equals(THREE.ratings)


def test_wrong_names_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="format: expected argilla, csv, jsonl, parquet, published, got 'xlsx'"):
        write_ratings(THREE, str(tmp_path / "a.xlsx"), "xlsx")
    with pytest.raises(RecipeError, match=r"expected a name that ends in \.json for format argilla"):
        write_ratings(THREE, str(tmp_path / "a.csv"), "argilla")
    assert not list(tmp_path.iterdir())


def test_the_table_says_what_was_read_and_where_from():
    console = Console(width=120, record=True, file=io.StringIO())
    made_up = pa.Table.from_pylist([{**row, "origin": "synthetic"} for row in THREE.ratings.to_pylist()])
    shown = ratings_of(*made_up.to_pylist(), texts=THREE.texts)
    shown.left_out["draft"] = 2
    console.print(ratings_table(shown, "ratings"))
    text = console.export_text()
    assert "origin: synthetic 6; left out: draft 2" in text
    cells = [line.replace("│", " ").split() for line in text.splitlines()]
    assert ["arb_Arab", "1", "1", "2", "1", "1"] in cells
    assert ["all", "3", "2", "3", "5", "1"] in cells
