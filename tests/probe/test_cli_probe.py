"""The verbs of probes, as a user calls them."""

import json

import pytest
from encoder_help import save_static, train_tokenizer
from typer.testing import CliRunner

from jql.cli_probe import app
from jql.errors import RecipeError

pytestmark = pytest.mark.usefixtures("one_thread")


def call(*arguments):
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    done = call("make", str(folder), "--sentences", "40", "--language", "eng_Latn")
    assert done.exit_code == 0 and "test.conll: 10 sentences" in done.stdout
    return folder


def test_files_are_made_and_a_model_is_probed_on_them(files, tmp_path):
    model = save_static(train_tokenizer(), tmp_path / "static")
    options = [f"--{name}={files}/{name}.conll" for name in ("train", "validation", "test")]
    options += ["--learning-rate", "0.05", "--epochs", "3", "--schedule", "fixed", f"--to={tmp_path}/to", "--json"]
    done = call("ner", str(model), *options)
    assert done.exit_code == 0, done.output
    assert "epoch 3: loss" in done.stdout and f"probe: {tmp_path}/to" in done.stdout
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures == json.loads((tmp_path / "to/ner.json").read_text(encoding="utf-8"))
    assert figures["sentences"] == {"train": 40, "validation": 10, "test": 10}
    assert figures["history"][-1]["factor"] == 0 and set(figures["test"]["types"]) == {"LOC", "ORG", "PER"}


def test_options_that_cannot_be_are_refused(files, tmp_path):
    found = call("make", str(tmp_path), "--sentences", "3").exception
    assert isinstance(found, RecipeError) and "--sentences: expected 4 or more, got 3" in str(found)
    options = [f"--{name}={files}/{name}.conll" for name in ("train", "validation", "test")]
    found = call("ner", "m", *options, "--schedule", "cosine").exception
    assert isinstance(found, RecipeError) and "--schedule: expected adaptive or fixed, got cosine" in str(found)
