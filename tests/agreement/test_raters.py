"""Agreement coefficients: published tables, hand computations, laws, and the libraries that define them."""

import krippendorff
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from jql.agreement.figures import Settings
from jql.agreement.raters import (
    alpha,
    alpha_of_counts,
    checked_ratings,
    document_figures,
    fleiss_of_counts,
    kappa_of_counts,
    of_the_others,
    with_intervals,
)
from jql.agreement.raters import given as counted
from jql.errors import DataError

NAN = np.nan
# Krippendorff 2011, part C: four observers, twelve units.
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)
# The table of fourteen raters, ten subjects and five categories that textbooks give for Fleiss' kappa.
FOURTEEN = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
)
ONE = np.ones((1, 10))
points = st.sampled_from([0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 5.0])


@st.composite
def matrices(draw, missing=True, most_raters=4):
    raters, documents = draw(st.integers(2, most_raters)), draw(st.integers(2, 12))
    values = st.one_of(points, st.just(NAN)) if missing else points
    rows = st.lists(values, min_size=documents, max_size=documents)
    return np.array(draw(st.lists(rows, min_size=raters, max_size=raters)))


def alphas(ratings):
    values, held = counted(ratings)
    return [alpha(held, values, metric) for metric in ("ordinal", "interval")]


def same(found, expected):
    return np.isnan(found) if expected is None else found == pytest.approx(expected, abs=1e-10)


def test_alpha_of_the_published_table():
    assert alphas(PUBLISHED) == [pytest.approx(0.815, abs=5e-4), pytest.approx(0.849, abs=5e-4)]


def test_alpha_by_hand():
    # Coincidences 00: 2, 11: 2, 01 and 10: 1 each; observed 2/6, expected 2 * 3 * 3 / (6 * 5).
    assert alphas(np.array([[0.0, 1, 0], [0, 1, 1]]))[1] == pytest.approx(1 - (2 / 6) / (18 / 30))


def test_alpha_is_not_defined_where_all_that_can_be_paired_is_equal():
    assert alphas(np.full((3, 4), 2.0)) == [None, None]
    assert alphas(np.array([[2.0, 2, 5], [2, 2, NAN]])) == [None, None]  # the 5 stands alone: the library says NaN
    assert alphas(np.array([[1.0, NAN], [NAN, 2]])) == [None, None]


def test_points_that_nobody_gave_do_not_change_ordinal_alpha():
    ratings = np.array([[0, 1, 5, 5, 1], [0, 5, 5, 1, 1.0]])
    _, held = counted(ratings)
    wide = np.zeros((5, 6), int)
    wide[:, [0, 1, 5]] = held
    assert alpha(wide, np.arange(6.0), "ordinal") == pytest.approx(alphas(ratings)[0], abs=1e-12)


@given(matrices())
def test_alpha_is_at_most_1_and_1_for_raters_who_are_alike(ratings):
    assert all(a is None or a <= 1 + 1e-12 for a in alphas(ratings))
    assert all(a is None or a == pytest.approx(1) for a in alphas(ratings[[0, 0]]))


@given(matrices(), st.sampled_from([-3.0, 0.5, 7.0]))
def test_a_constant_changes_no_alpha(ratings, constant):
    for found, moved in zip(alphas(ratings), alphas(ratings + constant), strict=True):
        assert (found is None) == (moved is None) and (found is None or moved == pytest.approx(found, abs=1e-10))


@given(matrices(), st.randoms(use_true_random=False))
def test_alpha_of_a_resample_is_the_librarys_alpha_of_the_copies(ratings, random):
    values, held = counted(ratings)
    counts = np.array([[random.randint(0, 3) for _ in range(ratings.shape[1])] for _ in range(3)], float)
    for metric in ("ordinal", "interval"):
        found = alpha_of_counts(held, values, metric, counts) if len(values) else [NAN] * 3
        for b in range(3):
            copies = np.repeat(ratings, counts[b].astype(int), axis=1)
            paired = copies[:, (~np.isnan(copies)).sum(axis=0) >= 2]
            if len(np.unique(paired[~np.isnan(paired)])) < 2:
                assert np.isnan(found[b])
            else:
                expected = krippendorff.alpha(copies, level_of_measurement=metric)
                assert found[b] == pytest.approx(expected, abs=1e-10)


@given(matrices(missing=False, most_raters=2), st.randoms(use_true_random=False))
def test_kappa_of_a_resample_is_scikit_learns_kappa_of_the_copies(ratings, random):
    counts = np.array([[random.randint(0, 3) for _ in range(ratings.shape[1])] for _ in range(3)], float)
    weights = {"kappa_quadratic": "quadratic", "kappa_linear": "linear", "kappa_unweighted": None}
    for ours, theirs in weights.items():
        found = kappa_of_counts(*ratings, ours, counts)
        for b in range(3):
            a, c = (np.repeat(2 * x, counts[b].astype(int)).astype(int) for x in ratings)  # its labels are places
            if len(np.unique([*a, *c])) < 2:
                assert np.isnan(found[b])
            else:
                expected = cohen_kappa_score(a, c, labels=range(11), weights=theirs)
                assert found[b] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("weights", ["kappa_quadratic", "kappa_linear", "kappa_unweighted"])
def test_kappa_at_its_ends(weights):
    labels = np.array([0.0, 1] * 5)
    assert kappa_of_counts(labels, labels, weights, ONE) == 1
    assert kappa_of_counts(labels, 1 - labels, weights, ONE) == -1
    assert np.isnan(kappa_of_counts(np.ones(10), np.ones(10), weights, ONE))


def test_skewed_labels_agree_in_8_of_10_and_kappa_is_375():
    a = np.array([0.0] * 8 + [5] * 2)
    b = np.array([0.0] * 7 + [5, 0, 5])
    assert kappa_of_counts(a, b, "kappa_unweighted", ONE) == pytest.approx(0.375)
    _, held = counted(np.array([a, b]))
    assert document_figures(np.array([a, b]), held)["raw_agreement"].mean() == 0.8


def test_quadratic_kappa_takes_means_and_a_point_that_nobody_gave_keeps_its_room():
    # Differences 0, 0, 2 of 0, 3, 5 against 0, 3, 3: observed 4/3, expected 1/9 of all squares 0+9+9+9+0+0+25+4+4.
    found = kappa_of_counts(np.array([0.0, 3, 5]), np.array([0.0, 3, 3]), "kappa_quadratic", np.ones((1, 3)))
    assert found == pytest.approx(1 - (4 / 3) / (60 / 9))
    halves = kappa_of_counts(np.array([0.0, 3, 5]) / 3, np.array([0.0, 3, 3]) / 3, "kappa_quadratic", np.ones((1, 3)))
    assert halves == pytest.approx(found)


def test_fleiss_of_the_textbook_table():
    assert fleiss_of_counts(FOURTEEN, ONE) == pytest.approx(0.210, abs=5e-4)
    twice = fleiss_of_counts(FOURTEEN, 2 * ONE)
    assert twice == pytest.approx(fleiss_of_counts(np.repeat(FOURTEEN, 2, axis=0), np.ones((1, 20))))


def test_fleiss_with_differing_numbers_of_raters_by_hand():
    # Equal pairs 1 and 1/3; shares of the first value 1 and 1/3; so (2/3 - 5/9) / (4/9).
    assert fleiss_of_counts(np.array([[2, 0], [1, 2]]), np.ones((1, 2))) == pytest.approx(0.25)
    assert np.isnan(fleiss_of_counts(np.array([[2, 0], [3, 0]]), np.ones((1, 2))))


def test_figures_of_documents_by_hand():
    ratings = np.array([[1, 1, 0, 0, 2], [1, 1, 1, 3, 2], [1, 2, 2, NAN, 5.0]])
    _, held = counted(ratings)
    found = document_figures(ratings, held)
    assert found["raw_agreement"].tolist() == pytest.approx([1, 1 / 3, 0, 0, 1 / 3])
    assert found["majority"].tolist() == [1, 1, 0, 0, 1]
    assert found["unanimous"].tolist() == [1, 0, 0, 0, 0]
    assert found["deviation"].tolist() == pytest.approx([0, (1 / 3) ** 0.5, 1, 4.5**0.5, 3**0.5])
    assert found["within_1"].tolist() == [1, 1, 0, 0, 0]
    assert found["within_2"].tolist() == [1, 1, 1, 0, 0]


def test_the_others_are_aggregated_without_the_rater():
    ratings = np.array([[1, 4, NAN, 2], [3, NAN, NAN, 2], [3, NAN, 5, 5]])
    expected = [[3, NAN, NAN, 3.5], [2, NAN, NAN, 3.5], [2, NAN, NAN, 2]]
    assert np.array_equal(of_the_others(ratings, "majority"), np.array(expected), equal_nan=True)


@given(matrices(), st.randoms(use_true_random=False))
def test_the_order_of_raters_and_documents_is_no_matter(ratings, random):
    rows, columns = list(range(ratings.shape[0])), list(range(ratings.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    keep = (~np.isnan(ratings)).sum(axis=0) >= 2
    assume(keep.any())
    (values, held), (_, moved) = counted(ratings[:, keep]), counted(ratings[rows][:, columns][:, keep[columns]])
    ones = np.ones((1, int(keep.sum())))
    for metric in ("ordinal", "interval"):
        assert np.allclose(*(alpha_of_counts(h, values, metric, ones) for h in (held, moved)), equal_nan=True)
    assert np.allclose(*(fleiss_of_counts(h, ones) for h in (held, moved)), equal_nan=True)


def test_an_interval_is_of_the_figure_and_one_source_has_none():
    def figures(counts):
        return {"share": counts @ np.array([1.0, 0, 1, 0]) / 4, "never": np.full(len(counts), NAN)}

    found = with_intervals(figures, np.arange(4), Settings(resamples=200))
    assert list(found) == ["share"] and found["share"]["value"] == 0.5
    assert found["share"]["low"] < 0.5 < found["share"]["high"] and found["share"]["undefined"] == 0
    alone = with_intervals(figures, np.array(["a"] * 4), Settings())["share"]
    assert alone["value"] == 0.5 and alone["low"] is None and "one source document" in alone["reason"]


def test_ratings_outside_of_the_range_are_refused():
    with pytest.raises(DataError, match=r"1 ratings outside of 0 to 5, the first is 7 \(rater 1, document 0\)"):
        checked_ratings([[0, NAN], [7, 5]], 0, 5)
    with pytest.raises(DataError, match="expected raters x documents"):
        checked_ratings(np.zeros(3), 0, 5)
