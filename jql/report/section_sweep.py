"""The part of the page on learning rates: losses of each variant at each, and what its logits and output matrix are."""

from collections.abc import Mapping
from typing import Any

from jql.laboratory.sweep_table import SHOWN, design_lines, difference, direction_lines, estimate, rate, settings
from jql.report.markup import Child, Column, Markup, foreign, table, tag
from jql.report.section import Section, section


def sweep_section(found: Mapping[str, Any] | None) -> Section | None:
    """Pictures, a row a variant, and figures at each learning rate.

    Args:
        found: as in sweep.json.
    """
    if not found:
        return None
    baseline = found["design"]["baseline"]
    lead = (
        "Small models at several learning rates, with and without techniques that are to make training stable. Bands "
        "are 95 % intervals over seeds."
    )
    about = "Loss of held-out documents by learning rate; dotted: that of knowing nothing; a cross: a model diverged"
    versus = ["; grey: ", foreign(baseline)] if baseline is not None else None
    parts: list[Child] = [
        tag("p", about, versus, class_="note"),
        tag("div", id="rates", class_="figures"),
        _variants(found),
        _list(design_lines(found), "note"),
    ]
    if found["directions"]:
        parts += [tag("h3", "Published directions"), _list(_directions(found))]
    parts += [_at_rates(found, "values", "Figures at each learning rate")]
    if baseline is not None and len(found["variants"]) > 1:
        parts += [_at_rates(found, "apart", "The same less those of the baseline, seed by seed")]
    parts += [_tried(name, one) for name, one in found["tuned"].items()]
    return section("sweep", "Learning rates", *parts, lead=lead)


def _list(lines: list[str], name: str | None = None) -> Markup:
    return tag("ul", [tag("li", foreign(line)) for line in lines], class_=name)


def _directions(found: Mapping[str, Any]) -> list[str]:
    """Their lines, without what the heading says."""
    return [line.removeprefix("published, ") for line in direction_lines(found)]


def _variants(found: Mapping[str, Any]) -> Markup:
    design, baseline = found["design"], found["design"]["baseline"]
    hint = "how far the losses at the other learning rates are from the best, on average"
    columns = [Column("variant", number=False), Column("techniques", number=False)]
    columns += [Column("LR sensitivity", hint=hint), Column("best loss"), Column("best at"), Column("diverged")]
    if baseline is not None:
        columns += [Column("sensitivity less the baseline's"), Column("best loss less the baseline's")]
    models = design["seeds"] * len(design["learning_rates"])
    body = []
    for name, one in found["variants"].items():
        row: list[Child] = [foreign(name), foreign(settings(one)), estimate(one["lrs"]), estimate(one["best"])]
        row += [rate(one["best_rate"]), f"{one['diverged']} of {models}"]
        if baseline is not None:
            row += ["" if name == baseline else difference(one[key]) for key in ("lrs_apart", "best_apart")]
        body.append(row)
    return table(columns, body)


def _at_rates(found: Mapping[str, Any], key: str, words: str) -> Markup:
    columns = [Column("variant", number=False), Column("learning rate"), *map(Column, SHOWN.values())]
    rates = range(len(found["design"]["learning_rates"]))
    told = difference if key == "apart" else estimate
    body = [
        [foreign(name), rate(at["learning_rate"]), *(told(at[key][figure]) for figure in SHOWN)]
        for name, at in ((name, one["rates"][i]) for i in rates for name, one in found["variants"].items())
        if at[key] is not None
    ]
    return tag("details", tag("summary", words), table(columns, body))


def _tried(name: str, one: Mapping[str, Any]) -> Markup:
    columns = [Column("strength"), Column("mean loss"), Column("best loss"), Column("LR sensitivity")]
    body = [
        [rate(tried["strength"]), *(f"{tried[key]:.4f}" for key in ("mean", "best", "lrs"))] for tried in one["tried"]
    ]
    words = [foreign(name), ": strengths of ", foreign(one["field"]), " that were tried with a seed of their own; "]
    chosen = f"{rate(one['strength'])} was taken"
    return tag("details", tag("summary", *words, chosen), table(columns, body))


def sweep_data(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the page's script draws: losses of each variant with the ends of their intervals, None where there are none.

    Args:
        found: as in sweep.json.
    """
    if not found:
        return None
    variants = [
        {
            "name": name,
            "words": settings(one),
            "points": [
                [at["learning_rate"], *(at["values"]["loss"][key] for key in ("mean", "low", "high")), at["diverged"]]
                for at in one["rates"]
            ],
            "seeds": [[at["learning_rate"], loss] for at in one["rates"] for loss in at["losses"]],
        }
        for name, one in found["variants"].items()
    ]
    return {"variants": variants, "baseline": found["design"]["baseline"], "cap": found["design"]["cap"]}
