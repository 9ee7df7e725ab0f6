"""Published layouts: the weights of Alibaba's and jina's checkpoints in transformers' own classes, pinned."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from encoder_help import (
    HARD,
    TEXTS,
    save_jina,
    spec_of,
    torch,
    transformers,
)

from jql.encoder.checkpoints import merge_adapter, native_config
from jql.encoder.encoder import load_encoder
from jql.errors import DataError, InputError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def jina(tokenizer, tmp_path):
    return save_jina(tokenizer, tmp_path)


def test_alibabas_checkpoint_loads_without_its_code(gte, alibaba):
    assert np.allclose(
        load_encoder(spec_of(alibaba)).encode(TEXTS), load_encoder(spec_of(gte)).encode(TEXTS), atol=1e-6
    )


def test_ntk_scaling_is_that_of_alibabas_code(alibaba):
    config = json.loads((alibaba / "config.json").read_text()) | {
        "rope_theta": 20000,
        "rope_scaling": {"type": "ntk", "factor": 8.0},
    }
    (alibaba / "config.json").write_text(json.dumps(config))
    encoder = load_encoder(spec_of(alibaba))
    size = 8  # of a head
    frequencies = 1 / (20000 * 8) ** (np.arange(0, size, 2) / size) / 8 ** (2 / size)
    assert np.allclose(encoder._model._net.rotary_emb.inv_freq.numpy(), frequencies, rtol=1e-6)
    assert np.isfinite(encoder.encode(HARD)).all()


def test_only_known_configs_are_rewritten():
    other = {"model_type": "bert", "auto_map": {"AutoModel": "x.Y"}}
    assert native_config(other) == other
    with pytest.raises(
        DataError, match="position_embedding_type: got 'absolute', expected 'rope'; transformers has no"
    ):
        native_config({"model_type": "new", "position_embedding_type": "absolute"})


@pytest.mark.parametrize(("adapter", "position"), [("", None), ("retrieval.query", 0), ("text-matching", 4)])
def test_jinas_checkpoint_loads_with_the_adapter_of_a_task(jina, adapter, position):
    folder, state, config = jina
    encoder = load_encoder(spec_of(folder, pooling="mean", adapter=adapter, max_tokens=130))
    weights = {name.removeprefix("roberta."): tensor for name, tensor in merge_adapter(state, position, 0.5).items()}
    reference = transformers.JinaEmbeddingsV3Model.from_pretrained(None, config=config, state_dict=weights)
    texts = [text for text in TEXTS if len(text) < 120]  # fit into max_tokens
    for text, vector in zip(texts, encoder.encode(texts), strict=True):
        ids = [0, *encoder._model.tokenize([text])[0], 2]
        with torch.inference_mode():
            states = reference(input_ids=torch.tensor([ids])).last_hidden_state[0]
        assert np.allclose(vector, states.mean(0).numpy(), atol=1e-5)


def test_an_adapter_adds_the_scaled_product_to_its_weight():
    a, b = torch.tensor([[[9.0, 9]], [[1, 2]]]), torch.tensor([[[9.0], [9]], [[3], [4]]])
    linear = {"fc.parametrizations.weight.original": torch.ones(2, 2), "fc.bias": torch.zeros(2)}
    linear |= {"fc.parametrizations.weight.0.lora_A": a, "fc.parametrizations.weight.0.lora_B": b}
    merged = merge_adapter(linear, 1, 0.5)
    assert merged.keys() == {"fc.weight", "fc.bias"} and merged["fc.weight"].tolist() == [[2.5, 4], [3, 5]]
    assert merge_adapter(linear, None, 0.5)["fc.weight"].tolist() == [[1, 1], [1, 1]]
    table = {name.replace("fc", "embeddings.word"): tensor for name, tensor in linear.items()}
    table["embeddings.word.parametrizations.weight.0.lora_A"] = b
    table["embeddings.word.parametrizations.weight.0.lora_B"] = a
    assert merge_adapter(table, 1, 0.5)["embeddings.word.weight"].tolist() == [[2.5, 4], [3, 5]]


def test_an_adapter_the_model_has_not_is_refused(jina, gte, bert):
    with pytest.raises(DataError, match=r"adapter: the model has retrieval.query, .*text-matching, got 'summary'"):
        load_encoder(spec_of(jina[0], adapter="summary"))
    with pytest.raises(DataError, match="adapter: the model has none, got 'text-matching'"):
        load_encoder(spec_of(gte, adapter="text-matching"))
    with pytest.raises(DataError, match="adapter: only kind 'transformer' has one"):
        load_encoder(spec_of(bert, kind="sentence-transformers", pooling="mean", adapter="x"))


def test_a_hub_model_is_pinned_to_its_commit(gte, bert, alibaba, tmp_path, monkeypatch):
    commits = {"gte": "a" * 40, "new": "b" * 40, "bert": "c" * 40}
    for name, folder in (("gte", gte), ("new", alibaba), ("bert", bert)):
        cached = tmp_path / "hub" / f"models--org--{name}"
        shutil.copytree(folder, cached / "snapshots" / commits[name], ignore=shutil.ignore_patterns("hub"))
        (cached / "refs").mkdir()
        (cached / "refs" / "main").write_text(commits[name])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    bert_spec = spec_of("org/bert", kind="sentence-transformers", pooling="mean", dim=16)
    for spec in (spec_of("org/gte"), spec_of("org/new"), bert_spec):
        encoder = load_encoder(spec)
        assert encoder.spec.revision == commits[spec.model.removeprefix("org/")]
        assert np.array_equal(load_encoder(encoder.spec).encode(TEXTS), encoder.encode(TEXTS))
        with pytest.raises(InputError, match="cannot be loaded"):
            load_encoder(replace(spec, revision="d" * 40))
