"""Sums over the rows of a vocabulary's matrix, which one process has whole or several in parts (FSDP2).

All V rows take part, those too that no token of the tokenizer has: the softmax runs over them as well, and what is said
of the mean row (no loss depends on it, gradients of all rows add up to nothing) holds for all rows together alone.

Shapes: V vocabulary, H hidden units.
"""

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from jql.errors import RecipeError


def column_sums(matrix_VH: Tensor) -> Tensor:
    """The sum of all rows of all workers, (H,), on each of them; workers may hold unequal numbers of rows."""
    sums = matrix_VH.sum(0)
    return sums.full_tensor() if isinstance(sums, DTensor) else sums


def mean_row(matrix_VH: Tensor) -> Tensor:
    """Mu, (H,): the sum of all rows over the true V. The mean of the workers' means is another where parts differ."""
    return column_sums(matrix_VH) / matrix_VH.shape[0]


def rows_here(matrix_VH: Tensor) -> Tensor:
    """The rows of this worker, no copy: what is written there is written in the matrix."""
    return matrix_VH.to_local() if isinstance(matrix_VH, DTensor) else matrix_VH


def whole(matrix_VH: Tensor) -> Tensor:
    """All rows, on every worker, without a graph; all workers must ask for it."""
    found = matrix_VH.detach()
    return found.full_tensor() if isinstance(found, DTensor) else found


def refuse_half(matrix_VH: Tensor, what: str) -> None:
    """Refuse a matrix of 16 bits.

    Raises:
        RecipeError: numbers of 16 bits cannot hold what is to be taken from them.
    """
    if torch.finfo(matrix_VH.dtype).bits < 32:
        found = f"expected the output matrix in float32, got {str(matrix_VH.dtype).removeprefix('torch.')}"
        raise RecipeError(f"{what}: {found}; keep weights in float32 and compute in bfloat16 (pretrain.dtype)")
