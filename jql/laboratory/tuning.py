"""The strength of a term of the loss, chosen for each term by itself, with a seed that nothing is compared with.

At one strength for all, whichever term it suits looks better: of the published runs at 1e-4 the z-loss is worse than
the mu-loss, and at 0.1 its best loss is the best of all.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from jql.engine.run import StageRunner
from jql.laboratory.config import Variant
from jql.laboratory.sensitivity import capped, lr_sensitivity
from jql.laboratory.sweep import Models, by_variant, train_models

TUNING = 0x7475
"""Added to the recipe's seed, so that it is none of those that are compared."""


@dataclass(frozen=True)
class Tried:
    """A strength.

    Attributes:
        losses: one of each learning rate, at most the cap. mean: of these; it counts how good the best is and how far
            the others are from it, as LR sensitivity alone has its least where nothing is learned.
    """

    strength: float
    losses: list[float]
    mean: float
    best: float
    lrs: float


def at_strength(variant: Variant, field: str, strength: float) -> Variant:
    """The variant with a mu_loss or z_loss, as `field` says.

    Raises:
        RecipeError: it goes with no such term.
    """
    changes: dict[str, Any] = {field: strength}
    return replace(variant, **changes)


def tune(
    run: StageRunner,
    models: Models,
    name: str,
    variant: Variant,
    field: str,
    strengths: Sequence[float],
    cap: float,
    seed: int,
    gpus: float = 0.0,
) -> tuple[Variant, dict[str, Any]]:
    """The variant with the strength whose mean loss over learning rates is the least, and all that was tried.

    Args:
        field: mu_loss or z_loss. seed: of the recipe.
    """
    tried, rates = [], models.learning_rates
    variants = [at_strength(variant, field, strength) for strength in sorted(strengths)]
    stage = train_models(run, models, f"sweep/strengths/{name}", name, variants, [seed + TUNING], gpus)
    table = pa.concat_tables(stage.tables())
    for place, strength in enumerate(sorted(strengths)):
        ours = by_variant(table.slice(place * len(rates), len(rates)), "loss", rates)
        known_L = capped(ours[name][:, 0], cap)
        found = Tried(strength, known_L.tolist(), float(known_L.mean()), float(known_L.min()), 0.0)
        tried.append(replace(found, lrs=lr_sensitivity(known_L, cap)))
    chosen = min(tried, key=lambda one: one.mean)
    told = {"field": field, "strength": chosen.strength, "tried": [asdict(one) for one in tried]}
    told["end"] = len(tried) > 1 and chosen in (tried[0], tried[-1])
    return at_strength(variant, field, chosen.strength), told
