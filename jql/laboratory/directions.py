"""Which published directions a sweep shows, which it shows reversed, and which it leaves open.

Shapes: L learning rates, R seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jql.laboratory.config import Variant
from jql.laboratory.result import plain
from jql.laboratory.sensitivity import Estimate, lr_sensitivity, over_known

APPEARS, REVERSED, OPEN = "appears", "reversed", "not shown"
CENTERING, COUPLED = "arXiv 2601.02031", "arXiv 2502.08441"
WORDS = {
    "lrs": "LR sensitivity",
    "best": "best loss",
    "mean_length": "|mu|",
    "mean_share": "|mu| over the mean length of rows",
    "largest_logit": "largest logit",
    "log_z_squared": "mean (log Z)^2",
    "isotropy": "isotropy",
}
WHERE = {"most": "at the highest learning rate", "usual": "at the baseline's best learning rate"}
SAME = 0.01
"""Nats; what best losses of a size differed by at most between the baseline and centering or mu-loss as published."""


@dataclass(frozen=True)
class Claim:
    """What was published of one technique.

    Attributes:
        technique: the one field of a variant that is set; "" for the baseline. figure: or lrs, or best.
        against: baseline; least, itself at the lowest learning rate; or another technique.
        where: at which learning rate, most or usual; None of lrs and best.
    """

    technique: str
    figure: str
    is_: Literal["lower", "higher", "same"]
    source: str
    against: str = "baseline"
    where: Literal["most", "usual"] | None = None


CLAIMS = (
    Claim("", "mean_length", "higher", CENTERING, "least", "most"),
    *(Claim(name, "lrs", "lower", CENTERING) for name in ("centering", "mu_loss", "z_loss", "soft_cap")),
    *(Claim(name, "lrs", "lower", CENTERING, "z_loss") for name in ("centering", "mu_loss")),
    *(Claim(name, "best", "same", CENTERING) for name in ("centering", "mu_loss")),
    Claim("centering", "largest_logit", "lower", CENTERING, where="most"),
    Claim("mu_loss", "mean_length", "lower", CENTERING, where="most"),
    Claim("z_loss", "mean_length", "higher", CENTERING, where="most"),
    Claim("z_loss", "log_z_squared", "lower", CENTERING, where="most"),
    Claim("coupled", "mean_share", "lower", COUPLED, where="usual"),
    Claim("coupled", "isotropy", "higher", COUPLED, where="usual"),
    Claim("coupled", "best", "lower", COUPLED),
)
"""Published runs have 16 M to 2.6 B parameters and 5 to 210 billion tokens; those of Coupled Adam are tied."""


def directions(
    found: Mapping[str, Mapping[str, np.ndarray]], variants: Mapping[str, Variant], baseline: str | None, cap: float
) -> list[dict[str, Any]]:
    """Each claim on each variant of one technique: what it says, what was found, and whether that is it.

    Args:
        found: figure -> variant -> (L, R), as of `figures_of`.
    """
    if baseline is None or variants[baseline].told():
        return []  # nothing is claimed of what another baseline would do
    alone = {name: next(iter(set_)) for name, one in variants.items() if len(set_ := one.told()) == 1}
    usual = int(found["loss"][baseline].mean(1).argmin())
    found_out: list[dict[str, Any]] = []
    for claim in CLAIMS:
        ours = [baseline] if not claim.technique else [name for name, only in alone.items() if only == claim.technique]
        theirs = [name for name, only in alone.items() if only == claim.against]
        for name in ours:
            place = usual if claim.where == "usual" else -1
            value_R = _values(found, claim.figure, name, place, cap)
            for other in theirs or [baseline] * (claim.against in ("baseline", "least")):
                other_R = _values(found, claim.figure, other, 0 if claim.against == "least" else place, cap)
                apart = over_known(value_R - other_R)
                found_out.append(_told(claim, name, other, apart))
    return found_out


def _values(
    found: Mapping[str, Mapping[str, np.ndarray]], figure: str, name: str, place: int, cap: float
) -> np.ndarray:
    """One of each seed."""
    losses_LR = found["loss"][name]
    if figure == "lrs":
        return np.array([lr_sensitivity(losses_L, cap) for losses_L in losses_LR.T])
    values_R: np.ndarray = losses_LR.min(0) if figure == "best" else found[figure][name][place]
    return values_R


def outcome(is_: str, apart: Estimate | None) -> str:
    """Whether an interval of a difference lies where it should."""
    if apart is None or apart.low is None or apart.high is None:
        return OPEN
    low, high = apart.low, apart.high
    if is_ == "same":
        return APPEARS if low >= -SAME and high <= SAME else REVERSED if low > SAME or high < -SAME else OPEN
    below, above = high < 0, low > 0
    return APPEARS if (below if is_ == "lower" else above) else REVERSED if below or above else OPEN


def _told(claim: Claim, name: str, other: str, apart: Estimate | None) -> dict[str, Any]:
    figure = f"{name}: {WORDS[claim.figure]} is"
    if claim.against == "least":
        words = f"{figure} {claim.is_} {WHERE['most']} than at the lowest"
    elif claim.is_ == "same":
        words = f"{figure} that of {other} within {SAME:g}"
    else:
        where = f", {WHERE[claim.where]}" if claim.where else ""
        words = f"{figure} {claim.is_} than that of {other}{where}"
    return {
        "variant": name,
        "figure": claim.figure,
        "claim": words,
        "source": claim.source,
        "apart": plain(apart),
        "outcome": outcome(claim.is_, apart),
    }
