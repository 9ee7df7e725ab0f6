"""How well scores agree with labels: one plain definition for every figure, on arrays of one value a document.

Shapes: N documents. Scores and labels are in points of the rubric; nothing here may be missing (NaN). A figure that is
not defined on its input (all scores the same, say) is None, never NaN and never a zero.
"""

from typing import Any

import numpy as np
from scipy.stats import kendalltau, rankdata, spearmanr

SURE = 1e-12  # 1 - r^2 below this is a correlation of 1 and rounding


def _varies(*values: np.ndarray) -> bool:
    return all(len(v) > 1 and bool((v != v[0]).any()) for v in values)


def spearman(scores_N: np.ndarray, labels_N: np.ndarray) -> float | None:
    """Correlation of the mean ranks, in [-1, 1]; None if either is constant."""
    if not _varies(scores_N, labels_N):
        return None
    return float(spearmanr(scores_N, labels_N).statistic)


def kendall(scores_N: np.ndarray, labels_N: np.ndarray) -> float | None:
    """Kendall's tau-b: pairs ordered alike less pairs ordered otherwise, corrected for ties; None if constant."""
    if not _varies(scores_N, labels_N):
        return None
    return float(kendalltau(scores_N, labels_N, variant="b").statistic)


def partial_spearman(scores_N: np.ndarray, labels_N: np.ndarray, lengths_N: np.ndarray) -> float | None:
    """Length-controlled Spearman: agreement that is left when the length of a document is known.

    The partial correlation (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2)) of the ranks of scores, labels and
    lengths. Ranks of length and of its logarithm are the same, so any unit of length will do.

    Returns:
        In [-1, 1]; None if one of the three is constant, or if the length alone fixes the ranks of scores or labels.
    """
    xy, xz, yz = (spearman(a, b) for a, b in ((scores_N, labels_N), (scores_N, lengths_N), (labels_N, lengths_N)))
    if xy is None or xz is None or yz is None or 1 - xz**2 < SURE or 1 - yz**2 < SURE:
        return None
    return float(np.clip((xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)), -1, 1))


def mae(scores_N: np.ndarray, labels_N: np.ndarray) -> float:
    """Mean absolute error in points."""
    return float(np.abs(scores_N - labels_N).mean())


def mean_shift(scores_N: np.ndarray, reference_N: np.ndarray) -> float:
    """Mean of scores less reference, in points: positive where the scores lie higher."""
    return float((scores_N - reference_N).mean())


def tied_share(scores_N: np.ndarray) -> float:
    """Share of the documents whose score another document has too, in [0, 1]: no cut can tell these apart."""
    _, counts = np.unique(scores_N, return_counts=True)
    return float(counts[counts > 1].sum() / len(scores_N))


def top_membership(values_N: np.ndarray, share: float) -> np.ndarray:
    """float64 (N,) in [0, 1]: how much of each document lies among the top `share` of N by value; sums to share * N.

    1 above the cut, 0 below it. Documents tied at the cut share the room that is left for them equally, which is their
    chance of being taken when ties are broken at random; share * N need not be a whole number.
    """
    last_N = rankdata(values_N, "max")
    equal_N = last_N - rankdata(values_N, "min") + 1
    above_N = len(values_N) - last_N
    result: np.ndarray = np.clip((share * len(values_N) - above_N) / equal_N, 0.0, 1.0)
    return result


def precision_at_top(scores_N: np.ndarray, labels_N: np.ndarray, share: float) -> float:
    """Share of the top `share` of documents by score that is also among the top `share` by label, in [0, 1].

    With k = share * N and `top_membership` m: sum of m(score) m(label) / k. That is the expected overlap when ties, in
    scores and in labels, are broken at random and independently, so constant scores get `share`. Labels of few values
    tie at the cut and keep even a perfect score below 1: `precision_at_top(labels, labels, share)` is what can be got.

    Args:
        share: in (0, 1].
    """
    both_N = top_membership(scores_N, share) * top_membership(labels_N, share)
    return float(both_N.sum() / (share * len(scores_N)))


def point_of(scores_N: np.ndarray, low: float, high: float) -> np.ndarray:
    """int64 (N,): the nearest point of the rubric, halves up, counted from `low`; scores outside go to the ends."""
    return np.clip(np.floor(scores_N - low + 0.5), 0, round(high - low)).astype(np.int64)


def reliability(scores_N: np.ndarray, labels_N: np.ndarray, low: float, high: float) -> list[dict[str, Any]]:
    """A row for every point of the rubric that a score is nearest to: count, mean predicted score and mean label.

    A calibrated annotator has the two means equal in every row. Points nobody was given are left out.
    """
    bins_N = point_of(scores_N, low, high)
    rows = []
    for point in np.unique(bins_N):
        here = bins_N == point
        rows.append(
            {
                "point": float(low + point),
                "documents": int(here.sum()),
                "mean_score": float(scores_N[here].mean()),
                "mean_label": float(labels_N[here].mean()),
            }
        )
    return rows


def calibration_error(scores_N: np.ndarray, labels_N: np.ndarray, low: float, high: float) -> float:
    """Expected calibration error in points: |mean score - mean label| of the `reliability` rows, weighted by count."""
    rows = reliability(scores_N, labels_N, low, high)
    gaps = sum(row["documents"] * abs(row["mean_score"] - row["mean_label"]) for row in rows)
    return float(gaps / len(scores_N))
