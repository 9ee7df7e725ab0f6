"""Figures of an output matrix by hand, and what must not change them."""

import math

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import assume, given
from laboratory_help import Layer, layers

from jql.laboratory import figures
from jql.laboratory.centering import centre

pytestmark = pytest.mark.usefixtures("one_thread")


def matrix(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_figures_of_two_rows_by_hand():
    rows = matrix([3.0, 1.0], [1.0, -1.0])  # mu (2, 0), |e| root 10 and root 2
    assert figures.mean_length(rows) == 2
    assert figures.mean_share(rows) == pytest.approx(2 / ((math.sqrt(10) + math.sqrt(2)) / 2))
    assert figures.bound_ratio(rows) == pytest.approx(max(4 - 2, 6 - 4) / 6)
    # E^T E = (10 2; 2 2)
    assert figures.condition(rows) == pytest.approx(0, abs=1e-8)  # two rows less their mean are one direction
    vectors = torch.linalg.eigh(rows.T @ rows).eigenvectors
    sums = [math.fsum(math.exp(float(s * row @ c)) for row in rows) for c in vectors.T for s in (1, -1)]
    assert figures.isotropy(rows) == pytest.approx(min(sums) / max(sums))


def test_rows_along_all_axes_alike_are_isotropic():
    rows = torch.cat([torch.eye(4), -torch.eye(4)]).double()
    found = figures.matrix_figures(rows)
    assert found["isotropy"] == pytest.approx(1) and found["condition"] == pytest.approx(1)
    assert found["mean_length"] == found["mean_share"] == 0 and math.isnan(found["bound_ratio"])
    assert figures.isotropy(100 * rows) == pytest.approx(1)  # along axes alike, however long
    moved = figures.matrix_figures(rows + 2)
    assert moved["isotropy"] < 1e-3 and moved["condition"] == pytest.approx(1) and moved["mean_share"] > 0.9


def test_what_has_no_value_is_not_a_number():
    assert math.isnan(figures.mean_share(torch.zeros(3, 2)))
    assert math.isnan(figures.condition(torch.ones(3, 2)))
    assert math.isnan(figures.frequency_correlation(matrix([1.0], [2.0]), torch.tensor([5, 5])))
    assert all(map(math.isnan, figures.logit_figures(torch.ones(2, 3), torch.tensor([-100, -100])).values()))


def test_how_rows_go_along_with_frequency():
    rows = matrix([4.0, 0.0], [3.0, 0.0], [2.0, 0.0], [9.0, 0.0])
    assert figures.frequency_correlation(rows, torch.tensor([1, 2, 4, 0])) == pytest.approx(-1)
    assert figures.frequency_correlation(rows, torch.tensor([4, 2, 1, 0])) == pytest.approx(1)


def test_logits_of_tokens_without_a_target_are_not_looked_at():
    logits = matrix([0.0, 0.0], [1.0, -3.0], [99.0, 0.0])
    found = figures.logit_figures(logits[None], torch.tensor([[0, 1, -100]]))
    log_z = [math.log(2), math.log(math.exp(1) + math.exp(-3))]
    assert found == pytest.approx(
        {
            "largest_logit": 3,
            "mean_logit": -0.5,
            "log_z": sum(log_z) / 2,
            "log_z_squared": (log_z[0] ** 2 + log_z[1] ** 2) / 2,
        }
    )


@given(layers)
def test_turning_all_rows_changes_no_figure(layer: Layer):
    width = layer.matrix.shape[1]
    turn, _ = torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(1)).double())
    before, after = figures.matrix_figures(layer.matrix), figures.matrix_figures(layer.matrix @ turn)
    # Where two directions are as strong as one another, which of them is an eigenvector is open.
    gaps = torch.linalg.svdvals(layer.matrix).diff().abs()
    assume(width <= len(layer.matrix) and (not len(gaps) or gaps.min() > 1e-3))
    for name, value in before.items():
        assert after[name] == pytest.approx(value, rel=1e-6, abs=1e-6, nan_ok=True), name


@given(layers)
def test_figures_are_in_their_ranges_and_centering_takes_the_mean_alone(layer: Layer):
    before = figures.matrix_figures(layer.matrix)
    assert 0 <= before["mean_share"] <= 1 + 1e-12
    assert 0 <= before["isotropy"] <= 1 and (math.isnan(before["condition"]) or 0 <= before["condition"] <= 1)
    centred = layer.matrix.clone()
    centre(centred)
    after = figures.matrix_figures(centred)
    assert after["mean_length"] < 1e-13
    assert after["condition"] == pytest.approx(before["condition"], rel=1e-5, abs=1e-6)
