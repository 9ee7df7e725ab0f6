"""Figures of an output matrix and of its logits: how far rows have moved together, and how large logits have grown.

Shapes: V vocabulary, H hidden units, N tokens.
"""

import math

import torch
from torch import Tensor

from jql.pretrain.loss import NONE


@torch.no_grad()
def mean_length(matrix_VH: Tensor) -> float:
    """|mu|, the length of the mean row."""
    return float(matrix_VH.mean(0).norm())


@torch.no_grad()
def mean_share(matrix_VH: Tensor) -> float:
    """|mu| over the mean length of the rows, in [0, 1]; 0 of a centred matrix, not a number where all rows are 0.

    Source: Coupled Adam (arXiv 2502.08441), |mu|^r.
    """
    lengths = float(matrix_VH.norm(dim=1).mean())
    return mean_length(matrix_VH) / lengths if lengths else math.nan


@torch.no_grad()
def bound_ratio(matrix_VH: Tensor) -> float:
    """How far logits along the mean row may go after centering, by how far before; not a number if mu is 0.

    1 or less exactly where |mu|^2 - min(e mu) <= max(e mu), which is no law: of 2,000 random matrices 192 had more.

    Source: Output Embedding Centering (arXiv 2601.02031), the B ratio; in its public code the names of before and after
    are swapped, the formula is this one.
    """
    mu_H = matrix_VH.mean(0)
    along_V = matrix_VH @ mu_H
    square, low, high = float(mu_H.square().sum()), float(along_V.min()), float(along_V.max())
    return max(square - low, high - square) / max(-low, high) if square else math.nan


@torch.no_grad()
def isotropy(matrix_VH: Tensor) -> float:
    """The least sum of exp(c e) over all rows e by the largest, over eigenvectors c of E^T E and their opposites.

    In (0, 1], 1 where no direction stands out. It falls with the length of rows too: of long ones it is 0 whatever
    their directions, so look at `mean_share` and `condition` beside it.

    Source: Coupled Adam (arXiv 2502.08441), whose public code takes each eigenvector with the sign that the solver
    happens to give; both signs make it a figure of the matrix alone, and a lower one.
    """
    exact = matrix_VH.double()
    along_VH = exact @ torch.linalg.eigh(exact.T @ exact).eigenvectors
    log_sums = torch.cat([along_VH.logsumexp(0), (-along_VH).logsumexp(0)])
    return math.exp(float(log_sums.min() - log_sums.max()))


@torch.no_grad()
def condition(matrix_VH: Tensor) -> float:
    """The least singular value of the centred matrix by the largest, in [0, 1]; not a number where all rows are one.

    Unlike `isotropy` it depends on directions alone.
    """
    exact = matrix_VH.double()
    centred = exact - exact.mean(0)
    squares = torch.linalg.eigvalsh(centred.T @ centred).clamp(min=0)
    return math.sqrt(float(squares[0] / squares[-1])) if squares[-1] else math.nan


@torch.no_grad()
def frequency_correlation(matrix_VH: Tensor, counts_V: Tensor) -> float:
    """Pearson's of the logarithm of how often a token occurs with its row's product with the mean row.

    Args:
        counts_V: integers (V,); tokens that never occur are left out.

    Returns:
        In [-1, 1], not a number where fewer than two tokens occur, or all alike.
    """
    occurs_V = counts_V > 0
    along, often = (matrix_VH @ matrix_VH.mean(0))[occurs_V].double(), counts_V[occurs_V].double().log()
    along, often = along - along.mean(), often - often.mean()
    lengths = float(along.norm() * often.norm())
    return float(along @ often) / lengths if lengths else math.nan


@torch.no_grad()
def matrix_figures(matrix_VH: Tensor) -> dict[str, float]:
    """All of the above that need the matrix alone, by name."""
    figures = (mean_length, mean_share, bound_ratio, isotropy, condition)
    return {figure.__name__: figure(matrix_VH) for figure in figures}


@torch.no_grad()
def logit_figures(logits: Tensor, targets: Tensor) -> dict[str, float]:
    """Of the logits of tokens with a target.

    Args:
        logits: (..., V). targets: int64 (...), -100 where there is none.

    Returns:
        "largest_logit", by size; "mean_logit"; "log_z" and "log_z_squared", means over tokens. Not numbers where no
        token has a target.
    """
    there = targets != NONE
    logits_NV = logits[there]
    if not len(logits_NV):
        return dict.fromkeys(("largest_logit", "mean_logit", "log_z", "log_z_squared"), math.nan)
    exact_NV = logits_NV.to(torch.promote_types(logits.dtype, torch.float32))
    log_z_N = exact_NV.logsumexp(-1).double()
    return {
        "largest_logit": max(float(exact_NV.max()), -float(exact_NV.min())),
        "mean_logit": float(exact_NV.mean(dtype=torch.float64)),
        "log_z": float(log_z_N.mean()),
        "log_z_squared": float(log_z_N.square().mean()),
    }
