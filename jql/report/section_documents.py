"""The parts of the page on documents: key numbers, funnel, languages, groups, predictions beside what came."""

from collections import Counter
from typing import Any

from jql.report.amounts import count, percent, ratio, short, size, spanned
from jql.report.funnel import STEPS, Funnel, funnel, whole_funnel
from jql.report.gather import RunFiles
from jql.report.markup import Column, Markup, bar, foreign, join, table, tag
from jql.report.section import Section, language_cell, section


def key_numbers(files: RunFiles) -> Markup:
    """What a person wants to know first."""
    total, languages = files.summary["total"], files.summary["languages"]
    entries = languages.values()
    sums = {key: sum(e.get(key) or 0 for e in entries) for key in ("kept_tokens", "kept_bytes")}
    facts = [("records crawled", count(total.get("records"))), ("documents", count(total.get("documents")))]
    if "kept" in total:
        facts += [("kept", count(total["kept"])), ("share kept", percent(ratio(total["kept"], total["documents"])))]
    facts += [("tokens kept", short(sums["kept_tokens"] or None)), ("text kept", size(sums["kept_bytes"] or None))]
    facts.append(("languages", count(len(languages))))
    shown = [(words, value) for words, value in facts if value != count(None)]
    return tag("dl", [tag("div", tag("dt", words), tag("dd", value)) for words, value in shown], class_="facts")


def funnel_section(files: RunFiles) -> Section | None:
    """The steps of the whole run."""
    rows = whole_funnel(files.summary)
    if len(rows) < 2:
        return None
    first = max(1, rows[0][1])
    columns = [Column("", number=False), Column("documents"), Column("share"), Column("", False, wide=True)]
    columns.append(Column("dropped here"))
    body = [
        (
            words,
            count(left),
            percent(left / first),
            bar((left / first, "keep"), (lost / first, "lost")),
            count(lost or None),
        )
        for words, left, lost in rows
    ]
    dropped = files.summary.get("dropped", {})
    reasons = table(
        [Column("reason", number=False), Column("documents")],
        [(foreign(reason), count(n)) for reason, n in dropped.items()],
    )
    more = tag("details", tag("summary", f"all {len(dropped)} reasons"), reasons) if dropped else None
    return section("funnel", "From crawl to export", table(columns, body), _exported(files), more)


def _exported(files: RunFiles) -> Markup | None:
    """What lies in the data set."""
    found = list((files.manifest or {}).get("export", {}).values())
    if not found:
        return None
    written = [file for entry in found for file in entry["files"]]
    rows, room = (sum(file[key] for file in written) for key in ("rows", "bytes"))
    return tag("p", f"Exported: {count(rows)} rows in {count(len(written))} files, {size(room)} of Parquet.")


def _strip(found: Funnel) -> Markup:
    whole = max(1, found.documents)
    return bar((found.kept / whole, "keep"), *((n / whole, f"step-{step}") for step, n in found.lost.items()))


def _legend(found: list[Funnel]) -> Markup:
    steps = [step for step in STEPS if any(step in one.lost for one in found)]
    items = [("keep", "kept"), *((f"step-{step}", STEPS[step][0]) for step in steps)]
    return tag("ul", [tag("li", tag("i", class_=name), words) for name, words in items], class_="legend")


def languages_section(files: RunFiles) -> Section | None:
    """A row a language, that of most documents first."""
    entries = sorted(files.summary["languages"].items(), key=lambda named: (-named[1].get("documents", 0), named[0]))
    if not entries:
        return None
    found = {code: funnel(entry) for code, entry in entries}
    decided = [one for one in found.values() if one is not None]
    columns = [Column("language", number=False), Column("documents")]
    unique = any("representatives" in entry for _, entry in entries)
    columns += [Column("without copies")] if unique else []
    columns += [Column("kept"), Column("share"), Column("tokens kept"), Column("", False, wide=True)] if decided else []
    doubts = any((entry.get("doubtful") or {}).get("documents") for _, entry in entries)
    hint = "documents whose language is doubtful, and how many of them are kept; they are counted in the others, too"
    columns += [Column("doubtful, kept", hint=hint)] if doubts else []

    def row(name: Markup | str, entry: dict[str, Any], one: Funnel | None) -> list[Any]:
        cells: list[Any] = [name, count(entry.get("documents"))]
        cells += [count(entry.get("representatives"))] if unique else []
        if decided:
            kept = (count(one.kept), percent(ratio(one.kept, one.documents))) if one else (count(None), count(None))
            cells += [*kept, short(entry.get("kept_tokens")), _strip(one) if one else None]
        doubtful = entry.get("doubtful") or {}
        some = doubtful.get("documents")
        cells += [f"{count(some)}, {percent(ratio(doubtful['kept'], some))}" if some else count(None)] if doubts else []
        return cells

    body = [row(language_cell(code), entry, found[code]) for code, entry in entries]
    together = [
        row(join(foreign(name), tag("small", ", ".join(group["codes"]))), *_summed(files.summary["languages"], group))
        for name, group in (files.summary.get("groups") or {}).items()
    ]
    lead = "Choose a language to see its scores, what the filter favours in it, and documents on both sides of its cut."
    parts = [_legend(decided) if decided else None, table(columns, body)]
    if together:
        parts += [tag("h3", "Close languages together"), table(columns, together)]
    return section("languages", "Languages", *parts, lead=lead)


def _summed(languages: dict[str, Any], group: dict[str, Any]) -> tuple[dict[str, Any], Funnel | None]:
    """A group as one language; its summary tells its sums, and its languages why documents were dropped."""
    members = [languages[code] for code in group["codes"] if code in languages]
    lost: Counter[str] = Counter()
    doubtful: Counter[str] = Counter()
    for entry in members:
        lost.update((funnel(entry) or Funnel(0, 0, {})).lost)
        doubtful.update(entry.get("doubtful") or {})
    one = Funnel(group["documents"], group["kept"], dict(lost)) if "kept" in group else None
    return {**group, "doubtful": dict(doubtful)}, one


def yields_section(files: RunFiles) -> Section | None:
    """What was predicted from the sample, and what came."""
    predicted = files.summary.get("prediction")
    if not predicted:
        return None
    languages, cuts = files.summary["languages"], (files.cuts or {}).get("languages", {})
    columns = [
        Column("language", number=False),
        Column("each head alone", hint="the share of documents, without copies, that each head's cut keeps by itself"),
        Column("heads together", hint="the share that is kept of them, predicted from the joint sample"),
        Column("documents predicted"),
        Column("kept"),
        Column("tokens predicted"),
        Column("kept"),
    ]
    body = []
    order = sorted(predicted["languages"].items(), key=lambda named: -languages.get(named[0], {}).get("documents", 0))
    for code, entry in order:
        cut = cuts.get(code, {})
        counted = cut.get("documents") if cut.get("of") == code else None  # else the sum of the group
        joint = ratio(entry["documents"][0], counted)
        came = languages.get(code, {})
        row = [language_cell(code), percent(entry["nominal"]), percent(joint), spanned(entry["documents"])]
        row += [_came(came.get("kept"), entry["documents"]), spanned(entry["tokens"], "short")]
        body.append([*row, _came(came.get("kept_tokens"), entry["tokens"], 1)])
    total, kept = predicted["total"], files.summary["total"].get("kept")
    tokens = sum(entry.get("kept_tokens") or 0 for entry in languages.values())
    last = ["all", "", "", spanned(total["documents"]), _came(kept, total["documents"])]
    last += [spanned(total["tokens"], "short"), _came(tokens, total["tokens"], 1)]
    lead = (
        "Predicted from the joint sample before anything was decided, with 95 % intervals, and what the run kept. "
        "One in twenty such intervals misses; these are marked."
    )
    figure = tag("div", class_="figure", data_figure="yields")
    return section("yields", "Predicted and actual", table(columns, body, last), figure, lead=lead)


def _came(value: float | None, predicted: list[float], short_form: int = 0) -> Markup:
    """What came, marked where the interval left it out."""
    words = short(value) if short_form else count(value)
    missed = value is not None and not predicted[1] <= value <= predicted[2]
    return tag("span", words, class_="missed" if missed else None)
