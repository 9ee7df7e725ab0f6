"""Which documents are drawn from those that were scored, and which of them everyone rates.

Shapes: L documents of a language.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jql.truth.first_pass import FirstPass
from jql.truth.strata import even_shares, score_bands, spread


@dataclass(frozen=True)
class Drawn:
    """A document of the sample: where it stands in the input, and the band (from 0) of its first-pass score."""

    language: str
    band: int
    place: tuple[int, int]
    score: float


def draw_sample(found: FirstPass, per_language: int, bands: int) -> tuple[list[Drawn], dict[str, dict[str, Any]]]:
    """Documents by language, band and seeded hash, and what each language held and gave.

    In each band it is the documents with the smallest keys, so a larger sample holds the smaller one where the bands
    are the same.
    """
    drawn: list[Drawn] = []
    counts: dict[str, dict[str, Any]] = {}
    wanted = even_shares([per_language] * bands, per_language)
    for place, code in enumerate(found.codes):
        rows_L = found.rows_N[found.rows_N["language"] == place]
        if not len(rows_L):
            continue
        band_L, edges = score_bands(rows_L["score"], bands)
        held = np.bincount(band_L, minlength=bands).tolist()
        taken = even_shares(held, per_language)
        for band in range(bands):
            rows = rows_L[band_L == band]
            rows = rows[np.argsort(rows["draw"])[: taken[band]]]
            drawn += [Drawn(code, band, (int(r["unit"]), int(r["row"])), float(r["score"])) for r in rows]
        counts[code] = {
            "documents": len(rows_L),
            "edges": [round(float(edge), 4) for edge in edges],
            "wanted": wanted,
            "held": held,
            "drawn": taken,
        }
    return drawn, counts


def choose_pilot(drawn: Sequence[Drawn], pilot: int) -> list[bool]:
    """Which of the documents everyone rates: spread over languages and bands, high bands first."""
    cells: dict[tuple[str, int], list[int]] = {}
    for i in sorted(range(len(drawn)), key=lambda i: -drawn[i].band):
        cells.setdefault((drawn[i].language, drawn[i].band), []).append(i)
    taken = spread({cell: len(members) for cell, members in cells.items()}, pilot)
    chosen = {i for cell, members in cells.items() for i in members[: taken[cell]]}
    return [i in chosen for i in range(len(drawn))]


def shortfalls(counts: dict[str, dict[str, Any]], per_language: int) -> list[str]:
    """A line for every language that holds less than was asked, else for each of its bands that lacks some."""
    lines = []
    for code, count in counts.items():
        if sum(count["drawn"]) < per_language:
            lines.append(f"{code}: wanted {per_language:,}, holds {count['documents']:,}; all of them are drawn")
            continue
        bands = len(count["held"])
        for band, (held, wanted) in enumerate(zip(count["held"], count["wanted"], strict=True), 1):
            if held < wanted:
                lines.append(f"{code} {band}/{bands}: wanted {wanted:,}, holds {held:,}; the other bands give the rest")
    return lines
