"""Documents of the sample on both sides of a cut, with their texts: what a cut means is seen in what it parts.

Letters: N documents, H heads that vote, B bins.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from jql.annotator.histogram import Bins, rank_table
from jql.documents import Documents
from jql.engine import storage
from jql.engine.plan import Plan
from jql.report.favour import decided
from jql.report.markup import plain
from jql.select.cuts import BELOW, TOO_FEW, Cuts
from jql.select.outlook import Outlook
from jql.select.texts import read_texts

SIDES = {"just kept": 4, "just dropped": 4, "kept": 2, "dropped": 2}
"""What is shown of a language, and how many of each; then one of each of the most frequent other reasons."""
REASONS = 3
AROUND = 40
"""Candidates for each; those are shown whose texts lie in few units."""
CHARS = 900
PLANS = ("select/decisions", "select/sample", "annotate")
"""Stages whose plan says where the documents of each unit lie."""

Place = tuple[int, int]


@dataclass(frozen=True)
class Need:
    """Some documents to show: candidates as rows of the sample, best first, and how many of them."""

    language: str
    side: str
    rows: list[int]
    wanted: int


@dataclass
class Passages:
    """The texts of a run's sample.

    Attributes:
        documents: None where nothing says where they lie. texts: of what was read so far, by unit and row.
    """

    outlook: Outlook
    documents: Documents | None
    texts: dict[Place, str] = field(default_factory=dict)

    def show(
        self, cuts: Cuts, kept_N: np.ndarray, codes: list[str], most_units: int
    ) -> dict[str, list[dict[str, Any]]]:
        """Language -> its passages, of texts from at most so many units that were not read before.

        Args:
            kept_N: bool, the documents of the sample that are kept.

        Raises:
            DataError: a unit cannot be read.
        """
        if self.documents is None:
            return {}
        inside = decided(self.outlook, kept_N)
        inside = inside[self.outlook.open[inside]]
        needs = [need for code in codes for need in self._needs(code, cuts, kept_N, inside)]
        places = {row: self._place(row) for need in needs for row in need.rows}
        units = few_units(
            needs, {row: place[0] for row, place in places.items() if place not in self.texts}, most_units
        )
        new = sorted({place for place in places.values() if place[0] in units and place not in self.texts})
        if new:
            found_units, found_rows = np.array(new, np.int64).T
            self.texts |= read_texts(self.documents, found_units, found_rows, len(units))
        found: dict[str, list[dict[str, Any]]] = {code: [] for code in codes}
        for need in needs:
            there = [row for row in need.rows if places[row] in self.texts]
            found[need.language] += [self._passage(row, places[row], need.side) for row in there[: need.wanted]]
        return found

    def _needs(self, code: str, cuts: Cuts, kept_N: np.ndarray, inside: np.ndarray) -> list[Need]:
        """What to show of a language; `inside`: the places in the sample of documents that the cuts decide on."""
        if code not in self.outlook.names:
            return []
        place = self.outlook.names.index(code)
        rows, inside = np.flatnonzero(self.outlook.codes == place), inside[self.outlook.codes[inside] == place]
        needs = []
        cut = cuts.languages.get(code)
        if cut is not None and cut.values is not None and len(inside):
            heads = [self.outlook.histograms.heads.index(head) for head in cuts.heads]
            counts_HB = cuts.histograms.counts[cut.of][0]
            points_NH = self.outlook.points[inside][:, heads]
            apart_N = margins(points_NH, cut.values, counts_HB, cuts.rule, cuts.histograms.bins)
            above = inside[kept_N[inside]][np.argsort(apart_N[kept_N[inside]], kind="stable")]
            below = inside[~kept_N[inside]][np.argsort(-apart_N[~kept_N[inside]], kind="stable")]
            ordered = {"just kept": above, "just dropped": below, "kept": _far(above), "dropped": _far(below)}
            needs = [Need(code, side, ordered[side][:AROUND].tolist(), n) for side, n in SIDES.items()]
        elif len(inside):
            needs = [Need(code, TOO_FEW, inside[:AROUND].tolist(), SIDES["dropped"])]
        reasons = self.outlook.sample.column("reason").take(pa.array(rows, pa.int64())).to_pylist()
        for reason, _ in Counter(reason for reason in reasons if reason).most_common(REASONS):
            chosen = [int(row) for row, why in zip(rows, reasons, strict=True) if why == reason][:AROUND]
            needs.append(Need(code, reason, chosen, 1))
        return needs

    def _place(self, row: int) -> Place:
        sample = self.outlook.sample
        return int(sample.column("unit")[row].as_py()), int(sample.column("row")[row].as_py())

    def _passage(self, row: int, place: Place, side: str) -> dict[str, Any]:
        known = self.outlook.sample.slice(row, 1).to_pylist()[0]
        text = plain(self.texts[place]).strip()
        points = zip(self.outlook.histograms.heads, self.outlook.points[row].tolist(), strict=True)
        return {
            "side": side if side in SIDES else "other",
            "why": None if "kept" in side else BELOW if side in SIDES else side,
            "text": text[:CHARS],
            "more": max(0, len(text) - CHARS),
            **{name: known[name] for name in ("id", "domain", "tokens")},
            "date": (known["date"] or "")[:10] or None,
            "scores": {head: round(value, 3) for head, value in points if np.isfinite(value)},
        }


def _far(ordered: np.ndarray) -> np.ndarray:
    """Those beyond the middle of one side, as seen from the cut, evenly spread."""
    far = ordered[len(ordered) // 2 :]
    return far[np.argsort(np.arange(len(far)) % max(1, len(far) // 2), kind="stable")]


def margins(points_NH: np.ndarray, cut_H: np.ndarray, counts_HB: np.ndarray, rule: str, bins: Bins) -> np.ndarray:
    """float64 (N,): how far above (+) or below the cut documents of one language lie, in ranks from -1 to 1.

    By the head that decides: the lowest for `all`, the highest for `any`, the one in the middle for `majority`; by the
    mean of them for `mean`.
    """
    ranks_HB = rank_table(counts_HB)
    at_NH = np.stack([ranks_HB[h, bins.of(points_NH[:, h])] for h in range(len(cut_H))], axis=1)
    apart_NH = np.sort(at_NH - [ranks_HB[h, bins.of(cut_H[h : h + 1])[0]] for h in range(len(cut_H))], axis=1)
    if rule == "mean":
        return np.asarray(apart_NH.mean(axis=1))
    return np.asarray(apart_NH[:, {"all": 0, "any": -1, "majority": (len(cut_H) - 1) // 2}[rule]])


def few_units(needs: list[Need], unit_of: dict[int, int], most: int) -> set[int]:
    """At most so many units that hold what is needed, each time the one that serves most of what is still open.

    Args:
        unit_of: row -> its unit, for rows that are yet to be read; the others serve without one.
    """
    left = [need.wanted - sum(row not in unit_of for row in need.rows) for need in needs]
    held = [Counter(unit_of[row] for row in need.rows if row in unit_of) for need in needs]
    chosen: set[int] = set()
    while len(chosen) < most:
        serves: Counter[int] = Counter()
        for wanted, in_unit in zip(left, held, strict=True):
            serves.update({unit: min(wanted, n) for unit, n in in_unit.items() if wanted > 0 and unit not in chosen})
        if not serves:
            break
        best = min(serves, key=lambda unit: (-serves[unit], unit))
        chosen.add(best)
        left = [wanted - in_unit[best] for wanted, in_unit in zip(left, held, strict=True)]
    return chosen


def recorded_documents(folder: str, log: list[dict[str, Any]], language: str | None) -> Documents | None:
    """The documents of a run by the plan of a stage that read them, which numbers their units; None without one.

    Args:
        log: the lines of run.log since the last start. language: as in the recipe.
    """
    ran = {line["stage"]: str(line["folder"]).rstrip("/").rsplit("/", 1)[-1] for line in log if "folder" in line}
    for stage in PLANS:
        place = storage.join(folder, stage, ran.get(stage, "none"))
        if storage.exists(meta := storage.join(place, "stage.json")):
            plan = Plan(storage.read_table(storage.join(place, json.loads(storage.read_bytes(meta))["plan"])))
            return Documents({"plan": place}, plan.__iter__, language)
    return None
