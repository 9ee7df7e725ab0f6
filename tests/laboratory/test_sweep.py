"""A sweep from documents to sweep.json: models paired by seed, strengths tuned, gone on with, and what cannot be."""

import io
import json
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import WORDS, run_here

pytest.importorskip("torch")

import torch
from laboratory_help import training
from rich.console import Console

from jql.engine import storage
from jql.errors import DataError, RecipeError
from jql.laboratory.figures import condition
from jql.laboratory.measure import held_out_batch, held_out_figures
from jql.laboratory.result import FIGURES
from jql.laboratory.sweep import CURVES, LOGITS, MATRIX, SWEEP, Data, by_variant
from jql.laboratory.tuning import TUNING
from jql.pipeline import run_recipe
from jql.planner import plan_recipe
from jql.pretrain.config import ModelConfig
from jql.pretrain.model import Decoder
from jql.recipe import dump_recipe, make_recipe
from jql.tokens.training_set import TrainingSet

pytestmark = pytest.mark.usefixtures("one_thread")
RATES = (0.001, 0.1)
SHAPE = {"hidden": 16, "layers": 1, "heads": 2, "kv_heads": 1, "ffn": 24, "sequence": 16, "tied": False}
VARIANTS = {"plain": {}, "centering": {"centering": True}, "z": {"z_loss": 0.1, "coupled": True}}


@pytest.fixture(scope="module")
def documents(tmp_path_factory) -> Path:
    folder, draw = tmp_path_factory.mktemp("sweep") / "documents", random.Random(5)
    rows = [{"id": str(i), "text": " ".join(draw.choices(WORDS, k=40)), "language": "eng_Latn"} for i in range(60)]
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet", row_group_size=30)
    return folder


def recipe_of(documents: Path, name: str, pretrain=(), evaluate=(), output=None, **sweep):
    # Five steps of 2 x 16 tokens a model.
    settings = {"variants": VARIANTS, "learning_rates": RATES, "seeds": 2, "tokens": 160, "held_out": 9, **sweep}
    training = {"batch": 2, "dtype": "float32", "warmup": 0.25, "weight_decay": 0.0}
    return make_recipe(
        {
            "output": output or str(documents.parent / name),
            "stages": ["tokenizer", "sweep"],
            "engine": {"backend": "inline"},
            "documents": {"path": str(documents), "unit_rows": 30},
            "tokenizer": {"vocab": 390},
            "pretrain": {**SHAPE, **training, **dict(pretrain)},
            "evaluate": {"held_out": 0.2, "documents": 50, **dict(evaluate)},
            "sweep": settings,
        }
    )


def swept(recipe):
    told = io.StringIO()
    return run_recipe(recipe, Console(file=told, width=200)).sweep, told.getvalue()


@pytest.fixture(scope="module")
def made(documents):
    recipe = recipe_of(documents, "run")
    return recipe, *swept(recipe)


def losses_of(run: Path, variant: str) -> list[list[float]]:
    """Of the training of each model, by learning rate and seed."""
    (folder,) = (run / "sweep/variants" / variant).iterdir()
    files = sorted((folder / "data" / CURVES).glob("**/*.parquet"), key=lambda path: path.name[:3])
    return [storage.read_table(str(file)).column("loss").to_pylist() for file in files]


def data_of(run: Path) -> Data:
    (folder,), (made,) = (run / "sweep/set").iterdir(), (run / "tokenizer").glob("*/tokenizer.json")
    (texts,) = (run / "evaluate").glob("texts-*.parquet")
    return Data(str(folder), str(texts), str(made.parent))


def test_every_model_is_measured(made):
    recipe, found, told = made
    assert json.loads((Path(recipe.output) / "sweep.json").read_text(encoding="utf-8")) == found
    assert told.count("gradients of rows no longer add up") == 1 and "z: coupled with z_loss" in told
    assert found["design"]["baseline"] == "plain" and found["design"]["steps"] == 5
    assert found["design"]["cap"] == math.log(390) and found["design"]["held_out"]["sequences"] == 9
    assert list(found["variants"]) == list(VARIANTS)
    for name, one in found["variants"].items():
        assert [at["learning_rate"] for at in one["rates"]] == list(RATES) and one["diverged"] == 0
        for at in one["rates"]:
            assert len(at["losses"]) == 2 and set(at["values"]) == set(FIGURES)
            loss = at["values"]["loss"]
            assert 2 < loss["low"] <= loss["mean"] <= loss["high"] and max(at["losses"]) <= math.log(390)
            assert (at["values"]["mean_length"]["mean"] < 1e-7) == (name == "centering")
            assert (at["apart"] is None) == (name == "plain")
    # In exact numbers centering changes no loss.
    assert abs(found["variants"]["centering"]["rates"][0]["apart"]["loss"]["mean"]) < 1e-4
    assert {one["variant"] for one in found["directions"]} == {"plain", "centering"}  # z has two techniques
    page = (Path(recipe.output) / "sweep.html").read_text(encoding="utf-8")
    assert "LR sensitivity" in page and "picture: " in told


def test_models_of_a_seed_begin_alike_and_see_the_same(made):
    run = Path(made[0].output)
    plain, centering = losses_of(run, "plain"), losses_of(run, "centering")
    assert [len(one) for one in plain] == [5] * 4
    first = [one[0] for one in plain]
    assert first == [one[0] for one in centering] and first[0] == first[2] != first[1] == first[3]


def test_one_variant_more_leaves_the_others_as_they_are_and_again_does_nothing(made, documents):
    recipe, first, _ = made
    assert all(entry["left"] == 0 for entry in plan_recipe(recipe)["stages"])
    found, told = swept(recipe_of(documents, "run", variants={**VARIANTS, "mu": {"mu_loss": 10.0}}))
    assert told.count("4 of 4 units were done before") == 3 and "sweep/set: done before" in told
    assert {name: found["variants"][name] for name in VARIANTS} == first["variants"]
    assert found["variants"]["mu"]["settings"] == {"mu_loss": 10.0}
    assert swept(recipe)[0] == first


def test_nothing_held_out_is_trained_on(made):
    recipe = made[0]
    run = Path(recipe.output)
    data = TrainingSet.open(Path(data_of(run).folder))
    aside = storage.read_table(data_of(run).texts).num_rows
    assert data.documents == 60 - aside and data.left_out == {"held_out": aside} and 4 <= aside <= 25
    every, some = (held_out_batch(replace(data_of(run), held_out=n), 16) for n in (10_000, 9))
    assert len(some.tokens) == 9 and (some.tokens == every.tokens[:9]).all()
    # Each token of a held-out document is a target once, and its end is.
    assert (every.targets == data.eod).sum() == aside
    masked = held_out_batch(replace(data_of(run), mask=True, held_out=9), 16)
    assert masked.segments.shape == masked.tokens.shape


def test_a_strength_is_tuned_with_a_seed_of_its_own(documents):
    variants = {"plain": {}, "z": {"tune": "z_loss"}, "mu": {"tune": "mu_loss", "centering": True}}
    recipe = recipe_of(documents, "tuned", variants=variants, lambdas=[100, 0.01], seeds=1)
    found, _ = swept(recipe)
    assert set(found["tuned"]) == {"z", "mu"}
    tried = low, _ = found["tuned"]["z"]["tried"]
    assert [one["strength"] for one in tried] == [0.01, 100] and tried[0]["mean"] < tried[1]["mean"]
    assert found["tuned"]["z"]["strength"] == 0.01 and found["tuned"]["z"]["end"]
    assert low["mean"] == pytest.approx(np.mean(low["losses"])) and low["best"] == min(low["losses"])
    assert found["variants"]["z"]["settings"] == {"z_loss": 0.01} and found["variants"]["mu"]["settings"]["centering"]
    assert found["variants"]["z"]["lrs"]["low"] is None  # one seed
    (folder,) = (Path(recipe.output) / "sweep/strengths/z").iterdir()
    files = [path for path in (folder / "data").glob("**/*.parquet") if "aside" not in path.parts]
    assert [pq.read_table(path).column("seed").to_pylist() for path in files] == [[TUNING]] * 4


def test_a_model_that_diverges_counts_as_one_that_knows_nothing(documents):
    recipe = recipe_of(documents, "diverged", variants={"plain": {}}, learning_rates=[1e25, 0.01], seeds=1)
    found, _ = swept(recipe)
    good, bad = found["variants"]["plain"]["rates"]
    assert (good["diverged"], bad["diverged"]) == (0, 1) and found["variants"]["plain"]["diverged"] == 1
    assert bad["losses"] == [math.log(390)]
    assert found["variants"]["plain"]["lrs"]["mean"] == pytest.approx(math.log(390) - good["losses"][0])
    assert found["variants"]["plain"]["best_rate"] == 0.01


def test_the_first_weights_are_those_of_the_seed(documents):
    recipe = recipe_of(documents, "first", variants={"plain": {}}, learning_rates=[1e-12, 1e-11])
    found, _ = swept(recipe)
    expected = [condition(Decoder(ModelConfig(vocab=390, **SHAPE), seed).head.weight) for seed in (0, 1)]
    values = found["variants"]["plain"]["rates"][0]["values"]
    assert values["condition"]["mean"] == pytest.approx(np.mean(expected), rel=1e-6)


def test_norms_are_started_and_tied_embeddings_are_warned_of(documents):
    variants = {"dyisru": {"norm": "dyisru"}, "layer": {"norm": ["layer", "rms"], "centering": True}}
    recipe = recipe_of(documents, "norms", {"tied": True, "mask": True}, variants=variants, seeds=1)
    found, told = swept(recipe)
    assert "layer: centering with tied embeddings" in told and found["variants"]["layer"]["doubts"]
    assert found["design"]["baseline"] is None and found["variants"]["layer"]["lrs_apart"] is None
    assert found["variants"]["dyisru"]["rates"][0]["losses"][0] < 6.1


def test_the_held_out_loss_does_not_depend_on_the_size_of_a_pass(made):
    held = held_out_batch(replace(data_of(Path(made[0].output)), held_out=7), 16)
    targets = held.targets.copy()
    targets[0] = targets[3, :5] = -100
    held, model = held._replace(targets=targets), Decoder(ModelConfig(vocab=390, **SHAPE))
    whole, parts = (held_out_figures(model, held, training(batch=7, micro_batch=n)) for n in (7, 1))
    assert whole == pytest.approx(parts, rel=1e-5) and set(whole) == {"loss", *LOGITS}
    logits = model(torch.tensor(held.tokens)).flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(targets).flatten())
    assert whole["loss"] == pytest.approx(loss.item(), rel=1e-6)
    assert set(SWEEP.names) == {"variant", "learning_rate", "seed", "loss", "diverged", *LOGITS, *MATRIX}


def test_the_verb_shows_variants_and_figures(made, documents, capsys):
    path = documents.parent / "recipe.yaml"
    path.write_text(dump_recipe(made[0]), encoding="utf-8")
    assert run_here("pretrain", "sweep", str(path)) == 0
    out = capsys.readouterr().out
    for words in ("LR sensitivity", "|mu| / mean norm", "largest logit", "log Z", "isotropy", "Less plain, seed by"):
        assert words in out
    assert "published, centering: LR sensitivity is lower than that of plain: " in out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": {}}, r"sweep\.variants: expected one or more, got none"),
        ({"variants": {"a/b": {}}}, r"sweep\.variants: expected a name of letters, digits, .* got 'a/b'"),
        (
            {"variants": {"a": {"centering": True, "soft_cap": 30}}},
            r"sweep\.variants\.a\.soft_cap: expected 0 with centering, .*got 30\.0; write 0",
        ),
        (
            {"variants": {"a": {"norm": ["rms", "layer", "rms"]}}},
            r"sweep\.variants\.a\.norm: expected one for all, or one for each of 1 blocks and one for the last norm, got 3",
        ),
        ({"variants": {"a": {"scale": 2}}}, r"sweep\.variants\.a\.scale: expected 1 without coupled"),
        ({"variants": {"a": {"z_los": 2}}}, r"sweep\.variants\.a\.z_los: unknown key; did you mean z_loss\?"),
        ({"variants": {"a": {"mu_loss": -1}}}, r"a\.mu_loss: expected greater than or equal to 0, got -1"),
        (
            {"variants": {"a": {"tune": "muloss"}}},
            r"a\.tune: expected 'mu_loss' or 'z_loss', got 'muloss'; did you mean",
        ),
        (
            {"variants": {"a": {"norm": "batch"}}},
            r"a\.norm\.0: expected 'rms', 'layer', 'dyt' or 'dyisru', got 'batch'",
        ),
        ({"variants": {"a": {"tune": "z_loss", "z_loss": 0.1}}}, r"a: tune: z_loss is to be found, but is set to 0\.1"),
        ({"learning_rates": [0.1, 0.1]}, r"sweep: learning_rates: expected each once, got 0\.1, 0\.1"),
        ({"learning_rates": [0.1]}, r"sweep: learning_rates: expected 2 or more, got 1"),
        ({"learning_rates": [0.1, 0]}, r"sweep\.learning_rates\.1: expected greater than 0, got 0"),
        ({"seeds": 0}, r"sweep\.seeds: expected greater than 0, got 0"),
        ({"baseline": "none"}, r"sweep: baseline: no variant none; there are plain, centering, z"),
        (
            {"variants": {"a": {"tune": "z_loss"}}, "lambdas": []},
            r"sweep: lambdas: expected strengths to try for a, got none",
        ),
        (
            {"evaluate": {"held_out": 0.0}},
            r"evaluate\.held_out: a sweep takes losses on documents set aside, got 0; write",
        ),
        ({"pretrain": {"heads": 3}}, r"model\.heads: expected a divisor of hidden \(16\), got 3"),
        ({"output": "s3://jql-test/sweep"}, r"output: expected a folder that all workers see"),
    ],
)
def test_what_cannot_be_is_refused_before_a_model_is_trained(documents, changes, message):
    with pytest.raises(RecipeError, match=message):
        run_recipe(recipe_of(documents, "refused", **changes))
    assert not (documents.parent / "refused/sweep").exists()


def test_missing_models_are_named():
    table = pa.Table.from_pylist([{"variant": "a", "learning_rate": 0.1, "seed": 0}], SWEEP)
    with pytest.raises(DataError, match=r"a: expected a model of each of 2 learning rates and 1 seeds"):
        by_variant(table, "loss", RATES)
