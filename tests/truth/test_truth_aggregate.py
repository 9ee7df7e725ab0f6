import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import SHARED, needs_shared
from hypothesis import given
from rich.console import Console
from truth_help import RUBRIC, many_ratings, rating, ratings_of

from jql.errors import InputError, RecipeError
from jql.schema import TRUTH
from jql.truth.aggregate import aggregate_truth, run_aggregate, truth_table
from jql.truth.convert import run_export, write_ratings
from jql.truth.label.store import Event, Store

TEXTS = {"d1": "A river.", "d2": "Ein Fluss.", "d3": "The sea."}


def rows_of(ratings, *args):
    return {row["id"]: row for row in aggregate_truth(ratings, *args).to_pylist()}


def test_a_row_of_truth():
    ratings = ratings_of(
        rating("d2", "bo", 3.0, language="deu_Latn", guideline="v1"),
        rating("d2", "ann", 1.0, language="deu_Latn", guideline="v1"),
        rating("d2", "cy", None, language="deu_Latn", guideline="v1"),
        texts=TEXTS,
        sources={"d2": "d1"},
    )
    assert rows_of(ratings) == {
        "d2": {
            "id": "d2",
            "source": "d1",
            "language": "deu_Latn",
            "text": "Ein Fluss.",
            "score": 2.0,
            "raters": ["ann", "bo"],  # cy skipped it
            "ratings": [1.0, 3.0],
            "rule": "majority",
            "guideline": "v1",
            "translator": None,
            "origin": "human",
        }
    }
    assert aggregate_truth(ratings).schema.equals(TRUTH)


def test_rules_and_adjudication():
    ratings = ratings_of(*(rating("d1", r, s) for r, s in zip("abc", (0.0, 0.0, 3.0), strict=True)), texts=TEXTS)
    assert [rows_of(ratings, rule)["d1"]["score"] for rule in ("majority", "mean", "median")] == [0.0, 1.0, 0.0]
    settled = rows_of(ratings, "mean", {"d1": 2.0})["d1"]
    assert (settled["score"], settled["rule"], settled["ratings"]) == (2.0, "adjudicated", [0.0, 0.0, 3.0])
    with pytest.raises(RecipeError, match="rule: expected majority, mean, median"):
        aggregate_truth(ratings, "best")


def test_a_document_that_all_skipped_has_no_score():
    row = rows_of(ratings_of(rating("d1", "ann", None), texts=TEXTS))["d1"]
    assert (row["score"], row["rule"], row["raters"], row["ratings"]) == (None, None, [], [])


@pytest.mark.parametrize(
    ("origins", "weakest"),
    [(["human", "human"], "human"), (["model", "human"], "model"), (["human", "synthetic", "model"], "synthetic")],
)
def test_the_weakest_origin_counts(origins, weakest):
    ratings = ratings_of(*(rating("d1", f"r{i}", 1.0, origin=o) for i, o in enumerate(origins)), texts=TEXTS)
    assert rows_of(ratings)["d1"]["origin"] == weakest


@pytest.mark.parametrize(("versions", "kept"), [(["v1", "v1"], "v1"), (["v1", "v2"], None), (["v1", None], None)])
def test_a_guideline_counts_where_all_ratings_share_it(versions, kept):
    ratings = ratings_of(*(rating("d1", f"r{i}", 1.0, guideline=v) for i, v in enumerate(versions)), texts=TEXTS)
    assert rows_of(ratings)["d1"]["guideline"] == kept


@given(many_ratings())
def test_documents_with_a_text_are_there_once(ratings):
    rows = aggregate_truth(ratings).to_pylist()
    with_text = {id for id in ratings.ratings.column("id").to_pylist() if ratings.texts.get(id, "").strip()}
    assert {row["id"] for row in rows} == with_text and len(rows) == len(with_text)
    for row in rows:
        assert len(row["raters"]) == len(row["ratings"])
        assert (row["score"] is None) == (not row["ratings"])
        assert row["score"] is None or min(row["ratings"]) <= row["score"] <= max(row["ratings"])


def test_a_file_of_ratings_becomes_truth(tmp_path):
    source, out = str(tmp_path / "r.jsonl"), str(tmp_path / "truth.parquet")
    ratings = ratings_of(
        rating("d1", "ann", 3.0, guideline="v1", origin="synthetic"),
        rating("d1", "bo", 3.0, guideline="v2"),
        rating("d3", "ann", None),
        rating("d4", "ann", 2.0),
        rating("d5", "ann", 2.0),
        texts={**TEXTS, "d5": " \n"},
    )
    write_ratings(ratings, source, "jsonl")
    made = run_aggregate(source, out)
    assert pq.read_table(out).equals(made.truth)
    assert made.truth.column("id").to_pylist() == ["d1", "d3"]
    assert made.left_out == {"no_text": 2}
    assert (made.raters, made.skipped, made.mixed_guidelines) == (2, 1, 1)

    console = Console(width=110, record=True, file=io.StringIO())
    console.print(truth_table(made, "truth"))
    shown = console.export_text()
    text = " ".join(shown.split())
    assert "2 documents in 1 languages, 2 raters, 2 scores, 1 skipped" in text
    assert "origin: human 1, synthetic 1; left out: no_text 2" in text
    assert "1 documents were rated by several versions of the guideline" in text
    cells = [line.replace("│", " ").split() for line in shown.splitlines()]
    assert ["3", "majority", "1", "50.0%"] in cells and ["none", "1", "50.0%"] in cells


def test_a_run_of_the_rating_page_brings_its_adjudications(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    documents = [{"id": id, "source": id, "language": "eng_Latn", "text": text} for id, text in TEXTS.items()]
    pq.write_table(pa.Table.from_pylist(documents), run / "documents.parquet")
    (run / "rubric.yaml").write_text(RUBRIC)
    store = Store(str(run))
    store.ratings.append(Event("ann", "d1", "rated", 0), 0)
    store.ratings.append(Event("bo", "d1", "rated", 3), 0)
    store.adjudications.append(Event("adjudicator", "d1", "rated", 2), 0)
    store.adjudications.append(Event("adjudicator", "d2", "rated", 1), 1)
    store.close()
    made = run_aggregate(str(run), str(tmp_path / "truth.parquet"), "mean")
    assert [(row["id"], row["score"], row["rule"]) for row in made.truth.to_pylist()] == [("d1", 2.0, "adjudicated")]
    assert made.left_out == {"unrated": 2, "adjudicated_unrated": 1}
    run_export(str(run), str(tmp_path / "published.parquet"), "published")
    assert pq.read_table(tmp_path / "published.parquet").column("score").to_pylist() == [2.0]


def test_what_is_refused(tmp_path):
    source = str(tmp_path / "r.csv")
    write_ratings(ratings_of(rating("d1", "ann", 1.0)), source, "csv")
    with pytest.raises(InputError, match=r"r\.csv: none of 1 documents has a text; add a column text"):
        run_aggregate(source, str(tmp_path / "truth.parquet"))
    with pytest.raises(RecipeError, match=r"truth\.csv: expected a name that ends in \.parquet"):
        run_aggregate(source, str(tmp_path / "truth.csv"))
    with pytest.raises(RecipeError, match="rule: expected majority, mean, median, got 'best'"):
        run_aggregate(source, str(tmp_path / "truth.parquet"), "best")
    assert not (tmp_path / "truth.parquet").exists()


@needs_shared
def test_real_ratings_of_eight_passes(tmp_path):
    made = run_aggregate(
        str(SHARED / "ratings" / "educational_38x8.parquet"), str(tmp_path / "truth.parquet"), origin="model"
    )
    assert (made.truth.num_rows, made.raters) == (38, 8)
    assert set(made.truth.column("origin").to_pylist()) == {"model"}
