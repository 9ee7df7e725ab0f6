"""The result of `rank` for a terminal of 120 columns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jql.agreement.groups import MACRO, POOLED
from jql.judge.pairs import SPEARMAN, in_words

JUDGES = 6  # columns of judges that fit beside one another
POINTS = 11  # a rubric of more has no confusion matrix on the terminal


def rank_tables(result: dict[str, Any]) -> list[RenderableType]:
    """All of it, in the order of reading: judges, people beside them, languages, pairs, confusions, recommendation."""
    shown: list[RenderableType] = [judge_table(result), human_table(result), *language_tables(result)]
    if result["pairs"]:
        shown.append(pair_table(result))
    shown.append(confusion_tables(result))
    return [*shown, recommendation_text(result)]


def judge_table(result: dict[str, Any]) -> Table:
    """A row a judge, best first, and a rater below; what is recommended."""
    common, recommendation = result["common"], result["recommendation"]
    table = _table(f"judges against people, {common['documents']:,} documents of {common['sources']:,} sources")
    for name in ("judge", "family"):
        table.add_column(name, overflow="fold")
    numbers = (
        f"mean of {len(common['languages'])} languages",
        "pooled",
        "offset",
        "calibr.",
        "invalid",
        "tokens",
        "seconds",
    )
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("recommended", no_wrap=True)
    for judge, entry in result["judges"].items():
        on = entry["common"]
        figures = on[POOLED]["figures"] if on else {}
        spearman = on[MACRO]["figures"][SPEARMAN] if on else entry["own"].get(MACRO, {"value": None})
        pooled = figures.get(SPEARMAN) or entry["own"].get(POOLED, {"value": None})
        table.add_row(
            Text(judge),
            Text(entry["family"]),
            _interval(spearman) + ("" if on else " *"),
            _plain(pooled["value"]),
            _plain(figures["mean_shift"]["value"] if on else None, "+.2f"),
            _plain(figures["calibration_error"]["value"] if on else None, ".2f"),
            _plain(entry["invalid"]["answers"]["invalid"], ".1%"),
            f"{_plain(entry['means']['tokens_in'], ',.0f')}+{_plain(entry['means']['tokens_out'], ',.0f')}",
            _plain(entry["means"]["seconds"], ".2f"),
            _recommended(judge, recommendation),
        )
    human = result["human"]
    rater = human["rater"] if human.get("over") == MACRO else {"value": None}
    table.add_section()
    table.add_row("one rater **", "", _interval(rater), _plain(human["ceiling"]["pooled"]["value"]))
    lines = [
        "Spearman with people: mean over languages, which ranks, and pooled; 95 % intervals over source documents",
        "offset (judge less truth) and calibration error in points; tokens in+out and seconds of a document",
        "recommended: and the share of resamples of the source documents that choose it",
        "** with the other raters; the judges on the same terms stand below",
    ]
    if result["common"]["lost"]:
        lines.append(f"{common['lost']:,} of {common['asked']:,} documents have no valid score of some judge")
    if any(entry["set_apart"] for entry in result["judges"].values()):
        lines.append("* set apart, on its own documents, so not to be compared with the others")
    texts = {judge: n for judge, entry in result["judges"].items() if (n := entry["matched"]["other_text"])}
    lines += [f"{judge}: {n:,} judgments are of another text than that of the truth" for judge, n in texts.items()]
    lines += _by_reason(common["languages_left_out"])
    return _captioned(table, result, lines)


def human_table(result: dict[str, Any]) -> Table:
    """A rater, and each judge in a rater's place, against the raters that are left."""
    human = result["human"]
    table = _table("judges in the place of a rater: Spearman with the other raters")
    table.add_column("", overflow="fold")
    for name in ("all ratings in one" if human.get("over") == POOLED else "mean of raters", "less a rater"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("says", overflow="fold")
    if "rater" not in human:
        return _captioned(table, result, [human["reason"]])
    table.add_row("one rater", _interval(human["rater"]))
    table.add_section()
    for judge, entry in human["judges"].items():
        less = entry["less_rater"] or {"value": None}
        table.add_row(Text(judge), _interval(entry), _interval(less, "+.3f"), Text(entry["words"]))
    ceiling = human["ceiling"]
    brown = ceiling["spearman_brown"]["one_against_all"]
    lines = [f"{human['documents']:,} documents with two ratings or more; {ceiling['note']}"]
    if brown["value"] is not None:
        lines.append(f"one more rater against all of a document would have {_interval(brown)} (Spearman-Brown)")
    if human["raters_left_out"]:
        lines.append(f"left out: {_some([f'{who}: {why}' for who, why in human['raters_left_out'].items()])}")
    return _captioned(table, result, lines)


def language_tables(result: dict[str, Any]) -> Iterator[Table]:
    """Spearman, a row a language, a column a judge; a table for every few judges."""
    ranked = {judge: entry["common"] for judge, entry in result["judges"].items() if entry["common"]}
    for first in range(0, len(ranked), JUDGES):
        judges = list(ranked)[first : first + JUDGES]
        table = _table("Spearman by language")
        table.add_column("language")
        table.add_column("documents", justify="right")
        for judge in judges:
            table.add_column(Text(judge), justify="right", overflow="fold")
        for language in result["common"]["languages"]:
            of_judge = [ranked[judge]["languages"][language] for judge in judges]
            numbers = (_plain(entry["figures"][SPEARMAN]["value"]) for entry in of_judge)
            table.add_row(language, f"{of_judge[0]['documents']:,}", *numbers)
        table.add_section()
        means = (_plain(ranked[judge][MACRO]["figures"][SPEARMAN]["value"]) for judge in judges)
        table.add_row("mean", f"{result['common']['documents']:,}", *means)
        yield _captioned(table, result, [])


def pair_table(result: dict[str, Any]) -> Table:
    """A row a pair of judges: how far they agree, and which of them ranks better."""
    table = _table("pairs of judges, on the same resamples")
    for name in ("first", "second"):
        table.add_column(name, overflow="fold")
    for name in ("with one another", "with people, difference", "first higher"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("says", overflow="fold")
    for pair in result["pairs"]:
        entry = pair["macro_spearman"]
        table.add_row(
            *(Text(judge) for judge in pair["judges"]),
            _interval(pair["agreement"]),
            _interval({**entry, "value": entry["difference"]}, "+.3f"),
            _plain(entry.get("a_higher"), ".0%"),
            Text(in_words("first", "second", entry)),
        )
    lines = [
        "Spearman: of the two with one another; of the first with people, less that of the second",
        "means over languages; 95 % intervals of each pair alone, those for all pairs together are in rank.json",
    ]
    return _captioned(table, result, lines)


def confusion_tables(result: dict[str, Any]) -> RenderableType:
    """Confusion of each judge, side by side: truth down, judge across."""
    low, high = result["settings"]["low"], result["settings"]["high"]
    names = [f"{low + point:g}" for point in range(round(high - low) + 1)]
    if len(names) > POINTS:
        return Text(f"confusion of {len(names)} points: see rank.json")
    tables = []
    for judge, entry in result["judges"].items():
        if entry["common"]:
            table = _table(f"{judge}\nmacro-F1 {entry['common']['macro_f1']:.3f}")
            table.add_column("truth")
            for name in names:
                table.add_column(name, justify="right")
            for name, counts in zip(names, entry["common"]["confusion"], strict=True):
                table.add_row(name, *(f"{count:,}" for count in counts))
            tables.append(table)
    lines = [f"confusion: truth down, judge across, documents; {result['f1_note']}", *_origin(result)]
    return Group(Columns(tables), Text("\n".join(lines), style="italic"), "")


def recommendation_text(result: dict[str, Any]) -> Text:
    """What is recommended, how sure it is, and why the others are not."""
    recommendation = result["recommendation"]
    lines = [recommendation["sentence"]]
    lines += [f"not {judge}: {reason['words']}" for judge, reason in recommendation["why_not"].items()]
    return Text("\n".join([*lines, *_origin(result)]))


def _recommended(judge: str, recommendation: Mapping[str, Any]) -> str:
    """Whether, or why not, and the share of resamples that choose it."""
    why = recommendation["why_not"].get(judge)
    share = recommendation["chosen_share"].get(judge)
    return ("yes" if why is None else f"no: {why['why']}") + ("" if share is None else f", {share:.0%}")


def _table(title: str) -> Table:
    shape: dict[str, Any] = {"box": SIMPLE, "collapse_padding": True, "pad_edge": False}
    return Table(
        title=Text(title, style="bold", overflow="fold"), title_justify="left", caption_justify="left", **shape
    )


def _captioned(table: Table, result: dict[str, Any], lines: Sequence[str]) -> Table:
    table.caption = Text("\n".join([*_origin(result), *lines]))
    return table


def _origin(result: dict[str, Any]) -> list[str]:
    return [result["origin"]] if result["origin"] else []


def _some(words: Sequence[str], most: int = 3) -> str:
    """The first few, and how many more there are."""
    more = f"; and {len(words) - most:,} more, see rank.json" if len(words) > most else ""
    return "; ".join(words[:most]) + more


def _plain(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None else f"{value:{form}}"


def _interval(entry: Mapping[str, Any], form: str = ".3f") -> str:
    """The figure and its interval, or that there is none."""
    if entry["value"] is None or entry.get("low") is None:
        return _plain(entry["value"], form)
    return f"{entry['value']:{form}} [{entry['low']:{form}}, {entry['high']:{form}}]"


def _by_reason(left_out: Mapping[str, str]) -> list[str]:
    """Languages without a figure of their own: a line each, one for all where they are many."""
    lines = [f"{language}: {reason}" for language, reason in left_out.items()]
    return lines if len(lines) <= 3 else [f"{len(lines)} languages have no figure of their own: {_some(lines, 1)}"]
