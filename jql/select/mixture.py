"""Token budgets: what each language contributes to a mixture, and whether there is so much."""

import difflib
import math
from dataclasses import dataclass

from jql.errors import RecipeError
from jql.recipe import Mixture

KEY = "select.mixture"


@dataclass(frozen=True)
class Budget:
    """What a mixture takes of one language.

    Attributes:
        tokens: that a sampler should draw. unique: different ones to keep for that, at most what there is.
        epochs: how often each is drawn on average, 1 or more.
    """

    tokens: int
    unique: int
    epochs: float


def shares(tokens: dict[str, int], mixture: Mixture) -> dict[str, float]:
    """Each language's share of the mixture, in (0, 1], summing to 1; in the order of their codes.

    The weights as given; or p^alpha of each language that has tokens, normalised, p being its share of them all.

    Args:
        tokens: language -> what the run has.

    Raises:
        RecipeError: no language has tokens, or one with a weight has none.

    Source: p^alpha as in XLM, Lample and Conneau (arXiv 1901.07291).
    """
    there = {code: count for code, count in sorted(tokens.items()) if count > 0}
    if not there:
        raise RecipeError(f"{KEY}: no language has tokens that can be kept; check what select asks for")
    if mixture.alpha is None:
        for code in sorted(mixture.weights.keys() - there.keys()):
            raise RecipeError(f"{KEY}.weights: {_absent(code, tokens, list(there))}")
        return {code: mixture.weights[code] for code in sorted(mixture.weights)}
    total = sum(there.values())
    powers = {code: (count / total) ** mixture.alpha for code, count in there.items()}
    whole = math.fsum(powers.values())
    return {code: power / whole for code, power in powers.items()}


def _absent(code: str, tokens: dict[str, int], there: list[str]) -> str:
    if code in tokens:
        return f"{code} has no tokens that can be kept; remove it, and share its weight out"
    close = difflib.get_close_matches(code, there, 1, 0.7)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(there)}"
    return f"the run has no {code}; {hint}"


def budgets(available: dict[str, int], mixture: Mixture) -> dict[str, Budget]:
    """The budget of each language with a share, in the order of their codes.

    A language that has less than its share of the tokens is seen more than once for it. Rounded to whole tokens; a
    share of less than half a token is none.

    Args:
        available: language -> tokens that could be kept, the cut aside.

    Raises:
        RecipeError: as of shares; or a language would have to be seen more than mixture.epochs times.
    """
    parts = shares(available, mixture)
    wanted = {code: round(share * mixture.tokens) for code, share in parts.items()}
    # What 1.15 times 100 tokens falls short of 115 by, as floats have it, does not matter.
    short = [code for code in parts if wanted[code] > mixture.epochs * available[code] * (1 + 1e-9)]
    if short:
        worst = max(short, key=lambda code: wanted[code] / available[code])
        rest = [code for code in short if code != worst]
        named = ", ".join(rest[:5]) + (f" and {len(rest) - 5} more" if rest[5:] else "")
        others = f", and {named} would be short, too" if rest else ""
        epochs = _hundredths(-(-100 * wanted[worst] // available[worst]))
        raise RecipeError(
            f"{KEY}: {worst} is to give {wanted[worst]:,} tokens, and only {available[worst]:,} could be kept: each "
            f"{epochs} times, where {KEY}.epochs allows {mixture.epochs:g}{others}; lower "
            f"{KEY}.tokens to {_most_tokens(available, parts, mixture.epochs)}, or raise {KEY}.epochs to {epochs}"
        )
    found = {}
    for code, tokens in wanted.items():
        unique = min(tokens, available[code])
        found[code] = Budget(tokens, unique, tokens / unique if unique else 1.0)
    return found


def _most_tokens(available: dict[str, int], parts: dict[str, float], epochs: float) -> str:
    """The most tokens of a mixture for which every language suffices, rounded down to three digits."""
    most = math.floor(min(math.floor(epochs * available[code]) / share for code, share in parts.items()))
    unit = int(10 ** max(0, len(str(most)) - 3))
    return f"{most // unit * unit:,}"


def _hundredths(number: int) -> str:
    """A number of hundredths as a decimal, such as 1.5 for 150."""
    return f"{number / 100:.2f}".rstrip("0").rstrip(".")


def check_budget(language: str, wanted: int, available: int) -> None:
    """Refuse a budget of one language that is larger than what there is.

    Args:
        available: tokens of the language that could be kept, the cut aside.

    Raises:
        RecipeError: there is less.
    """
    if wanted > available:
        raise RecipeError(
            f"select.languages.{language}.tokens: {wanted:,} wanted, but only {available:,} tokens could be kept; "
            "lower it or add documents"
        )
