"""Calibration by language: closer to the points of the rubric, and never another order."""

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as limit
from hypothesis import strategies as st

from jql.annotator.calibration import FEWEST, Calibration, fit_calibration


def judged(seed: int, n: int, slope: float = 2.0, shift: float = -1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and whole labels that lie elsewhere than the scores say."""
    draw = np.random.default_rng(seed)
    scores = draw.normal(1.5, 0.6, n).astype(np.float32)
    return scores, np.clip(np.round(slope * scores + shift + draw.normal(0, 0.4, n)), 0, 5)


@limit(max_examples=60)
@given(st.integers(0, 10**6), st.integers(FEWEST, 300), st.floats(-3, 3), st.floats(-3, 3), st.sampled_from([0, 1, 3]))
@example(0, 50, -2.0, 3.0, 0)  # labels fall as scores rise: isotonic regression is flat
def test_a_map_is_strictly_monotone_and_keeps_the_order(seed, n, slope, shift, digits):
    scores, labels = judged(seed, n, slope, shift)
    if digits:
        scores = scores.round(digits)  # with ties
    knots = fit_calibration(scores, labels, ["deu_Latn"] * n)
    if len(set(labels.tolist())) == 1 or np.ptp(scores) == 0:
        assert knots == {}
        return
    places, mapped = knots["deu_Latn"]
    assert len(places) == len(mapped) <= 20 and np.isfinite(mapped).all()
    assert (np.diff(places) > 0).all() and (np.diff(mapped) > 0).all()
    grid = np.sort(np.concatenate([scores, np.linspace(-9, 15, 200, dtype=np.float32)]))
    out = Calibration({"edu": knots}).apply(grid[:, None], ["deu_Latn"] * len(grid), ["edu"])[:, 0]
    assert out.dtype == np.float32 and (np.diff(out) >= 0).all()
    assert (np.diff(out)[np.diff(grid) > 1e-4] > 0).all()
    assert np.array_equal(out[np.flatnonzero(np.diff(grid) == 0)], out[np.flatnonzero(np.diff(grid) == 0) + 1])


@limit(max_examples=30)
@given(st.integers(0, 10**6))
def test_a_quantile_cut_of_a_language_takes_the_same_documents(seed):
    scores, labels = judged(seed, 200)
    calibration = Calibration({"edu": fit_calibration(scores, labels, ["deu_Latn"] * 200)})
    new = np.unique(np.random.default_rng(seed + 1).normal(1.5, 0.6, 300).round(3)).astype(np.float32)
    out = calibration.apply(new[:, None], ["deu_Latn"] * len(new), ["edu"])[:, 0]
    for q in (0.1, 0.5, 0.9):
        assert np.array_equal(new >= np.quantile(new, q, method="higher"), out >= np.quantile(out, q, method="higher"))


def test_new_scores_are_closer_to_the_labels():
    languages = np.array(["deu_Latn", "mlt_Latn"] * 300, object)
    a, b = judged(1, 600, 2.0, -1.5), judged(2, 600, 0.4, 2.0)
    here = languages == "deu_Latn"
    scores, labels = np.where(here, a[0], b[0]), np.where(here, a[1], b[1])
    train, test = np.arange(400), np.arange(400, 600)
    calibration = Calibration({"edu": fit_calibration(scores[train], labels[train], languages[train].tolist())})
    out = calibration.apply(scores[test, None], languages[test].tolist(), ["edu"])[:, 0]
    for language in ("deu_Latn", "mlt_Latn"):
        rows = languages[test] == language
        before, after = (np.abs(s[rows] - labels[test][rows]).mean() for s in (scores[test], out))
        assert after < 0.7 * before


def test_languages_with_few_labels_or_one_are_left_as_they_are():
    scores, labels = judged(3, 300)
    languages = ["deu_Latn"] * 150 + ["fra_Latn"] * (FEWEST - 1) + ["mlt_Latn"] * (101)
    labels[-101:] = 2
    knots = fit_calibration(scores, labels, languages)
    assert list(knots) == ["deu_Latn"]
    assert fit_calibration(np.ones(60), labels[:60], ["deu_Latn"] * 60) == {}
    out = Calibration({"edu": knots}).apply(scores[:, None], languages, ["edu"])
    assert np.array_equal(out[150:, 0], scores[150:]) and not np.array_equal(out[:150, 0], scores[:150])
    assert len(fit_calibration(scores[:FEWEST], labels[:FEWEST], ["fra_Latn"] * FEWEST)) == 1


def test_only_the_heads_and_languages_with_a_map_change_and_the_input_does_not():
    calibration = Calibration({"web": {"deu_Latn": [[1.0, 2.0], [0.0, 4.0]]}})
    points = np.array([[1.5, 1.5], [0.5, 0.5], [3.0, 3.0], [1.5, 1.5]], np.float32)
    before = points.copy()
    out = calibration.apply(points, ["deu_Latn", "deu_Latn", "deu_Latn", "fra_Latn"], ["edu", "web"])
    assert out[:, 0].tolist() == before[:, 0].tolist()
    assert out[:, 1].tolist() == [2.0, -0.5, 5.0, 1.5]  # between the knots, below and above at slope 1, no map
    assert np.array_equal(points, before)


def test_to_json_and_back_is_identity():
    scores, labels = judged(4, 80)
    made = Calibration({"edu": fit_calibration(scores, labels, ["deu_Latn"] * 80)})
    again = Calibration.from_json(json.loads(json.dumps(made.to_json())))
    assert again == made
    points = scores[:, None]
    assert np.array_equal(
        again.apply(points, ["deu_Latn"] * 80, ["edu"]), made.apply(points, ["deu_Latn"] * 80, ["edu"])
    )
    assert np.array_equal(Calibration.from_json({}).apply(points, ["deu_Latn"] * 80, ["edu"]), points)


def test_scores_that_hardly_differ_get_one_knot():
    scores = np.full(60, 2.0)
    scores[0] = 2.5
    knots = fit_calibration(scores, np.array([5.0] + [1.0] * 59), ["deu_Latn"] * 60)
    out = Calibration({"edu": knots}).apply(np.array([[2.0], [2.5]]), ["deu_Latn"] * 2, ["edu"])[:, 0]
    assert out[0] == pytest.approx(1.0) and out[1] > out[0]
