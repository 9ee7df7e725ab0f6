"""The part of the page on annotator and heuristics, where `jql select compare` has set them beside one another."""

from typing import Any

from jql.report.amounts import NONE, count, percent, short
from jql.report.gather import RunFiles
from jql.report.markup import Child, Column, foreign, join, table, tag
from jql.report.section import Section, language_cell, section


def compare_section(files: RunFiles) -> Section | None:
    """A row a language, most gained by the annotator first; then groups and all."""
    found = files.comparison
    if not found:
        return None
    columns = [
        Column("language", number=False),
        Column("documents"),
        Column("annotator keeps"),
        Column("heuristics keep"),
    ]
    columns += [
        Column("both / either", hint="documents kept by both, of those kept by either"),
        Column("by chance", hint="what that would be if neither knew of the other"),
        Column("tokens annotator"),
        Column("tokens heuristics"),
        Column("gain", hint="tokens that the annotator keeps over those that the heuristics keep, less one"),
    ]

    def ordered(entries: dict[str, Any]) -> list[tuple[str, Any]]:
        return sorted(
            entries.items(), key=lambda one: (-(one[1]["gain"] if one[1]["gain"] is not None else -1e9), one[0])
        )

    body = [[language_cell(code), *_cells(entry)] for code, entry in ordered(found["languages"])]
    groups = found.get("groups", {})
    body += [
        [join(foreign(name), tag("small", ", ".join(entry["codes"]))), *_cells(entry)]
        for name, entry in ordered(groups)
    ]
    lead = (
        f"What FineWeb2's heuristics keep beside the annotator at quantile {found['quantile']:g}, {found['rule']}, "
        "of the documents that both can judge, before any copy is chosen."
    )
    notes = [tag("p", foreign(note), class_="note") for note in found.get("notes", [])]
    return section(
        "compare", "Annotator and heuristics", notes, table(columns, body, ["all", *_cells(found["total"])]), lead=lead
    )


def _cells(entry: dict[str, Any]) -> list[Child]:
    sides = entry["sides"]
    tokens = [sides["both"]["tokens"] + sides[side]["tokens"] for side in ("annotator", "heuristics")]
    shares = [percent(entry[name]) for name in ("annotator", "heuristics", "overlap", "chance")]
    gain = NONE if entry["gain"] is None else f"{entry['gain']:+.1%}"
    return [count(entry["documents"]), *shares, *map(short, tokens), gain]
