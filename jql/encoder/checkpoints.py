"""Published checkpoints made plain: configs in transformers' own terms, adapters merged, the commit of a hub model."""

from typing import Any

from jql.encoder.encoder import EncoderSpec
from jql.errors import DataError

_LORA = ".parametrizations.weight.original"


def native_config(config: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's config.json in the terms of the class transformers has for it, so that no remote code is needed.

    Alibaba's "new" architecture is "gte", and jina-embeddings-v3, which calls itself "xlm-roberta", has its own.
    Any other config is returned as it is.

    Source: rope scaling "ntk" from Alibaba-NLP/new-impl (NTKScalingRotaryEmbedding without mixed_b): theta times the
    factor, then all frequencies divided by factor ** (2 / head size), which is linear scaling; transformers knows no
    "ntk".

    Raises:
        DataError: a variant of the architecture that the native class does not compute.
    """
    config = dict(config)
    if config.get("model_type") == "xlm-roberta" and "lora_adaptations" in config and "rotary_emb_base" in config:
        config["model_type"] = "jina_embeddings_v3"
        config["rope_parameters"] = {"rope_type": "default", "rope_theta": config["rotary_emb_base"]}
    elif config.get("model_type") in ("new", "gte"):
        config["model_type"] = "gte"
        expected = {"position_embedding_type": "rope", "layer_norm_type": "layer_norm", "logn_attention_scale": False}
        for name, value in expected.items():
            if config.get(name, value) != value:
                found = f"config.json: {name}: got {config[name]!r}, expected {value!r}"
                raise DataError(f"encoder: {found}; transformers has no class for this model, use another")
        scaling = config.get("rope_scaling") or {}
        if scaling.get("type") == "ntk":
            factor, head = float(scaling["factor"]), config["hidden_size"] // config["num_attention_heads"]
            linear = {"rope_type": "linear", "factor": factor ** (2 / head)}
            config["rope_scaling"] = {**linear, "rope_theta": config["rope_theta"] * factor}
    else:
        return config
    config.pop("auto_map", None)
    return config


def merge_adapter(state: dict[str, Any], adapter: int | None, scale: float) -> dict[str, Any]:
    """Plain weights of a checkpoint whose linear and embedding layers carry LoRA adapters (jina-embeddings-v3).

    Args:
        state: tensors by name; W is `X.parametrizations.weight.original`, its adapters `...0.lora_A` and `...0.lora_B`
            with the adapter as first dimension.
        adapter: which one; None for the weights without any.
        scale: lora_alpha / lora_rank.

    Returns:
        W + scale * B @ A under the name `X.weight`; of embeddings A @ B, as they are stored the other way round.
    Source: jinaai/xlm-roberta-flash-implementation, LoRAParametrization.
    """
    merged = {name: tensor for name, tensor in state.items() if ".parametrizations." not in name}
    for name in (n for n in state if n.endswith(_LORA)):
        weight = state[name]
        if adapter is not None:
            stem = name.removesuffix(".original")
            a, b = state[f"{stem}.0.lora_A"][adapter].float(), state[f"{stem}.0.lora_B"][adapter].float()
            delta = a @ b if "embeddings" in name else b @ a
            weight = (weight.float() + scale * delta).to(weight.dtype)
        merged[name.removesuffix(_LORA) + ".weight"] = weight
    return merged


def merged_state(spec: EncoderSpec, config: dict[str, Any], hub: dict[str, Any]) -> dict[str, Any] | None:
    """The weights with the spec's adapter merged in; None of a checkpoint without adapters."""
    from safetensors.torch import load_file
    from transformers.utils.hub import cached_file

    adapters = list(config.get("lora_adaptations") or [])
    if spec.adapter not in ("", *adapters):
        there = ", ".join(adapters) or "none"
        raise DataError(f"encoder {spec.model}: adapter: the model has {there}, got {spec.adapter!r}")
    if not adapters:
        return None
    path = cached_file(spec.model, "model.safetensors", revision=hub.get("revision"))
    which = adapters.index(spec.adapter) if spec.adapter else None
    return merge_adapter(load_file(str(path)), which, config["lora_alpha"] / config["lora_rank"])


def hub_commit(model: str, revision: str) -> str:
    """The commit that a hub model's revision ("" for its newest) stands for; unchanged where none is known."""
    from transformers.utils.hub import resolve_revision

    found = resolve_revision(model, revision or None)
    return str(getattr(found, "resolved", None) or revision)
