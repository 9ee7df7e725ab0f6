"""A pretrained model with a layer for labels on it: any encoder or decoder, of which only token vectors are asked.

Shapes: B sentences, T tokens, D dimensions, P words, L labels.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from jql.encoder.checkpoints import merged_state, native_config
from jql.encoder.encoder import NAMED, EncoderSpec, local_model
from jql.encoder.packed import first_position, position_table
from jql.encoder.static import MODULE, find_static, read_static, shipped_encoders
from jql.errors import DataError, InputError, RecipeError, one_line
from jql.probe.subwords import Batch

DROPOUT = 0.1
"""Before the layer for labels, where the model's own configuration says nothing."""
SPREAD = 0.02
"""Standard deviation of that layer's first weights, as in BERT."""

TOKENIZER = ("tokenizer.json", "tokenizer.model", "sentencepiece.bpe.model", "spiece.model", "vocab.txt", "vocab.json")
"""Files of a tokenizer; one of them is there."""


class Static(nn.Module):
    """A vector for each token, whatever stands around it: the floor beneath all models that read a context."""

    def __init__(self, vectors_VD: Tensor) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(vectors_VD), vectors_VD.shape[1], _weight=vectors_VD)

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """float32 (B, T, D)."""
        found: Tensor = self.embedding(ids_BT)
        return found


class Contextual(nn.Module):
    """A model of transformers, without what it has for its pretraining."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """float32 (B, T, D)."""
        found: Tensor = self.net(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
        return found


class Tagger(nn.Module):
    """Token vectors, dropout, and a linear layer.

    Attributes:
        tokenizer: of transformers. pad: the id that fills sequences up. vocab: ids are below it.
        positions: most tokens it reads, None where it does not say.
    """

    def __init__(
        self,
        body: nn.Module,
        tokenizer: Any,
        dim: int,
        labels: int,
        vocab: int,
        dropout: float = DROPOUT,
        positions: int | None = None,
    ) -> None:
        super().__init__()
        self.body, self.tokenizer, self.vocab, self.positions = body, tokenizer, vocab, positions
        self.pad = int(tokenizer.pad_token_id or 0)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(dim, labels)
        nn.init.normal_(self.head.weight, std=SPREAD)
        nn.init.zeros_(self.head.bias)

    def forward(self, batch: Batch) -> Tensor:
        """Logits of the words that have a token, float32 (P, L)."""
        hidden_BTD = self.body(batch.ids, batch.mask)
        logits: Tensor = self.head(self.dropout(hidden_BTD[batch.rows, batch.columns]))
        return logits


def load_tagger(model: str, labels: int, seed: int, max_length: int) -> Tagger:
    """A tagger on a pretrained model, in float32 on the CPU; no code of the model's own is run.

    Args:
        model: a folder, local or remote, of transformers, sentence-transformers or `jql pretrain`; a hub id; or a name
            that jql knows.
        seed: of the new layer's first weights, and of all dropout after it.
        max_length: tokens it will be given at most.

    Raises:
        InputError: it cannot be loaded. DataError: it is not one that tags can be learned with.
        RecipeError: it reads fewer tokens.
    """
    torch.manual_seed(seed)
    try:
        made = _load(model, labels)
    except (InputError, DataError):
        raise
    except (OSError, ValueError, SafetensorError) as error:
        todo = "expected a whole model folder with its tokenizer, or the id of a model on the Hugging Face hub"
        raise InputError(f"{model}: cannot be loaded ({one_line(error)}); {todo}") from error
    if made.positions and max_length > made.positions:
        raise RecipeError(f"--max-length: {model} reads {made.positions} tokens, got {max_length}")
    return made


def _load(model: str, labels: int) -> Tagger:
    spec = NAMED.get(model) or replace(next(iter(NAMED.values())), model=model, adapter="")
    folder = local_model(str(find_static(model)) if model in shipped_encoders() else spec.model)
    inner, static = _first_module(Path(folder))
    if static:
        return _static(Path(folder), labels)
    return _contextual(replace(spec, model=inner or folder), labels)


def _first_module(folder: Path) -> tuple[str | None, bool]:
    """Where the transformer of a sentence-transformers folder is, None of another; and whether it is static instead."""
    file = folder / "modules.json"
    if not file.is_file():
        return None, False
    try:
        first = json.loads(file.read_text(encoding="utf-8"))[0]
        return str(folder / first["path"]), first["type"].rsplit(".", 1)[-1] == MODULE
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{file}: expected a list of modules ({one_line(error)}); copy the folder again") from error


def _static(folder: Path, labels: int) -> Tagger:
    from transformers import PreTrainedTokenizerFast

    tokenizer, vectors_VD = read_static(folder)
    body = Static(torch.from_numpy(vectors_VD))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)  # type: ignore[no-untyped-call]
    return Tagger(body, fast, vectors_VD.shape[1], labels, len(vectors_VD))


def _contextual(spec: EncoderSpec, labels: int) -> Tagger:
    from transformers import AutoConfig, AutoModel, AutoTokenizer, JinaEmbeddingsV3Model, PreTrainedConfig
    from transformers.utils import logging

    raw = PreTrainedConfig.get_config_dict(spec.model)[0]
    native = native_config(raw)
    config = AutoConfig.for_model(**native) if native != raw else AutoConfig.from_pretrained(spec.model)
    if getattr(config, "is_encoder_decoder", False):
        raise DataError(f"{spec.model}: expected an encoder or a decoder, got {config.model_type}, which is both")
    state = merged_state(spec, raw if native != raw else {}, {})
    loader: Any = JinaEmbeddingsV3Model if state else AutoModel
    loudness = logging.get_verbosity()
    # It lists what pretraining had and a probe has not, and the weights that are missing.
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        net, info = loader.from_pretrained(
            None if state else spec.model,
            config=config,
            state_dict=state,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below, like what is missing
        )
    finally:
        logging.set_verbosity(loudness)
    # transformers fills what it does not find with random numbers and only warns.
    absent = sorted(name for name in info["missing_keys"] if "pooler." not in name)
    wrong = [*absent, *sorted(str(key[0]) for key in info["mismatched_keys"])]
    if wrong:
        raise DataError(f"{spec.model}: {len(wrong)} weights missing or misshapen ({', '.join(wrong[:3])})")
    shape = config.get_text_config()
    folder = Path(spec.model)
    if folder.is_dir() and not any((folder / name).is_file() for name in TOKENIZER):
        # Of a folder without one transformers makes a tokenizer that knows no word, and says nothing.
        raise InputError(f"{spec.model}: no tokenizer in it; expected one of {', '.join(TOKENIZER)}")
    tokenizer = AutoTokenizer.from_pretrained(spec.model, config=config)
    of_config = (getattr(shape, name, None) for name in ("classifier_dropout", "hidden_dropout_prob"))
    dropout = next((p for p in of_config if p is not None), DROPOUT)
    vocab = int(net.get_input_embeddings().num_embeddings)
    return Tagger(Contextual(net), tokenizer, shape.hidden_size, labels, vocab, dropout, _positions(net))


def _positions(net: Any) -> int | None:
    table = position_table(net)
    if table is not None:
        return int(table.num_embeddings) - first_position(net)
    return getattr(net.config, "max_position_embeddings", None)
