"""A transformer that reads packs: sequences of any length side by side, no padding, attention within each.

Shape letters: T tokens of a pack, N sequences, D dimensions.
"""

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from jql.encoder.attention import register
from jql.encoder.device import out_of_memory
from jql.encoder.last_layer import has_last_layer, keep_pooled
from jql.encoder.packing import fill, positions_of, starts_of
from jql.errors import one_line

if TYPE_CHECKING:
    import torch

    from jql.encoder.device import Device

PROBE = (200, 3, 41, 1, 97)
"""Tokens of the sequences that show whether a model can be packed: longer than the window of local attention (128)."""
SAME_KERNEL, OTHER_KERNEL = 0.05, 0.2
"""Most that token vectors of a pack may be off on average, as a share of how far apart token vectors are: from those of
each sequence alone with the same attention, and with the model's own. Two right attention kernels in bfloat16 differ by
.02 to .07 on random weights; a model that is packed wrongly, by about all of it.
"""
WARM_PACKS = 50
"""Packs before a GPU's graph is compiled, which takes about as long as some thousand documents."""


class PackedForward:
    """A model of transformers on packs.

    Attributes:
        fixed: on a GPU, token counts that packs are filled up to, so that one compiled graph fits them all.
    """

    def __init__(
        self, net: Any, device: "Device", longest: int, pooling: str | None, fixed: tuple[int, ...] = ()
    ) -> None:
        """`longest`: most tokens of a sequence. `pooling`: "mean", "cls", "last"; None keeps the token vectors."""
        net.set_attn_implementation(register())
        self._net, self._device, self._longest, self.fixed = net, device, longest, fixed
        self._first = first_position(net)
        self._pooling = pooling
        if pooling and has_last_layer(net, pooling):
            keep_pooled(net, pooling)
            self._pooling = "done"
        self._run: Any = net
        self._seen = 0

    def __call__(self, sequences: list[list[int]]) -> "torch.Tensor":
        """float32 (N, D), one vector a sequence; or without pooling (T, D), those of the tokens."""
        lengths = [len(ids) for ids in sequences]
        shape = min((tokens for tokens in self.fixed if tokens >= sum(lengths)), default=0)
        layout = fill(lengths, shape, self._longest) if shape else lengths
        starts = starts_of(layout)
        ids = np.zeros(starts[-1], np.int64)
        ids[: sum(lengths)] = np.concatenate([np.asarray(s, np.int64) for s in sequences])
        places = self._device.put(starts)
        inputs = {
            "input_ids": self._device.put(ids[None]),
            "position_ids": self._device.put(positions_of(layout, self._first)[None]),
            "cu_seq_lens_q": places,
            "max_length_q": self._longest,
        }
        found = self._compiled(inputs) if shape else self._net(**inputs)
        hidden: torch.Tensor = found.last_hidden_state[0]
        if self._pooling is None:
            return hidden[: sum(lengths)].float()
        if self._pooling == "done":
            return hidden[: len(lengths)].float()
        return pool_packed(hidden, places[: len(lengths) + 1].long(), self._pooling)

    def _compiled(self, inputs: dict[str, Any]) -> Any:
        """What the model gives: as it is for the first packs, then as one graph for each of the fixed shapes."""
        import torch

        self._seen += 1
        if self._seen == WARM_PACKS:
            self._run = torch.compile(self._net, dynamic=False)
        if self._run is self._net:
            return self._net(**inputs)
        # How many sequences there are differs from pack to pack, and decides how much a GPU has to start.
        torch._dynamo.maybe_mark_dynamic(inputs["cu_seq_lens_q"], 0)
        try:
            return self._run(**inputs)
        except Exception as error:
            if out_of_memory(error):
                raise
            warnings.warn(f"the encoder runs uncompiled, which is slower: {one_line(error)}", stacklevel=2)
            self._run = self._net
            return self._net(**inputs)


def pool_packed(hidden_TD: "torch.Tensor", starts_N1: "torch.Tensor", pooling: str) -> "torch.Tensor":
    """Token vectors of a pack to sequence vectors, float32 (N, D).

    Args:
        starts_N1: int64 (N + 1,), where the sequences start and the last one ends; none is empty.
        pooling: the mean of the tokens, the first ("cls") or the last.
    """
    import torch

    if pooling == "cls":
        return hidden_TD[starts_N1[:-1]].float()
    if pooling == "last":
        return hidden_TD[starts_N1[1:] - 1].float()
    lengths_N = starts_N1.diff()
    # Filler is cut off: lengths that do not add up to all rows would wait for the GPU.
    return torch.segment_reduce(hidden_TD.float(), "mean", lengths=lengths_N, unsafe=True)


def position_table(net: Any) -> Any:
    """The learnt positions of a model; None where it has none."""
    tables: Iterator[Any] = (getattr(module, "position_embeddings", None) for module in net.modules())
    return next((table for table in tables if hasattr(table, "num_embeddings")), None)


def first_position(net: Any) -> int:
    """Where a model begins to count: RoBERTa and its kin after the padding token."""
    table = position_table(net)
    return 0 if table is None or table.padding_idx is None else int(table.padding_idx) + 1


def can_pack(net: Any, device: "Device", longest: int) -> bool:
    """Whether a model gives packed sequences the vectors that each has alone; looked at, not taken from its name.

    It must take its attention from transformers' interface, and its positions from the caller.
    """
    import torch

    if not net._can_set_attn_implementation():
        return False
    before = net.config._attn_implementation
    draw = np.random.default_rng(0)
    tokens = np.setdiff1d(np.arange(net.config.vocab_size), [getattr(net.config, "pad_token_id", None) or 0])
    sequences = [draw.choice(tokens, min(n, longest)).tolist() for n in PROBE]
    try:
        own = [net(input_ids=torch.tensor([ids], device=device.name)).last_hidden_state[0] for ids in sequences]
        forward = PackedForward(net, device, longest, None)
        found_TD, alone = forward(sequences), [forward([ids]) for ids in sequences]
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):
        net.set_attn_implementation(before)
        return False
    own_TD = torch.cat(own).float()
    spread = (own_TD - own_TD.mean(0)).norm(dim=1).mean()
    off_same, off_other = ((found_TD - x).norm(dim=1).mean() / spread for x in (torch.cat(alone), own_TD))
    if off_same <= SAME_KERNEL and off_other <= OTHER_KERNEL:
        return True
    net.set_attn_implementation(before)
    return False
