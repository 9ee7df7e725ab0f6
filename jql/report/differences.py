"""Documents that only the annotator or only the heuristics keep, with their texts. N documents of the joint sample."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc

from jql.annotator.part import HELD_BACK
from jql.documents import Documents, document_name
from jql.report.details import LEAST_UNITS
from jql.report.markup import plain
from jql.report.passages import AROUND, Need, few_units
from jql.select.compare import Compared
from jql.select.texts import read_texts

CHARS = 600
"""Characters of a document that is shown."""


def differences(
    compared: Compared, documents: Documents, samples: int, seed: int, where: bool = False
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Language -> annotator, heuristics -> documents that only it keeps, drawn by hash from the joint sample.

    Those come first whose texts lie in few units, as a whole crawl is not opened for them.

    Args:
        samples: most of each. where: the run has an expert rule, which may have dropped what a cascade has held back.

    Raises:
        DataError: a unit cannot be read.
    """
    outlook, cuts = compared.outlook, compared.cuts
    if not samples:
        return {}
    needs = _needs(compared, samples, seed, where)
    rows = sorted({row for need in needs for row in need.rows})
    found = outlook.sample.take(np.array(rows, np.int64)).to_pylist()
    known = {row: one for row, one in zip(rows, found, strict=True)}
    units = few_units(needs, {row: one["unit"] for row, one in known.items()}, max(LEAST_UNITS, len(compared.counts)))
    wanted = sorted({(one["unit"], one["row"]) for one in known.values() if one["unit"] in units})
    texts = read_texts(documents, [u for u, _ in wanted], [r for _, r in wanted], max(1, len(units)))
    points = outlook.points[rows][:, [outlook.histograms.heads.index(head) for head in cuts.heads]]
    ranks = dict(zip(rows, cuts.ranks(points, outlook.codes[rows], outlook.names).tolist(), strict=True))
    drawn: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for need in needs:
        there = [row for row in need.rows if (known[row]["unit"], known[row]["row"]) in texts][: need.wanted]
        shown = [_shown(known[row], ranks[row], cuts.heads, texts) for row in there]
        drawn.setdefault(need.language, {})[need.side] = shown
    return drawn


def _needs(compared: Compared, samples: int, seed: int, where: bool) -> list[Need]:
    """Of each language and side the documents of the sample that only it keeps, smallest hash first."""
    outlook, cuts = compared.outlook, compared.cuts
    sample = outlook.sample
    open_N = outlook.open.copy()
    if not where:
        open_N |= pc.equal(sample.column("reason"), HELD_BACK).fill_null(False).to_numpy(zero_copy_only=False)
    open_N &= sample.column("representative").to_numpy(zero_copy_only=False)
    points = outlook.points[:, [outlook.histograms.heads.index(head) for head in cuts.heads]]
    found_N = cuts.verdicts(points, outlook.codes, outlook.names)
    passed_N = sample.column("filter_reason").is_null().to_numpy(zero_copy_only=False)
    sides_N = {
        "annotator": open_N & (found_N == 0) & ~passed_N,
        "heuristics": open_N & (found_N == 1) & passed_N,
    }
    needs = []
    for code in (code for code in compared.counts if code in outlook.names):
        for side, chosen_N in sides_N.items():
            rows = np.flatnonzero(chosen_N & (outlook.codes == outlook.names.index(code)))
            ids = sample.column("id").take(rows).to_pylist()
            order = np.argsort(np.array([document_name(id, seed) for id in ids], np.uint64), kind="stable")
            needs.append(Need(code, side, rows[order][: max(AROUND, samples)].tolist(), samples))
    return needs


def _shown(one: Mapping[str, Any], rank: float, heads: list[str], texts: dict[tuple[int, int], str]) -> dict[str, Any]:
    text = plain(texts[one["unit"], one["row"]]).strip()
    scores = {head: one[f"score_{head}"] for head in heads}
    return {
        **{name: one[name] for name in ("id", "domain", "tokens")},
        "reason": one["filter_reason"],
        "rank": round(rank, 4) if np.isfinite(rank) else None,
        "scores": {head: round(value, 3) for head, value in scores.items() if value is not None},
        "text": text[:CHARS],
        "more": max(0, len(text) - CHARS),
    }


def sample_lines(code: str, sides: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Documents that only one side keeps, a line each, without signs that a terminal would obey."""
    lines = []
    for side, shown in sides.items():
        for one in shown:
            text = " ".join(printable(one["text"]).split())
            rank = "no score" if one["rank"] is None else f"rank {one['rank']:.2f}"
            why = f", {one['reason']}" if one["reason"] else ""
            lines.append(printable(f"{code}, only {side} ({rank}{why}): {text[:200]}"))
    return lines


def printable(line: str) -> str:
    """Without signs that a terminal would obey, such as escapes and marks of direction."""
    return "".join(sign if sign.isprintable() else " " for sign in line)
