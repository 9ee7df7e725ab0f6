"""Histograms of a unit's scores, and their sums over a crawl: a tree of merges, so that a million units stay small."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from jql.annotator.annotator import Annotator
from jql.annotator.histogram import Bins, Histograms
from jql.annotator.part import HELD_BACK, Part
from jql.engine import storage
from jql.engine.plan import Unit
from jql.engine.receipt import ASIDE
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import Guard, Output, Stage
from jql.errors import DataError, IncompleteError

VERSION = 1
COUNTS = ASIDE + "counts"
"""The table of a unit's histograms."""
MERGED = 256
"""Tables that one merge reads: a million units are merged in three steps, 5,000 in two."""


class Counts:
    """What a unit's receipt says of it: rows by language, those that were counted, and histograms of their scores."""

    def __init__(self, annotator: Annotator) -> None:
        self.languages: Counter[str] = Counter()
        self.counted: Counter[str] = Counter()
        self.histograms = Histograms(annotator.heads, bins_of(annotator))

    def add(self, part: Part) -> None:
        """Count a part; documents that a cascade has held back count as below every score."""
        self.languages.update(part.languages)
        held = np.array([reason == HELD_BACK for reason in part.reasons], bool)
        part.points[held] = -np.inf
        rows = np.flatnonzero(part.counted & (held | np.array([reason is None for reason in part.reasons], bool)))
        names = sorted({part.languages[row] for row in rows})
        places = {name: place for place, name in enumerate(names)}
        codes = np.array([places[part.languages[row]] for row in rows], np.int64)
        measures = np.concatenate([np.ones((1, len(rows)), np.int64), part.sizes[:, rows]])
        self.histograms.add(part.points[rows], codes, names, measures)
        self.counted.update(part.languages[row] for row in rows)

    def to_stats(self) -> dict[str, Any]:
        """As it stands in the receipt."""
        return {"languages": dict(sorted(self.languages.items())), "counted": dict(sorted(self.counted.items()))}


def bins_of(annotator: Annotator) -> Bins:
    """The bins of an annotator's scores: over the range of its rubric, 0 to 5 where it does not say.

    Raises:
        DataError: its range is none.
    """
    found = annotator.about.get("range", (0.0, 5.0))
    try:
        low, high = map(float, found)
    except (TypeError, ValueError):
        low = high = np.nan
    if not -np.inf < low < high < np.inf:
        raise DataError(f"annotator {annotator.name}: range {found} in annotator.json, expected two numbers, as [0, 5]")
    return Bins.over(low, high)


class MergeWorker:
    """Adds up the histograms of many units."""

    def __init__(self, heads: list[str], bins: Bins) -> None:
        self.heads, self.bins = heads, bins

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """COUNT rows.

        Raises:
            DataError: a unit has counts of other heads; names its file.
        """
        total = Histograms(self.heads, self.bins)
        for path in unit.payload["paths"]:
            guard.arm(10)
            try:
                total.merge(storage.read_table(path, words=("language", "head")))
            except DataError as error:
                raise DataError(f"{path}: {error}; its unit was scored by another annotator") from error
        return Output.of(total.to_table(), len(unit.payload["paths"]))


def merged(run: StageRunner, scores: StageRun, heads: list[str], bins: Bins, name: str) -> StageRun:
    """The stage whose one unit has the histograms of a whole crawl: MERGED tables are added up at a time.

    Args:
        name: of the stage; its steps are numbered from 1.

    Raises:
        IncompleteError: a table could not be added, however many units the recipe may miss: no cut would be right.
    """
    below, step = scores, 1
    while True:
        table = COUNTS if below is scores else ""
        paths = [below.path(receipt, table) for receipt in below.receipts()]

        def units(paths: list[str] = paths) -> Iterator[Unit]:
            for at in range(0, len(paths), MERGED):
                yield Unit(at // MERGED, f"counts {at} to {at + MERGED}", 1, {"paths": paths[at : at + MERGED]})

        settings = {"heads": heads, "bins": bins}
        config = {"heads": heads, "start": bins.start, "width": bins.width}
        below = run.run(Stage(f"{name}/{step}", VERSION, config, below.mark(), MergeWorker, settings, "many"), units)
        if below.quarantined:
            why = "; ".join(list(below.quarantined.values())[:3])
            raise IncompleteError(f"{below.name}: histograms are missing, so cuts would be wrong: {why}")
        if len(paths) <= MERGED:
            return below
        step += 1
