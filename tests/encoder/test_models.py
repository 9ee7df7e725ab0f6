"""Loaded models: vectors as the model itself makes them, nothing made up, and no code of its own that was not allowed."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from encoder_help import (
    TEXTS,
    TINY,
    WORDS,
    spec_of,
    torch,
    transformers,
)

from jql.encoder.encoder import load_encoder
from jql.encoder.models import pool_tokens
from jql.errors import DataError, InputError

pytestmark = pytest.mark.usefixtures("one_thread")


def test_pooling_ignores_padding():
    hidden = torch.tensor([[[1.0, 2], [3, 4], [torch.inf, torch.nan]], [[1, 1], [2, 2], [6, 6]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert pool_tokens(hidden, mask, "mean").tolist() == [[2, 3], [3, 3]]
    assert pool_tokens(hidden, mask, "cls").tolist() == [[1, 2], [1, 1]]
    assert pool_tokens(hidden, mask, "last").tolist() == [[3, 4], [6, 6]]


def test_a_sentence_transformers_model_is_encoded_as_it_does_itself(bert, static):
    from sentence_transformers import SentenceTransformer

    for folder, dim in [(bert, 16), (static, 24)]:
        model = SentenceTransformer(str(folder), device="cpu")
        if folder == bert:
            model.max_seq_length = 64
        encoder = load_encoder(
            spec_of(folder, kind="sentence-transformers", pooling="mean", dim=dim, max_tokens=64 if dim == 16 else 9999)
        )
        texts = [*TEXTS, "", "🙂 emoji", "</s>"]
        assert np.allclose(encoder.encode(texts), model.encode(texts), atol=1e-5)
        prompted = load_encoder(replace(encoder.spec, prompt="school: ")).encode(TEXTS)
        assert np.allclose(prompted, model.encode(TEXTS, prompt="school: "), atol=1e-5)


def test_a_prompt_that_the_model_leaves_out_of_pooling_is_left_out(bert, tmp_path):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(bert), device="cpu")
    model.max_seq_length = 64
    model[1].include_prompt = False
    model.save(str(tmp_path))
    spec = spec_of(tmp_path, kind="sentence-transformers", pooling="mean", dim=16, prompt="school reads ")
    assert np.allclose(load_encoder(spec).encode(TEXTS), model.encode(TEXTS, prompt="school reads "), atol=1e-5)


def test_roberta_counts_its_positions_after_the_padding_token(tokenizer, tmp_path):
    config = transformers.XLMRobertaConfig(**TINY, max_position_embeddings=34, pad_token_id=1)
    transformers.XLMRobertaModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(DataError, match="the model reads 32 tokens, got 33"):
        load_encoder(spec_of(tmp_path, max_tokens=33))
    assert np.isfinite(load_encoder(spec_of(tmp_path, max_tokens=32)).encode([" ".join(WORDS * 9)])).all()


def test_weights_that_are_not_there_are_not_made_up(alibaba):
    from safetensors.torch import load_file, save_file

    state = load_file(alibaba / "model.safetensors")
    del state["new.encoder.layer.1.mlp.down_proj.weight"]
    save_file(state, alibaba / "model.safetensors")
    with pytest.raises(DataError, match=r"1 weights missing or misshapen \(layers.1.mlp.down_proj.weight\); fetch it"):
        load_encoder(spec_of(alibaba))


def test_weights_of_another_shape_and_half_a_file_are_refused(alibaba):
    from safetensors.torch import load_file, save_file

    file = alibaba / "model.safetensors"
    state = load_file(file)
    save_file(state | {"new.embeddings.word_embeddings.weight": torch.zeros(7, 32)}, file)
    with pytest.raises(DataError, match=r"1 weights missing or misshapen \(embeddings.word_embeddings.weight\)"):
        load_encoder(spec_of(alibaba))
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"cannot be loaded .*expected a whole model folder"):
        load_encoder(spec_of(alibaba))


def test_remote_code_runs_only_when_allowed(gte, bert, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules_cache"))
    from safetensors.torch import save_file

    folder = shutil.copytree(gte, tmp_path / "own")
    save_file(transformers.AutoModel.from_pretrained(gte).state_dict(), folder / "model.safetensors")
    mark = tmp_path / "ran"
    config = json.loads((folder / "config.json").read_text()) | {
        "model_type": "homemade",
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(
        f"open({str(mark)!r}, 'w').close()\n"
        "from transformers import GteConfig, GteModel\n"
        "class OwnConfig(GteConfig):\n    model_type = 'homemade'\n"
        "class OwnModel(GteModel):\n    config_class = OwnConfig\n"
    )
    refusal = r"it wants to run Python code of its own.*allow it with load_encoder\(spec, trust_remote_code=True\)"
    with pytest.raises(InputError, match=refusal):
        load_encoder(spec_of(folder))
    modules = shutil.copytree(bert, tmp_path / "modules") / "modules.json"
    modules.write_text(modules.read_text().replace("sentence_transformers.base.modules.dense.Dense", "own.Own"))
    assert "own.Own" in modules.read_text()
    with pytest.raises(InputError, match=refusal):
        load_encoder(spec_of(modules.parent, kind="sentence-transformers", pooling="mean", dim=16))
    assert not mark.exists()
    allowed = load_encoder(spec_of(folder), trust_remote_code=True)
    assert mark.exists() and np.allclose(allowed.encode(TEXTS), load_encoder(spec_of(gte)).encode(TEXTS), atol=1e-6)
