"""A tiny annotator on a transformer."""

from pathlib import Path

import numpy as np

from jql.annotator.annotator import Annotator
from jql.annotator.features import Features
from jql.annotator.heads import Heads
from jql.encoder.encoder import EncoderSpec


def save_annotator(gte: Path, folder: Path, heads: tuple[str, ...] = ("gemma", "llama")) -> str:
    """An annotator with random heads on the tiny encoder."""
    draw = np.random.default_rng(0)
    layers = {
        name: tuple(draw.normal(size=shape).astype(np.float32) for shape in ((8, 32), (8,), (1, 8), (1,)))
        for name in heads
    }
    spec = EncoderSpec("transformer", str(gte), "", "cls", 64, "float32", True, "", 32, "truncate")
    Annotator(
        name="tiny",
        spec=spec,
        features=Features(chars=0, surface=False, ngrams=False),
        trained=Heads.side_by_side(layers),
        rubric="name: tiny\n",
        card="tiny\n",
    ).save(folder)
    return str(folder)
