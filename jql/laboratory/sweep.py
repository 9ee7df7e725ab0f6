"""The models of a sweep: variants x learning rates x seeds, each trained and measured as one unit of the engine.

Models of one seed have the same first weights and see the same batches in the same order, whatever the variant and the
learning rate, so that variants are compared seed by seed. Each variant is a stage of its own: one that is added later
leaves the others as they are.

Shapes: L learning rates, R seeds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from jql.engine.plan import Unit
from jql.engine.receipt import ASIDE
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import Guard, Output, Stage
from jql.errors import DataError
from jql.laboratory.config import Variant
from jql.pretrain.config import MEANS, ModelConfig, TrainConfig

VERSION = 1
MATRIX = ("mean_length", "mean_share", "bound_ratio", "isotropy", "condition")
LOGITS = ("largest_logit", "mean_logit", "log_z", "log_z_squared")
SWEEP = pa.schema(
    [
        pa.field("variant", pa.string(), nullable=False),
        pa.field("learning_rate", pa.float64(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        ("loss", pa.float64()),
        ("diverged", pa.int64()),
        *((name, pa.float64()) for name in MATRIX + LOGITS),
    ]
)
"""`loss`: of the held-out sequences after training, in nats, null where the training diverged; `diverged`: at which
step. The figures (see `figures`) are of the last weights there were, null where they are not finite."""
CURVE = pa.schema([("step", pa.int64()), ("loss", pa.float64()), ("gradient_norm", pa.float64())])
CURVES = ASIDE + "losses"
START = 8
"""Sequences of the first batch that norms are started from."""


@dataclass(frozen=True)
class Data:
    """What models are trained on and measured on.

    Attributes:
        folder: of the training set. texts: TEXT table of evaluate, whose held-out documents are read.
        held_out: most sequences of these.
    """

    folder: str
    texts: str
    tokenizer: str
    packing: Literal["concatenated", "best_fit"] = "concatenated"
    mask: bool = False
    held_out: int = 64

    def marks(self) -> dict[str, str]:
        """What stands for it in a fingerprint."""
        from jql.tokens.tokenizer import load_tokenizer
        from jql.tokens.training_set import TrainingSet

        digest, tokenizer = TrainingSet.open(Path(self.folder)).digest, load_tokenizer(self.tokenizer).digest
        return {"set": digest, "texts": Path(self.texts).name, "tokenizer": tokenizer}


@dataclass(frozen=True)
class Models:
    """What all models of a sweep have in common; the learning rate of `train` is not looked at."""

    model: ModelConfig
    train: TrainConfig
    learning_rates: tuple[float, ...]
    data: Data


class SweepWorker:
    """Trains and measures models; a unit says which."""

    def __init__(self, model: dict[str, Any], train: dict[str, Any], data: dict[str, Any], name: str) -> None:
        from jql.laboratory.measure import held_out_batch
        from jql.tokens.training_set import TrainingSet

        self.model, self.train, self.data = ModelConfig(**model), TrainConfig(**train), Data(**data)
        self.name = name
        self.set = TrainingSet.open(Path(self.data.folder))
        self.held = held_out_batch(self.data, self.model.sequence)

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """A SWEEP row; the losses of all steps aside."""
        import warnings

        from jql.laboratory.factory import hooks_of
        from jql.laboratory.figures import matrix_figures
        from jql.laboratory.measure import held_out_figures
        from jql.pretrain.loss import NONE
        from jql.pretrain.model import Decoder
        from jql.pretrain.train import DivergedError, Trainer
        from jql.tokens.loader import PackedLoader

        guard.disarm()  # a model takes as long as it takes
        rate, seed, data = unit.payload["learning_rate"], unit.payload["seed"], self.data

        def loader() -> PackedLoader:
            return PackedLoader(self.set, self.model.sequence, self.train.batch, data.packing, data.mask, seed)

        start = next(iter(loader())).tokens[:START]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # told once, where the sweep was started
            hooks = hooks_of(Variant(**unit.payload["variant"]), self.model.tied, start)
        config = replace(self.train, learning_rate=rate)
        trainer = Trainer(Decoder(self.model, seed), config, loader(), hooks=hooks)
        steps, batches, diverged = [], iter(trainer.loader), None
        try:
            while trainer.done < config.steps:
                steps.append(trainer.step(batches))
        except DivergedError as error:
            diverged = error.step
        found, matrix = held_out_figures(trainer.model, self.held, config), trainer.model.head.weight
        if matrix.isfinite().all():
            found |= matrix_figures(matrix)
        if diverged is not None:
            found["loss"] = np.nan
        row = {"variant": self.name, "learning_rate": rate, "seed": seed, "diverged": diverged}
        row |= {name: value if np.isfinite(value) else None for name, value in found.items()}
        losses = {name: [getattr(step, name) for step in steps] for name in CURVE.names}
        output = Output.of(
            pa.Table.from_pylist([row], SWEEP),
            1,
            parameters=sum(p.numel() for p in trainer.model.parameters()),
            tokens_per_s=round(median(step.tokens_per_s for step in steps)) if steps else None,
            held_out={"sequences": len(self.held.tokens), "tokens": int((self.held.targets != NONE).sum())},
        )
        output.tables[CURVES] = (CURVE, [pa.table(losses, schema=CURVE)])
        return output


def train_models(
    run: StageRunner,
    models: Models,
    place: str,
    name: str,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    gpus: float = 0.0,
) -> StageRun:
    """Train models on the engine; the same call goes on. A SWEEP row each, by variant, learning rate and seed.

    Args:
        place: the stage, and its folder in the run. variants: that go by one name. gpus: of each model.

    Raises:
        IncompleteError: models are missing.
    """
    train = {key: value for key, value in asdict(models.train).items() if key not in (*MEANS, "learning_rate")}
    config = {
        "model": asdict(models.model),
        "train": train,
        "name": name,
        "variants": [variant.told() for variant in variants],
        "learning_rates": list(models.learning_rates),
        "seeds": list(seeds),
        "packing": models.data.packing,
        "mask": models.data.mask,
        "held_out": models.data.held_out,
    }
    settings = {
        "model": asdict(models.model),
        "train": asdict(models.train),
        "data": asdict(models.data),
        "name": name,
    }
    # A second attempt beside a slow one would take the processor from the others.
    stage = Stage(place, VERSION, config, models.data.marks(), SweepWorker, settings, "filter", gpus=gpus, again=False)

    def units() -> Iterator[Unit]:
        for index, (variant, rate, seed) in enumerate(product(variants, models.learning_rates, seeds)):
            payload = {"variant": variant.told(), "learning_rate": rate, "seed": seed}
            yield Unit(index, f"{name}/{rate:g}/{seed}", 1, payload)

    return run.run(stage, units)


def by_variant(table: pa.Table, figure: str, rates_L: Sequence[float]) -> dict[str, np.ndarray]:
    """A figure of SWEEP by variant, float64 (L, R), not a number where it is null.

    Raises:
        DataError: a model is missing or there twice.
    """
    rows = table.to_pylist()
    seeds = sorted({row["seed"] for row in rows})
    found: dict[str, np.ndarray] = {}
    for variant in dict.fromkeys(row["variant"] for row in rows):
        ours = {(row["learning_rate"], row["seed"]): row[figure] for row in rows if row["variant"] == variant}
        expected = set(product(rates_L, seeds))
        if set(ours) != expected or sum(row["variant"] == variant for row in rows) != len(expected):
            raise DataError(
                f"{variant}: expected a model of each of {len(rates_L)} learning rates and {len(seeds)} seeds"
            )
        found[variant] = np.array([[ours[rate, seed] for seed in seeds] for rate in rates_L], np.float64)
    return found
