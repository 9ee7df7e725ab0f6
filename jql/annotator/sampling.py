"""Which judged documents an epoch sees: as they come, or labels balanced within each language and judge.

Shapes: N judged documents.
"""

from typing import Literal

import numpy as np

Sampling = Literal["natural", "balanced"]


def sampling_weights(labels_N: np.ndarray, groups_N: np.ndarray, sampling: Sampling) -> np.ndarray:
    """float64 (N,): how often a document is drawn in an epoch, on average; sums to N.

    natural: 1 each. balanced: within a group (a language and judge), every label rounded to whole points that occurs
    gets the same total weight, and the group keeps the total it has. So a label of 3 documents beside one of 97
    is drawn about 17 times as often as it occurs, each its own documents again and again.
    """
    weights = np.ones(len(labels_N))
    if sampling == "balanced":
        points_N = np.floor(labels_N + 0.5)
        for group in set(groups_N.tolist()):
            rows = np.flatnonzero(groups_N == group)
            found, which, counts = np.unique(points_N[rows], return_inverse=True, return_counts=True)
            weights[rows] = len(rows) / (len(found) * counts[which])
    return weights


def draw_epoch(weights_N: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """int64 (N,): documents of an epoch in random order.

    Every document floor(weight) times, and the rest of N by the fractions; natural weights give a permutation.
    """
    whole = np.floor(weights_N).astype(np.int64)
    rows = np.repeat(np.arange(len(weights_N)), whole)
    left, rest = len(weights_N) - len(rows), weights_N - whole
    if left > 0 and rest.sum() > 0:
        rows = np.concatenate((rows, draw.choice(len(weights_N), left, p=rest / rest.sum())))
    return draw.permutation(rows)
