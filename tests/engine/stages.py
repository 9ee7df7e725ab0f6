"""Small stages for tests of the backends; Ray's workers import this module from the driver's path."""

import ctypes
import itertools
import os
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

import pyarrow as pa

from jql.engine.plan import Unit
from jql.engine.stage import DocumentTimeout, Guard, Output, Stage
from jql.errors import JqlError

ROW = pa.schema([("id", pa.int64()), ("square", pa.int64())])


class SquareWorker:
    """Squares the rows of a unit; what goes wrong on the way stands in the unit's payload.

    payload: rows; bad {row: exit | segfault | hang_c | hang_python}; open: kill (the process dies before row 0);
    stall: row at which the first attempt (with every: each) writes its process id to FOLDER/stall-UNIT and waits for
    FOLDER/go-UNIT.
    Each attempt leaves a mark in FOLDER/calls-UNIT.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """One row for each row that is not bad."""
        payload = unit.payload
        with (self.folder / f"calls-{unit.index}").open("a") as calls:
            calls.write("x")
        if payload.get("open") == "kill":
            os._exit(3)
        ids: list[int] = []
        drops: Counter[str] = Counter()
        for row in guard.rows(payload["rows"]):
            if row in guard.poison:
                drops[guard.poison[row]] += 1
                continue
            try:
                with guard.document():
                    misbehave(payload.get("bad", {}).get(str(row)))
            except DocumentTimeout:
                drops["timeout"] += 1
                continue
            guard.arm(10)
            if payload.get("stall") == row:
                self.stall(unit)
            ids.append(unit.index * 1000 + row)
        table = pa.table({"id": ids, "square": [i * i for i in ids]}, schema=ROW)
        return Output.of(table, payload["rows"], drops)

    def stall(self, unit: Unit) -> None:
        """Wait for the test, but only in the unit's first attempt, or in each."""
        mark = self.folder / f"stall-{unit.index}"
        if mark.exists() and not unit.payload.get("every"):
            return
        temporary = mark.with_suffix(f".{os.getpid()}")
        temporary.write_text(str(os.getpid()))
        temporary.rename(mark)
        while not (self.folder / f"go-{unit.index}").exists():
            time.sleep(0.02)


def misbehave(how: str | None) -> None:
    """Be a document of the worst kind."""
    if how == "exit":
        os._exit(7)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "hang_c":
        deque(itertools.repeat(0), maxlen=0)  # a loop in C that keeps the interpreter lock: no signal handler ever runs
    if how == "hang_python":
        while True:
            time.sleep(0.01)


def unbuildable(folder: str) -> SquareWorker:
    """Make no worker: a JqlError."""
    raise JqlError(f"{folder}: there are no weights; fetch them first")


def broken(folder: str) -> SquareWorker:
    """Make no worker: a mistake in the stage's code."""
    return SquareWorker(**{"no_such_argument": folder})


def square_stage(folder: Path, document_s: float = 10.0, factory: Any = SquareWorker) -> Stage:
    """The stage; `folder` is where it meets the test."""
    return Stage(
        name="square",
        version=1,
        config={},
        inputs={},
        factory=factory,
        settings={"folder": str(folder)},
        law="filter",
        crash="square_crash",
        document_s=document_s,
    )


def units(*payloads: dict[str, Any]) -> list[Unit]:
    """Units with these payloads, worked on in this order."""
    return [Unit(i, f"unit {i}", len(payloads) - i, payload) for i, payload in enumerate(payloads)]
