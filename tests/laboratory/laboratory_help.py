"""Random output layers in float64, a tiny untied decoder, and batches of it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from jql.pretrain.config import ModelConfig, TrainConfig
from jql.pretrain.model import Decoder

TINY = ModelConfig(vocab=33, hidden=16, layers=2, heads=4, kv_heads=2, ffn=24, sequence=12, tied=False)
"""An odd vocabulary: two workers have 17 and 16 rows of it."""
TIED = replace(TINY, tied=True)


@dataclass(frozen=True)
class Layer:
    """E (V, H), h (N, H) and targets (N,)."""

    matrix: torch.Tensor
    hidden: torch.Tensor
    targets: torch.Tensor

    @property
    def logits(self) -> torch.Tensor:
        return self.hidden @ self.matrix.T


def make_layer(seed: int, vocab: int, width: int, tokens: int, drift: float = 1.0) -> Layer:
    draw = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=draw, dtype=torch.float64)  # noqa: E731
    matrix = normal(vocab, width) + drift * normal(width)
    return Layer(matrix, normal(tokens, width), torch.randint(vocab, (tokens,), generator=draw))


layers = st.builds(
    make_layer,
    seed=st.integers(0, 2**32),
    vocab=st.integers(2, 40),
    width=st.integers(1, 12),
    tokens=st.integers(1, 8),
    drift=st.sampled_from([0.0, 0.1, 1.0, 5.0]),
)


@dataclass(frozen=True)
class Sequences:
    tokens: np.ndarray
    targets: np.ndarray
    segments: None = None


class Uneven:
    """Batch n is drawn from the seed n: tokens of very unequal frequency, each often followed by its successor."""

    def __init__(self, batch: int = 4, length: int = 12, vocab: int = 33) -> None:
        self.batch, self.length, self.vocab, self.at = batch, length, vocab, 0

    def __iter__(self) -> Iterator[Sequences]:
        while True:
            self.at += 1
            draw = np.random.default_rng(self.at)
            first = np.minimum(draw.geometric(0.15, size=(self.batch, 1)), self.vocab) - 1
            ids = (first + np.cumsum(draw.random((self.batch, self.length + 1)) < 0.7, 1)) % self.vocab
            targets = np.where(draw.random(ids[:, 1:].shape) < 0.2, -100, ids[:, 1:])
            targets[0, 0] = ids[0, 1]
            yield Sequences(ids[:, :-1], targets)

    def state(self) -> dict[str, Any]:
        return {"at": self.at}

    def load(self, state: dict[str, Any]) -> None:
        self.at = state["at"]


def training(**changes: Any) -> TrainConfig:
    found = {"steps": 6, "batch": 4, "micro_batch": 4, "learning_rate": 0.01, "dtype": "float32", "warmup": 0.25}
    return TrainConfig(**{**found, "weight_decay": 0.0, **changes})


def exact(model: ModelConfig = TINY) -> Decoder:
    """In float64."""
    return Decoder(model).double()
