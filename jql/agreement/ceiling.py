"""The human ceiling: how well one rater ranks documents as the other raters do, the yardstick for a judge.

A rater is compared with the aggregate of the others on the same documents, never with one that holds their own rating.
A judge is compared with all of them, one more, which is less noisy; so the figure is a little low as a yardstick, and
`spearman_brown` says by how much, on the assumptions it names. It is no upper bound: a judge that is steadier than one
rater may lie above it.

Shapes: R raters, N documents, E ratings that others' ratings stand beside, P ordered pairs of ratings, B resamples.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jql.agreement import bootstrap
from jql.agreement.figures import DEFAULT, Settings
from jql.agreement.groups import mean_defined
from jql.agreement.raters import checked_ratings, of_the_others, source_array, with_intervals

POOLED, MEAN = "pooled", "mean"
NOTE = (
    "one rater against {others:.3g} others on average; a judge is compared with all {raters:.3g}, which is steadier, "
    "and may lie above"
)
BROWN = (
    "from one rater against one other, as if ratings were a true value plus independent noise of one size, linear "
    "correlations were those of ranks, and the aggregate a mean"
)


def spearman_brown(one_B: np.ndarray, raters: float) -> dict[str, np.ndarray]:
    """What the correlation of single raters says about the mean of several.

    Args:
        one_B: (B,) correlation of a rater with another; raters: how many are averaged, K.

    Returns:
        float64 (B,), NaN where `one_B` is not positive: reliability, K r / (1 + (K - 1) r), of the mean of K with that
        of K others; one_against_all, one more rater with the mean of K; limit, the true value with the mean of K.

    Source: Spearman (1910) and Brown (1910), British Journal of Psychology 3.
    """
    positive_B = np.where(one_B > 0, one_B, np.nan)
    reliability_B = raters * positive_B / (1 + (raters - 1) * positive_B)
    return {
        "reliability": reliability_B,
        "one_against_all": np.sqrt(positive_B * reliability_B),
        "limit": np.sqrt(reliability_B),
    }


def human_ceiling(
    ratings_RN: Sequence[Sequence[float]] | np.ndarray,
    raters: Sequence[str],
    settings: Settings = DEFAULT,
    rule: str = "majority",
    sources: Sequence[Any] | None = None,
) -> dict[str, Any]:
    """Spearman of each rater with the aggregate of the others, left out in turn.

    Args:
        ratings_RN: points, NaN where a rater gave none. raters: their names. rule: of `aggregate`. sources: what
            document each one is, or is a translation of; by default each is its own.

    Returns:
        mean, over raters with `min_documents` documents that others rated too; pooled, all ratings in one correlation,
        which has a figure where raters take turns and each did little, and in which a severe rater lowers it; pair, a
        single rater against a single other, pooled; spearman_brown. Each figure: value, low and high (95 %, by
        sources), undefined, and a reason where one is None. `raters`: the same by name; `raters_left_out`: why.

    Raises:
        DataError: ratings outside of the range. RecipeError: an unknown rule.
    """
    points_RN = checked_ratings(ratings_RN, settings.low, settings.high)
    sources_N = source_array(sources, points_RN.shape[1])
    rest_RN = of_the_others(points_RN, rule)
    rater_E, document_E = np.nonzero(~np.isnan(rest_RN))
    own_E, rest_E = points_RN[rater_E, document_E], rest_RN[rater_E, document_E]
    groups, left_out = _groups(own_E, rest_E, rater_E, raters, settings.min_documents)

    def figures(counts_BE: np.ndarray) -> dict[str, np.ndarray]:
        drawn = {
            f"rater {name}": bootstrap.spearman(own_E[r], rest_E[r], counts_BE[:, r]) for name, r in groups.items()
        }
        pooled_B = bootstrap.spearman(own_E, rest_E, counts_BE)
        return {**drawn, POOLED: pooled_B, **({MEAN: mean_defined(list(drawn.values()))} if drawn else {})}

    a_P, b_P, document_P = _pairs(points_RN)
    per_document = len(own_E) / max(1, len(np.unique(document_E)))

    def pair_figures(counts_BP: np.ndarray) -> dict[str, np.ndarray]:
        pair_B = bootstrap.spearman(a_P, b_P, counts_BP)
        return {"pair": pair_B, **spearman_brown(pair_B, per_document)}

    entries = with_intervals(figures, sources_N[document_E], settings)
    brown = with_intervals(pair_figures, sources_N[document_P], settings)
    few = f"no rater has {settings.min_documents} documents that others rated too, and ratings that differ"
    constant = "no document has two ratings" if not len(own_E) else "all ratings, or all aggregates, are the same"
    return {
        "rule": rule,
        "documents": len(np.unique(document_E)),
        "raters_a_document": per_document,
        MEAN: entries.get(MEAN) or {"value": None, "reason": few},
        POOLED: entries.get(POOLED) or {"value": None, "reason": constant},
        "pair": brown.pop("pair", None) or {"value": None, "reason": constant},
        "spearman_brown": {
            "raters": per_document,
            **{
                name: brown.get(name) or {"value": None, "reason": "raters do not correlate with one another"}
                for name in ("reliability", "one_against_all", "limit")
            },
            "note": BROWN,
        },
        "raters": {name: {"documents": len(rows), **entries[f"rater {name}"]} for name, rows in groups.items()},
        "raters_left_out": left_out,
        "note": NOTE.format(others=per_document - 1, raters=per_document) if len(own_E) else constant,
    }


def _groups(
    own_E: np.ndarray, rest_E: np.ndarray, rater_E: np.ndarray, raters: Sequence[str], fewest: int
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Rows of each rater that gets a figure; the other raters, and why."""
    groups, left_out = {}, {}
    for rater, name in enumerate(raters):
        rows = np.flatnonzero(rater_E == rater)
        same = [what for what, x_E in (("ratings", own_E), ("aggregates", rest_E)) if len(set(x_E[rows].tolist())) == 1]
        if len(rows) < fewest:
            left_out[name] = f"{len(rows)} documents that others rated too, {fewest} are needed"
        elif same:
            left_out[name] = f"all {len(rows)} {' and '.join(same)} are the same"
        else:
            groups[name] = rows
    return groups, left_out


def _pairs(points_RN: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """float64 (P,) twice: two raters' ratings of a document, every pair in both orders; int64 (P,): the document."""
    rated_NR = ~np.isnan(points_RN.T)
    both_NRR = rated_NR[:, :, None] & rated_NR[:, None, :] & ~np.eye(len(points_RN), dtype=bool)
    document_P, a_P, b_P = np.nonzero(both_NRR)
    return points_RN[a_P, document_P], points_RN[b_P, document_P], document_P
