"""Reasons as codes: the same as merging lists of them row by row, whatever the order of the columns."""

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from jql.select.reasons import Reasons, encode

WORDS = st.sampled_from(["a", "b", "below_cut", None])


@given(st.lists(st.tuples(WORDS, WORDS, st.booleans(), st.sampled_from(["deu", "swe", "kat"])), max_size=40))
def test_the_first_reason_of_each_row_counts(rows):
    first, second, dropped, languages = ([row[i] for row in rows] for i in range(4))
    reasons = Reasons.none(len(rows))
    reasons.add(pa.array(first, pa.string()))
    reasons.drop(np.array(dropped, bool), "dropped")
    reasons.add(pa.chunked_array([pa.array(second, pa.string())]), "x_")
    expected = [
        a or ("dropped" if d else None) or ("x_" + b if b else None)
        for a, b, d in zip(first, second, dropped, strict=True)
    ]
    assert reasons.to_list() == expected
    assert reasons.passes.tolist() == [reason is None for reason in expected]
    names, groups = encode(pa.array(languages, pa.string()))
    counted = Counter(zip(languages, expected, strict=True))
    found = reasons.by_group(groups, names)
    assert {(g, r): n for g, counts in found.items() for r, n in counts.items() if r != "kept"} == {
        (g, r): n for (g, r), n in counted.items() if r
    }
    assert sum(sum(counts.values()) for counts in found.values()) == len(rows)


def test_a_reason_that_is_there_stays():
    reasons = Reasons.none(3)
    reasons.drop(np.array([0, 1]), "a")
    reasons.drop(np.array([1, 2]), "b")
    assert reasons.to_list() == ["a", "a", "b"] and reasons.names == ["a", "b"]
    assert reasons.by_group(np.array([0, 0, 1]), ["x", "y"]) == {"x": {"a": 2}, "y": {"b": 1}}
    assert Reasons.none(0).by_group(np.zeros(0, np.int64), []) == {}
