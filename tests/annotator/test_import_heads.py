"""Published checkpoints to an annotator folder: the scores of torch, and what does not fit is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

import torch
from encoder.encoder_help import TEXTS, save_static, train_tokenizer
from lightning_help import RegressionHead, save

from jql.annotator.annotator import FILES, Annotator
from jql.annotator.card import GOLDEN
from jql.annotator.import_heads import import_heads
from jql.cli_annotator import app
from jql.encoder.encoder import NAMED, load_encoder
from jql.errors import DataError, InputError, RecipeError

SNOWFLAKE = "snowflake-arctic-embed-m-v2.0"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return save_static(train_tokenizer(), tmp_path_factory.mktemp("static"))


def checkpoint(path: Path, dimensions: int = 24, hidden: int = 7, seed: int = 0, **more):
    torch.manual_seed(seed)
    model = RegressionHead(dimensions, hidden)
    save(path, model, **more)
    return model.float().eval()


def test_scores_are_those_of_torch_on_the_embeddings(encoder, tmp_path):
    models = {
        "llama": checkpoint(tmp_path / "a.ckpt"),
        "gemma": checkpoint(tmp_path / "b.ckpt", hidden=5, seed=1, dtype=torch.bfloat16),
    }
    files = {"llama": tmp_path / "a.ckpt", "gemma": tmp_path / "b.ckpt"}
    rubric = tmp_path / "r.yaml"
    rubric.write_text("name: educational\n")
    made = import_heads(files, str(encoder), tmp_path / "edu", "edu", rubric)
    assert made.heads == ["llama", "gemma"] and made.name == "edu" and made.rubric == "name: educational\n"
    assert sorted(p.name for p in (tmp_path / "edu").iterdir()) == sorted(FILES)
    texts = [*TEXTS, "", "🙂 emoji", "x" * 5000]
    embeddings = load_encoder(made.spec).encode(texts)
    scores = Annotator.load(str(tmp_path / "edu")).score(texts)
    for head, model in models.items():
        with torch.inference_mode():
            expected = model(torch.from_numpy(embeddings))[:, 0].numpy()
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(scores[head], expected, rtol=1e-5, atol=1e-6)
    rows = [json.loads(line) for line in (tmp_path / "edu" / "golden.jsonl").open(encoding="utf-8")]
    assert [row["text"] for row in rows] == list(GOLDEN)
    golden = made.score(GOLDEN)
    for i, row in enumerate(rows):
        assert row["scores"] == {h: pytest.approx(float(golden[h][i]), abs=1e-5) for h in made.heads}
    meta = json.loads((tmp_path / "edu" / "annotator.json").read_text())
    assert meta["imported"] == {"llama": "a.ckpt", "gemma": "b.ckpt"} and meta["encoder"]["revision"]
    assert "Heads llama, gemma imported from a.ckpt, b.ckpt" in made.card


def test_a_head_of_another_encoder_is_refused(encoder, tmp_path):
    checkpoint(tmp_path / "a.ckpt")
    checkpoint(tmp_path / "b.ckpt", dimensions=32)
    found = r"b.ckpt: head b reads 32 dimensions, .* has 24; name the encoder it was trained on"
    with pytest.raises(DataError, match=found):
        import_heads({"a": tmp_path / "a.ckpt", "b": tmp_path / "b.ckpt"}, str(encoder), tmp_path / "x", "x", None)
    assert not (tmp_path / "x").exists()
    with pytest.raises(DataError, match="reads 24 dimensions, jina-embeddings-v3 has 1024"):
        import_heads({"a": tmp_path / "a.ckpt"}, "jina-embeddings-v3", tmp_path / "x", "x", None)


def test_what_is_no_head_is_refused(encoder, tmp_path):
    with pytest.raises(RecipeError, match="no checkpoints; name at least one as NAME=FILE"):
        import_heads({}, str(encoder), tmp_path / "x", "x", None)
    with pytest.raises(InputError, match=r"none.ckpt: no such file"):
        import_heads({"a": tmp_path / "none.ckpt"}, str(encoder), tmp_path / "x", "x", None)
    torch.save({"state_dict": {"layer1.weight": torch.ones(3, 24)}}, tmp_path / "one.ckpt")
    with pytest.raises(DataError, match=r"one.ckpt: expected the weights and biases of Linear\(D, H\), ReLU, Linear"):
        import_heads({"a": tmp_path / "one.ckpt"}, str(encoder), tmp_path / "x", "x", None)
    checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(
        InputError, match=r"encoder 'snowflak': not one that jql knows \(multilingual-static, snowflake"
    ):
        import_heads({"a": tmp_path / "a.ckpt"}, "snowflak", tmp_path / "x", "x", None)


def test_published_heads_are_imported_where_their_encoder_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = checkpoint(tmp_path / "a.ckpt", 768, 1000)
    made = import_heads({"llama": tmp_path / "a.ckpt"}, SNOWFLAKE, tmp_path / "edu", "edu", None)
    assert sorted(p.name for p in (tmp_path / "edu").iterdir()) == sorted(FILES)
    assert (tmp_path / "edu" / "golden.jsonl").read_bytes() == b"" and made.golden == ()
    assert made.spec == NAMED[SNOWFLAKE] and made.trained.hidden_weight.shape == (1000, 768)
    embeddings = np.random.default_rng(0).normal(size=(5, 768)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    with torch.inference_mode():
        expected = model(torch.from_numpy(embeddings)).numpy()
    np.testing.assert_allclose(made.trained.points(embeddings, None), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match=SNOWFLAKE):
        made.score(["a text"])


def test_the_command_writes_the_folder_it_is_told(encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint(tmp_path / "a.ckpt")
    call = ["import-heads", "llama=a.ckpt", "--to", "multilingual", "--encoder", str(encoder)]
    done = CliRunner().invoke(app, call, catch_exceptions=False)
    assert done.exit_code == 0 and "annotator: multilingual, heads llama, revision" in done.output
    assert (tmp_path / "multilingual" / "annotator.json").is_file()
    with pytest.raises(RecipeError, match=r"a.ckpt: expected NAME=FILE, such as llama=edu-llama"):
        CliRunner().invoke(app, ["import-heads", "a.ckpt", "--to", "x"], catch_exceptions=False)
    with pytest.raises(InputError, match=r"none.yaml: no such rubric"):
        CliRunner().invoke(app, [*call, "--rubric", "none.yaml"], catch_exceptions=False)


def test_a_folder_named_like_an_annotator_in_the_box_is_the_one_that_was_written(encoder, tmp_path, monkeypatch):
    from jql.paths import annotators_dir

    shipped = sorted(p.parent.name for p in annotators_dir().glob("*/annotator.json"))[0]
    monkeypatch.chdir(tmp_path)
    checkpoint(tmp_path / "a.ckpt")
    made = import_heads({"mine": tmp_path / "a.ckpt"}, str(encoder), Path(shipped), shipped, None)
    assert made.heads == ["mine"]
