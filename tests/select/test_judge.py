"""Verdicts on a unit: every reason in its order, what must fit together, and dates as the web writes them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jql.annotator.histogram import Bins, Histograms
from jql.engine.plan import Unit
from jql.errors import DataError
from jql.schema import CLUSTER, score_schema
from jql.select.copies import best_of_each
from jql.select.cuts import Cuts, LanguageCut
from jql.select.verdicts import Rules, judge, merit
from jql.select.where import Where

LANGUAGES = ["deu_Latn", "deu_Latn", "isl_Latn", "deu_Latn"]


@pytest.fixture
def unit(tmp_path):
    """Documents of two languages with their scores; the last one crashed when it was scored."""
    dates = ["2024", "2023-12-31T23:59:59Z", None, "²² Mai 2025"]
    table = {"id": list("abcd"), "text": ["x", "yy", "zzz", "yyyy"], "language": LANGUAGES, "date": dates}
    pq.write_table(pa.table(table), tmp_path / "documents.parquet")
    write_scores(tmp_path, [1, 3, 3, None])
    path = str(tmp_path / "documents.parquet")
    payload = {"format": "parquet", "path": path, "groups": None, "row": 0, "scores": str(tmp_path / "scores.parquet")}
    return Unit(0, path, 0, payload)


def write_scores(folder, points, heads=("h",), reasons=(None, None, None, "score_crash")):
    n = len(points)
    rows = {"id": list("abcdef")[:n], "language": [*LANGUAGES, *LANGUAGES][:n], "reason": list(reasons)[:n]}
    rows |= {"bytes": [1, 2, 3, 4, 5, 6][:n], "tokens": [1] * n}
    rows |= dict.fromkeys(heads, points)
    pq.write_table(pa.table(rows, schema=score_schema(list(heads))), folder / "scores.parquet")


def write_clusters(folder, sizes):
    n = len(sizes)
    table = {"id": list("abcd")[:n], "cluster": [1] * n, "cluster_size": sizes, "representative": [True] * n}
    pq.write_table(pa.table(table, schema=CLUSTER), folder / "clusters.parquet")
    return {"clusters": str(folder / "clusters.parquet")}


def rules(by="annotator", copy="best", where=None, heads=("h",)):
    histograms = Histograms(["h"], Bins())
    histograms.add(np.array([[1.0], [3.0]]), np.zeros(2, np.int64), ["deu_Latn"], np.ones((3, 2), np.int64))
    cuts = Cuts(["h"], "all", 0.5, {"deu_Latn": LanguageCut("deu_Latn", "score", None, np.array([2.0]))}, histograms)
    parsed = Where.parse(where, ["h"]) if where else None
    return Rules(by, copy, tuple(heads), parsed, cuts, 0.5, None)


def reasons(unit, *arguments, **changes):
    return judge(Unit(0, unit.source, 0, {**unit.payload, **changes}), rules(*arguments)).reasons.to_list()


def test_a_language_that_nothing_was_counted_for_has_too_few_documents(unit):
    verdicts = judge(unit, rules())
    assert verdicts.reasons.to_list() == ["below_cut", None, "too_few_documents", "score_crash"]
    ranks = rules().cuts.ranks(verdicts.points, verdicts.codes, verdicts.names)
    assert ranks[:2].tolist() == [0.25, 0.75] and np.isnan(ranks[2:]).all()


def test_heuristics_do_not_ask_for_a_cut(unit):
    assert reasons(unit, "heuristics") == [None, None, None, "score_crash"]


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_score_that_is_no_number_and_has_no_reason_is_counted_as_not_scored(unit, tmp_path, missing):
    write_scores(tmp_path, [missing, 3, missing, None])
    assert reasons(unit) == ["not_scored", None, "not_scored", "score_crash"]
    write_scores(tmp_path, [float("inf"), float("-inf"), 3, None])
    assert reasons(unit) == [None, "below_cut", "too_few_documents", "score_crash"]


def test_a_unit_that_has_no_scores_has_not_been_scored(unit):
    payload = {name: value for name, value in unit.payload.items() if name != "scores"}
    bare = Unit(0, unit.source, 0, payload)
    assert judge(bare, rules()).reasons.to_list() == ["not_scored"] * 4
    assert judge(bare, rules("heuristics", heads=())).reasons.to_list() == [None] * 4


def test_the_same_verdicts_whether_documents_are_read_or_the_tables_beside_them_say_it(unit, tmp_path):
    clusters = write_clusters(tmp_path, [1, 2, 1, 2])
    beside = Unit(0, unit.source, 0, {**unit.payload, **clusters, "path": "nowhere.parquet"})
    verdicts = judge(beside, rules())  # the documents are not there, and nobody looks
    assert verdicts.reasons.to_list() == reasons(unit, **clusters)
    assert [verdicts.names[code] for code in verdicts.codes] == LANGUAGES
    assert verdicts.clusters.column("cluster_size").to_pylist() == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("score_h > 2.5 OR tokens > 5", ["where", None, None, "score_crash"]),
        ("bytes >= 2", ["where", None, None, "score_crash"]),
        ("cluster_size > 1", ["where"] * 3 + ["score_crash"]),
        ("date >= '2024'", [None, "where", "where", "score_crash"]),
    ],
)
def test_an_expert_rule_reads_documents_clusters_and_scores(unit, where, expected):
    assert reasons(unit, "heuristics", "best", where) == expected


def test_an_expert_rule_sees_the_size_of_a_cluster(unit, tmp_path):
    clusters = write_clusters(tmp_path, [1, 2, 5, 2])
    assert reasons(unit, "heuristics", "best", "cluster_size BETWEEN 2 AND 4", **clusters)[:3] == [
        "where",
        None,
        "where",
    ]


@pytest.mark.parametrize("rows", [3, 5])
def test_scores_of_other_documents_are_refused(unit, tmp_path, rows):
    write_scores(tmp_path, [1.0] * rows, reasons=[None] * rows)
    with pytest.raises(
        DataError, match=rf"4 rows of documents, {rows} rows of scores; they must be as many, so a table"
    ):
        judge(unit, rules(), ["text"])


def test_clusters_of_other_documents_are_refused(unit, tmp_path):
    clusters = write_clusters(tmp_path, [1, 2])
    with pytest.raises(DataError, match="4 rows of scores, 2 rows of clusters"):
        reasons(unit, **clusters)


def test_scores_without_the_head_that_votes_are_refused(unit, tmp_path):
    write_scores(tmp_path, [1, 3, 3, None], heads=("other",))
    with pytest.raises(DataError, match=r"scores\.parquet: made by another annotator, or broken; it cannot be read"):
        judge(unit, rules())
    (tmp_path / "scores.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"scores\.parquet: made by another annotator, or broken"):
        judge(unit, rules())


def test_the_newest_of_dates_in_any_form(unit):
    verdicts = judge(unit, rules(copy="newest"), ["date"])
    assert merit(rules(copy="newest"), verdicts, np.arange(4)).tolist() == [
        20240000000000,
        20231231235959,
        0,
        20250000000000,
    ]


def test_the_longest_counts_characters(unit):
    verdicts = judge(unit, rules(copy="longest"), ["text"])
    points = merit(rules(copy="longest"), verdicts, np.array([2, 0]))
    assert points.tolist() == [3, 1]
    same = np.zeros(2, np.uint64)
    assert best_of_each(same, points, same, np.arange(2)).tolist() == [0]
