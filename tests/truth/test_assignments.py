import itertools

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from jql.truth.assignments import assign, evenly, meetings


@given(st.integers(0, 60), st.floats(0, 1))
def test_a_share_is_spread_evenly_over_the_row(n, share):
    chosen = evenly(n, share)
    k = round(n * share)
    assert (len(chosen), sum(chosen)) == (n, k)
    gaps = [i for i, more in enumerate(chosen) if more]
    assert all(b - a in (n // k, n // k + 1) for a, b in itertools.pairwise(gaps))


def test_shares_at_the_ends():
    assert evenly(4, 0) == [False] * 4
    assert evenly(4, 1) == [True] * 4
    assert evenly(4, 0.5) == [False, True, False, True]


@given(st.integers(1, 8), st.data())
@hypothesis_settings(max_examples=40)
def test_loads_differ_by_one_at_most(raters, data):
    labels = data.draw(st.lists(st.sampled_from([1, raters, (raters + 1) // 2]), max_size=25))
    teams = assign(labels, raters, data.draw(st.integers(0, 3)))
    assert [len(set(team)) for team in teams] == labels
    loads = [sum(rater in team for team in teams) for rater in range(raters)]
    assert max(loads) - min(loads) <= 1


@pytest.mark.parametrize(
    ("raters", "labels", "documents", "apart"),
    [
        (3, 2, 30, 0),
        (5, 3, 100, 0),
        (6, 3, 100, 0),
        (7, 3, 7, 0),
        (15, 3, 311, 2),
        (20, 2, 300, 1),
    ],  # the last is 7 apart without swaps
)
def test_pairs_of_raters_meet_equally_often(raters, labels, documents, apart):
    teams = assign([labels] * documents, raters, 0)
    fewest, most = meetings(teams, raters)
    assert most - fewest <= apart
    expected = documents * labels * (labels - 1) / (raters * (raters - 1))
    assert fewest <= expected <= most


def test_documents_with_many_labels_do_not_crowd_out_the_others():
    teams = assign([1, 3, 1, 1], 3, 0)
    assert teams[1] == [0, 1, 2]
    assert sorted(team[0] for team in (teams[0], *teams[2:])) == [0, 1, 2]


def test_assignments_hang_on_the_seed_alone():
    labels = [2] * 40
    assert assign(labels, 6, 1) == assign(labels, 6, 1)
    assert assign(labels, 6, 1) != assign(labels, 6, 2)


def test_meetings():
    assert meetings([[0, 1], [0, 1], [1, 2], [2]], 3) == [0, 2]
    assert meetings([[0], [0]], 1) == []
