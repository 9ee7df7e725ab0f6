"""Loaded checkpoints, of transformers or sentence-transformers: texts to token ids, and batches of these to vectors.

Shape letters: B chunks of a batch, T tokens, D dimensions.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from jql.encoder.checkpoints import merged_state, native_config
from jql.encoder.device import Device
from jql.encoder.encoder import EncoderSpec
from jql.encoder.packed import PackedForward, can_pack, first_position, position_table
from jql.errors import DataError

if TYPE_CHECKING:
    import torch


def pool_tokens(hidden_BTD: "torch.Tensor", mask_BT: "torch.Tensor", pooling: str) -> "torch.Tensor":
    """Token vectors to chunk vectors, float32 (B, D).

    Args:
        hidden_BTD: (B, T, D), padding on the right.
        mask_BT: 1 for a token, 0 for padding.
        pooling: the mean of the tokens, the first ("cls") or the last.
    """
    import torch

    hidden_BTD = hidden_BTD.float()
    if pooling == "cls":
        return hidden_BTD[:, 0]
    if pooling == "last":
        return hidden_BTD[torch.arange(len(hidden_BTD), device=hidden_BTD.device), mask_BT.sum(1) - 1]
    # where, not a product: what stands at a padded position may be infinite.
    kept_BTD = hidden_BTD.where(mask_BT[:, :, None].bool(), 0.0)
    return kept_BTD.sum(1) / mask_BT.sum(1)[:, None]


class Model(Protocol):
    """A loaded checkpoint.

    Attributes:
        positions: the most tokens it reads, None where it does not say.
        packs: whether a batch is a pack, which costs what its tokens do; else it is padded to its longest.
    """

    positions: int | None
    packs: bool

    def tokenize(self, texts: list[str], special: bool = False) -> list[list[int]]:
        """Token ids of each text, whole; with the model's special tokens if asked."""
        ...

    def forward(self, batch: list[list[int]], prompt_tokens: int) -> "torch.Tensor":
        """float32 (B, D), pooled; the first `prompt_tokens` of each sequence are special ones and the prompt."""
        ...


class PlainModel:
    """AutoModel: token vectors, pooled by us."""

    def __init__(self, spec: EncoderSpec, device: Device, trust_remote_code: bool) -> None:
        import torch
        from transformers import AutoConfig, AutoModel, AutoTokenizer, JinaEmbeddingsV3Model, PreTrainedConfig

        hub: dict[str, Any] = {"trust_remote_code": trust_remote_code}
        if spec.revision and not Path(spec.model).is_dir():
            hub["revision"] = spec.revision
        raw = PreTrainedConfig.get_config_dict(spec.model, revision=hub.get("revision"))[0]
        native = native_config(raw)
        rewritten = native != raw
        # A rewritten config must not be looked up again under the name it had.
        config = AutoConfig.for_model(**native) if rewritten else AutoConfig.from_pretrained(spec.model, **hub)
        state = merged_state(spec, raw if rewritten else {}, hub)
        # Without a path the auto class stumbles over None; only jina's checkpoints have adapters.
        loader: Any = JinaEmbeddingsV3Model if state else AutoModel
        model, info = loader.from_pretrained(
            None if state else spec.model,
            config=config,
            state_dict=state,
            dtype=getattr(torch, device.computes(spec.dtype)),
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below, like what is missing
            **({} if state else hub),
        )
        # transformers fills what it does not find with random numbers and only warns.
        absent = sorted(n for n in info["missing_keys"] if not n.startswith("pooler."))
        wrong = [*absent, *sorted(str(key[0]) for key in info["mismatched_keys"])]
        if wrong:
            names = ", ".join(wrong[:3])
            raise DataError(
                f"encoder {spec.model}: {len(wrong)} weights missing or misshapen ({names}); fetch it again"
            )
        self._net = model.to(device.name).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(spec.model, config=config, **hub)
        self._pooling, self._device = spec.pooling, device
        self.positions = _positions(self._net)
        self._packed = packed_forward(self._net, device, spec, self.positions)
        self.packs = self._packed is not None

    def tokenize(self, texts: list[str], special: bool = False) -> list[list[int]]:
        """See `Model`."""
        return _token_ids(self._tokenizer, texts, special)

    def forward(self, batch: list[list[int]], prompt_tokens: int) -> "torch.Tensor":
        """See `Model`."""
        if self._packed:
            return self._packed(batch)
        features = _padded(batch, self._device)
        return pool_tokens(self._net(**features).last_hidden_state, features["attention_mask"], self._pooling)


class SentenceModel:
    """SentenceTransformer: its own modules from token ids to one vector, its own pooling among them."""

    def __init__(self, spec: EncoderSpec, device: Device, trust_remote_code: bool) -> None:
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.base.modules import Transformer
        from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding

        if spec.adapter:
            raise DataError(f"encoder {spec.model}: adapter: only kind 'transformer' has one, got {spec.adapter!r}")
        dtype = getattr(torch, device.computes(spec.dtype))
        revision = None if Path(spec.model).is_dir() else spec.revision or None
        self._net = SentenceTransformer(
            spec.model,
            device=device.name,
            revision=revision,
            trust_remote_code=trust_remote_code,
            model_kwargs={"dtype": dtype},
        ).eval()
        first = self._net[0]
        if not isinstance(first, Transformer | StaticEmbedding):
            found = f"begins with a module {type(first).__name__}"
            raise DataError(f"encoder {spec.model}: {found}, expected Transformer or StaticEmbedding; use another")
        for module in self._net:
            if isinstance(module, Pooling):
                does = {"lasttoken": "last"}.get(str(module.pooling_mode), str(module.pooling_mode))
                if does in ("mean", "cls", "last") and does != spec.pooling:
                    raise DataError(f"encoder {spec.model}: pooling: the model's is {does!r}, got {spec.pooling!r}")
            if not isinstance(module, Transformer):  # cast as a whole it would round its rotary frequencies
                module.to(dtype)
        self._static = isinstance(first, StaticEmbedding)
        self._tokenizer, self._device, self._dtype = first.tokenizer, device, dtype
        self.positions = None if self._static else _positions(first.model)
        self._packed = None
        if not self._static and len(self._net) > 1 and _pools_as_we_do(self._net[1], bool(spec.prompt)):
            self._packed = packed_forward(first.model, device, spec, self.positions)
        self.packs = self._packed is not None

    def tokenize(self, texts: list[str], special: bool = False) -> list[list[int]]:
        """See `Model`."""
        if not self._static:
            return _token_ids(self._tokenizer, texts, special)
        self._tokenizer.no_truncation()
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def forward(self, batch: list[list[int]], prompt_tokens: int) -> "torch.Tensor":
        """See `Model`."""
        import torch

        if self._packed:
            features = {"sentence_embedding": self._packed(batch).to(self._dtype)}
            for module in list(self._net)[2:]:
                features = module(features)
            return features["sentence_embedding"].float()
        if self._static:
            starts = np.cumsum([0, *(len(ids) for ids in batch[:-1])])
            flat = np.array([token for ids in batch for token in ids])
            features = {"input_ids": self._device.put(flat), "offsets": self._device.put(starts)}
        else:
            features = {**_padded(batch, self._device), "prompt_length": torch.tensor([prompt_tokens] * len(batch))}
        vectors: torch.Tensor = self._net(features)["sentence_embedding"]
        return vectors.float()


def packed_forward(net: Any, device: Device, spec: EncoderSpec, positions: int | None) -> PackedForward | None:
    """The model on packs, None where it cannot be packed."""
    import torch

    longest = min(spec.max_tokens, positions or spec.max_tokens)
    with torch.inference_mode():
        if not can_pack(net, device, longest):
            return None
    return PackedForward(net, device, longest, spec.pooling, device.fixed)


def _pools_as_we_do(module: Any, prompted: bool) -> bool:
    """Whether a module pools token vectors to their mean, first or last, and all of them."""
    from sentence_transformers.sentence_transformer.modules import Pooling

    known = isinstance(module, Pooling) and str(module.pooling_mode) in ("mean", "cls", "lasttoken")
    return known and (not prompted or bool(module.include_prompt))


def _token_ids(tokenizer: Any, texts: list[str], special: bool) -> list[list[int]]:
    options = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=special, truncation=False, **options)["input_ids"]
    return ids


def _padded(batch: list[list[int]], device: Device) -> dict[str, "torch.Tensor"]:
    """int64 (B, T) ids and mask; padded ids are 0, which the mask hides."""
    ids_BT = np.zeros((len(batch), max(map(len, batch))), dtype=np.int64)
    mask_BT = np.zeros_like(ids_BT)
    for row, ids in enumerate(batch):
        ids_BT[row, : len(ids)], mask_BT[row, : len(ids)] = ids, 1
    return {"input_ids": device.put(ids_BT), "attention_mask": device.put(mask_BT)}


def _positions(net: Any) -> int | None:
    """Most tokens the model has positions for; None if it does not say."""
    table = position_table(net)
    if table is not None:
        return int(table.num_embeddings) - first_position(net)
    return getattr(net.config, "max_position_embeddings", None)
