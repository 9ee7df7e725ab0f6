"""Counts per language and stage, from the receipts: summary.json and the table at the end of a run."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from jql.engine.run import StageRun
from jql.engine.receipt import Totals
from jql.select.export import drop_counts


@dataclass
class Stages:
    """What a run has made so far; None where a stage is not part of it."""

    crawl: StageRun | None = None
    clusters: StageRun | None = None
    scores: StageRun | None = None
    decisions: StageRun | None = None
    export: StageRun | None = None


def totals(stage: StageRun) -> Totals:
    """Sums over a stage's receipts."""
    sums = Totals()
    for receipt in stage.receipts():
        sums.add(receipt)
    return sums


def _by_language(stage: StageRun, stat: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for receipt in stage.receipts():
        counts.update(receipt.stats[stat])
    return counts


def summarize(stages: Stages) -> dict[str, Any]:
    """Documents in, dropped by reason, kept; in total and per language. Every document read is in exactly one of them."""
    languages: dict[str, dict[str, Any]] = {}
    dropped: Counter[str] = Counter()
    records, ids_again = None, 0
    if stages.crawl is not None:
        sums = totals(stages.crawl)
        records = sums.rows_in
        dropped.update(sums.drops)
        for code, count in _by_language(stages.crawl, "languages").items():
            languages.setdefault(code, {})["documents"] = count
    if stages.scores is not None and stages.crawl is None:
        for code, count in _by_language(stages.scores, "languages").items():
            languages.setdefault(code, {})["documents"] = count
    if stages.clusters is not None:
        for code, count in _by_language(stages.clusters, "representatives").items():
            languages.setdefault(code, {})["representatives"] = count
        ids_again = sum(receipt.stats["ids_again"] for receipt in stages.clusters.receipts())
    if stages.decisions is not None:
        for code, counts in drop_counts(stages.decisions).items():
            entry = languages.setdefault(code, {})
            entry["documents"] = sum(counts.values())
            entry["kept"] = counts.pop("kept", 0)
            entry["dropped"] = dict(counts.most_common())
            dropped.update(counts)
    total: dict[str, Any] = {"documents": sum(e.get("documents", 0) for e in languages.values())}
    if records is not None:
        total["records"] = records
    if ids_again:
        total["ids_again"] = ids_again
    if stages.decisions is not None:
        total["kept"] = sum(e.get("kept", 0) for e in languages.values())
    done = {
        name: {"units": s.units, "rows_in": s.rows_in, "accepted": s.accepted, "rows_out": s.rows_out, "unit_seconds": round(s.seconds, 2)}
        for name, stage in vars(stages).items()
        if stage is not None
        for s in [totals(stage)]
    }
    return {"total": total, "dropped": dict(dropped.most_common()), "languages": dict(sorted(languages.items())), "stages": done}


def summary_table(summary: dict[str, Any], cuts: dict[str, Any] | None) -> Table:
    """The summary for a terminal: a row a language."""
    table = Table(title="Documents per language and stage", title_justify="left")
    columns = ["documents", "representatives", "kept"]
    shown = [c for c in columns if any(c in e for e in summary["languages"].values())]
    table.add_column("language")
    for column in shown:
        table.add_column({"representatives": "no near-duplicates"}.get(column, column), justify="right")
    if cuts:
        table.add_column("cut", justify="left")
    for code, entry in summary["languages"].items():
        row = [code, *(f"{entry.get(c, 0):,}" for c in shown)]
        if cuts:
            row.append(_cut(cuts, code))
        table.add_row(*row)
    table.add_section()
    sums = [sum(e.get(c, 0) for e in summary["languages"].values()) for c in shown]
    table.add_row("all", *(f"{s:,}" for s in sums), *([""] if cuts else []))
    return table


def _cut(cuts: dict[str, Any], code: str) -> str:
    entry = cuts["languages"].get(code)
    if entry is None or entry["cuts"] is None:
        return f"too few documents ({entry['documents'] if entry else 0})"
    return ", ".join(f"{head} {value:.2f}" for head, value in entry["cuts"].items())


def drops_table(summary: dict[str, Any]) -> Table:
    """Why documents were dropped."""
    table = Table(title="Dropped", title_justify="left")
    table.add_column("reason")
    table.add_column("documents", justify="right")
    for reason, count in summary["dropped"].items():
        table.add_row(reason, f"{count:,}")
    return table
