"""Long documents: token ids cut into chunks the encoder can read, batches of them, and chunk vectors pooled back.

Shape letters: N documents, C chunks of all documents together, D dimensions of an embedding.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from jql.errors import DataError

Long = Literal["truncate", "head+middle+tail", "all"]


def truncate(ids: list[int], max_tokens: int, special: int = 0) -> list[list[int]]:
    """The start of a document, as one chunk.

    Args:
        ids: token ids without special tokens; may be empty, which gives one empty chunk.
        max_tokens: most tokens of a chunk, special ones included.
        special: tokens that are added to every chunk later (the tokenizer's own, and a prompt).

    Raises:
        DataError: no room is left for the text.
    """
    return [ids[: _room(max_tokens, special)]]


def head_middle_tail(ids: list[int], max_tokens: int, special: int = 0) -> list[list[int]]:
    """Chunks of max_tokens // 3 from the start, the centre and the end; the whole where it fits into max_tokens.

    The three never overlap, and cost no more tokens than truncation does. Arguments and errors as in `truncate`.
    """
    if len(ids) <= _room(max_tokens, special):
        return [ids]
    room = _room(max_tokens // 3, special)
    middle = (len(ids) - room) // 2
    return [ids[:room], ids[middle : middle + room], ids[len(ids) - room :]]


def all_chunks(ids: list[int], max_tokens: int, special: int = 0) -> list[list[int]]:
    """Consecutive chunks, every token in one of them, only the last shorter. Arguments and errors as in `truncate`."""
    room = _room(max_tokens, special)
    return [ids[start : start + room] for start in range(0, max(len(ids), 1), room)]


def cut(ids: list[int], long: Long, max_tokens: int, special: int = 0) -> list[list[int]]:
    """Chunks of a document, at least one, in the order of the text."""
    return _CUTS[long](ids, max_tokens, special)


_CUTS = {"truncate": truncate, "head+middle+tail": head_middle_tail, "all": all_chunks}


def _room(max_tokens: int, special: int) -> int:
    room = max_tokens - special
    if room < 1:
        found = f"chunks of {max_tokens} tokens leave no room beside {special} special and prompt tokens"
        raise DataError(f"encoder: max_tokens: {found}; write a larger max_tokens or a shorter prompt")
    return room


def token_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Positions of sequences in batches of like length, longest first.

    Args:
        lengths: tokens of each sequence.
        budget: most tokens of a batch once padded to its longest; a sequence longer than that goes alone.
    """
    batches: list[list[int]] = []
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        # Sorted, so the first of a batch is its longest.
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= budget:
            batches[-1].append(position)
        else:
            batches.append([position])
    return batches


def pool_chunks(vectors_CD: np.ndarray, tokens_C: np.ndarray, document_C: np.ndarray, documents: int) -> np.ndarray:
    """Documents from their chunks: the mean weighted by number of tokens.

    Args:
        vectors_CD: float32 (C, D).
        tokens_C: int (C,), tokens of the chunk, special ones not counted; an empty chunk weighs as one token.
        document_C: int (C,), which document a chunk is of, in [0, documents).
        documents: N; one without chunks becomes zeros.

    Returns:
        float32 (N, D), not normalised.
    """
    weight_C = np.maximum(tokens_C, 1).astype(np.float64)
    pooled_ND = np.zeros((documents, vectors_CD.shape[1]), dtype=np.float64)
    total_N = np.zeros(documents, dtype=np.float64)
    np.add.at(pooled_ND, document_C, vectors_CD * weight_C[:, None])
    np.add.at(total_N, document_C, weight_C)
    return (pooled_ND / np.maximum(total_N, 1)[:, None]).astype(np.float32)


def normalise(vectors_ND: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32 (N, D); a row of zeros stays zeros."""
    length_N = np.sqrt((vectors_ND.astype(np.float64) ** 2).sum(axis=1))
    return (vectors_ND / np.where(length_N > 0, length_N, 1)[:, None]).astype(np.float32)
