"""The parts of the page on the work itself: time, throughput, failures, cost."""

from typing import Any

from jql.report.amounts import NONE, count, percent, points
from jql.report.gather import QUARANTINED, RunFiles
from jql.report.markup import Column, Markup, foreign, table, tag
from jql.report.section import Section, section
from jql.report.section_models import money
from jql.report.timing import span


def work_section(files: RunFiles) -> Section | None:
    """Time of workers per stage, beside what was predicted."""
    found: dict[str, dict[str, Any]] = files.summary.get("time") or {}
    if not found:
        return None
    gpus, predicted = (any(entry.get(key) for entry in found.values()) for key in ("gpu_hours", "predicted"))
    columns = [Column("stage", number=False), Column("units"), Column("rows"), Column("time of workers")]
    columns += [Column("on GPUs")] if gpus else []
    columns += [Column("rows/s a worker")] + ([Column("predicted"), Column("off by")] if predicted else [])

    def cells(name: str, entry: dict[str, Any]) -> list[Any]:
        row = [foreign(name), count(entry.get("units")), count(entry.get("rows")), span([entry["worker_hours"]])]
        row += [span([entry["gpu_hours"]])] if gpus else []
        row.append(count(entry.get("rows_per_second")))
        if predicted:
            known = "predicted" in entry
            row += [span(entry["predicted"]), f"{entry['difference']:+.0%}"] if known else [NONE, NONE]
        return row

    stages = together(found)
    total = together({f"all/{name}": entry for name, entry in found.items()})["all"]
    shown = [table(columns, [cells(name, entry) for name, entry in stages.items()], cells("all", total))]
    if len(stages) < len(found):
        steps = table(columns, [cells(name, entry) for name, entry in found.items()])
        shown.append(tag("details", tag("summary", f"all {len(found)} steps"), steps))
    lead = "By the receipts of the units: without loading, waiting, and attempts that failed or came second."
    return section("work", "Throughput", *shown, lead=lead)


def together(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The stages of the recipe: one of several steps is their sum, without rows, as not all of these are documents."""
    stages: dict[str, dict[str, Any]] = {}
    for name, entry in found.items():
        head = name.split("/")[0]
        if head == name:
            stages[name] = entry
            continue
        total = stages.setdefault(head, {"worker_hours": 0.0, "gpu_hours": 0.0})
        if "units" not in total:
            for key in ("worker_hours", "gpu_hours"):
                total[key] += entry.get(key, 0.0)
    return stages


def failures_section(files: RunFiles) -> Section:
    """Units without a result, and attempts that had to be made again."""
    failures = files.failures
    crashes = {
        reason: n for reason, n in files.summary.get("dropped", {}).items() if "crash" in reason or "time" in reason
    }
    parts: list[Markup] = []
    if failures.missing:
        named = ", ".join(f"{stage} {n:,}" for stage, n in failures.missing.items())
        parts.append(tag("p", "Units without a result: ", foreign(named), class_="warning"))
    if failures.units:
        columns = [Column("stage", number=False), Column("input", number=False), Column("why", False, wide=True)]
        body = [(foreign(unit["stage"]), foreign(unit["source"]), foreign(unit["error"])) for unit in failures.units]
        parts.append(table(columns, body))
        if sum(failures.missing.values()) > QUARANTINED:
            parts.append(tag("p", f"The first {QUARANTINED}; all lie in the stages' quarantine folders."))
    if failures.repeated:
        named = ", ".join(f"{stage} {n:,}" for stage, n in failures.repeated.items())
        parts.append(tag("p", "Attempts of units that failed in the last run and were made again: ", foreign(named)))
    if crashes:
        named = ", ".join(f"{reason} {n:,}" for reason, n in crashes.items())
        parts.append(tag("p", "Documents that ended or held up a process, dropped: ", foreign(named)))
    if not parts:
        parts.append(tag("p", "None: every unit has a result."))
    return section("failures", "Failures", *parts)


def cost_section(files: RunFiles) -> Section | None:
    """What the run took: hours of processors, tokens and money of judges."""
    time = files.summary.get("time") or {}
    hours = {key: sum(entry.get(key, 0) for entry in time.values()) for key in ("cpu_hours", "gpu_hours")}
    facts = [(words, span([hours[key]])) for key, words in (("cpu_hours", "CPU"), ("gpu_hours", "GPU")) if hours[key]]
    documents = files.summary["total"].get("documents") or 0
    if hours["cpu_hours"] and documents:
        facts.append(("CPU for a million documents", span([hours["cpu_hours"] / documents * 1e6])))
    judges = files.summary["total"].get("judges") or {}
    tokens = [sum(entry.get(key) or 0 for entry in judges.values()) for key in ("tokens_in", "tokens_out")]
    if any(tokens):
        facts.append(("judges' tokens", f"{count(tokens[0])} in, {count(tokens[1])} out"))
    known = files.recipe.judge.judges if files.recipe else {}
    costs = [money(judges[name], (judge.price_in, judge.price_out)) for name, judge in known.items() if name in judges]
    if any(cost is not None for cost in costs):
        facts.append(("judges' money", points(sum(cost or 0 for cost in costs), ",.2f")))
    if cascade := files.summary.get("cascade"):
        saved = [bound["saved"] for bound in cascade["languages"].values() if bound.get("threshold") is not None]
        if saved:
            facts.append(("not scored, thanks to the cascade", f"{percent(min(saved))} to {percent(max(saved))}"))
    if not facts:
        return None
    return section(
        "cost",
        "Cost",
        tag("dl", [tag("div", tag("dt", words), tag("dd", value)) for words, value in facts], class_="facts"),
    )
