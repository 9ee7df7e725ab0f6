"""`jql pretrain sweep`: learning rates x seeds x variants on a run's training set -> LR sensitivity and figures.

sweep/set/...        the training set
sweep/strengths/...  per model   strengths that are tried, with a seed of their own
sweep/variants/...   per model   the variants that are compared
"""

import json
import math
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa

from jql.documents import Documents
from jql.engine import storage
from jql.engine.fingerprint import digest_of
from jql.engine.ray_pool import cluster_gpus
from jql.engine.run import StageRun, StageRunner
from jql.errors import RecipeError
from jql.evaluate.texts import run_texts
from jql.laboratory.config import Variant
from jql.laboratory.directions import directions
from jql.laboratory.result import figures_of, results
from jql.laboratory.sweep import Data, Models, by_variant, train_models
from jql.laboratory.tuning import at_strength, tune
from jql.pretrain.config import ModelConfig, TrainConfig
from jql.pretrain.pretrain import every, model_config, train_config
from jql.recipe import Recipe
from jql.recipe import Variant as Part
from jql.tokens.tokenizer import load_tokenizer
from jql.tokens.training_set import MEANING, TrainingSet, write_training_set

RESULT = "sweep.json"


def variant_of(part: Part) -> Variant:
    """The techniques that a recipe asks for; what is to be tuned is not set yet.

    Raises:
        RecipeError: two contradict one another.
    """
    settings = part.model_dump(exclude={"tune", "norm"})
    return Variant(**settings, norm=part.norm[0] if len(part.norm) == 1 else part.norm)


def configs(recipe: Recipe, vocab: int) -> tuple[ModelConfig, TrainConfig]:
    """The shape of all models, and how they are trained but for the learning rate.

    Raises:
        RecipeError: they cannot be.
    """
    tokens = recipe.sweep.tokens or recipe.pretrain.tokens
    part = recipe.pretrain.model_copy(update={"tokens": tokens, "workers": 1})
    return model_config(part, vocab), train_config(part)


def check(recipe: Recipe) -> None:
    """Whether there is a sweep, before anything is done for it.

    Raises:
        RecipeError: it has no variants, or one cannot be; names the field.
    """
    if not recipe.sweep.variants:
        raise RecipeError("sweep.variants: expected one or more, got none; write baseline: {} for no technique")
    if not recipe.evaluate.held_out:
        raise RecipeError("evaluate.held_out: a sweep takes losses on documents set aside, got 0; write 0.05")
    shape, _ = configs(recipe, vocab=1)
    for name, part in recipe.sweep.variants.items():
        if not name.replace("_", "").replace(".", "").replace("-", "").isalnum() or name.startswith("."):
            raise RecipeError(f"sweep.variants: expected a name of letters, digits, '_', '.' and '-', got {name!r}")
        try:
            variant = variant_of(part)
            if part.tune:
                at_strength(variant, part.tune, recipe.sweep.lambdas[0])
        except RecipeError as error:
            raise RecipeError(f"sweep.variants.{name}.{str(error).removeprefix('variant.')}") from error
        if len(part.norm) not in (1, shape.layers + 1):
            expected = f"one for all, or one for each of {shape.layers} blocks and one for the last norm"
            raise RecipeError(f"sweep.variants.{name}.norm: expected {expected}, got {len(part.norm)}")


def baseline_of(recipe: Recipe) -> str | None:
    """What variants are compared with: the one that is named, or the first without techniques; None: there is none."""
    plain = [name for name, part in recipe.sweep.variants.items() if part == Part()]
    return recipe.sweep.baseline or next(iter(plain), None)


def run_sweep(
    recipe: Recipe,
    run: StageRunner,
    documents: Documents,
    clusters: StageRun | None,
    tokens: StageRun,
    tokenizer: str,
) -> dict[str, Any]:
    """Train, tune and compare; the same call goes on. Returns what stands in RUN/sweep.json.

    Raises:
        RecipeError: a variant, model or training that cannot be. IncompleteError: models are missing.
    """
    part, loaded = recipe.sweep, load_tokenizer(tokenizer)
    shape, how = configs(recipe, loaded.vocab)
    texts = run_texts(recipe, run, documents, clusters)
    folder = Path(recipe.output) / "sweep" / "set" / digest_of([tokens.mark(), loaded.digest])[:16]

    def write() -> None:
        write_training_set(folder, *every(tokens), loaded.eod, loaded.vocab)

    run.make("sweep/set", (folder / MEANING).is_file(), write)
    pretrain = recipe.pretrain
    data = Data(str(folder), texts, tokenizer, pretrain.packing, pretrain.mask, part.held_out)
    rates, cap = tuple(sorted(part.learning_rates)), math.log(loaded.vocab)
    models = Models(shape, how, rates, data)
    gpus, seeds = min(1.0, cluster_gpus(recipe.engine)), [recipe.seed + number for number in range(part.seeds)]
    variants: dict[str, Variant] = {}
    tuned: dict[str, dict[str, Any]] = {}
    stages: dict[str, StageRun] = {}
    for name, wanted in part.variants.items():
        variant = variant_of(wanted)
        if wanted.tune:
            variant, tuned[name] = tune(run, models, name, variant, wanted.tune, part.lambdas, cap, recipe.seed, gpus)
        for doubt in variant.doubts(shape.tied):
            run.console.print(f"[yellow]{name}: {doubt}[/]", highlight=False)
        variants[name] = variant
        stages[name] = train_models(run, models, f"sweep/variants/{name}", name, [variant], seeds, gpus)
    table = pa.concat_tables([found for stage in stages.values() for found in stage.tables()])
    baseline = baseline_of(recipe)
    found = figures_of(table, rates, cap)
    diverged = {name: np.isfinite(steps_LR) for name, steps_LR in by_variant(table, "diverged", rates).items()}
    told = results(found, diverged, rates, cap, baseline)
    design = {**_design(recipe, models, stages), "cap": cap, "baseline": baseline}
    result = {
        "design": design,
        "variants": {
            name: {"settings": variant.told(), "doubts": variant.doubts(shape.tied), **told[name]}
            for name, variant in variants.items()
        },
        "tuned": tuned,
        "directions": directions(found, variants, baseline, cap),
    }
    storage.put(storage.join(recipe.output, RESULT), (json.dumps(result, indent=1) + "\n").encode())
    return result


def _design(recipe: Recipe, models: Models, stages: dict[str, StageRun]) -> dict[str, Any]:
    """What the models of a sweep have in common."""
    shape, how = models.model, models.train
    stats = [receipt.stats for stage in stages.values() for receipt in stage.receipts()]
    speeds = [one["tokens_per_s"] for one in stats if one["tokens_per_s"]]
    trained, there = how.steps * how.batch * shape.sequence, TrainingSet.open(Path(models.data.folder))
    return {
        "learning_rates": list(models.learning_rates),
        "seeds": recipe.sweep.seeds,
        "parameters": stats[0]["parameters"],
        "vocab": shape.vocab,
        "tied": shape.tied,
        "dtype": how.dtype,
        "weight_decay": how.weight_decay,
        "tokens": trained,
        "steps": how.steps,
        "set": {"tokens": len(there.tokens), "documents": there.documents, "digest": there.digest},
        "epochs": round(trained / len(there.tokens), 3),
        "held_out": stats[0]["held_out"],
        "tokens_per_s": median(speeds) if speeds else None,
    }
