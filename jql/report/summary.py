"""Counts per language and stage, from the receipts: summary.json and the table at the end of a run."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from jql.engine.receipt import Totals
from jql.engine.run import StageRun
from jql.select.select import Selected


@dataclass
class Stages:
    """What a run has made so far; None where a stage is not part of it. `annotator` is the folder of what it trained,
    `judges` what each judge gave and took, `cascade` what a cascade promises, `selected` the decisions and their cuts,
    `pretrained`, `sweep` and `ablation` what their JSON files hold.
    """

    crawl: StageRun | None = None
    judgments: dict[str, StageRun] = field(default_factory=dict)
    judges: dict[str, dict[str, Any]] = field(default_factory=dict)
    clusters: StageRun | None = None
    scores: StageRun | None = None
    selected: Selected | None = None
    export: StageRun | None = None
    annotator: str | None = None
    cascade: dict[str, Any] | None = None
    tokenizer: str | None = None
    tokens: StageRun | None = None
    formats: dict[str, Any] | None = None
    pretrained: dict[str, Any] | None = None
    sweep: dict[str, Any] | None = None
    ablation: dict[str, Any] | None = None

    @property
    def decisions(self) -> StageRun | None:
        """The stage that holds the decisions."""
        return self.selected.decisions if self.selected else None

    def named(self) -> dict[str, StageRun]:
        """The stages there are, by name."""
        single = {
            name: getattr(self, name) for name in ("crawl", "clusters", "scores", "decisions", "export", "tokens")
        }
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


def summarize(stages: Stages, sums: dict[str, Totals], groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Documents in, dropped by reason, kept; in total and per language: each that was read is in one of them.

    Args:
        sums: as of `all_totals`. groups: close languages that are reported together, too.
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
    if stages.selected is not None:
        dropped.update(add_decisions(stages.selected, languages))
        total |= _sums(languages.values(), _KEPT)
    total["documents"] = sum(entry.get("documents", 0) for entry in languages.values())
    stage_sums = {name: _stage_sums(sums[stage.name]) for name, stage in stages.named().items()}
    told = {"cascade": stages.cascade, **_selection(stages.selected)}
    return {
        "total": total,
        **{name: found for name, found in told.items() if found},
        "dropped": dict(dropped.most_common()),
        "languages": dict(sorted(languages.items())),
        "groups": group_sums(languages, groups),
        "stages": stage_sums,
    }


_KEPT = ("kept", "kept_bytes", "kept_tokens")


def _selection(selected: Selected | None) -> dict[str, Any]:
    """What was predicted, and how often documents are to be seen."""
    if selected is None:
        return {}
    repeats = {code: found.to_json() for code, found in selected.repeats.items()}
    return {"prediction": selected.prediction, "rehydrate": repeats}


def add_decisions(selected: Selected, languages: dict[str, dict[str, Any]]) -> Counter[str]:
    """Fill in what was kept and dropped of each language, from the receipts; returns what was dropped of all."""
    reasons: dict[str, Counter[str]] = {}
    doubtful: dict[str, Counter[str]] = {}
    sizes: dict[str, Counter[str]] = {}
    for receipt in selected.decisions.receipts():
        for code, counts in receipt.stats["languages"].items():
            reasons.setdefault(code, Counter()).update(counts)
        for code, (documents, kept) in receipt.stats["doubtful"].items():
            doubtful.setdefault(code, Counter()).update({"documents": documents, "kept": kept})
        for code, (size, tokens) in receipt.stats["sizes"].items():
            sizes.setdefault(code, Counter()).update({"kept_bytes": size, "kept_tokens": tokens})
    rates = selected.outlook.rates if selected.outlook else {}
    dropped: Counter[str] = Counter()
    for code, found in sorted(reasons.items()):
        entry = languages.setdefault(code, {})
        entry |= {"documents": found.total(), "kept": found.pop("kept", 0), "dropped": dict(found.most_common())}
        if code in doubtful:
            entry["doubtful"] = dict(doubtful[code])
        if code in sizes:
            tokens = round(sizes[code]["kept_tokens"] * rates.get(code, 1.0))
            entry |= {"kept_bytes": sizes[code]["kept_bytes"], "kept_tokens": tokens}
        dropped.update(found)
    return dropped


def group_sums(languages: dict[str, dict[str, Any]], groups: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Group -> its languages that are there, and their sums; groups of which two are."""
    found = {}
    for name, codes in groups.items():
        there = [code for code in codes if code in languages]
        if len(there) > 1:
            sums = _sums([languages[code] for code in there], ("documents", "representatives", *_KEPT))
            doubtful = sum(languages[code].get("doubtful", {}).get("documents", 0) for code in there)
            found[name] = {"codes": there, **sums, "doubtful": doubtful}
    return found


def _sums(entries: Collection[Mapping[str, Any]], fields: Iterable[str]) -> dict[str, int]:
    """Sums over languages of the fields that any of them has: without scores, no bytes are known and not 0."""
    return {field: sum(e.get(field, 0) for e in entries) for field in fields if any(field in e for e in entries)}


def _stage_sums(sums: Totals) -> dict[str, Any]:
    rows = {"rows_in": sums.rows_in, "accepted": sums.accepted, "rows_out": sums.rows_out}
    return {"units": sums.units, **rows, "unit_seconds": round(sums.seconds, 2)}


def summary_table(summary: dict[str, Any], cuts: dict[str, Any] | None) -> Table:
    """The summary for a terminal: a row a language, then the groups of close languages."""
    languages, predicted = summary["languages"], summary.get("prediction")
    there = {name for entry in languages.values() for name in entry}
    there |= ({"nominal", "predicted"} if predicted else set()) | ({"cut"} if cuts else set())
    shown = [name for name in HEADINGS if name in there]
    table = Table(title="Documents per language and stage", title_justify="left")
    table.add_column("language")
    for name in shown:
        table.add_column(HEADINGS[name], justify="left" if name == "cut" else "right")

    def add(language: str, entry: dict[str, Any], **words: str) -> None:
        table.add_row(language, *(words[n] if n in words else f"{entry.get(n, 0):,}" for n in shown))

    for code, entry in languages.items():
        found = (predicted or {"languages": {}})["languages"].get(code, {})
        nominal = "" if found.get("nominal") is None else f"{found['nominal']:.0%}"
        expected = _interval(found["documents"]) if found else ""
        add(code, entry, nominal=nominal, predicted=expected, cut=_cut(cuts, code) if cuts else "")
    table.add_section()
    for name, entry in summary.get("groups", {}).items():
        add(name, entry, nominal="", predicted="", cut=", ".join(entry["codes"]))
    sums = {name: sum(entry.get(name, 0) for entry in languages.values()) for name in HEADINGS}
    add("all", sums, nominal="", predicted=_interval(predicted["total"]["documents"]) if predicted else "", cut="")
    return table


HEADINGS = {
    "documents": "documents",
    "representatives": "no near-duplicates",
    "nominal": "each head",
    "predicted": "predicted",
    "kept": "kept",
    "kept_tokens": "tokens kept",
    "cut": "cut",
}
"""What the summary's table shows of a language; `nominal` is the share that each head's cut keeps by itself."""


def _interval(found: list[int]) -> str:
    """An estimate with its interval, which is left out where it has no width."""
    value, low, high = found
    return f"{value:,}" + (f" [{low:,}, {high:,}]" if low < high else "")


def _cut(cuts: dict[str, Any], code: str) -> str:
    entry = cuts["languages"].get(code)
    if entry is None or entry["cuts"] is None:
        return entry["note"] if entry and entry["note"] else f"too few documents ({entry['documents'] if entry else 0})"
    words = ", ".join(f"{head} {value:.2f}" for head, value in entry["cuts"].items())
    whose = f" of {entry['of']}" if entry["of"] != code else ""
    return words + whose + (f"; {entry['note']}" if entry["note"] else "")


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
