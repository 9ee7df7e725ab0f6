"""Laws of sampling: what balanced means, and that an epoch has the documents it promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.annotator.sampling import draw_epoch, sampling_weights

ROWS = st.lists(st.tuples(st.floats(0, 5), st.sampled_from(["0/deu_Latn", "1/deu_Latn", "0/fra_Latn"])), min_size=1)


@given(ROWS)
def test_balanced_gives_every_label_of_a_group_the_same_total(rows):
    labels, groups = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    weights = sampling_weights(labels, groups, "balanced")
    points = np.array([int(label + 0.5) for label in labels])
    assert weights.sum() == pytest.approx(len(rows)) and (weights > 0).all()
    for group in set(groups):
        here = groups == group
        totals = [weights[here & (points == p)].sum() for p in set(points[here])]
        assert totals == pytest.approx([here.sum() / len(totals)] * len(totals))
        for p in set(points[here]):
            assert len(set(weights[here & (points == p)])) == 1


def test_balanced_in_figures():
    labels = np.array([0.0] * 97 + [5.0] * 3)
    weights = sampling_weights(labels, np.array(["g"] * 100), "balanced")
    assert weights[:97] == pytest.approx(50 / 97) and weights[97:] == pytest.approx(50 / 3)
    assert sampling_weights(np.array([0.49, 0.5, 1.49, 2.5]), np.array(["g"] * 4), "balanced") == pytest.approx(
        [4 / 3, 2 / 3, 2 / 3, 4 / 3]  # halves up: points 0, 1, 1, 3
    )


@given(ROWS, st.integers(0, 99))
def test_a_natural_epoch_is_a_permutation(rows, seed):
    weights = sampling_weights(np.array([r[0] for r in rows]), np.array([r[1] for r in rows]), "natural")
    assert weights.tolist() == [1.0] * len(rows)
    assert sorted(draw_epoch(weights, np.random.default_rng(seed)).tolist()) == list(range(len(rows)))


@given(ROWS, st.integers(0, 99))
def test_a_balanced_epoch_has_n_documents_and_each_as_often_as_its_weight_says(rows, seed):
    weights = sampling_weights(np.array([r[0] for r in rows]), np.array([r[1] for r in rows]), "balanced")
    drawn = draw_epoch(weights, np.random.default_rng(seed))
    assert len(drawn) == len(rows)
    times = np.bincount(drawn, minlength=len(rows))
    assert (times >= np.floor(weights - 1e-9)).all()


def test_over_many_epochs_every_document_comes_as_often_as_its_weight():
    draw = np.random.default_rng(0)
    labels, groups = draw.choice(6, 50, p=[0.4, 0.3, 0.15, 0.05, 0.05, 0.05]), draw.choice(["a", "b"], 50)
    weights = sampling_weights(labels.astype(float), groups, "balanced")
    times = sum(np.bincount(draw_epoch(weights, draw), minlength=50) for _ in range(2000))
    assert times / 2000 == pytest.approx(weights, abs=0.1)
    first, second = (draw_epoch(np.ones(50), np.random.default_rng(s)) for s in (1, 2))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, draw_epoch(np.ones(50), np.random.default_rng(1)))
