"""Judged documents of all judges together: checked, split by source document, ready for heads.

Shapes: N judged documents, D dense features.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jql.documents import document_name
from jql.errors import DataError

FEWEST = 50


@dataclass(frozen=True)
class Judgments:
    """What the embed stages hold, row by row; by judge, what was left out and where the rest is from."""

    judges: list[str]
    judge_N: np.ndarray
    labels_N: np.ndarray
    languages_N: np.ndarray
    sources_N: np.ndarray
    chars_N: np.ndarray
    dense_ND: np.ndarray
    texts: list[str]
    dropped: dict[str, dict[str, int]]
    origins: dict[str, dict[str, int]]

    def take(self, rows: np.ndarray) -> "Judgments":
        """These documents only."""
        return Judgments(
            self.judges,
            self.judge_N[rows],
            self.labels_N[rows],
            self.languages_N[rows],
            self.sources_N[rows],
            self.chars_N[rows],
            self.dense_ND[rows],
            [self.texts[r] for r in rows],
            self.dropped,
            self.origins,
        )


def check_labels(judge: str, labels: Sequence[float], low: float, high: float, missing: int) -> None:
    """Whether a judge's labels can be trained on.

    Raises:
        DataError: too few, out of range, or all the same; says what to do.
    """
    outside = [v for v in labels if not low <= v <= high]
    if outside:
        found = f"{len(outside):,} labels outside of {low:g} to {high:g}, such as {outside[0]:g}"
        raise DataError(f"judge {judge}: {found}; correct them, or set train.low and train.high to the rubric's range")
    if len(labels) < FEWEST:
        more = f" ({missing:,} have none)" if missing else ""
        raise DataError(
            f"judge {judge}: {len(labels):,} labelled documents{more}, expected {FEWEST} or more; judge more"
        )
    if len(set(labels)) == 1:
        raise DataError(
            f"judge {judge}: all {len(labels):,} labels are {labels[0]:g}, nothing to learn; check how its answers "
            "were parsed, or judge documents of more kinds"
        )


def check_languages(languages_N: np.ndarray, allowed: bool) -> None:
    """Whether there is more than one language.

    Raises:
        DataError: there is one only, and the recipe does not say that this is meant.
    """
    found = Counter(languages_N.tolist())
    if len(found) == 1 and not allowed:
        only = next(iter(found))
        raise DataError(
            f"judgments: all {len(languages_N):,} are {only}; an annotator of one language says little about others. "
            "Judge documents of more languages, or set train.one_language=true"
        )


def split_by_source(sources_N: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Bool (N,): which documents are for validation, about `share` of the sources; copies and translations together.

    By a hash of the source, so that more judgments later leave it where it was.
    """
    limit = int(share * 2**64)
    hashed = {s: document_name(s, seed) for s in set(sources_N.tolist())}
    return np.array([hashed[s] < limit for s in sources_N.tolist()], bool)


def without_length(labels_N: np.ndarray, judge_N: np.ndarray, chars_N: np.ndarray) -> np.ndarray:
    """Labels less what a straight line on log length explains, for each judge; its mean stays."""
    out_N = labels_N.astype(np.float64).copy()
    length_N = np.log(np.maximum(1, chars_N))
    for judge in set(judge_N.tolist()):
        rows = judge_N == judge
        centred = length_N[rows] - length_N[rows].mean()
        out_N[rows] -= centred * (centred @ labels_N[rows]) / max(1e-12, float(centred @ centred))
    return out_N
