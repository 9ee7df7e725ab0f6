"""Sentences as a model reads them: token ids, and which of them stands for a word.

Shapes: B sentences of a batch, T tokens, P words of the batch that have a token.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from jql.errors import DataError
from jql.probe.config import Standing
from jql.probe.conll import Sentence

if TYPE_CHECKING:
    import torch

NONE = -1
"""The place of a word that no token stands for."""


@dataclass(frozen=True)
class Example:
    """A sentence as tokens.

    Attributes:
        ids: special ones included. places: of each word, the position of its token, or NONE.
        labels: of each word, an index into the label set.
    """

    ids: list[int]
    places: list[int]
    labels: list[int]


@dataclass(frozen=True)
class Encoded:
    """Sentences as tokens, and the words that no token stands for: they are not trained on, and count as O.

    Attributes:
        cut: words beyond the longest sequence. unspelled: words the tokenizer makes nothing of, such as blanks.
    """

    examples: list[Example]
    cut: int
    unspelled: int


def encode(
    sentences: Sequence[Sentence], tokenizer: Any, labels: Sequence[str], max_length: int, standing: Standing = "first"
) -> Encoded:
    """Cut sentences into tokens; the words are parted by blanks, as in running text.

    Args:
        tokenizer: of transformers, a fast one (PreTrainedTokenizerFast). max_length: special tokens included.

    Raises:
        DataError: the tokenizer cannot say which characters a token stands for.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise DataError(f"{tokenizer.name_or_path}: expected a fast tokenizer (tokenizer.json), which knows offsets")
    index = {label: i for i, label in enumerate(labels)}
    tokenizer.truncation_side = "right"
    found = tokenizer(
        [" ".join(sentence.words) for sentence in sentences],
        truncation=True,
        max_length=max_length,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    examples = []
    cut = unspelled = 0
    for sentence, ids, offsets in zip(sentences, found["input_ids"], found["offset_mapping"], strict=True):
        places = _places(sentence.words, offsets, standing)
        end = max((end for _, end in offsets), default=0)
        for place, start in zip(places, _starts(sentence.words), strict=True):
            cut += place == NONE and start >= end
            unspelled += place == NONE and start < end
        examples.append(Example(ids, places, [index[tag] for tag in sentence.tags]))
    return Encoded(examples, cut, unspelled)


def _starts(words: Sequence[str]) -> list[int]:
    """The first character of each word in the sentence."""
    return list(accumulate((len(word) + 1 for word in words[:-1]), initial=0))


def _places(words: Sequence[str], offsets: Sequence[tuple[int, int]], standing: Standing) -> list[int]:
    """Of each word the position of its first or last token, which is of the word its first sign is of."""
    text, starts = " ".join(words), _starts(words)
    places = [NONE] * len(words)
    blanks = {start - 1 for start in starts}
    for position, (start, end) in enumerate(offsets):
        sign = next((at for at in range(start, min(end, len(text))) if at not in blanks), None)
        if sign is None:  # a special token, or a blank by itself
            continue
        word = bisect_right(starts, sign) - 1
        if places[word] == NONE or standing == "last":
            places[word] = position
    return places


@dataclass(frozen=True)
class Batch:
    """Sentences side by side.

    Attributes:
        ids, mask: int64 (B, T). rows, columns: int64 (P,), where a word's token stands. labels: int64 (P,).
    """

    ids: "torch.Tensor"
    mask: "torch.Tensor"
    rows: "torch.Tensor"
    columns: "torch.Tensor"
    labels: "torch.Tensor"

    def to(self, device: str) -> "Batch":
        """The same, there."""
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def collate(examples: Sequence[Example], pad: int) -> Batch:
    """A batch, padded on the right to its longest sentence."""
    import torch

    ids_BT = np.full((len(examples), max(len(example.ids) for example in examples)), pad, np.int64)
    mask_BT = np.zeros_like(ids_BT)
    placed: list[tuple[int, int, int]] = []
    for row, example in enumerate(examples):
        ids_BT[row, : len(example.ids)] = example.ids
        mask_BT[row, : len(example.ids)] = 1
        words = zip(example.places, example.labels, strict=True)
        placed += [(row, place, label) for place, label in words if place != NONE]
    rows, columns, labels = torch.from_numpy(np.array(placed, np.int64).reshape(-1, 3).T.copy())
    return Batch(torch.from_numpy(ids_BT), torch.from_numpy(mask_BT), rows, columns, labels)


def batches(examples: Sequence[Example], size: int, pad: int, order: Sequence[int] | None = None) -> Iterator[Batch]:
    """All examples in an order, `size` at a time; the last may be fewer."""
    order = range(len(examples)) if order is None else order
    for at in range(0, len(order), size):
        yield collate([examples[i] for i in order[at : at + size]], pad)
