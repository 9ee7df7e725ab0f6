"""Results of `evaluate`, `compare` and `translation_invariance` as tables for a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from jql.agreement.figures import KNOWN, TOP
from jql.agreement.groups import MACRO, POOLED
from jql.agreement.invariance import MEAN

SHORT = {
    "spearman_given_length": "given length",
    "spearman_of_length": "of length",
    "calibration_error": "calibration",
    "precision_top_10": "top 10 %",
    "precision_top_30": "top 30 %",
    "tied_share": "tied",
}


def evaluation_table(result: dict[str, Any], title: str) -> Table:
    """`evaluate` for a terminal: a row a figure with its intervals, for the mean over languages and pooled."""
    macro, pooled = result[MACRO], result[POOLED]
    caption = f"{pooled['documents']:,} documents of {pooled['sources']:,} sources; 95 % intervals over sources"
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    for name in ("figure", "better", f"mean of {len(macro['languages'])} languages", "pooled"):
        table.add_column(name, justify="left" if name in ("figure", "better") else "right")
    for name in pooled["figures"]:
        numbers = (_number(group["figures"][name]) for group in (macro, pooled))
        table.add_row(_words(name), KNOWN[name].better, *numbers)
    return table


def language_table(result: dict[str, Any], title: str) -> Table:
    """`evaluate` for a terminal: a row a language; below, what was left out and why."""
    table = Table(title=title, title_justify="left", caption=_missing(result), caption_justify="left")
    table.add_column("language")
    for name in ("documents", *result[POOLED]["figures"], "tied_share"):
        table.add_column(SHORT.get(name, name), justify="right")
    for language, entry in [*result["languages"].items(), (POOLED, result[POOLED])]:
        if language == POOLED:
            table.add_section()
        numbers = (_number({"value": figure["value"]}) for figure in entry["figures"].values())
        table.add_row(language, f"{entry['documents']:,}", *numbers, f"{entry['tied_share']:.3f}")
    return table


def comparison_table(result: dict[str, Any], a: str, b: str) -> Table:
    """`compare` for a terminal: a row a figure, for the mean over languages and pooled."""
    table = Table(title=f"{a} against {b}, the same documents", title_justify="left")
    for name in ("figure", "better", a, b, "difference", f"{a} higher in"):
        table.add_column(name, justify="left" if name in ("figure", "better") else "right")
    for group, words in ((MACRO, "mean over languages"), (POOLED, "pooled")):
        for name, entry in result[group].items():
            values = ("-" if entry[side] is None else f"{entry[side]:.3f}" for side in ("a", "b"))
            share = entry.get("a_higher")
            higher = "-" if share is None else f"{share:.1%}"
            table.add_row(f"{_words(name)}, {words}", entry["better"], *values, _number(entry, "difference"), higher)
        table.add_section()
    return table


def invariance_table(result: dict[str, Any], title: str) -> Table:
    """`translation_invariance` for a terminal: a row a language, the mean below."""
    caption = f"{result['documents']} documents, each against its side in {result['reference']}"
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    table.add_column("language")
    for name in ("spearman", "mean shift in points"):
        table.add_column(name, justify="right")
    for language, entry in result["languages"].items():
        table.add_row(language, _number(entry["spearman"]), _number(entry["mean_shift"]))
    table.add_section()
    mean = result[MEAN]
    table.add_row("mean", _number(mean["spearman"]), _number(mean["mean_shift"]))
    table.add_row("mean of sizes", "", _number(mean["absolute_shift"]))
    return table


def _number(entry: Mapping[str, Any], key: str = "value") -> str:
    """The figure and its interval, or that there is none."""
    if entry[key] is None:
        return "-"
    if entry.get("low") is None:
        return f"{entry[key]:.3f}"
    return f"{entry[key]:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]"


def _words(name: str) -> str:
    if name in TOP:
        return f"precision at top {TOP[name]:.0%}"
    return name.replace("_", " ")


def _missing(result: dict[str, Any]) -> str | None:
    """What has no figures and why."""
    words = [f"{n:,} documents: {reason}" for reason, n in result["left_out"].items() if n]
    words += [f"{language}: {reason}" for language, reason in result["languages_left_out"].items()]
    return "left out: " + "; ".join(words) if words else None
