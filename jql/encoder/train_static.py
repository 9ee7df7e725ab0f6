"""Training of the encoder in the box: token vectors whose mean is close for translations and for halves of a page.

Four losses are added: pairs of sentences and pairs of documents must find each other in their batch (InfoNCE), so must
the halves of a page among pages of the same language, and a linear map of the vector must point where an English
sentence encoder puts the English side (distillation).

Shapes: V vocabulary, D dimensions, B batch, P pairs, T teacher's dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jql.encoder.parallel_text import ParallelText, halves, read_pages

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

MAX_TOKENS = 256  # of a training text


@dataclass(frozen=True)
class Training:
    """How the encoder is trained; the defaults made the one in the box."""

    vocabulary: int = 64_000
    dim: int = 256
    epochs: float = 3.0
    batch: int = 1024
    document_batch: int = 256
    learning_rate: float = 0.02
    scale: float = 20.0
    """Of cosines in the softmax: temperature 0.05."""
    documents: float = 1.0
    halves: float = 0.5
    distil: float = 8.0
    """Weights of the losses beside that of sentence pairs, which has 1."""
    half_dropout: float = 0.5
    """Share of tokens left out of halves; without it 42,000 pages are learned by heart (loss 0.01)."""
    seed: int = 0


def token_ids(tokenizer: "Tokenizer", texts: Sequence[str]) -> list[np.ndarray]:
    """int64 ids of each text, one unknown token for a text without any."""
    tokenizer.enable_truncation(MAX_TOKENS)
    return [np.array(e.ids or [0], np.int64) for e in tokenizer.encode_batch_fast(list(texts))]


def teacher_vectors(teacher: str, english: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Centred vectors of length 1 of the distinct sentences, float16 (S, T), and which of them each text is, int (P,).

    Args:
        teacher: a sentence-transformers model of English.
    """
    import torch
    from sentence_transformers import SentenceTransformer

    distinct = sorted(set(english))
    model = SentenceTransformer(teacher, device="cpu").to(torch.bfloat16)
    model.max_seq_length = min(model.max_seq_length or 128, 128)
    vectors = model.encode(distinct, batch_size=64, convert_to_tensor=True, show_progress_bar=True).float()
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    vectors = torch.nn.functional.normalize(vectors - vectors.mean(0), dim=1)
    place = {sentence: i for i, sentence in enumerate(distinct)}
    return vectors.to(torch.float16).numpy(), np.array([place[s] for s in english])


def train_static(
    parallel: ParallelText,
    pages: Path | None,
    tokenizer: "Tokenizer",
    teacher: tuple[np.ndarray, np.ndarray] | None,
    training: Training,
    report: Any = print,
) -> np.ndarray:
    """Token vectors, float32 (V, D)."""
    import torch
    from torch.nn.functional import cosine_similarity, cross_entropy, normalize

    torch.manual_seed(training.seed)
    draw = np.random.default_rng(training.seed)
    vectors = torch.nn.EmbeddingBag(tokenizer.get_vocab_size(), training.dim, mode="mean")
    torch.nn.init.normal_(vectors.weight, std=training.dim**-0.5)
    parameters = [vectors.weight]
    if teacher:
        to_teacher = torch.nn.Parameter(torch.randn(training.dim, teacher[0].shape[1]) * training.dim**-0.5)
        parameters.append(to_teacher)
    optimizer = torch.optim.Adam(parameters, lr=training.learning_rate, betas=(0.9, 0.98))

    def bag(texts: Sequence[np.ndarray]) -> "torch.Tensor":
        starts = np.cumsum([0, *(len(ids) for ids in texts[:-1])])
        return normalize(vectors(torch.from_numpy(np.concatenate(texts)), torch.from_numpy(starts)), dim=1)

    def find_each_other(a_BD: "torch.Tensor", b_BD: "torch.Tensor") -> "torch.Tensor":
        cosines_BB, own = a_BD @ b_BD.T * training.scale, torch.arange(len(a_BD))
        return (cross_entropy(cosines_BB, own) + cross_entropy(cosines_BB.T, own)) / 2

    english, translation = token_ids(tokenizer, parallel.english), token_ids(tokenizer, parallel.translation)
    documents = [token_ids(tokenizer, side) for side in zip(*parallel.documents, strict=True)]
    page_halves = [
        [token_ids(tokenizer, side) for side in zip(*pairs, strict=True)]
        for _, found in (read_pages(pages) if pages else ())
        if len(pairs := halves(found)) >= training.document_batch
    ]
    share_P = np.array(parallel.weight) / sum(parallel.weight)
    steps = max(1, int(training.epochs * sum(parallel.weight) / training.batch))
    for step in range(steps):
        rate = training.learning_rate * min(1, step / 50) * max(0.02, 1 - step / steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        rows = draw.choice(len(share_P), training.batch, p=share_P)
        a_BD, b_BD = bag([english[i] for i in rows]), bag([translation[i] for i in rows])
        losses = {"pairs": find_each_other(a_BD, b_BD)}
        if teacher:
            target_BT = torch.from_numpy(teacher[0][teacher[1][rows]].astype(np.float32))
            off = [1 - cosine_similarity(side @ to_teacher, target_BT).mean() for side in (a_BD, b_BD)]
            losses["distil"] = off[0] + off[1]
        if documents:
            rows = draw.choice(len(documents[0]), min(training.document_batch, len(documents[0])), replace=False)
            losses["documents"] = find_each_other(*(bag([side[i] for i in rows]) for side in documents))
        if page_halves:
            sides = page_halves[draw.integers(len(page_halves))]
            rows = draw.choice(len(sides[0]), training.document_batch, replace=False)
            kept = [[_dropped(side[i], training.half_dropout, draw) for i in rows] for side in sides]
            losses["halves"] = find_each_other(*(bag(texts) for texts in kept))
        loss = sum(getattr(training, name, 1.0) * value for name, value in losses.items())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()
        if step % 100 == 99 or step == steps - 1:
            report(f"step {step + 1}/{steps}", {name: round(value.item(), 3) for name, value in losses.items()})
    found: np.ndarray = vectors.weight.detach().numpy()
    return found


def _dropped(ids: np.ndarray, share: float, draw: np.random.Generator) -> np.ndarray:
    kept = ids[draw.random(len(ids)) >= share]
    return kept if len(kept) else ids
