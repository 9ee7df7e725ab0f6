"""Verdicts at the edges: a language that nothing was counted for, and dates as the web writes them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jql.annotator.histogram import histogram
from jql.engine.plan import Unit
from jql.schema import score_schema
from jql.select.copies import best_of_each
from jql.select.cuts import Cuts
from jql.select.select import Rules, judge, merit


@pytest.fixture
def unit(tmp_path):
    """Documents of two languages with their scores; the last one crashed when it was scored."""
    languages = ["deu_Latn", "deu_Latn", "isl_Latn", "deu_Latn"]
    dates = ["2024", "2023-12-31T23:59:59Z", None, "²² Mai 2025"]
    table = {"id": list("abcd"), "text": ["x", "yy", "zzz", "yyyy"], "language": languages, "date": dates}
    pq.write_table(pa.table(table), tmp_path / "documents.parquet")
    rows = {
        "id": list("abcd"),
        "language": languages,
        "reason": [None, None, None, "score_crash"],
        "h": [1, 3, 3, None],
    }
    pq.write_table(pa.table(rows, schema=score_schema(["h"])), tmp_path / "scores.parquet")
    path = str(tmp_path / "documents.parquet")
    payload = {"format": "parquet", "path": path, "groups": None, "row": 0, "scores": str(tmp_path / "scores.parquet")}
    return Unit(0, path, 0, payload)


def rules(by="annotator", copy="best"):
    counts = histogram(np.array([1.0, 3.0]))[None]
    return Rules(
        by, "all", copy, Cuts(["h"], 0.5, {"deu_Latn": np.array([2.0])}, {"deu_Latn": 2}, {"deu_Latn": counts})
    )


def test_a_language_that_nothing_was_counted_for_has_too_few_documents(unit):
    verdicts = judge(unit, rules(), None)
    assert verdicts.reasons == ["below_cut", None, "too_few_documents", "score_crash"]
    assert verdicts.rank[:2].tolist() == [0.25, 0.75] and np.isnan(verdicts.rank[2:]).all()


def test_heuristics_do_not_ask_for_a_cut(unit):
    assert judge(unit, rules("heuristics"), None).reasons == [None, None, None, "score_crash"]


def test_the_newest_of_dates_in_any_form(unit):
    verdicts = judge(unit, rules(copy="newest"), None, ["date"])
    assert merit(rules(copy="newest"), verdicts, np.arange(4)).tolist() == [
        20240000000000,
        20231231235959,
        0,
        20250000000000,
    ]


def test_the_longest_counts_characters(unit):
    verdicts = judge(unit, rules(copy="longest"), None, ["text"])
    points = merit(rules(copy="longest"), verdicts, np.array([2, 0]))
    assert points.tolist() == [3, 1]
    same = np.zeros(2, np.uint64)
    assert best_of_each(same, points, same, np.arange(2)).tolist() == [0]
