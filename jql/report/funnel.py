"""From crawl to export: how many documents are left after each step, per run, language and group."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jql.select.cuts import BELOW, TOO_FEW

STEPS: dict[str, tuple[str, str]] = {
    "unusable": ("no usable text", "with a text of use"),
    "heuristics": ("heuristics", "past the heuristics"),
    "where": ("expert rule", "past the expert rule"),
    "unscored": ("no score", "with scores"),
    "few": ("too few documents for a cut", "in languages that are cut"),
    "cut": ("below the cut", "at or above the cut"),
    "copies": ("near-duplicates", "one of each near-duplicate cluster"),
}
"""What takes documents away, in the order in which it does, and what is left. A document has one reason, the first."""
_STEP = {
    "where": "where",
    "not_scored": "unscored",
    "not_finite": "unscored",
    "annotate_crash": "unscored",
    "cascade": "cut",
    BELOW: "cut",
    TOO_FEW: "few",
    "duplicate": "copies",
    "duplicate_id": "copies",
}


@dataclass(frozen=True)
class Funnel:
    """Documents of a run, a language or a group.

    Attributes:
        lost: step of STEPS -> documents that it took away; steps that took none are not in it.
    """

    documents: int
    kept: int
    lost: dict[str, int]


def step_of(reason: str) -> str:
    """The step that a reason belongs to; what is unknown is a text of no use."""
    return "heuristics" if reason.startswith("heuristics_") else _STEP.get(reason, "unusable")


def funnel(entry: Mapping[str, Any]) -> Funnel | None:
    """Of an entry of summary.json's languages or groups; None where nothing was decided."""
    if "kept" not in entry:
        return None
    lost: Counter[str] = Counter()
    for reason, n in entry.get("dropped", {}).items():
        lost[step_of(reason)] += n
    return Funnel(entry["documents"], entry["kept"], {step: lost[step] for step in STEPS if lost[step]})


def whole_funnel(summary: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """Steps of the run: what is left, how many, and how many went before it; records first where the run crawled."""
    total, languages = summary["total"], summary["languages"].values()
    rows = [("records in the crawl", total["records"], 0)] if "records" in total else []
    left = total.get("documents", 0)
    rows.append(("documents", left, rows[0][1] - left if rows else 0))
    found = [one for one in map(funnel, languages) if one is not None]
    if not found:
        return rows
    lost: Counter[str] = Counter()
    for one in found:
        lost.update(one.lost)
    for step, (_, words) in STEPS.items():
        if lost[step]:
            left -= lost[step]
            rows.append((words, left, lost[step]))
    return rows
