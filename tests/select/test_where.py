"""The expert rule: what it says of rows, by hand and against numpy, and what is refused before a run begins."""

import pickle
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.errors import RecipeError
from jql.select import expression
from jql.select.where import Where, columns_for

HEADS = ["a", "b"]


def holds(rule, table):
    found = Where.parse(rule, HEADS).holds(table)
    assert found.dtype == bool and found.shape == (table.num_rows,)
    return found.tolist()


def test_columns_are_in_a_fixed_order_and_told_apart_by_where_they_stand():
    rule = Where.parse(
        'SCORE_B > 1 AND bytes > tokens AND "minhash_cluster_size" < 9 AND cluster_size > 1 AND signal_line_punct > 0.1 '
        "AND score_a > 0 AND language_score > 0 AND Bytes > 2",
        HEADS,
    )
    assert rule.document_columns == ("language_score", "signal_line_punct", "minhash_cluster_size")
    assert rule.cluster_columns == ("cluster_size",)
    assert rule.score_columns == ("bytes", "tokens", "score_a", "score_b")
    assert [name for name in columns_for(HEADS) if name in rule.columns] == list(rule.columns)
    assert set(rule.columns) == {*rule.document_columns, *rule.cluster_columns, *rule.score_columns}


def test_a_head_with_an_odd_name_is_quoted():
    rule = Where.parse('"score_Edu ""v2""" > 1', ['Edu "v2"', "a"])
    assert rule.columns == ('score_Edu "v2"',)
    assert rule.holds(pa.table({'score_Edu "v2"': [2.0, 0.0]})).tolist() == [True, False]


def test_heads_that_differ_in_case_alone_are_told_apart_or_refused():
    table = pa.table({"score_A": [2.0], "score_a": [0.0]})
    for name, expected in (("score_A", True), ("score_a", False)):
        assert Where.parse(f"{name} > 1", ["A", "a"]).holds(table).tolist() == [expected]
    with pytest.raises(RecipeError, match=r"select\.where: score_A and score_a differ in case alone; rename one"):
        Where.parse("score_A > score_a", ["A", "a"])


def test_what_is_missing_does_not_hold():
    table = pa.table(
        {
            "score_a": pa.array([2.0, None, np.nan, 1.0], pa.float32()),
            "url": ["https://a.example/x", None, "", "b"],
        }
    )
    assert holds("score_a > 1.2", table) == [True, False, False, False]
    assert holds("NOT score_a > 1.2", table) == [False, False, False, True]
    assert holds("score_a IS NULL OR score_a > 1.2", table) == [True, True, True, False]
    assert holds("url LIKE 'https://%' OR score_a <= 1", table) == [True, False, False, True]
    assert holds("CASE WHEN score_a < 9 THEN NULL ELSE TRUE END", table) == [False, True, True, False]


def test_a_number_is_compared_as_the_float_that_is_stored():
    table = pa.table({"language_score": np.array([0.7, 0.8, 1.2], np.float32)})
    assert holds("language_score >= 0.7 AND language_score < 1.2", table) == [True, True, False]
    assert holds("language_score > 0.7", table.cast(pa.schema([("language_score", pa.float64())]))) == [
        False,
        True,
        True,
    ]


def test_columns_come_as_their_types():
    table = pa.table(
        {
            "language": pa.array(["deu_Latn", "swe_Latn", None]).dictionary_encode(),
            "minhash_cluster_size": ["3", "12", "7"],  # as read_documents gives a column that is not one of ours
            "date": pa.nulls(3),
        }
    )
    assert holds("language = 'deu_Latn' OR language = 'xyz_Latn'", table) == [True, False, False]
    assert holds("minhash_cluster_size BETWEEN 4 AND 12 AND date IS NULL", table) == [False, True, True]


def test_a_row_for_which_it_cannot_be_computed_does_not_hold():
    dates = ["2024-05-01", "yesterday", None, "2019-01-01", "2024-02-30"]
    table = pa.table({"date": dates, "bytes": [10, 10, 0, 0, 0]})
    assert holds("CAST(date AS DATE) >= DATE '2020-01-01'", table) == [True, False, False, False, False]
    assert holds("CAST(date AS DATE) >= DATE '2020-01-01' OR bytes > 5", table) == [True, False, False, False, False]
    assert holds("TRY_CAST(date AS DATE) >= DATE '2020-01-01' OR bytes > 5", table) == [True, True, False, False, False]
    assert holds("10 // bytes = 1", table) == [True, True, False, False, False]
    assert holds("(bytes * 100)::TINYINT >= 0", table) == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("nullif(bytes, 2) > 1", [False, False]),
        ("split_part(url, '/', 3) = 'a.example'", [True, False]),
        ("regexp_matches(url, '^https?:') AND length(text) < 5 -- short", [True, False]),
        ("list_sum([bytes, tokens]) = 3", [True, True]),
        ("contains(text, ';') OR text = 'it''s'", [False, True]),
        ("date::TIMESTAMPTZ = '2024-05-01 10:00:00+00'::TIMESTAMPTZ", [True, False]),
        ("bytes > 1\nAND /* both */ tokens IN (1, 3)", [False, True]),
    ],
)
def test_functions_of_one_row(rule, expected):
    table = pa.table(
        {
            "url": ["https://a.example/x", "ftp://b"],
            "text": ["one", "it's"],
            "bytes": [1, 2],
            "tokens": [2, 1],
            "date": ["2024-05-01T10:00:00", "2024-05-01T12:00:00+00"],
        }
    )
    assert holds(rule, table) == expected


floats = st.one_of(st.none(), st.sampled_from([np.nan, 0.7, 1.2]), st.floats(0, 3, width=32))


@given(
    st.lists(st.tuples(floats, floats, st.one_of(st.none(), st.integers(0, 9))), max_size=40),
    st.decimals(0, 3, places=2),
    st.integers(0, 9),
    st.integers(1, 9),
)
def test_it_says_what_numpy_says_however_the_table_is_cut(rows, cut, size, chunk):
    names = ["language_score", "score_a", "cluster_size"]
    schema = pa.schema([(name, columns_for(HEADS)[name]) for name in names])
    table = pa.table([list(column) for column in zip(*rows, strict=True)] or [[]] * 3, schema=schema)
    a, b = (np.array([np.nan if v is None else v for v in table.column(i).to_pylist()], np.float32) for i in range(2))
    n = np.array([-1 if v is None else v for v in table.column(2).to_pylist()])
    expected = (a >= np.float32(cut)) & (b > np.float32(1.2)) | (n > size)
    pieces = [table.slice(i, chunk) for i in range(0, len(rows), chunk)]
    cut_up = pa.concat_tables(pieces, promote_options="none") if pieces else table
    rule = f"language_score >= {cut} AND score_a > 1.2 OR cluster_size > {size}"
    assert holds(rule, table) == holds(rule, cut_up) == expected.tolist()


def test_rows_keep_their_order():
    values = np.random.default_rng(0).integers(0, 2**40, 500_000)
    table = pa.table({"bytes": pa.chunked_array(np.array_split(values, 37))})
    assert np.array_equal(Where.parse("bytes % 3 = 1", HEADS).holds(table), values % 3 == 1)


def test_it_is_pickled_without_its_connection():
    rule = Where.parse("score_a > 1", HEADS)
    copy = pickle.loads(pickle.dumps(rule))
    assert copy == rule and copy.holds(pa.table({"score_a": [2.0, 0.0]})).tolist() == [True, False]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("lang_score > 0.5", "no column 'lang_score'; did you mean language_score\\?"),
        ("A > 1", r"no column 'A'; did you mean score_a\?"),
        ("anger > 1", "no column 'anger'; there are id, .*score_b, and signal_"),
        ("stop_words > 0.1", "no column 'stop_words'; did you mean signal_stop_words\\?"),
        ('language = "deu_Latn"', "no column 'deu_Latn'; there are .* a text stands in single quotes"),
        ("documents.bytes > 1", r"no column 'documents\.bytes'"),
        ("rowid > 1", "no column 'rowid'"),
        ("bytes", r"expected a condition, true or false, got BIGINT; compare it, as in \.\.\. > 0"),
        ("bytes > 1, tokens > 1", "expected a condition, true or false, got TUPLE"),
        ("TRUE", "no column in it; expected one condition .* such as language_score >= 0.8"),
        (" ", "empty; expected one condition on the columns of a single document"),
        ("bytes > 1 AND", "it ends too early; expected one condition"),
        ("bytes > 1) FROM documents --", "it ends too early"),
        ("bytes > 1 /* so", 'unterminated /\\* comment at or near "/\\* so"; expected'),
        ("url = 'é' AND )", 'syntax error at or near "\\)"; expected one condition'),
        ("bytes > 1; DROP TABLE x", 'syntax error at or near ";"'),
        ("bytes > 1); SELECT (TRUE", "more than an expression; expected one condition"),
        ("bytes > 1), (tokens > 1", "more than an expression"),
        ("bytes > 1) UNION SELECT (TRUE", "more than an expression"),
        ("bytes > (SELECT 1)", "a subquery is not allowed; expected one condition"),
        ("bytes IN (SELECT bytes FROM documents)", "a subquery is not allowed"),
        ("bytes > avg(bytes)", "avg is a function of many documents; expected one condition"),
        ("weighted_avg(bytes, tokens) > 1", "sum is a function of many documents"),
        ("row_number() OVER () < bytes", "a window function is not allowed"),
        ("unnest([bytes]) > 1", "no function unnest here"),
        ("COLUMNS(*) > 1", r"\* is not allowed"),
        ("len(list_filter([bytes], lambda x: x > 1)) > 0", "a lambda is not allowed"),
        ("lowwer(url) = 'x'", r"no function lowwer here; did you mean lower\?"),
        ("url.lower() = 'x'", r"url\.lower\(\.\.\.\) is not allowed; write lower\(url, \.\.\.\)"),
        ("random() < 0.5 AND bytes > 1", "random is not the same at every call, and a verdict must be; leave it out"),
        ("date > now()::VARCHAR", "now is not the same at every call"),
        ("age(date::TIMESTAMP) > INTERVAL 3 DAY", "age is not the same at every call"),
        ("lower(bytes) = 'x'", r"No function matches the given name and argument types 'lower\(BIGINT\)'"),
        ("url > 1", "Cannot compare values of type VARCHAR and type INTEGER_LITERAL"),
        ("date::DATE > 'abc'", 'invalid date field format: "abc"'),
        ("url ~ '('", r"Invalid Input Error: missing \)"),
        ("read_text('/etc/passwd') = url", "no function read_text here"),
    ],
)
def test_what_is_no_rule_is_refused_on_one_line(rule, message):
    with pytest.raises(RecipeError, match=f"^select\\.where: .*{message}") as caught:
        Where.parse(rule, HEADS)
    assert "\n" not in str(caught.value)


def test_a_missing_library_says_what_to_install(monkeypatch):
    expression.connection.cache_clear()
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(RecipeError, match=r"select\.where: duckdb is not installed; pip install 'jql\[rules\]'"):
        Where.parse("bytes > 1", HEADS)
    with pytest.raises(RecipeError, match=r"pip install 'jql\[rules\]'"):
        Where("bytes > 1", ("bytes",)).holds(pa.table({"bytes": [1]}))
