"""Calibration by language: a monotone map for each, so that a score of 3 means the same in Maltese and in German.

Shapes: N texts, H heads, K knots.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FEWEST = 50
"""Labels a language needs for a map of its own; others are left as they are."""


@dataclass(frozen=True)
class Calibration:
    """Maps of scores, by head and language: knots (score, points) with straight lines between, slope 1 outside.

    Strictly increasing, so that the order within a language and its quantile cut do not change.
    """

    knots: dict[str, dict[str, list[list[float]]]] = field(default_factory=dict)

    def apply(self, points_NH: np.ndarray, languages: Sequence[str], heads: list[str]) -> np.ndarray:
        """float32 (N, H); languages and heads without a map are unchanged."""
        out_NH = points_NH.copy()
        languages_N = np.asarray(languages, object)
        for h, head in enumerate(heads):
            for language, (scores_K, mapped_K) in self.knots.get(head, {}).items():
                rows = np.flatnonzero(languages_N == language)
                values = points_NH[rows, h].astype(np.float64)
                inner = np.interp(values, scores_K, mapped_K)
                beyond = np.minimum(values - scores_K[0], 0) + np.maximum(values - scores_K[-1], 0)
                out_NH[rows, h] = inner + beyond
        return out_NH

    def to_json(self) -> dict[str, Any]:
        """As it stands in annotator.json."""
        return self.knots

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Calibration":
        """The calibration of an annotator; {} for none."""
        return cls(record)


def fit_calibration(
    scores_N: np.ndarray, labels_N: np.ndarray, languages: Sequence[str]
) -> dict[str, list[list[float]]]:
    """Language -> knots: isotonic regression of labels on scores at most 20 knots, made strictly increasing.

    A slope of 0.05 is mixed in, since isotonic steps would tie scores that the head tells apart. Languages with fewer
    than FEWEST labels, or with one label only, get no map.

    Source: isotonic regression by pool adjacent violators (scikit-learn).
    """
    from sklearn.isotonic import IsotonicRegression

    languages_N, found = np.asarray(languages, object), {}
    for language in sorted(set(languages_N.tolist())):
        rows = languages_N == language
        scores, labels = scores_N[rows].astype(np.float64), labels_N[rows].astype(np.float64)
        if rows.sum() < FEWEST or len(set(labels)) < 2 or np.ptp(scores) == 0:
            continue
        places = np.unique(np.quantile(scores, np.linspace(0.02, 0.98, 20)).round(5))
        mapped = IsotonicRegression(out_of_bounds="clip").fit(scores, labels).predict(places)
        mapped = 0.95 * mapped + 0.05 * (places - places.mean() + mapped.mean())
        found[language] = [places.tolist(), mapped.tolist()]
    return found
