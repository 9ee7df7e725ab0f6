"""Who works on what: the state machine of the units of one stage, without any process, clock or file.

    waiting --next--> running --finished(committed | late)--> done
                         |------finished(failed) x 3, unreadable--> quarantined
                         |------died, not the document's fault (node lost)--> waiting
                         |------died once--> waiting            (a kill, an out-of-memory: try again)
                         '------died again--> bisection:
         count (rows of the unit) -> probe halves until one row is left -> confirm that it kills alone
                -> poison: the row gets a reason and the unit runs without it
                -> it lives alone: the deaths were not its fault; run again, quarantined after 3 such searches

A unit has at most two attempts at a time, under way or waiting: one and, beside a slow one, a second; the receipt
decides which of them counts. While another attempt is out, one that failed or died is not repeated: the other tells.
"""

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

import numpy as np

from jql.engine.attempt import Outcome

MAX_ERRORS = 3
MAX_POISON = 50
MAX_SEARCHES = 3

Kind = Literal["run", "count", "probe", "confirm"]


@dataclass(frozen=True)
class Task:
    """One attempt to be made.

    Attributes:
        start, stop: the rows a probe looks at, the first half of what is suspected; a run has all rows.
        limit: end of what is suspected: if the first half lives, the culprit is in rows stop to limit.
        poison: rows known to kill, with their reasons.
    """

    id: int
    unit: int
    kind: Kind = "run"
    start: int = 0
    stop: int | None = None
    limit: int = 0
    poison: dict[int, str] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """Whether a worker must be idle to take it: its death has to be blamed on this task."""
        return self.kind != "run" or bool(self.poison)


@dataclass
class Trouble:
    """What is known about a unit that did not go through at once."""

    deaths: int = 0
    errors: int = 0
    searches: int = 0
    poison: dict[int, str] = field(default_factory=dict)


class Ledger:
    """The units of a stage and the attempts at them."""

    def __init__(self, order: np.ndarray, crash: str = "crash") -> None:
        """`order`: int64 (U,), the units still to be done, in the order of work. `crash`: reason of a killing row."""
        self._order = order
        self._cursor = 0
        self._crash = crash
        self._again: deque[Task] = deque()
        self._ids = count()
        self._trouble: dict[int, Trouble] = {}
        self._attempts: Counter[int] = Counter()
        self._finished = bytearray(int(order.max()) + 1 if len(order) else 0)
        self.running: dict[int, Task] = {}
        self.committed = 0
        self.quarantined: dict[int, str] = {}

    def __len__(self) -> int:
        """How many units there were to do."""
        return len(self._order)

    @property
    def complete(self) -> bool:
        """Every unit is done or quarantined."""
        return self.committed + len(self.quarantined) == len(self._order)

    def next(self, idle: bool = True) -> Task | None:
        """The next task for a worker, or None; tasks that must run alone only go to an idle worker."""
        while self._again and (idle or not self._again[0].alone):
            task = self._again.popleft()
            if not self._is_finished(task.unit):
                self.running[task.id] = task
                return task
            self._attempts[task.unit] -= 1
        if self._cursor < len(self._order):
            unit = int(self._order[self._cursor])
            self._cursor += 1
            return self._start(Task(next(self._ids), unit))
        return None

    def again(self, task: Task) -> Task | None:
        """A second attempt beside a slow one; None if the unit already has two or is being searched."""
        if task.kind != "run" or self._attempts[task.unit] != 1 or self._is_finished(task.unit):
            return None
        return self._start(Task(next(self._ids), task.unit, poison=task.poison))

    def finished(self, task: Task, outcome: Outcome) -> None:
        """An attempt came back."""
        self._stop(task)
        if self._is_finished(task.unit):
            return
        match outcome.status:
            case "committed" | "late":
                self._finish(task.unit)
                self.committed += 1
            case "survived":
                self._survived(task, outcome.rows)
            case "failed":
                trouble = self._trouble.setdefault(task.unit, Trouble())
                trouble.errors += 1
                if trouble.errors >= MAX_ERRORS:
                    self._quarantine(task.unit, outcome.error)
                elif not self._attempts[task.unit]:
                    self._run_again(task.unit, trouble)
            case _:
                self._quarantine(task.unit, outcome.error)

    def died(self, task: Task, timed_out: bool, blame: bool = True) -> None:
        """The process of an attempt is gone. `blame` False: its node was lost, which says nothing about the unit."""
        self._stop(task)
        if self._is_finished(task.unit):
            return
        if not blame:
            if task.kind != "run" or not self._attempts[task.unit]:
                self._enqueue(replace(task, id=next(self._ids)))
            return
        trouble = self._trouble.setdefault(task.unit, Trouble())
        match task.kind:
            case "run":
                trouble.deaths += 1
                if not self._attempts[task.unit]:
                    self._look_into(task, trouble)
            case "count":
                self._quarantine(task.unit, "the process dies when the input is opened")
            case "probe":
                assert task.stop is not None
                self._narrow(task, task.start, task.stop)
            case "confirm":
                trouble.poison[task.start] = "timeout" if timed_out else self._crash
                self._run_again(task.unit, trouble)

    def _look_into(self, task: Task, trouble: Trouble) -> None:
        """Find out whether a run died by chance or of a row; no other attempt is out."""
        if trouble.deaths == 1:
            self._run_again(task.unit, trouble)
        elif trouble.searches >= MAX_SEARCHES:
            self._quarantine(task.unit, f"the process died {trouble.deaths} times and no single row explains it")
        elif len(trouble.poison) >= MAX_POISON:
            self._quarantine(task.unit, f"more than {MAX_POISON} rows end the process")
        else:
            self._search(task, "count", 0, 0, 0)

    def _survived(self, task: Task, rows: int) -> None:
        trouble = self._trouble[task.unit]
        if task.kind == "count" and rows:
            self._narrow(task, 0, rows)
        elif task.kind == "probe":
            # Only first halves are probed: if the first half lives, the culprit is in the second.
            assert task.stop is not None
            self._narrow(task, task.stop, task.limit)
        else:
            trouble.searches += 1
            self._run_again(task.unit, trouble)

    def _narrow(self, task: Task, start: int, stop: int) -> None:
        if stop - start <= 1:
            self._search(task, "confirm", start, stop, stop)
        else:
            self._search(task, "probe", start, start + (stop - start) // 2, stop)

    def _search(self, task: Task, kind: Kind, start: int, stop: int, limit: int) -> None:
        poison = self._trouble[task.unit].poison
        self._enqueue(Task(next(self._ids), task.unit, kind, start, stop, limit, dict(poison)))

    def _run_again(self, unit: int, trouble: Trouble) -> None:
        self._enqueue(Task(next(self._ids), unit, poison=dict(trouble.poison)))

    def _enqueue(self, task: Task) -> None:
        self._again.append(task)
        self._attempts[task.unit] += 1

    def _start(self, task: Task) -> Task:
        self.running[task.id] = task
        self._attempts[task.unit] += 1
        return task

    def _stop(self, task: Task) -> None:
        del self.running[task.id]
        self._attempts[task.unit] -= 1
        if not self._attempts[task.unit]:
            del self._attempts[task.unit]

    def _is_finished(self, unit: int) -> bool:
        return bool(self._finished[unit])

    def _finish(self, unit: int) -> None:
        self._finished[unit] = 1
        self._trouble.pop(unit, None)

    def _quarantine(self, unit: int, error: str) -> None:
        self._finish(unit)
        self.quarantined[unit] = error
