"""Mu-centering: the mean row of the output matrix is taken from every row after each step.

Logits lose one number that is the same for all tokens of the vocabulary. Probabilities, the loss and all gradients stay
as they are, and so does every later step of AdamW, with weight decay or without: in exact numbers a training has the
same losses with it and without. What it saves is precision, as a matrix that drifts as a whole at large learning rates
moves all logits, and in bfloat16 logits near 1,000 are 4 apart.

Shapes: V vocabulary, H hidden units.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from jql.errors import RecipeError
from jql.laboratory.auxiliary import CappedHead
from jql.laboratory.technique import Technique
from jql.laboratory.vocabulary import mean_row, refuse_half, rows_here
from jql.pretrain.model import Decoder


@torch.no_grad()
def centre(matrix_VH: Tensor) -> None:
    """Take the mean row from each row, in place.

    In float32: in bfloat16 one centering left |mu| = 8.5e-5 of 8.2e-3, and taking off 2e-6 changed 4 % of entries.
    """
    rows_here(matrix_VH).sub_(mean_row(matrix_VH))


@dataclass
class Centering(Technique):
    """Mu-centering of the output matrix; of the embeddings too where they are one, which then changes the function.

    The optimizer's moments are left as they are. There is nothing to set.

    Source: Output Embedding Centering (arXiv 2601.02031). Its second version claims stability at high learning rates,
    on a par with soft-capped logits, and no better loss at the best rate.
    """

    def on_model(self, model: Decoder) -> None:
        """Look whether it can be done.

        Raises:
            RecipeError: see `after_step`.
        """
        self._refuse(model)

    def after_step(self, model: Decoder, step: int) -> None:
        """Centre.

        Raises:
            RecipeError: logits are soft-capped, or weights are not in float32.
        """
        self._refuse(model)
        centre(model.head.weight)

    def _refuse(self, model: Decoder) -> None:
        refuse_half(model.head.weight, "centering")
        if isinstance(model.head, CappedHead):
            found = "expected logits that are not soft-capped, as capped ones change where all are moved alike"
            raise RecipeError(f"centering: {found}, got a cap of {float(model.head.cap):g}; leave one of the two out")
