"""A sweep for a terminal: LR sensitivity and best losses, figures at each learning rate, what was tried, directions."""

import math
from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from jql.evaluate.verdict import number
from jql.laboratory.directions import OPEN

SHOWN = {
    "loss": "loss",
    "mean_share": "|mu| / mean norm",
    "largest_logit": "largest logit",
    "log_z": "log Z",
    "isotropy": "isotropy",
}
"""Figures in tables, and their headings."""
NONE = "–"
MOST_DIGITS = 3

Estimate = Mapping[str, float | None]


def sweep_tables(found: Mapping[str, Any]) -> list[Table | str]:
    """One row a variant, one a variant and learning rate, differences, strengths that were tried, and notes.

    Args:
        found: as in sweep.json.
    """
    baseline = found["design"]["baseline"]
    parts: list[Table | str] = [_variants(found), _at_rates(found, "values", "At each learning rate")]
    if baseline is not None and len(found["variants"]) > 1:
        parts.append(_at_rates(found, "apart", f"Less {baseline}, seed by seed"))
    parts += [_tried(name, one) for name, one in found["tuned"].items()]
    return [*parts, *design_lines(found), *direction_lines(found)]


def estimate(found: Estimate | None) -> str:
    """A mean with its interval, in as many digits as two figures of half its width need, 3 at most."""
    if found is None or found["mean"] is None:
        return NONE
    mean, low, high = found["mean"], found["low"], found["high"]
    if low is None or high is None:
        return f"{mean:.4g}"
    half = (high - low) / 2
    if 0 < max(abs(low), abs(high)) < 10**-MOST_DIGITS:
        return f"{mean:.0e} [{low:.0e}, {high:.0e}]"
    digits = min(MOST_DIGITS, max(0, 1 - math.floor(math.log10(half)))) if half > 0 else MOST_DIGITS
    return f"{number(mean, digits)} [{number(low, digits)}, {number(high, digits)}]"


def difference(found: Estimate | None) -> str:
    """The same of a difference, with a star where 0 is not in its interval."""
    words = estimate(found)
    if found is None or found["low"] is None or found["high"] is None:
        return words
    return f"{words}*" if found["low"] > 0 or found["high"] < 0 else words


def rate(value: float) -> str:
    """A learning rate."""
    return f"{value:g}"


def settings(one: Mapping[str, Any]) -> str:
    """The techniques of a variant in words."""
    words = (name if value is True else f"{name} {_value(value)}" for name, value in one["settings"].items())
    return ", ".join(words) or "none"


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return value if isinstance(value, str) else rate(value)


def design_lines(found: Mapping[str, Any]) -> list[str]:
    """What the numbers mean."""
    design = found["design"]
    seeds, rates = design["seeds"], ", ".join(map(rate, design["learning_rates"]))
    over = "95 % intervals over them (Student's t)" if seeds > 1 else "one seed, so no intervals"
    held, data = design["held_out"], design["set"]
    lines = [
        f"{design['parameters']:,} parameters, vocabulary {design['vocab']:,}{', tied' if design['tied'] else ''}; "
        f"{design['tokens']:,} tokens each in {design['steps']:,} steps, {design['epochs']:.3g} epochs of "
        f"{data['documents']:,} documents; {design['dtype']}; "
        f"{design['tokens_per_s'] or 0:,.0f} tokens/s",
        f"learning rates {rates}; {seeds} seed{'s' if seeds > 1 else ''}: {over}",
        f"losses in nats on {held['tokens']:,} held-out tokens; {design['cap']:.2f}, the loss of knowing nothing, "
        "stands for a model that diverged and for any that is worse",
        "LR sensitivity: how far the losses at the other learning rates are from the best, on average",
        "*: 0 is not in the interval, which holds for each number by itself: of 20 true zeros one has a star",
    ]
    for name, one in found["tuned"].items():
        chosen, tried = f"{one['field']} {rate(one['strength'])}", len(one["tried"])
        end = ", at the end of those tried: try more" if one["end"] else ""
        lines.append(f"{name}: {chosen} has the least mean loss of {tried} strengths{end}")
    return lines + [f"{name}: {doubt}" for name, one in found["variants"].items() for doubt in one["doubts"]]


def direction_lines(found: Mapping[str, Any]) -> list[str]:
    """Published directions, a line each."""
    lines = []
    for one in found["directions"]:
        more = "; too few seeds for an interval" if one["outcome"] == OPEN and not _known(one["apart"]) else ""
        lines.append(f"published, {one['claim']}: {one['outcome']}, {estimate(one['apart'])}{more} ({one['source']})")
    return lines


def _known(found: Estimate | None) -> bool:
    return found is not None and found["low"] is not None


def _variants(found: Mapping[str, Any]) -> Table:
    baseline, seeds = found["design"]["baseline"], found["design"]["seeds"]
    title = "Variants" if baseline is None else f"Variants; less: the difference from {baseline}, seed by seed"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("variant")
    table.add_column("techniques")
    columns = ["LR sensitivity", "best loss", "best at", "diverged"]
    if baseline is not None:
        columns += ["sensitivity, less", "best loss, less"]
    for column in columns:
        table.add_column(Text(column), justify="right")
    models = seeds * len(found["design"]["learning_rates"])
    for name, one in found["variants"].items():
        cells = [estimate(one["lrs"]), estimate(one["best"]), rate(one["best_rate"]), f"{one['diverged']} of {models}"]
        if baseline is not None:
            cells += ["" if name == baseline else difference(one[key]) for key in ("lrs_apart", "best_apart")]
        table.add_row(Text(name), Text(settings(one)), *map(Text, cells))
    return table


def _at_rates(found: Mapping[str, Any], key: str, title: str) -> Table:
    """The figures of all variants at one learning rate after the other."""
    table, words = Table(title=Text(title), title_justify="left"), difference if key == "apart" else estimate
    table.add_column("variant")
    for heading in SHOWN.values():
        table.add_column(Text(heading), justify="right")
    for place, value in enumerate(found["design"]["learning_rates"]):
        table.add_section()
        table.add_row(Text(f"at {rate(value)}", style="bold"))
        for name, one in found["variants"].items():
            figures = one["rates"][place][key]
            if figures is not None:
                table.add_row(Text(name), *(Text(words(figures[figure])) for figure in SHOWN))
    return table


def _tried(name: str, one: Mapping[str, Any]) -> Table:
    """One seed, that of the tuning."""
    table = Table(title=Text(f"{name}: strengths of {one['field']} that were tried"), title_justify="left")
    for column in ("strength", "mean loss", "best loss", "LR sensitivity"):
        table.add_column(column, justify="right")
    for tried in one["tried"]:
        style = "bold" if tried["strength"] == one["strength"] else ""
        numbers = (f"{tried[key]:.4f}" for key in ("mean", "best", "lrs"))
        table.add_row(Text(rate(tried["strength"]), style=style), *(Text(word, style=style) for word in numbers))
    return table
