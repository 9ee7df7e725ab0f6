"""From what a recipe asks for to the cuts: quantiles, scores, budgets, mixtures, the cuts of another run."""

import difflib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from jql.engine import storage
from jql.errors import DataError, RecipeError
from jql.recipe import Cut, Select
from jql.select.cuts import Cuts, LanguageCut, quantile_cut
from jql.select.groups import shared_groups
from jql.select.mixture import budgets, check_budget

if TYPE_CHECKING:
    from jql.select.outlook import Outlook

STEPS = 24
"""Halvings of the quantile that a budget is looked for in: to 6e-8 of a language's documents."""


def cuts_for(outlook: "Outlook", wish: Select) -> Cuts:
    """The cuts that a recipe asks for.

    Raises:
        RecipeError: a budget is more than there is, a language or group is not known, two wishes contradict each other,
            or a cut file is of another annotator. DataError: the cut file is not one.
    """
    _check_means(wish)
    shared = shared_groups(wish)
    heads = list(wish.heads or outlook.histograms.heads)
    histograms = outlook.histograms.only(heads, shared)
    codes = sorted({*outlook.names, *outlook.histograms.counts})
    group_of = {code: group for group, members in shared.items() for code in members}
    wishes = _Wishes(outlook, wish, {code: group_of.get(code, code) for code in codes})
    _check_languages(wish, codes)
    cuts = Cuts(heads, wish.rule, wish.quantile, {}, histograms, outlook.annotator)
    if wish.cuts is not None:
        return wishes.from_file(cuts)
    for code, of in wishes.of.items():
        cuts.languages[code] = _plain_cut(cuts, wish, of)
    if wish.mixture is not None:
        wishes.to_mixture(cuts)
    for of in dict.fromkeys(wishes.of.values()):
        if of in wish.languages and (tokens := wish.languages[of].tokens) is not None:
            ours = [code for code in codes if wishes.of[code] == of]
            check_budget(of, tokens, round(wishes.tokens_at(cuts, ours, 0.0)))
            wishes.to_budget(cuts, ours, tokens, "tokens")
    return cuts


def _plain_cut(cuts: Cuts, wish: Select, of: str) -> LanguageCut:
    """By quantile or score; what has a budget starts from all."""
    cut = wish.languages.get(of, Cut(quantile=wish.quantile))
    if cut.score is not None:
        return LanguageCut(of, "score", None, np.full(len(cuts.heads), cut.score))
    if cuts.histograms.totals(of)["documents"] < wish.min_documents:
        return LanguageCut(of, "quantile", cut.quantile, None)
    return quantile_cut(of, "quantile", cut.quantile or 0.0, cuts.histograms)


@dataclass(frozen=True)
class _Wishes:
    """What needs the sample: `of` is whose scores each language is ranked among."""

    outlook: "Outlook"
    wish: Select
    of: dict[str, str]

    def to_mixture(self, cuts: Cuts) -> None:
        """Give every language its share of the mixture's tokens, and those without a share nothing."""
        assert self.wish.mixture is not None
        able = [code for code in self.of if cuts.languages[code].values is not None]
        available = {code: round(self.tokens_at(cuts, [code], 0.0)) if code in able else 0 for code in self.of}
        found = budgets(available, self.wish.mixture)
        for code in able:
            if code not in found:
                none = LanguageCut(self.of[code], "mixture", None, None, note="has no share of the mixture")
                cuts.languages[code] = none
                continue
            self.to_budget(cuts, [code], found[code].unique, "mixture")
            if found[code].epochs > 1:
                note = f"to be seen {found[code].epochs:.2f} times for its share of the mixture"
                cuts.languages[code] = replace(cuts.languages[code], note=note)

    def to_budget(self, cuts: Cuts, codes: list[str], tokens: int, by: str) -> None:
        """Cut languages that are ranked together where about so many tokens are kept, and not more by the sample."""
        low, high = 0.0, 1.0
        if self.tokens_at(cuts, codes, low) > tokens:
            for _ in range(STEPS):
                middle = (low + high) / 2
                more = self.tokens_at(cuts, codes, middle) > tokens
                low, high = (middle, high) if more else (low, middle)
            low = high
        _set_quantile(cuts, codes, min(low, 1 - 2**-STEPS), by)

    def tokens_at(self, cuts: Cuts, codes: list[str], share: float) -> float:
        """Predicted tokens of languages that are all cut at a quantile."""
        _set_quantile(cuts, codes, share, "tokens")
        kept, rates = self.outlook.kept(self.wish, cuts, codes), self.outlook.rates
        return sum(float(self.outlook.estimate(code, kept)[2, 0]) * rates.get(code, 1.0) for code in codes)

    def from_file(self, cuts: Cuts) -> Cuts:
        """The cuts of another run's cuts.json."""
        found = _read_cuts(str(self.wish.cuts), self.outlook.annotator, cuts)
        for code, of in self.of.items():
            share, values = found.get(code, (None, None))
            note = "" if values else "has no cut in the file of select.cuts"
            points = np.array([values[head] for head in cuts.heads]) if values else None
            cuts.languages[code] = LanguageCut(of, "file", share, points, note=note)
        return cuts


def _check_means(wish: Select) -> None:
    """Refuse two wishes of which one would be passed over in silence."""
    for name, others in (("mixture", ("cuts", "languages", "shared")), ("cuts", ("languages",))):
        for other in others:
            if getattr(wish, name) is not None and getattr(wish, other):
                raise RecipeError(f"select.{other}: select.{name} says where every language is cut; remove one of them")


def _set_quantile(cuts: Cuts, codes: list[str], share: float, by: str) -> None:
    for code in codes:
        if cuts.languages[code].values is not None:
            cuts.languages[code] = quantile_cut(cuts.languages[code].of, by, share, cuts.histograms)


def _check_languages(wish: Select, codes: list[str]) -> None:
    """Refuse a cut for a language that the run does not have: it is a slip, or the wrong run."""
    for name in wish.languages:
        if "_" in name and name not in codes:
            near = difflib.get_close_matches(name, codes, 1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(codes[:10])}"
            raise RecipeError(f"select.languages.{name}: the run has no documents of it; {hint}")


FromFile = dict[str, tuple[float | None, dict[str, float] | None]]
"""Language -> quantile, if it was cut by one, and the value of each head, None where nothing is kept."""


def _read_cuts(path: str, annotator: dict[str, str], cuts: Cuts) -> FromFile:
    """The languages of a cut file that was made by this annotator, for these heads and this rule."""
    if not storage.exists(path):
        raise RecipeError(f"select.cuts: {path} is not there; name the cuts.json of another run")
    try:
        found = json.loads(storage.read_bytes(path))
        its, heads, rule = dict(found["annotator"]), list(found["heads"]), found["rule"]
        languages = {code: _from_file(entry, heads) for code, entry in found["languages"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a cuts.json of jql ({type(error).__name__}: {error})") from error
    if its.get("revision") != annotator.get("revision"):
        words = [f"{a.get('name')} (revision {a.get('revision')})" for a in (its, annotator)]
        raise RecipeError(
            f"select.cuts: {path} was made for the scores of {words[0]}, this run has those of {words[1]}; take the "
            "cuts of a run with this annotator"
        )
    if set(heads) != set(cuts.heads) or rule != cuts.rule:
        raise RecipeError(
            f"select.cuts: {path} has cuts for the heads {', '.join(heads)} by rule {rule}, the recipe asks for "
            f"{', '.join(cuts.heads)} by rule {cuts.rule}; set select.heads and select.rule alike"
        )
    return languages


def _from_file(entry: dict[str, Any], heads: list[str]) -> tuple[float | None, dict[str, float] | None]:
    share, values = entry["quantile"], entry["cuts"]
    points = None if values is None else {head: float(values[head]) for head in heads}
    if not np.isfinite([*(points or {}).values(), share or 0.0]).all():
        raise ValueError("a cut that is not a finite number")
    return share, points
