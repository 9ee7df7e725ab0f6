"""Hashed character n-grams: how words are spelt, which judged languages tell much by and others nothing.

Shapes: N texts, C characters of all texts, V = 2 ** bits features.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jql.annotator.reading import code_points
from jql.annotator.surface import is_space

if TYPE_CHECKING:
    import scipy.sparse as sp

SHORTEST, LONGEST, BITS = 2, 4, 18
_LINE_END = ord("\n")  # stands between texts only, as all other space has become one blank
_MIX, _SPREAD = np.uint32(0x01000193), np.uint32(0x9E3779B1)


_AT_ONCE = 1 << 13
"""Texts whose keys, text number and feature, fit into 32 bits, which sort twice as fast as 64."""


def ngrams(texts: Sequence[str]) -> "sp.csr_matrix":
    """float32 sparse (N, V): log(1 + count) of each n-gram of 2-4 characters within a word, rows of length 1 or 0.

    Lower case; a word's neighbours are spaces and belong to it, so that beginnings and endings are told apart.
    """
    import scipy.sparse as sp

    if len(texts) <= _AT_ONCE:
        return _ngrams(texts)
    return sp.vstack([_ngrams(texts[at : at + _AT_ONCE]) for at in range(0, len(texts), _AT_ONCE)]).tocsr()


def _ngrams(texts: Sequence[str]) -> "sp.csr_matrix":
    import scipy.sparse as sp

    points_C, starts_N = code_points([f" {' '.join(text.lower().split())} " for text in texts])
    text_C = np.repeat(np.arange(len(texts), dtype=np.uint32), np.diff(np.append(starts_N, len(points_C))))
    space_C = is_space(points_C)
    keys = []
    hash_C = points_C.copy()
    for n in range(SHORTEST, LONGEST + 1):
        ends = max(0, len(points_C) - n + 1)
        hash_C = hash_C[:ends] * _MIX + points_C[n - 1 : n - 1 + ends]  # uint32, wraps
        broken = np.zeros(ends, bool)
        for inner in range(1, n - 1):
            broken |= space_C[inner : ends + inner]
        whole = ~broken & (points_C[n - 1 : n - 1 + ends] != _LINE_END) & (points_C[:ends] != _LINE_END)
        slot = (hash_C * _SPREAD) >> np.uint32(32 - BITS)
        keys.append((text_C[:ends][whole] << np.uint32(BITS)) | slot[whole])
    sorted_keys = np.sort(np.concatenate(keys))
    new = np.ones(len(sorted_keys), bool)
    new[1:] = sorted_keys[1:] != sorted_keys[:-1]
    first = np.flatnonzero(new)
    counts = np.diff(np.append(first, len(sorted_keys)))
    distinct = sorted_keys[first]
    rows = (distinct >> np.uint32(BITS)).astype(np.int64)
    weights = np.log1p(counts)
    lengths_N = np.sqrt(np.bincount(rows, weights=weights**2, minlength=len(texts)))
    values = (weights / lengths_N[rows]).astype(np.float32)
    places = (distinct & np.uint32((1 << BITS) - 1)).astype(np.int32)
    pointers = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=len(texts)))))
    return sp.csr_matrix((values, places, pointers), shape=(len(texts), 1 << BITS))
