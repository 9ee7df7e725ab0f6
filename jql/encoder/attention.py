"""Attention of packed sequences, each on its own, as an attention function of transformers.

Shape letters: T tokens of a pack, N sequences, A heads, E dimensions of a head.
"""

import itertools
from functools import cache
from typing import Any

NAME = "jql_packed"


@cache
def register() -> str:
    """Make the function known to transformers; the name for `set_attn_implementation`."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, _no_mask)
    return NAME


def _no_mask(*_: Any, **__: Any) -> None:
    """The starts of the sequences say what a mask would."""


def attend(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    cu_seq_lens_q: Any = None,
    max_length_q: int = 0,
    **more: Any,
) -> tuple[Any, None]:
    """Attention of every token to the tokens of its own sequence.

    Args:
        query: (1, A, T, E); key, value: the same, or with fewer heads that queries share.
        sliding_window: a token sees those less than so many places away; None for all.
        cu_seq_lens_q: int32 (N + 1,), where the sequences start and the last one ends.
        max_length_q: tokens of the longest sequence, or more.

    Returns:
        (1, T, A, E), and None for the weights.

    Raises:
        ValueError: the model wants something of its attention that is not done here.
    """
    if wants := [name for name in ("position_bias", "softcap", "s_aux") if more.get(name) is not None]:
        raise ValueError(f"attention with {', '.join(wants)} is not known for packs")
    causal = bool(getattr(module, "is_causal", False) if is_causal is None else is_causal)
    half = query.element_size() == 2
    found = _flash if query.is_cuda and half else _one_by_one
    return found(query, key, value, scaling, sliding_window, causal, cu_seq_lens_q, max_length_q), None


def _flash(
    query: Any, key: Any, value: Any, scaling: float | None, window: int | None, causal: bool, starts: Any, longest: int
) -> Any:
    """Variable-length flash attention, float16 or bfloat16 on a GPU."""
    from torch.nn.attention.varlen import varlen_attn

    far = -1 if window is None else window - 1
    query, key, value = (x[0].transpose(0, 1) for x in (query, key, value))
    options: dict[str, Any] = {"window_size": (far, 0 if causal else far), "scale": scaling}
    options["enable_gqa"] = key.shape[1] != query.shape[1]
    seen: Any = varlen_attn(query, key, value, starts, starts, longest, longest, **options)
    return seen[None]


def _one_by_one(
    query: Any, key: Any, value: Any, scaling: float | None, window: int | None, causal: bool, starts: Any, longest: int
) -> Any:
    """One call of scaled dot-product attention for each sequence; on a CPU it costs less than a mask."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    places = starts.tolist()
    grouped = key.shape[1] != query.shape[1]
    out = torch.empty_like(query.transpose(1, 2))
    for start, end in itertools.pairwise(places):
        if start == end:
            continue
        mask = None
        if window is not None and end - start > window:
            place = torch.arange(end - start, device=query.device)
            apart = place[:, None] - place
            mask = (apart.abs() < window) & (apart >= 0) if causal else apart.abs() < window
        q, k, v = (x[:, :, start:end] for x in (query, key, value))
        seen = scaled_dot_product_attention(
            q, k, v, attn_mask=mask, scale=scaling, is_causal=causal and mask is None, enable_gqa=grouped
        )
        out[:, start:end] = seen.transpose(1, 2)
    return out


def attend_rows(query: Any, key: Any, value: Any, scaling: float | None, starts: Any, longest: int) -> Any:
    """Attention of one token of each sequence to all of its sequence.

    Args:
        query: (1, A, N, E). key, value: (1, A, T, E). starts: int32 (N + 1,). longest: as in `attend`.

    Returns:
        (1, N, A, E).
    """
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    if query.is_cuda and query.element_size() == 2:
        from torch.nn.attention.varlen import varlen_attn

        query, key, value = (x[0].transpose(0, 1) for x in (query, key, value))
        each = torch.arange(len(starts), dtype=starts.dtype, device=starts.device)
        seen: Any = varlen_attn(query, key, value, each, starts, 1, longest, scale=scaling)
        return seen[None]
    out = torch.zeros_like(query)
    for i, (start, end) in enumerate(itertools.pairwise(starts.tolist())):
        if start < end:
            part = query[:, :, i : i + 1], key[:, :, start:end], value[:, :, start:end]
            out[:, :, i : i + 1] = scaled_dot_product_attention(*part, scale=scaling)
    return out.transpose(1, 2)
