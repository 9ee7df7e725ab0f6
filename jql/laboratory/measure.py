"""The loss of held-out documents, and figures of their logits.

Shapes: N sequences, T tokens.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from jql.engine import storage
from jql.evaluate.texts import HELD_OUT
from jql.laboratory.figures import logit_figures
from jql.pretrain.config import TrainConfig
from jql.pretrain.loss import NONE, token_loss
from jql.pretrain.model import Decoder
from jql.tokens.loader import PackedLoader, Sequences
from jql.tokens.tokenizer import load_tokenizer
from jql.tokens.training_set import TrainingSet

if TYPE_CHECKING:
    from jql.laboratory.sweep import Data


def held_out_batch(data: "Data", sequence: int) -> Sequences:
    """Sequences of held-out documents, packed as those that are trained on, by lot where there are more than wanted."""
    table, tokenizer = storage.read_table(data.texts, ["text", "content"]), load_tokenizer(data.tokenizer)
    contents = [row["content"] for row in table.to_pylist() if row["text"] == HELD_OUT]
    documents = [np.append(found, np.uint32(tokenizer.eod)) for found in tokenizer.encode(contents)]
    offsets = np.cumsum([0, *map(len, documents)])
    tokens = np.concatenate(documents)
    packed = TrainingSet(Path(data.texts), tokens, offsets, tokenizer.eod, tokenizer.vocab, {}, {}, "")
    every = PackedLoader(packed, sequence, 1, data.packing, data.mask).sequences
    return next(iter(PackedLoader(packed, sequence, min(data.held_out, every), data.packing, data.mask)))


@torch.no_grad()
def held_out_figures(model: Decoder, held_out: Sequences, config: TrainConfig) -> dict[str, float]:
    """The cross-entropy as "loss", in nats, without what hooks add, and `logit_figures`.

    Computed as in training (`dtype`), as much of what large logits spoil is their precision.

    Args:
        held_out: sums and means are over all targets that are not -100.
    """
    device = model.head.weight.device
    sums: dict[str, float] = {}
    largest, count = 0.0, 0
    for at in range(0, len(held_out.tokens), config.micro_batch):
        rows = slice(at, at + config.micro_batch)
        tokens, targets = (torch.tensor(x[rows], device=device).long() for x in (held_out.tokens, held_out.targets))
        segments = None if held_out.segments is None else torch.tensor(held_out.segments[rows], device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.dtype == "bfloat16"):
            logits = model(tokens, segments_BT=segments)
        here = (targets != NONE).sum()
        if not here:
            continue
        found = {"loss": float(token_loss(logits, targets, here)), **logit_figures(logits, targets)}
        largest = float(np.fmax(largest, found.pop("largest_logit")))
        count += int(here)
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + value * int(here)
    return {"largest_logit": largest, **{name: value / count for name, value in sums.items()}}
