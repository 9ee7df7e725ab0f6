"""The result of `run_agree` for a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from jql.agreement.rater_figures import FIGURES

SHARES = ("raw_agreement", "majority", "unanimous", "within_1", "within_2")
CEILING = {
    "mean": "Spearman, one rater against the others, mean of raters",
    "pooled": "the same, all ratings pooled",
    "pair": "Spearman, one rater against one other, pooled",
}
BROWN = {
    "one_against_all": "estimate: one more rater against all of a document",
    "limit": "estimate: the true value against all of a document",
    "reliability": "estimate: all of a document against as many others",
}
OF_A_RATER = ("offset", "spearman", "kappa_quadratic")
MOST_PAIRS = 20


def tables(result: dict[str, Any]) -> list[Table | Text]:
    """All of it, in the order of reading: where ratings come from, figures, languages, raters, pairs."""
    named = {"all": result["overall"], **result["by_part"]}
    shown: list[Table | Text] = [Text(line) for line in lines(result)]
    shown += [figures_table(named, f"agreement of raters, {result['path']}")]
    if result["by_guideline"]:
        shown.append(figures_table(result["by_guideline"], "by version of the guideline"))
    shown += [language_table(result), rater_table(result)]
    has_pairs = result["overall"]["pairs"] or result["overall"]["pairs_left_out"]
    return [*shown, pair_table(result)] if has_pairs else shown


def lines(result: dict[str, Any]) -> list[str]:
    """Origin, versions of the guideline, what was skipped and left out, with their counts."""
    words = {"origin": "origin", "guidelines": "guideline", "skipped": "skipped", "left_out": "rows left out"}
    found = [f"{word}: {_counts(result[key])}" for key, word in words.items() if result[key]]
    if len(result["guidelines"]) > 1:
        found.append("ratings by several versions of the guideline are pooled where a table does not say a version")
    return found


def figures_table(groups: Mapping[str, dict[str, Any]], title: str) -> Table:
    """A row a figure, a column a group of ratings; below, why a figure is missing."""
    ceilings = {name: group["ceiling"] for name, group in groups.items()}
    notes = ["95 % intervals over documents"]
    notes += [f"Spearman, {name}: {ceiling['note']}" for name, ceiling in ceilings.items()]
    notes += [f"estimates: {next(iter(ceilings.values()))['spearman_brown']['note']}"]
    for name, group in groups.items():
        notes += [f"{name}: {line}" for line in _why({FIGURES[f]: entry for f, entry in group["figures"].items()})]
        notes += [f"{name}: {line}" for line in _left_out(ceilings[name]["raters_left_out"].items())]
    table = _table(title, notes, "figure")
    for name, group in groups.items():
        rated = f"{group['rated_twice']:,} of {group['documents']:,} documents"
        words = f"{name}\nratings: {group['ratings']:,}\nraters: {group['raters']:,}\nrated twice: {rated}"
        table.add_column(Text(words), justify="right")
    for name, words in FIGURES.items():
        table.add_row(words, *(number(group["figures"][name], name in SHARES) for group in groups.values()))
    table.add_section()
    for name, words in CEILING.items():
        table.add_row(words, *(number(group["ceiling"][name]) for group in groups.values()))
    for name, words in BROWN.items():
        table.add_row(words, *(number(group["ceiling"]["spearman_brown"][name]) for group in groups.values()))
    return table


def language_table(result: dict[str, Any]) -> Table:
    """A row a language; below, what was left out and why."""
    columns = ("rated twice", "alpha, ordinal", "kappa, quadratic", "majority", "deviation", "one against others")
    table = _table("by language", _left_out(result["languages_left_out"].items()), "language", *columns)
    for language, group in [*result["languages"].items(), ("all", result["overall"])]:
        if language == "all":
            table.add_section()
        entries = group["figures"]
        table.add_row(
            language,
            f"{group['rated_twice']:,}",
            number(entries["alpha_ordinal"]),
            number(entries["kappa_quadratic"]),
            number(entries["majority"], share=True),
            number(entries["deviation"]),
            number(group["ceiling"]["pooled"]),
        )
    return table


def rater_table(result: dict[str, Any]) -> Table:
    """A row a rater, each against the others; below, why a figure is missing."""
    notes = ["offset: mean of the ratings less the mean of the others, in points; above 0 is mild, below 0 severe"]
    for name, row in result["raters"].items():
        notes += _why({f"{name}, {figure}": row[figure] for figure in OF_A_RATER})
    columns = ("ratings", "skipped", "median s", "in common", "offset", "spearman", "kappa, quadratic")
    table = _table("by rater", notes, "rater", *columns)
    for name, row in result["raters"].items():
        seconds = "-" if row["median_seconds"] is None else f"{row['median_seconds']:.0f}"
        counts = (f"{row['ratings']:,}", f"{sum(row['skipped'].values()):,}", seconds, f"{row['common']:,}")
        table.add_row(Text(name), *counts, *(number(row[figure]) for figure in OF_A_RATER))
    return table


def pair_table(result: dict[str, Any]) -> Table:
    """A row a pair, the lowest first and at most 20; below, the pairs that are left out and why."""
    pairs = sorted(result["overall"]["pairs"], key=lambda pair: float(pair["kappa_quadratic"]["value"]))
    notes = [f"the lowest {MOST_PAIRS} of {len(pairs)}"] if len(pairs) > MOST_PAIRS else []
    notes += _left_out((" and ".join(p["raters"]), p["reason"]) for p in result["overall"]["pairs_left_out"])
    table = _table("by pair", notes, "raters", "in common", "kappa, quadratic", "kappa, linear", "kappa")
    for pair in pairs[:MOST_PAIRS]:
        kappas = (number(pair[name]) for name in ("kappa_quadratic", "kappa_linear", "kappa_unweighted"))
        table.add_row(Text(" and ".join(pair["raters"])), f"{pair['documents']:,}", *kappas)
    return table


def _table(title: str, notes: Sequence[str], first: str, *columns: str) -> Table:
    """A table of a column of names and columns of numbers; names of users are text, not markup."""
    table = Table(title=Text(title), title_justify="left", caption=Text("\n".join(notes)), caption_justify="left")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def number(entry: Mapping[str, Any], share: bool = False) -> str:
    """A figure and its interval, shares in percent; "-" where there is none."""
    if entry["value"] is None:
        return "-"
    values = [entry[key] for key in ("value", "low", "high") if entry.get(key) is not None]
    shown = [f"{value:.1%}" if share else f"{value:.3f}" for value in values]
    return shown[0] if len(shown) == 1 else f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items(), key=lambda item: -item[1]))


def _why(entries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each reason why figures, or their intervals, are missing."""
    return _grouped((name, entry["reason"]) for name, entry in entries.items() if "reason" in entry)


def _left_out(reasons: Iterable[tuple[str, str]]) -> list[str]:
    return [f"left out: {line}" for line in _grouped(reasons)]


def _grouped(reasons: Iterable[tuple[str, str]]) -> list[str]:
    """(Name, reason) -> a line for each reason with its names."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons:
        names.setdefault(reason, []).append(name)
    return [f"{reason}: {'; '.join(found)}" for reason, found in names.items()]
