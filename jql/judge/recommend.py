"""Which judges to label with: the best of each model family, and how sure that choice is.

Source: JQL (arXiv 2505.22232): the best judges of distinct model families; Gemma-2-9B ranked above Mistral there and
was passed over, for Gemma-3 was chosen.

Shapes: R resamples.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from jql.errors import RecipeError

SETS = 5  # of the sets that resamples choose, so many are told


def best_of_families(values: Mapping[str, float], families: Mapping[str, str], choose: int) -> list[str]:
    """Judges from the highest value down, the first of each family, at most `choose`; ties go to the first name."""
    chosen: dict[str, str] = {}
    for judge in sorted(values, key=lambda judge: (-values[judge], judge)):
        if len(chosen) < choose:
            chosen.setdefault(families[judge], judge)
    return list(chosen.values())


def recommend(
    values: Mapping[str, float | None],
    draws: Mapping[str, np.ndarray],
    families: Mapping[str, str],
    refused: Mapping[str, str],
    choose: int,
) -> dict[str, Any]:
    """The recommended judges, why the others are not, and how often resamples of the documents choose the same.

    Args:
        values: judge -> macro Spearman, None where it is not defined. draws: the same of resamples, float64 (R,), NaN
            where not defined: there the judge is not chosen. families: judge -> model family, of all judges.
        refused: judge -> why it may not be chosen; it may be missing from values.

    Returns:
        choose, resamples; judges (best first); why_not (judge -> why: refused, no figure, family or rank; and words);
        chosen_share (judge -> share of resamples
        that choose it); set_share (exactly these); sets (those chosen most often, with their share); first_share
        (resamples where the first is the best of all that may be chosen); sentence. Shares are None where no judge is.

    Raises:
        RecipeError: choose below 1.
    """
    if choose < 1:
        raise RecipeError(f"choose: expected at least 1, got {choose}; write 3")
    allowed = {judge: value for judge, value in values.items() if value is not None and judge not in refused}
    chosen = best_of_families(allowed, families, choose)
    drawn = {judge: draws[judge].tolist() for judge in allowed}
    resamples = len(next(iter(drawn.values()))) if drawn else 0
    sets: Counter[tuple[str, ...]] = Counter()
    firsts: Counter[str] = Counter()
    for r in range(resamples):
        best = best_of_families({j: v[r] for j, v in drawn.items() if not np.isnan(v[r])}, families, choose)
        sets[tuple(sorted(best))] += 1
        firsts.update(best[:1])
    found: dict[str, Any] = {
        "choose": choose,
        "resamples": resamples,
        "judges": chosen,
        "why_not": {j: _why_not(j, chosen, values, families, refused) for j in families if j not in chosen},
        "chosen_share": {j: sum(n for s, n in sets.items() if j in s) / resamples for j in allowed},
        "set_share": sets[tuple(sorted(chosen))] / resamples if resamples else None,
        "sets": [{"judges": list(s), "share": n / resamples} for s, n in sets.most_common(SETS)],
        "first_share": firsts[chosen[0]] / resamples if resamples else None,
    }
    return {**found, "sentence": _sentence(found, families)}


def _why_not(
    judge: str,
    chosen: list[str],
    values: Mapping[str, float | None],
    families: Mapping[str, str],
    refused: Mapping[str, str],
) -> dict[str, str]:
    if judge in refused:
        return {"why": "refused", "words": refused[judge]}
    if values[judge] is None:
        return {"why": "no figure", "words": "Spearman is not defined in every language"}
    kin = [other for other in chosen if families[other] == families[judge]]
    if kin:
        return {"why": "family", "words": f"family {families[judge]} has {kin[0]} already"}
    return {"why": "rank", "words": f"below the {len(chosen)} chosen"}


def _sentence(found: Mapping[str, Any], families: Mapping[str, str]) -> str:
    chosen, choose = found["judges"], found["choose"]
    if not chosen:
        return (
            "No judge can be recommended: " + "; ".join(f"{j}: {r['words']}" for j, r in found["why_not"].items()) + "."
        )
    names = ", ".join(f"{judge} (family {families[judge]})" for judge in chosen)
    words = [f"Recommended: {names}."]
    if len(chosen) < choose:
        count = f"{len(chosen)} {'family' if len(chosen) == 1 else 'families'}"
        words.append(f"That is fewer than {choose}, as judges of only {count} may be chosen.")
    single = ", ".join(f"{judge} in {found['chosen_share'][judge]:.0%}" for judge in chosen)
    words.append(
        f"Of {found['resamples']:,} resamples of the source documents {found['set_share']:.0%} choose exactly "
        f"{'this' if len(chosen) == 1 else 'these'} ({single}); "
        f"{chosen[0]} is the best of all in {found['first_share']:.0%}."
    )
    return " ".join(words)
