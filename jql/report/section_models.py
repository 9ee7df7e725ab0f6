"""The parts of the page on judges and annotators: what they cost, how far they agree, with intervals."""

from collections.abc import Mapping
from typing import Any

from jql.agreement.groups import MACRO, POOLED
from jql.judge.pairs import SPEARMAN
from jql.report.amounts import NONE, count, percent, points, ratio, with_interval
from jql.report.gather import RunFiles
from jql.report.heads_agree import over_languages
from jql.report.markup import Column, Markup, foreign, join, table, tag
from jql.report.section import Section, section


def heads_section(agreement: Mapping[str, list[dict[str, Any]]]) -> Section | None:
    """How far the heads rank alike, over the languages."""
    pairs = over_languages(dict(agreement))
    if not pairs:
        return None
    columns = [Column("heads", number=False), Column("median"), Column("lowest"), Column("highest")]

    def end(named: tuple[float, str]) -> Markup:
        return join(points(named[0], ".2f"), " ", tag("small", foreign(named[1])))

    body = [
        (foreign(" and ".join(pair["heads"])), points(pair["median"], ".2f"), end(pair["lowest"]), end(pair["highest"]))
        for pair in pairs
    ]
    lead = (
        f"Spearman between the scores of two heads on the joint sample, over {len(agreement)} languages. The less they "
        "agree, the less a cut keeps that all of them must pass."
    )
    return section("heads", "Agreement of heads", table(columns, body), lead=lead)


def judges_section(files: RunFiles) -> Section | None:
    """What each judge gave and took."""
    judges = files.summary["total"].get("judges")
    if not judges:
        return None
    prices = (
        {name: (judge.price_in, judge.price_out) for name, judge in files.recipe.judge.judges.items()}
        if (files.recipe)
        else {}
    )
    columns = [Column("judge", number=False)]
    columns += [
        Column(words) for words in ("documents", "with a score", "unreadable answers", "tokens in", "tokens out")
    ]
    columns += [Column("s a document"), Column("money"), Column("origin", number=False)]
    body = []
    for name, entry in judges.items():
        answers = sum(entry["kinds"].values())
        unread = ratio(answers - entry["kinds"].get("ok", 0), answers)
        seconds = ratio(entry["seconds"], entry["documents"])
        body.append(
            (
                foreign(name),
                *(count(entry[key]) for key in ("documents", "scored")),
                percent(unread),
                *(count(entry[key]) for key in ("tokens_in", "tokens_out")),
                points(seconds, ".2f"),
                points(money(entry, prices.get(name, (0.0, 0.0))), ",.2f"),
                foreign(", ".join(f"{kind} {n:,}" for kind, n in entry["origins"].items())),
            )
        )
    lead = (
        "Money by the recipe's price_in and price_out, in their currency; a dash where no price or no tokens are known."
    )
    return section("judges", "Judges", table(columns, body), lead=lead)


def money(entry: Mapping[str, Any], price: tuple[float, float]) -> float | None:
    """What a judge's tokens cost; None where either is not known."""
    if entry["tokens_in"] is None or entry["tokens_out"] is None or not any(price):
        return None
    return float(entry["tokens_in"] * price[0] + entry["tokens_out"] * price[1]) / 1e6


def ranking_section(files: RunFiles) -> Section | None:
    """Judges against people, where the run ranked them."""
    found = files.ranking
    if not found or "judges" not in found:
        return None
    common, advice = found["common"], found["recommendation"]
    columns = [Column("judge", number=False), Column("family", number=False)]
    columns += [Column(f"mean of {len(common['languages'])} languages"), Column("pooled"), Column("offset")]
    columns += [Column("unreadable"), Column("recommended", number=False)]
    body = []
    for name, entry in found["judges"].items():
        on = entry["common"]
        figures = on[POOLED]["figures"] if on else {}
        why = advice["why_not"].get(name)
        body.append(
            (
                foreign(name),
                foreign(entry["family"]),
                with_interval(on[MACRO]["figures"][SPEARMAN]) if on else NONE,
                with_interval(figures[SPEARMAN]) if figures else NONE,
                points(figures["mean_shift"]["value"], "+.2f") if figures else NONE,
                percent(entry["invalid"]["answers"]["invalid"]),
                "yes" if why is None else foreign(f"no: {why['words']}"),
            )
        )
    lead = (
        f"Spearman with people on {common['documents']:,} documents of {common['sources']:,} sources, 95 % intervals "
        "over source documents; offset in points, judge less truth."
    )
    said = [tag("p", foreign(advice["sentence"]))]
    said += [tag("p", foreign(found["origin"]), class_="warning")] if found.get("origin") else []
    return section("ranking", "Judges against people", said, table(columns, body), lead=lead)


def annotator_section(files: RunFiles) -> Section | None:
    """What the annotator was trained on and how far it agrees with its judges."""
    if files.about is None:
        return None
    training = files.about.get("training", {})
    used = (files.cuts or {}).get("annotator") or {}
    encoder = files.about.get("encoder", {})
    line = [f"{files.about.get('name')}", f"revision {used['revision']}" if used.get("revision") else None]
    line += [f"encoder {encoder['model']}" if encoder.get("model") else None]
    parts = [tag("p", foreign(", ".join(words for words in line if words)))]
    if spearman := training.get("spearman"):
        figures = [
            (
                foreign(name),
                with_interval(entry) if entry.get("value") is not None else foreign(entry.get("reason", NONE)),
            )
            for name, entry in spearman.items()
        ]
        parts.append(table([Column("head on judge", number=False), Column("Spearman, 95 % interval")], figures))
    if judges := training.get("judges"):
        columns = [Column("judge", number=False), Column("judged documents"), Column("languages"), Column("validation")]
        columns.append(Column("origin", number=False))
        origins = {
            name: entry.get("origin") or {"unknown": entry.get("documents", 0)} for name, entry in judges.items()
        }
        body = [
            (
                foreign(name),
                *(count(entry.get(key)) for key in ("documents", "languages", "validation")),
                foreign(", ".join(f"{kind} {n:,}" for kind, n in origins[name].items())),
            )
            for name, entry in judges.items()
        ]
        parts.append(table(columns, body))
    lead = "Agreement with the judgments of a model on validation documents, not with people."
    return section("annotator", "Annotator", *parts, lead=lead)
