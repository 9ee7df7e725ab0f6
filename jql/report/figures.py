"""Numbers of the page's pictures; the page's script draws them when they come into view.

Letters: H heads, B bins of the histograms, M measures.
"""

from typing import Any

import numpy as np

from jql.annotator.histogram import MEASURES, Bins, Histograms
from jql.select.cuts import Cuts

BARS, FEWEST_BARS = 80, 16
"""Most bars of a histogram; one of few documents has about twice the root of their number."""
_WIDTHS = (1, 2, 4, 10, 20, 40, 100, 200, 400)  # in bins, of which 400 are a point of a rubric from 0 to 5


def histogram(counts_MB: np.ndarray, bins: Bins) -> dict[str, Any] | None:
    """One head's scores as bars from `start` in steps of `width` points: documents and tokens; None without any.

    The lowest bin holds what a cascade has held back, which has no score: it is told as `held`.
    """
    documents_B, tokens_B = (counts_MB[MEASURES.index(name)].copy() for name in ("documents", "tokens"))
    held = int(documents_B[0])
    documents_B[0] = tokens_B[0] = 0
    there = np.flatnonzero(documents_B)
    if not len(there):
        return None
    span = int(there[-1] - there[0]) + 1
    most = np.clip(2 * np.sqrt(documents_B.sum()), FEWEST_BARS, BARS)
    width = next((w for w in _WIDTHS if span / w <= most), _WIDTHS[-1])
    first = int(there[0]) // width * width
    edges = np.arange(first, int(there[-1]) + 1, width)
    sums = {"documents": np.add.reduceat(documents_B, edges), "tokens": np.add.reduceat(tokens_B, edges)}
    return {
        "start": round(bins.edge(first), 6),
        "width": round(bins.width * width, 6),
        **{name: values.tolist() for name, values in sums.items()},
        **({"held": held} if held else {}),
    }


def histograms(found: Histograms, code: str, voting: list[str]) -> list[dict[str, Any]]:
    """Of each head of a language, those that vote first; empty where nothing was counted."""
    counts_MHB = found.counts.get(code)
    if counts_MHB is None:
        return []
    order = [*voting, *(head for head in found.heads if head not in voting)]
    made = [
        {"head": head, "votes": head in voting, "bars": histogram(counts_MHB[:, found.heads.index(head)], found.bins)}
        for head in order
    ]
    return [one for one in made if one["bars"] is not None]


def cut_data(cuts: Cuts | None, code: str) -> dict[str, Any] | None:
    """The cut of a language: of, by, quantile, `values` by head or None, rank_error, note."""
    cut = cuts.languages.get(code) if cuts else None
    if cuts is None or cut is None:
        return None
    values = (
        None if cut.values is None else {h: round(float(v), 4) for h, v in zip(cuts.heads, cut.values, strict=True)}
    )
    known = {"of": cut.of, "by": cut.by, "quantile": cut.quantile, "rank_error": round(cut.rank_error, 6)}
    return {**known, "values": values, "note": cut.note}


def yields_data(prediction: dict[str, Any] | None, languages: dict[str, Any]) -> list[dict[str, Any]]:
    """Shares of documents, predicted with their interval and kept, of languages that keep some, largest first."""
    found = []
    for code, entry in (prediction or {"languages": {}})["languages"].items():
        came = languages.get(code, {})
        documents = came.get("documents")
        if documents and (came.get("kept") or entry["documents"][2]):
            shares = [round(n / documents, 6) for n in entry["documents"]]
            found.append(
                {"code": code, "documents": documents, "predicted": shares, "kept": came.get("kept", 0) / documents}
            )
    return sorted(found, key=lambda one: (-one["documents"], one["code"]))
