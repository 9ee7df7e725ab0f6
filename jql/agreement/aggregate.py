"""One score from the several that a document was given."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import mean, median_high, median_low

from jql.errors import DataError, RecipeError

RULES = ("majority", "mean", "median")


def aggregate(ratings: Sequence[float], rule: str = "majority") -> float | None:
    """The score of a document by its ratings, in points; None if there are none.

    majority is the score given most often; where several are, the mean of those. median of an even number is the mean
    of the middle two. Means are exact before they are rounded, so the order of the ratings is no matter.

    Raises:
        RecipeError: an unknown rule. DataError: a rating that is not finite.
    Source: majority is the rule of the JQL human set (arXiv 2505.22232: majority vote, mean where there is none).
    """
    if rule not in RULES:
        raise RecipeError(f"rule: expected {', '.join(RULES)}, got {rule!r}; write majority")
    values = [float(rating) for rating in ratings]
    unusable = [value for value in values if not math.isfinite(value)]
    if unusable:
        raise DataError(f"ratings: found {unusable[0]}, expected numbers; leave out what was not rated")
    if not values:
        return None
    if rule == "mean":
        return mean(values)
    if rule == "median":
        return mean([median_low(values), median_high(values)])
    counts = Counter(values)
    most = max(counts.values())
    return mean([value for value, count in counts.items() if count == most])
