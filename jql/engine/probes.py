"""Which rows to probe next, and what they say of their unit; as a ledger, whose tasks any backend runs.

    draw a unit by weight --affordable--> whole
             ^      '--too long, or the first--> open it, twice -> rows, as many as take long enough
             '--time left--------------------------------------------------------------'

Opening (a probe of no rows) is what a unit costs whatever is looked at in it, and tells how many rows it has. It is
done twice because what a disk or a store has just read comes faster. The unit: first opening + rows, scaled to all.
That also holds for a worker that reads ahead: what it hides of the opening is missing from the rows.
"""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import count

import numpy as np

from jql.engine.attempt import Outcome
from jql.engine.ledger import Ledger, Task
from jql.engine.plan import Plan
from jql.engine.prediction import Probe, weights_of

PARTS = 20  # a probe takes about this part of the time given
FIRST_ROWS = 4  # of a unit about which nothing is known; a slow encoder on a CPU takes seconds for them
GROWTH = 16  # at most, from one look to the next
FEWEST = 5  # probes before a stage that is shorter than its calibration is left in peace
MOST_BAD = 20  # units that could not be measured


@dataclass(frozen=True)
class Look:
    """What to probe: rows start to stop of a unit, None for its end."""

    unit: int
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True)
class Seen:
    """What came of it."""

    rows: int
    seconds: float


class BadUnit(Exception):
    """A unit that cannot be measured."""


class ProbeLedger(Ledger):
    """Hands out one probe after the other, each chosen by how long the one before took."""

    def __init__(
        self,
        plan: Plan,
        left_U: np.ndarray,
        seconds: float,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`left_U`: int64 (U,), the units to draw from. `seconds`: to spend, without loading the worker."""
        super().__init__(left_U)
        self.plan, self.left_U = plan, left_U
        self.weights_U = weights_of(plan)[left_U]
        self.seconds, self.clock = seconds, clock
        self.random = np.random.default_rng(seed)
        self.probes: list[Probe] = []
        self.bad: dict[int, str] = {}
        self.load_s = 0.0
        self.first_s = 0.0
        self.row_s = 0.0
        self._warm: Probe | None = None
        self._begun: float | None = None
        self._made = self._since = 0.0
        self._numbers = count()
        self._work = self._draws()
        self._look = next(self._work, None)
        self.start()

    def start(self) -> None:
        """Loading the worker begins."""
        self._made = self.clock()

    @property
    def complete(self) -> bool:
        """Nothing is left to probe."""
        return self._look is None

    @property
    def elapsed(self) -> float:
        """Seconds since the worker had loaded."""
        return 0.0 if self._begun is None else self.clock() - self._begun

    def next(self, idle: bool = True) -> Task | None:
        """The next probe, to be taken by an idle worker."""
        if self._look is None or self.running:
            return None
        self._since = self.clock()
        if self._begun is None:
            self._begun, self.load_s = self._since, self._since - self._made
        task = Task(next(self._numbers), self._look.unit, "probe", self._look.start, self._look.stop)
        self.running[task.id] = task
        return task

    def again(self, task: Task) -> Task | None:
        """No probe is made twice."""
        return None

    def finished(self, task: Task, outcome: Outcome) -> None:
        """A probe came back."""
        del self.running[task.id]
        if outcome.status == "survived":
            self._go_on(Seen(outcome.rows, self.clock() - self._since))
        elif outcome.status != "fatal":
            self._go_on(BadUnit(outcome.error))

    def died(self, task: Task, timed_out: bool, blame: bool = True) -> None:
        """The process of a probe is gone; with its node, which says nothing about the unit: once more."""
        del self.running[task.id]
        if blame:
            how = "hangs" if timed_out else "dies"
            self._go_on(BadUnit(f"{self.plan.unit(task.unit).source}: the process {how} in it"))

    def _go_on(self, found: Seen | BadUnit) -> None:
        try:
            self._look = self._work.send(found) if isinstance(found, Seen) else self._work.throw(found)
        except StopIteration:
            self._look = None

    def _draws(self) -> Generator[Look, Seen, None]:
        """Units until the time is up; the first is there to warm up, and only counts if it took half of the time."""
        while not self._enough():
            odds = self.weights_U / self.weights_U.sum()
            at = int(self.random.choice(len(odds), p=odds))
            unit = int(self.left_U[at])
            try:
                probe = yield from self._unit(unit, float(self.weights_U[at]))
            except BadUnit as error:
                self.bad[unit] = str(error)
                self.weights_U[at] = 0.0
                continue
            if self._warm is None and self.elapsed < self.seconds / 2:
                self._warm = probe
            else:
                self.probes.append(probe)
        if self._warm and not self.probes:  # nothing else could be measured
            self.probes.append(self._warm)

    def _enough(self) -> bool:
        if not self.weights_U.any() or len(self.bad) >= MOST_BAD:
            return True
        if not self.probes:
            return False
        rate = float(np.mean([p.rate for p in self.probes]))
        short = len(self.probes) >= FEWEST and self.elapsed >= rate * self.weights_U.sum()
        return short or self.elapsed >= self.seconds

    def _unit(self, unit: int, weight: float) -> Generator[Look, Seen, Probe]:
        """Measure one unit."""
        known = self.probes[-1] if self.probes else self._warm
        source = self.plan.unit(unit).source
        long_enough = self.seconds / PARTS
        if known and known.rate * weight <= 2 * long_enough:
            whole = yield Look(unit)
            self.row_s = whole.seconds / max(1, whole.rows)
            return Probe(unit, source, weight, whole.rows, whole.rows, whole.seconds, whole.seconds)
        opened = yield Look(unit, 0, 0)
        n = opened.rows
        if not n:
            return Probe(unit, source, weight, 0, 0, opened.seconds, opened.seconds)
        tried = min(n, FIRST_ROWS)
        thrown = None if known else (yield Look(unit, 0, tried))  # much is loaded at its first use
        warm_s = (yield Look(unit, 0, 0)).seconds
        # What is less than the opening itself would be lost in its ups and downs.
        rows, work = yield from self._rows(unit, n, warm_s, max(long_enough, warm_s))
        self.row_s = work / rows
        if thrown:
            first = (opened.seconds - warm_s, thrown.seconds - warm_s - tried * self.row_s)
            self.first_s = sum(max(0.0, s) for s in first)
        whole_s = (warm_s if thrown else opened.seconds) + work * n / rows
        return Probe(unit, source, weight, rows, n, warm_s + work, whole_s)

    def _rows(
        self, unit: int, n: int, opening_s: float, long_enough: float
    ) -> Generator[Look, Seen, tuple[int, float]]:
        """Look at more and more rows of a unit, until they take long enough or are all; how many, and their seconds."""
        rows = min(n, max(1, int(long_enough / self.row_s)) if self.row_s else FIRST_ROWS)
        while True:
            start = int(self.random.integers(n - rows + 1))
            work = (yield Look(unit, start, start + rows)).seconds - opening_s
            if rows == n or work >= long_enough / 2:
                return rows, max(0.0, work)
            rows = int(rows * min(GROWTH, max(2.0, long_enough / max(work, 1e-9))))
            rows = n if rows > n / 2 else rows
