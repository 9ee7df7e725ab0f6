"""What the models of a sweep come to: means over seeds with intervals, and differences from the baseline seed by seed.

Shapes: L learning rates, R seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from jql.laboratory.sensitivity import Estimate, capped, over_known, sensitivities
from jql.laboratory.sweep import LOGITS, MATRIX, by_variant

FIGURES = ("loss", *MATRIX, *LOGITS)


def figures_of(table: pa.Table, rates_L: Sequence[float], cap: float) -> dict[str, dict[str, np.ndarray]]:
    """Figure -> variant -> float64 (L, R); losses are at most `cap`, others not a number where there is none.

    Args:
        table: SWEEP.

    Raises:
        DataError: a model is missing.
    """
    found = {figure: by_variant(table, figure, rates_L) for figure in FIGURES}
    return {**found, "loss": {name: capped(losses_LR, cap) for name, losses_LR in found["loss"].items()}}


def results(
    found: Mapping[str, Mapping[str, np.ndarray]],
    diverged: Mapping[str, np.ndarray],
    rates_L: Sequence[float],
    cap: float,
    baseline: str | None,
) -> dict[str, dict[str, Any]]:
    """Variant -> LR sensitivity, best loss and rate, and at each learning rate all figures, as JSON has it.

    Args:
        found: as of `figures_of`. diverged: variant -> bool (L, R). baseline: None for no differences.
    """
    told: dict[str, dict[str, Any]] = {}
    for one in sensitivities(dict(found["loss"]), rates_L, cap, baseline):
        name = one.variant
        apart = baseline is not None and name != baseline
        told[name] = {
            "lrs": plain(one.lrs),
            "lrs_apart": plain(one.lrs_apart),
            "best": plain(one.best),
            "best_apart": plain(one.best_apart),
            "best_rate": one.best_rate,
            "diverged": int(diverged[name].sum()),
            "rates": [
                {
                    "learning_rate": float(rate),
                    "diverged": int(diverged[name][place].sum()),
                    "losses": found["loss"][name][place].tolist(),
                    "values": {figure: plain(over_known(found[figure][name][place])) for figure in FIGURES},
                    "apart": {
                        figure: plain(over_known(found[figure][name][place] - found[figure][str(baseline)][place]))
                        for figure in FIGURES
                    }
                    if apart
                    else None,
                }
                for place, rate in enumerate(rates_L)
            ],
        }
    return told


def plain(estimate: Estimate | None) -> dict[str, float | None] | None:
    """An estimate as JSON has it."""
    return None if estimate is None else asdict(estimate)
