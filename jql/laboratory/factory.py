"""From the settings of a variant to hooks of the trainer."""

import warnings
from typing import Any

from jql.errors import RecipeError
from jql.laboratory.auxiliary import MuLoss, SoftCap, ZLoss
from jql.laboratory.centering import Centering
from jql.laboratory.config import Variant
from jql.laboratory.coupled_adam import CoupledAdam
from jql.laboratory.norms import Norms
from jql.pretrain.hooks import Hook


def hooks_of(variant: Variant, tied: bool, tokens: Any = None) -> list[Hook]:
    """The hooks of a variant, for `Trainer` and `load_decoder`; what is doubtful about it is warned of.

    Args:
        tied: whether the model's embeddings and output layer are one matrix.
        tokens: integers (B, T), a batch of the training's kind, from which DyT and DyISRU start.

    Raises:
        RecipeError: norms need a batch to start from, and there is none.

    Example:
        >>> [type(hook).__name__ for hook in hooks_of(Variant(centering=True, z_loss=1e-4), tied=False)]
        ['ZLoss', 'Centering']
    """
    for doubt in variant.doubts(tied):
        warnings.warn(doubt, stacklevel=2)
    hooks: list[Hook] = []
    if variant.soft_cap:
        hooks.append(SoftCap(variant.soft_cap))  # first, as norms are started from the model as it will be
    if variant.norm != "rms":
        if variant.calibrated and tokens is None:
            found = "expected a batch of tokens for norms to start from, got none"
            raise RecipeError(f"variant.norm: {variant.norm}: {found}; give tokens")
        hooks.append(Norms(variant.norm, tokens))
    if variant.mu_loss:
        hooks.append(MuLoss(variant.mu_loss))
    if variant.z_loss:
        hooks.append(ZLoss(variant.z_loss))
    if variant.coupled:
        hooks.append(CoupledAdam(variant.scale))
    if variant.centering:
        hooks.append(Centering())
    return hooks
