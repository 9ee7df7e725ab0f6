"""Rehydration: by hand, the laws of its parts, and that noise and small crawls teach nothing."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.select.rehydrate import LEAST, Repeats, learn_repeats, pool_starts, smooth, stretch

rates = st.lists(st.floats(0, 1), min_size=1, max_size=20).map(np.array)
sizes = st.dictionaries(st.integers(1, 60), st.tuples(st.integers(0, 4000), st.floats(0, 1)), max_size=20)


def counts(found):
    return {s: n for s, (n, _) in found.items()}, {s: int(n * rate) for s, (n, rate) in found.items()}


def test_by_hand_below_five_sizes():
    # 55 % are removed of the language, 70 of size 1 and 60 of size 2, 40 of size 3, 50 of size 4.
    documents = dict.fromkeys((1, 2, 3, 4), 10_000)
    removed = {1: 7000, 2: 6000, 3: 4000, 4: 5000}
    assert learn_repeats(documents, removed, 10).steps == {1: 1, 3: 10, 4: 4}
    assert learn_repeats(documents, removed, 4).steps == {1: 1, 3: 4, 4: 2}


def test_by_hand_smoothed_over_five_sizes():
    documents = dict.fromkeys(range(1, 8), 10_000)
    removed = {1: 5000, 2: 5000, 3: 5000, 4: 1500, 5: 5000, 6: 5000, 7: 5000}
    # 1 1 1 10 1 1 1, and of the middle ones the means of five: 2.8 each.
    assert learn_repeats(documents, removed, 10).of(np.arange(9)).tolist() == [1, 1, 1, 3, 3, 3, 1, 1, 1]


def test_sizes_of_few_documents_are_pooled_with_their_neighbours():
    assert pool_starts([1500, 400, 700, 300, 300, 500, 2000, 999], 1000) == [0, 1, 3, 6]
    assert pool_starts([999], 1000) == [] == pool_starts([], 1000)
    # One document of 12 copies that stayed does not make 12 the best size.
    documents = {1: 20_000, 2: 9000, 3: 4000, 12: 1}
    removed = {1: 14_000, 2: 5000, 3: 1000, 12: 0}
    assert learn_repeats(documents, removed, 10).steps == {1: 1, 2: 2, 3: 10}


def test_sizes_that_were_not_there_get_what_the_next_smaller_has():
    found = Repeats({3: 1, 5: 4, 9: 2})
    assert found.of(np.array([0, 1, 2, 3, 4, 5, 8, 9, 10**9])).tolist() == [1, 1, 1, 1, 1, 4, 4, 2, 2]
    assert found.of(np.array([], np.int64)).dtype == np.int32


@pytest.mark.parametrize(
    ("documents", "removed"),
    [
        ({}, {}),
        ({1: 0, 2: 0}, {}),
        ({1: 900, 2: 900}, {1: 900}),
        ({1: 1_000_000, 2: 999}, {1: 900_000}),
        ({1: 50_000, 2: 50_000}, {1: 25_000, 2: 25_000}),
        ({1: 50_000, 2: 50_000}, {}),
        ({1: 50_000, 2: 50_000}, {1: 50_000, 2: 50_000}),
        ({1: 2000, 2: 2000}, {1: 1100, 2: 1000}),
    ],
    ids=["none", "zeros", "few", "few copies", "equal", "none removed", "all removed", "hardly different"],
)
def test_where_nothing_can_be_learnt_each_is_seen_once(documents, removed):
    found = learn_repeats(documents, removed, 10)
    assert found == Repeats({}) and found.of(np.array([1, 2, 300])).tolist() == [1, 1, 1]


def test_noise_is_taken_for_no_pattern():
    random = np.random.default_rng(0)
    documents = {size: int(300_000 / size**1.5) + 1 for size in range(1, 500)}
    for _ in range(20):
        removed = {size: int(random.binomial(n, 0.6)) for size, n in documents.items()}
        assert learn_repeats(documents, removed, 10) == Repeats({})


def test_a_sample_of_a_crawl_teaches_nearly_the_same():
    random = np.random.default_rng(0)
    sizes_S = np.arange(1, 200)
    share_S = 0.38 + 0.28 * np.abs(np.log(sizes_S / 20)) / np.log(20)
    documents = {int(size): int(2e8 / size**1.6) for size in sizes_S}
    whole = learn_repeats(documents, {s: int(documents[s] * share_S[s - 1]) for s in documents}, 10)
    part = {size: n // 1000 for size, n in documents.items()}
    drawn = learn_repeats(part, {s: int(random.binomial(part[s], share_S[s - 1])) for s in part}, 10)
    assert whole.of(np.array([1, 20])).tolist() == [1, 10]
    assert np.abs(whole.of(sizes_S) - drawn.of(sizes_S))[:40].max() <= 1


@given(sizes, st.integers(1, 12), st.randoms())
def test_from_one_to_most_whatever_the_order(found, most, random):
    documents, removed = counts(found)
    learnt = learn_repeats(documents, removed, most)
    asked = np.arange(80)
    times = learnt.of(asked)
    assert times.min() >= 1 and times.max() <= most
    mixed = random.sample(sorted(documents), len(documents))
    assert learn_repeats({s: documents[s] for s in mixed}, removed, most) == learnt
    assert times.tolist() == [int(learnt.of(np.array([size]))[0]) for size in asked]
    if most == 1:
        assert set(times.tolist()) == {1}


@given(rates, st.floats(0, 1), st.integers(1, 12))
def test_the_lower_the_rate_the_more_often(rates_B, overall, most):
    times_B = stretch(rates_B, overall, most)
    order = np.argsort(rates_B, kind="stable")
    assert (np.diff(times_B[order]) <= 1e-9).all()
    assert (times_B[rates_B >= overall] == 1).all()
    if rates_B.min() < overall:
        assert times_B[order[0]] == most


@given(rates)
def test_smoothing_stays_between_the_extremes_and_leaves_the_ends(values_B):
    smoothed_B = smooth(values_B)
    assert smoothed_B.min() >= values_B.min() - 1e-9 and smoothed_B.max() <= values_B.max() + 1e-9
    assert np.array_equal(smoothed_B[[0, -1]], values_B[[0, -1]])


@given(st.dictionaries(st.integers(1, 500), st.integers(1, 10), max_size=9).map(lambda d: dict(sorted(d.items()))))
def test_steps_survive_json(steps):
    found = Repeats(steps)
    assert Repeats.from_json(json.loads(json.dumps(found.to_json(), sort_keys=True))) == found


def test_more_removed_than_there_were_is_a_mistake_of_ours():
    with pytest.raises(AssertionError, match="more removed than there were"):
        learn_repeats({1: LEAST, 2: LEAST}, {1: LEAST + 1}, 10)
