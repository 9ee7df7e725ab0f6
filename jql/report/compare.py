"""The comparison of annotator and heuristics for a person: its figures, as in compare.json, and as tables."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from jql.report.amounts import NONE, count, percent, short
from jql.report.differences import printable
from jql.select.compare import PASSED, SIDES, Compared
from jql.select.cuts import Cuts

RULES = 12
"""Heuristics of the table, those that drop most of what the annotator keeps."""
MEANT = (
    'gain: tokens that the annotator keeps against those that the heuristics keep, the "retained tokens relative to '
    'FineWeb2" of arXiv 2505.22232:\nthere +4.8 % at quantile 0.6 and -15.8 % at 0.7, means of 13 languages\n'
    "both / either: documents kept by both, of those kept by either; by chance: if neither knew of the other"
)
_FIGURES = ("annotator", "heuristics", "overlap", "chance", "gain")


def figures(by_rule: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Who keeps how much of some documents.

    Args:
        by_rule: as of Compared.counts.

    Returns:
        documents, tokens: all that are compared. sides: side of SIDES -> documents, tokens. annotator, heuristics:
        share of documents that each keeps. overlap: kept by both over kept by either, and chance: what that would be
        if the two were independent. gain: tokens kept by the annotator over those kept by the heuristics, less one.
        rules: heuristic -> documents that it drops, and kept, kept_tokens of these by the annotator. Shares of nothing
        are None.
    """
    none = np.zeros((2, 2), np.int64)
    passed = by_rule.get(PASSED, none)
    dropped = sum((found for rule, found in by_rule.items() if rule != PASSED), none)
    sums = dict(zip(SIDES, (dropped[0], dropped[1], passed[0], passed[1]), strict=True))
    documents, tokens = (int(sum(found[i] for found in sums.values())) for i in (0, 1))
    mine, theirs = dropped[1] + passed[1], passed[0] + passed[1]
    a, h = _ratio(mine[0], documents), _ratio(theirs[0], documents)
    gain = _ratio(mine[1], theirs[1])
    rules = {rule: found for rule, found in by_rule.items() if rule != PASSED}
    return {
        "documents": documents,
        "tokens": tokens,
        "sides": {side: {"documents": int(found[0]), "tokens": int(found[1])} for side, found in sums.items()},
        "annotator": a,
        "heuristics": h,
        "overlap": _ratio(passed[1, 0], documents - dropped[0, 0]),
        "chance": None if a is None or h is None else _ratio(a * h, a + h - a * h),
        "gain": None if gain is None else gain - 1,
        "rules": {
            rule: {"documents": int(found[:, 0].sum()), "kept": int(found[1, 0]), "kept_tokens": int(found[1, 1])}
            for rule, found in sorted(rules.items(), key=lambda item: (-item[1][1, 0], item[0]))
        },
    }


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def comparison(compared: Compared, groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Figures of all, of each language and group, and the mean of languages; what is left out; what was cut how."""
    counts = compared.counts
    languages = {code: {"cut": _cut(compared.cuts, code), **figures(by_rule)} for code, by_rule in counts.items()}
    in_groups = {
        name: {"codes": there, **figures(_sum(counts[code] for code in there))}
        for name, codes in groups.items()
        if len(there := [code for code in codes if code in counts]) > 1
    }
    about = {name: value for name, value in compared.cuts.to_json().items() if name != "languages"}
    return {
        **about,
        "one_copy": compared.one_copy,
        "total": figures(_sum(counts.values())),
        "mean": {name: _mean(entry[name] for entry in languages.values()) for name in _FIGURES},
        "languages": languages,
        "groups": in_groups,
        "left_out": {code: dict(found.most_common()) for code, found in compared.left_out.items()},
        "notes": notes(languages, compared),
    }


def _cut(cuts: Cuts, code: str) -> dict[str, Any]:
    """How a language was cut."""
    cut = cuts.languages[code]
    return {"by": cut.by, "quantile": cut.quantile}


def notes(languages: Mapping[str, Mapping[str, Any]], compared: Compared) -> list[str]:
    """What makes some of the figures mean something else than they seem to."""
    usual = {"by": "quantile", "quantile": compared.cuts.quantile}
    found = []
    if other := [code for code, entry in languages.items() if entry["cut"] != usual]:
        found.append(f"cut otherwise, by the recipe: {_some(other)}")
    if compared.unasked:
        kept = "count as kept by the heuristics, as FineWeb2 publishes what they drop apart"
        found.append(f"{compared.unasked:,} documents lie in files without a filter_reason: they {kept}")
    if silent := [code for code, entry in languages.items() if not (compared.crawled or entry["rules"])]:
        doubt = "were they asked, and are the documents all that they were asked of?"
        found.append(f"heuristics drop nothing in {_some(silent)}: {doubt}")
    return found


def _some(codes: Sequence[str]) -> str:
    return ", ".join(codes[:5]) + (f" and {len(codes) - 5} more" if len(codes) > 5 else "")


def _sum(found: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    total: dict[str, np.ndarray] = {}
    for by_rule in found:
        for rule, counts in by_rule.items():
            total[rule] = total.get(rule, 0) + counts
    return total


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def compare_table(found: Mapping[str, Any]) -> Table:
    """The comparison for a terminal: a row a language, most gained by the annotator first; groups, all, the mean."""
    cut = f"quantile {found['quantile']:g}, rule {found['rule']}, heads {', '.join(found['heads'])}"
    copies = "of near-duplicates the one that histograms count, before any copy is chosen"
    words = [copies if found["one_copy"] else "near-duplicates were not looked for: all count", *found["notes"]]
    left_out = sum((Counter(by_reason) for by_reason in found["left_out"].values()), Counter[str]())
    if left_out:
        words.append("not compared: " + ", ".join(f"{reason} {n:,}" for reason, n in left_out.most_common()))
    table = Table(
        title=f"Annotator beside heuristics: documents that both can judge; {cut}",
        title_justify="left",
        caption="\n".join([MEANT, *words]),
        caption_justify="left",
    )
    table.add_column("language")
    for column in (
        "documents",
        "annotator keeps",
        "heuristics keep",
        "both / either",
        "by chance",
        "tokens annotator",
        "tokens heuristics",
        "gain",
    ):
        table.add_column(column, justify="right")
    order = sorted(found["languages"].items(), key=lambda item: (-_gain(item[1]), item[0]))
    for name, entry in order:
        table.add_row(name, *_cells(entry))
    table.add_section()
    for name, entry in sorted(found["groups"].items(), key=lambda item: (-_gain(item[1]), item[0])):
        table.add_row(name, *_cells(entry))
    table.add_row("all", *_cells(found["total"]))
    if len(order) > 1:
        mean = found["mean"]
        shares = [percent(mean[name]) for name in ("annotator", "heuristics", "overlap", "chance")]
        table.add_row("mean", "", *shares, "", "", _signed(mean["gain"]))
    return table


def _gain(entry: Mapping[str, Any]) -> float:
    return float("-inf") if entry["gain"] is None else entry["gain"]


def _cells(entry: Mapping[str, Any]) -> list[str]:
    sides = entry["sides"]
    tokens = [sides["both"]["tokens"] + sides[side]["tokens"] for side in ("annotator", "heuristics")]
    shares = [percent(entry[name]) for name in ("annotator", "heuristics", "overlap", "chance")]
    return [count(entry["documents"]), *shares, *map(short, tokens), _signed(entry["gain"])]


def _signed(gain: float | None) -> str:
    return NONE if gain is None else f"{gain:+.1%}"


def rules_table(total: Mapping[str, Any]) -> Table:
    """Heuristics for a terminal: what the annotator keeps of what each drops, beside what it keeps of what all pass."""
    rules, both = list(total["rules"].items()), total["sides"]["both"]
    passed = both["documents"] + total["sides"]["heuristics"]["documents"]
    table = Table(
        title="Heuristics: what the annotator keeps of what each drops, by the first that drops it",
        title_justify="left",
    )
    table.add_column("heuristic")
    for column in ("documents", "annotator keeps", "share", "tokens"):
        table.add_column(column, justify="right")
    shown = [(rule, entry["documents"], entry["kept"], entry["kept_tokens"]) for rule, entry in rules[:RULES]]
    if rest := rules[RULES:]:
        sums = (sum(entry[name] for _, entry in rest) for name in ("documents", "kept", "kept_tokens"))
        shown.append((f"{len(rest)} others", *sums))
    for name, documents, kept, tokens in shown:
        table.add_row(
            Text(printable(name)), count(documents), count(kept), percent(_ratio(kept, documents)), short(tokens)
        )
    table.add_section()
    share = percent(_ratio(both["documents"], passed))
    table.add_row("passed by all", count(passed), count(both["documents"]), share, short(both["tokens"]))
    return table
