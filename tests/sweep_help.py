"""A made-up sweep of several variants, as it stands in sweep.json."""

import math

import numpy as np
import pyarrow as pa

from jql.laboratory.config import Variant
from jql.laboratory.directions import directions
from jql.laboratory.result import FIGURES, figures_of, results
from jql.laboratory.sweep import SWEEP

RATES = (0.001, 0.01, 0.1)
CAP = math.log(4096)
VARIANTS = {"baseline": Variant(), "centering": Variant(centering=True), "z_loss": Variant(z_loss=0.1)}
LOSSES = {"baseline": (5.0, 4.6, 6.5), "centering": (5.0, 4.605, 4.9), "z_loss": (5.0, 4.59, 5.4)}
LENGTHS = {"baseline": (0.1, 0.8, 9.0), "centering": (0.0, 0.0, 0.0), "z_loss": (0.1, 1.5, 20.0)}


def sweep_rows(losses=None, seeds=3, *, noise=0.002, lengths=None, at=0):
    """SWEEP of variants whose losses at each rate differ by seed alone; not finite is diverged."""
    draw = np.random.default_rng(at)
    moved = draw.normal(0, noise, seeds)
    rows = []
    for name, by_rate in (losses or LOSSES).items():
        for place, (rate, loss) in enumerate(zip(RATES, by_rate, strict=True)):
            for seed in range(seeds):
                fine = math.isfinite(loss)
                row = {"variant": name, "learning_rate": rate, "seed": seed, "diverged": None if fine else 7}
                row |= {figure: 0.5 + draw.normal(0, noise) for figure in FIGURES}
                length = (lengths or LENGTHS).get(name, (1.0, 1.0, 1.0))[place]
                own = loss + moved[seed] + draw.normal(0, noise / 10)
                rows.append({**row, "loss": own if fine else None, "mean_length": length * (1 + moved[seed])})
    return pa.Table.from_pylist(rows, SWEEP)


def made_sweep(table=None, variants=None, baseline="baseline", tuned=None):
    """What stands in sweep.json."""
    table, variants = table or sweep_rows(), variants or VARIANTS
    found = figures_of(table, RATES, CAP)
    seeds = len(set(table.column("seed").to_pylist()))
    diverged = {name: np.zeros_like(each, bool) for name, each in found["loss"].items()}
    for row in table.to_pylist():
        diverged[row["variant"]][RATES.index(row["learning_rate"]), row["seed"]] = row["diverged"] is not None
    told = results(found, diverged, RATES, CAP, baseline)
    tried = [
        {"strength": s, "losses": [5.0, 4.6, 5.0 + s], "mean": 4.87 + s / 3, "best": 4.6, "lrs": 0.4}
        for s in (0.01, 0.1)
    ]
    return {
        "design": {
            "learning_rates": list(RATES),
            "seeds": seeds,
            "parameters": 1_300_000,
            "vocab": 4096,
            "tied": False,
            "dtype": "bfloat16",
            "weight_decay": 0.0,
            "tokens": 1_000_000,
            "steps": 500,
            "set": {"tokens": 2_000_000, "documents": 3000, "digest": "0"},
            "epochs": 0.5,
            "held_out": {"sequences": 64, "tokens": 8192},
            "tokens_per_s": 5000,
            "cap": CAP,
            "baseline": baseline,
        },
        "variants": {
            name: {"settings": one.told(), "doubts": one.doubts(False), **told[name]} for name, one in variants.items()
        },
        "tuned": tuned or {"z_loss": {"field": "z_loss", "strength": 0.1, "tried": tried, "end": True}},
        "directions": directions(found, variants, baseline, CAP),
    }
