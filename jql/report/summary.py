"""Counts per language and stage, from the receipts: summary.json and the table at the end of a run."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from jql.engine.receipt import Totals
from jql.engine.run import StageRun
from jql.select.export import drop_counts


@dataclass
class Stages:
    """What a run has made so far; None where a stage is not part of it. `annotator` is the folder of what it trained,
    `judges` what each judge gave and took, `cascade` what a cascade promises.
    """

    crawl: StageRun | None = None
    judgments: dict[str, StageRun] = field(default_factory=dict)
    judges: dict[str, dict[str, Any]] = field(default_factory=dict)
    clusters: StageRun | None = None
    scores: StageRun | None = None
    decisions: StageRun | None = None
    export: StageRun | None = None
    annotator: str | None = None
    cascade: dict[str, Any] | None = None

    def named(self) -> dict[str, StageRun]:
        """The stages there are, by name."""
        single = {name: getattr(self, name) for name in ("crawl", "clusters", "scores", "decisions", "export")}
        judges = {f"judge {name}": stage for name, stage in self.judgments.items()}
        return {**{name: stage for name, stage in single.items() if stage is not None}, **judges}


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


def _documents(stages: Stages) -> Counter[str]:
    """Language -> documents that reached the first stage after the crawl, or were crawled."""
    first = (stages.crawl, "languages"), (stages.clusters, "documents"), (stages.scores, "languages")
    return next((_by_language(stage, stat) for stage, stat in first if stage is not None), Counter())


def all_totals(stages: Stages, ran: Iterable[StageRun] = ()) -> dict[str, Totals]:
    """Stage -> sums over its receipts, of these and of all that ran; read once, as there may be a million of them."""
    every = {stage.name: stage for stage in [*ran, *stages.named().values()]}
    return {name: totals(stage) for name, stage in every.items()}


def summarize(stages: Stages, sums: dict[str, Totals]) -> dict[str, Any]:
    """Documents in, dropped by reason, kept; in total and per language: each that was read is in one of them.

    Args:
        sums: as of `all_totals`.
    """
    languages: dict[str, dict[str, Any]] = {code: {"documents": n} for code, n in _documents(stages).items()}
    total: dict[str, Any] = {}
    dropped: Counter[str] = Counter()
    if stages.crawl is not None:
        total["records"] = sums[stages.crawl.name].rows_in
        dropped.update(sums[stages.crawl.name].drops)
    if stages.judges:
        total["judges"] = stages.judges
    if stages.clusters is not None:
        for code, count in _by_language(stages.clusters, "representatives").items():
            languages.setdefault(code, {})["representatives"] = count
        total["ids_again"] = sum(receipt.stats["ids_again"] for receipt in stages.clusters.receipts())
    if stages.decisions is not None:
        for code, counts in drop_counts(stages.decisions).items():
            entry = languages.setdefault(code, {})
            entry["documents"] = counts.total()
            entry["kept"] = counts.pop("kept", 0)
            entry["dropped"] = dict(counts.most_common())
            dropped.update(counts)
        total["kept"] = sum(entry["kept"] for entry in languages.values())
    total["documents"] = sum(entry.get("documents", 0) for entry in languages.values())
    stage_sums = {name: _stage_sums(sums[stage.name]) for name, stage in stages.named().items()}
    cascade = {"cascade": stages.cascade} if stages.cascade else {}
    return {
        "total": total,
        **cascade,
        "dropped": dict(dropped.most_common()),
        "languages": dict(sorted(languages.items())),
        "stages": stage_sums,
    }


def _stage_sums(sums: Totals) -> dict[str, Any]:
    rows = {"rows_in": sums.rows_in, "accepted": sums.accepted, "rows_out": sums.rows_out}
    return {"units": sums.units, **rows, "unit_seconds": round(sums.seconds, 2)}


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


def judges_table(found: dict[str, dict[str, Any]]) -> Table:
    """What each judge gave and took, for a terminal: a row a judge."""
    table = Table(title="Judges", title_justify="left")
    table.add_column("judge")
    for column in (
        "documents",
        "with a score",
        "answers read",
        "unreadable",
        "tokens in",
        "tokens out",
        "s a document",
    ):
        table.add_column(column, justify="right")
    table.add_column("origin")
    for name, entry in found.items():
        kinds = entry["kinds"]
        bad = ", ".join(f"{kind} {n:,}" for kind, n in Counter(kinds).most_common() if kind != "ok")
        per = "-" if entry["seconds"] is None else f"{entry['seconds'] / max(1, entry['documents']):.2f}"
        numbers = (f"{entry[c]:,}" for c in ("documents", "scored"))
        tokens = ("-" if entry[c] is None else f"{entry[c]:,}" for c in ("tokens_in", "tokens_out"))
        origin = ", ".join(f"{kind} {n:,}" for kind, n in entry["origins"].items())
        table.add_row(name, *numbers, f"{kinds.get('ok', 0):,}", bad or "none", *tokens, per, origin)
    return table
