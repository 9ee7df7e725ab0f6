"""Tiny real checkpoints in the layouts of the published ones, and texts for them."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jql.encoder.encoder import EncoderSpec

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
os.environ["HF_HUB_OFFLINE"] = "1"

WORDS = ["the", "river", "runs", "through", "a", "green", "valley", "and", "every", "school", "reads", "light", "star"]
TEXTS = [
    " ".join(np.random.default_rng(i).choice(WORDS, size=size)) for i, size in enumerate([3, 40, 1, 17, 90, 5, 28])
]
HARD = ["", " ", "a", "\x00", "\ud800 lone", "🙂🙃🚀" * 50, "x" * 10_000, "Мир und 世界 و ไทย", "\n" * 100, "</s> <s>"]
TINY = {"vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}


def train_tokenizer():
    """A unigram tokenizer with the special tokens of XLM-R, trained here."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    raw = Tokenizer(models.Unigram())
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    raw.train_from_iterator(TEXTS, trainer)
    ends = [("<s>", 0), ("</s>", 2)]
    raw.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


def save_gte(tokenizer, folder: Path) -> Path:
    """A GteModel as transformers saves it: with the tensor names of Snowflake's checkpoint."""
    torch.manual_seed(0)
    model = transformers.GteModel(transformers.GteConfig(**TINY, max_position_embeddings=4096, initializer_range=0.2))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_alibaba(gte, tokenizer, folder: Path) -> Path:
    """The same weights as Alibaba publishes them: model_type "new", remote code, a `new.` before every tensor."""
    from safetensors.torch import load_file, save_file

    state = load_file(gte / "model.safetensors")
    assert "encoder.layer.0.attention.qkv_proj.weight" in state and "encoder.layer.0.mlp.up_gate_proj.weight" in state
    save_file({f"new.{name}": tensor for name, tensor in state.items()}, folder / "model.safetensors")
    config = json.loads((gte / "config.json").read_text())
    del config["rope_parameters"]
    config |= {
        "model_type": "new",
        "architectures": ["NewModel"],
        "auto_map": {"AutoConfig": "configuration.NewConfig", "AutoModel": "modeling.NewModel"},
        "rope_theta": 160000,
        "rope_scaling": None,
        "position_embedding_type": "rope",
        "layer_norm_type": "layer_norm",
        "pack_qkv": True,
        "unpad_inputs": "true",
    }
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer.save_pretrained(folder)
    return folder


def save_bert(tokenizer, folder: Path) -> Path:
    """A sentence-transformers folder: BERT with 64 positions, mean pooling, a Dense layer to 16, normalisation."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    plain = folder / "plain"
    torch.manual_seed(1)
    transformers.BertModel(
        transformers.BertConfig(**TINY, max_position_embeddings=64, initializer_range=0.2)
    ).save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    modules = [Transformer(str(plain)), Pooling(32, "mean"), Dense(32, 16), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder / "whole"))
    return folder / "whole"


def save_static(tokenizer, folder: Path) -> Path:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    torch.manual_seed(2)
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=24)], device="cpu").save(str(folder))
    return folder


def save_jina(tokenizer, folder: Path):
    """jina-embeddings-v3 as published: XLM-R by name, LoRA adapters of five tasks beside every weight matrix."""
    from safetensors.torch import load_file, save_file

    torch.manual_seed(3)
    config = transformers.JinaEmbeddingsV3Config(**TINY, max_position_embeddings=130, initializer_range=0.2)
    transformers.JinaEmbeddingsV3Model(config).save_pretrained(folder)
    tasks, rank = ["retrieval.query", "retrieval.passage", "separation", "classification", "text-matching"], 2
    state = {}
    for name, weight in load_file(folder / "model.safetensors").items():
        if weight.ndim == 2:
            stem = f"roberta.{name}".removesuffix("weight") + "parametrizations.weight"
            fan_out, fan_in = weight.shape
            shapes = ((fan_out, rank), (rank, fan_in)) if "embeddings" in name else ((rank, fan_in), (fan_out, rank))
            state[f"{stem}.original"] = weight
            state[f"{stem}.0.lora_A"], state[f"{stem}.0.lora_B"] = (torch.randn(5, *shape) / 3 for shape in shapes)
        else:
            state[f"roberta.{name}"] = weight
    save_file(state, folder / "model.safetensors")
    record = json.loads((folder / "config.json").read_text())
    del record["rope_parameters"]
    record |= {
        "model_type": "xlm-roberta",
        "architectures": ["XLMRobertaLoRA"],
        "auto_map": {"AutoModel": "jinaai/xlm-roberta-flash-implementation--modeling_lora.XLMRobertaLoRA"},
        "position_embedding_type": "rotary",
        "rotary_emb_base": 20000.0,
        "lora_adaptations": tasks,
        "lora_alpha": 1,
        "lora_rank": rank,
    }
    (folder / "config.json").write_text(json.dumps(record))
    tokenizer.save_pretrained(folder)
    return folder, state, config


def spec_of(folder, **changes) -> EncoderSpec:
    base = EncoderSpec(
        kind="transformer",
        model=str(folder),
        revision="",
        pooling="cls",
        max_tokens=64,
        dtype="float32",
        normalise=False,
        prompt="",
        dim=32,
        long="truncate",
    )
    return replace(base, **changes)
