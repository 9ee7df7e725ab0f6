"""What a variant of a training is; nothing here needs torch."""

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

from jql.pretrain.config import refused

Norm = Literal["rms", "layer", "dyt", "dyisru"]
KINDS: tuple[Norm, ...] = ("rms", "layer", "dyt", "dyisru")


@dataclass(frozen=True)
class Variant:
    """Techniques of one training; by default none.

    Raises:
        RecipeError: a setting is out of range, or two contradict one another; names the field.
    """

    centering: bool = False
    """Mu-centering of the output matrix."""
    mu_loss: float = 0.0
    """Strength of the mu-loss; published 1e-4, which does nothing in a small run. 0 for none."""
    z_loss: float = 0.0
    """Strength of the z-loss; published 1e-4. 0 for none."""
    soft_cap: float = 0.0
    """Cap of the logits; published 30. 0 for none."""
    coupled: bool = False
    """Coupled Adam for the output matrix."""
    scale: float = 1.0
    """Factor of Coupled Adam's second moment."""
    norm: Norm | tuple[Norm, ...] = "rms"
    """Of all layers, or one for each block and one for the last norm."""

    def __post_init__(self) -> None:
        for name in ("mu_loss", "z_loss", "soft_cap"):
            if not 0 <= getattr(self, name) < math.inf:
                raise refused(f"variant.{name}", "0 or more", getattr(self, name))
        if not 0 < self.scale < math.inf:
            raise refused("variant.scale", "a number above 0", self.scale)
        if self.scale != 1 and not self.coupled:
            raise refused("variant.scale", "1 without coupled, whose factor it is", self.scale, 1)
        if not isinstance(self.norm, str):
            object.__setattr__(self, "norm", tuple(self.norm))  # JSON has lists
        if wrong := [kind for kind in self.norms if kind not in KINDS]:
            raise refused("variant.norm", " or ".join(KINDS), wrong[0])
        if self.soft_cap and self.centering:
            expected = "0 with centering, as capped logits change where all are moved alike"
            raise refused("variant.soft_cap", expected, self.soft_cap, 0)

    @property
    def norms(self) -> tuple[Norm, ...]:
        """The kinds of norms."""
        return (self.norm,) if isinstance(self.norm, str) else self.norm

    @property
    def calibrated(self) -> bool:
        """Whether its norms start from a batch."""
        return bool({"dyt", "dyisru"} & set(self.norms))

    def doubts(self, tied: bool) -> list[str]:
        """What may be tried, but is not what the techniques claim.

        Args:
            tied: whether the embeddings and the output layer are one matrix.
        """
        found = []
        if self.centering and tied:
            found.append("centering with tied embeddings moves what comes in too, so the model is another after a step")
        if self.soft_cap and self.mu_loss:
            found.append("mu_loss with soft_cap: capped logits depend on the mean row, which it assumes they do not")
        if self.coupled and (self.soft_cap or self.z_loss):
            other = "soft_cap" if self.soft_cap else "z_loss"
            found.append(f"coupled with {other}: gradients of rows no longer add up to nothing, so the mean row moves")
        return found

    def told(self) -> dict[str, Any]:
        """The settings that are not the default ones."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
