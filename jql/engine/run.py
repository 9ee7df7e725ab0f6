"""A run: one folder with recipe, lock, log and stages; and how one stage is taken from plan to complete."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from rich.console import Console

from jql import __version__
from jql.engine import inline, storage
from jql.engine.attempt import Outcome
from jql.engine.fingerprint import Fingerprint, digest_of
from jql.engine.ledger import Ledger
from jql.engine.lock import RunLock
from jql.engine.plan import Plan, Unit, open_plan
from jql.engine.progress import StageProgress
from jql.engine.progress import console as make_console
from jql.engine.receipt import Receipt, committed, read_receipts
from jql.engine.stage import Stage
from jql.errors import IncompleteError, OutputError
from jql.recipe import Engine

LOG_LINES = 10_000
LOG_S = 5.0  # units that failed are written down at most this often, and at the end of their stage


class StageRunner(Protocol):
    """What stages are handed to: a run, or a planner that runs nothing."""

    console: Console

    def run(self, stage: Stage, units: Callable[[], Iterable[Unit]]) -> "StageRun":
        """The stage, complete."""

    def make(self, name: str, done: bool, work: Callable[[], None]) -> None:
        """Do what is no stage of units, such as training heads, unless it is done."""


@dataclass
class StageRun:
    """A stage in a run: its folder, its plan, its committed units, and what each of its workers takes."""

    name: str
    folder: str
    fingerprint: str
    plan: Plan
    cpus: float = 1.0
    gpus: float = 0.0
    before: int = 0
    seconds: float = 0.0
    quarantined: dict[int, str] = field(default_factory=dict)

    def receipts(self) -> Iterator[Receipt]:
        """The receipts, by unit index."""
        return read_receipts(self.folder)

    def path(self, receipt: Receipt, table: str = "") -> str:
        """Where a committed table lies."""
        return storage.join(self.folder, receipt.files[table].path)

    def tables(self, name: str = "", columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The committed tables of the stage, by unit index."""
        for receipt in self.receipts():
            yield storage.read_table(self.path(receipt, name), columns)

    def mark(self) -> dict[str, Any]:
        """What stands for this stage in the fingerprint of one that reads it: its own, and which units are missing."""
        done = committed(self.folder)
        missing = sorted(set(range(len(self.plan))) - set(done)) if len(done) < len(self.plan) else []
        return {
            "stage": self.name,
            "fingerprint": self.fingerprint[:16],
            "missing": digest_of(missing) if missing else "",
        }


def stage_fingerprint(stage: Stage) -> Fingerprint:
    """What decides the stage's output."""
    return Fingerprint.of(stage=stage.name, version=stage.version, config=stage.config, inputs=stage.inputs)


class Run:
    """A run folder that is held by this process.

    run.yaml         the resolved recipe
    run.log          one JSON object a line: what started, ended, failed, and why
    lock/            who works here
    STAGE/FINGERPRINT/{stage.json, plan-*.parquet, receipts/, data/, quarantine/}
    """

    def __init__(self, folder: str, engine: Engine, console: Console | None = None) -> None:
        self.folder = folder
        self.engine = engine
        self.console = console or make_console()
        self.lock = RunLock(folder)
        self.stages: list[StageRun] = []
        self._pool: Any = None
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._logged = 0.0

    def __enter__(self) -> "Run":
        self.lock.acquire()
        try:
            path = storage.join(self.folder, "run.log")
            if storage.exists(path):
                self._log.extend(storage.read_bytes(path).decode().splitlines())
            self.log("start", jql=__version__)
        except BaseException:
            self.lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            try:
                if self._pool is not None:
                    self._pool.close()
                self.log("end", error="" if error is None else f"{type(error).__name__}: {error}")
            finally:
                self.lock.release()
        except OutputError:
            if error is None:
                raise  # else the run ends with the error that came first

    def log(self, event: str, **fields: Any) -> None:
        """Add a line to run.log."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S")
        self._log.append(json.dumps({"time": stamp, "event": event, **fields}))
        # The file is written anew for every line, as object storage cannot append: a flood of bad units must wait.
        if event != "unit" or time.monotonic() - self._logged >= LOG_S:
            storage.put(storage.join(self.folder, "run.log"), ("\n".join(self._log) + "\n").encode())
            self._logged = time.monotonic()

    def stage_folder(self, stage: Stage) -> str:
        """Where a stage with this fingerprint lies."""
        return storage.join(self.folder, stage.name, stage_fingerprint(stage).short)

    def open(self, stage: Stage, units: Callable[[], Iterable[Unit]]) -> StageRun:
        """The stage with its plan, without running anything; `units` is only called if there is no plan yet."""
        fingerprint = stage_fingerprint(stage)
        folder = self.stage_folder(stage)
        known = storage.exists(storage.join(folder, "stage.json"))
        if not known:
            self._say_what_changed(stage, fingerprint)
        plan = open_plan(folder, fingerprint, () if known else units())
        return StageRun(stage.name, folder, fingerprint.digest, plan, stage.cpus, stage.gpus)

    def run(self, stage: Stage, units: Callable[[], Iterable[Unit]]) -> StageRun:
        """Run a stage to its end: every unit committed, or the tolerated share of them quarantined.

        Raises:
            IncompleteError: units are missing; names the first ones and why.
            StopError: nothing can be written, or no unit can go on.
        """
        started = time.monotonic()
        result = self.open(stage, units)
        self.stages.append(result)
        done = committed(result.folder)
        result.before = len(done)
        order = result.plan.order()
        left = order[~np.isin(order, done)] if done else order
        ledger = Ledger(left, stage.crash)
        if done:
            self.console.print(
                f"{stage.name}: {len(done):,} of {len(result.plan):,} units were done before", highlight=False
            )
        self.log("stage", stage=stage.name, folder=result.folder, units=len(result.plan), before=len(done))
        if len(left):
            with StageProgress(stage.name, len(result.plan), len(done), self.console) as progress:
                self._execute(stage, result, ledger, progress)
        result.seconds = time.monotonic() - started
        self._settle(stage, result, ledger)
        return result

    def make(self, name: str, done: bool, work: Callable[[], None]) -> None:
        """Do `work` here unless it is `done`."""
        if done:
            self.console.print(f"{name}: done before", highlight=False)
            return
        started = time.monotonic()
        work()
        self.log("made", name=name, seconds=round(time.monotonic() - started, 2))

    def _execute(self, stage: Stage, result: StageRun, ledger: Ledger, progress: StageProgress) -> None:
        def report(outcome: Outcome) -> None:
            if outcome.status == "survived":
                return
            if outcome.error:
                self.log(
                    "unit",
                    stage=stage.name,
                    unit=outcome.unit,
                    status=outcome.status,
                    error=outcome.error,
                    trace=outcome.trace,
                )
            progress.advance(result.before + ledger.committed, len(ledger.quarantined), outcome.rows)

        if self.engine.backend == "inline":
            inline.execute(stage, result.folder, result.plan, ledger, report, stage.document_s)
        else:
            self._ray_pool(stage).execute(stage, result.folder, result.plan, ledger, report, stage.document_s)

    def _ray_pool(self, stage: Stage) -> Any:
        from jql.engine import ray_pool
        from jql.engine.preflight import preflight

        if self._pool is None:
            ray_pool.start_ray(self.engine.address, self.engine.workers)
            preflight(self.folder)
            self._pool = ray_pool.Pool(self.engine.workers)
        return self._pool

    def _settle(self, stage: Stage, result: StageRun, ledger: Ledger) -> None:
        """Write down what is missing, and refuse to end green if that is more than the recipe tolerates."""
        missing_units = np.setdiff1d(np.arange(len(result.plan)), committed(result.folder), assume_unique=True)
        folder = storage.join(result.folder, "quarantine")
        records = {}
        for index in missing_units.tolist():
            unit = result.plan.unit(index)
            error = ledger.quarantined.get(index, "it has no receipt, and nothing said why")
            result.quarantined[index] = error if unit.source in error else f"{unit.source}: {error}"
            records[unit.name + ".json"] = {"unit": index, "source": unit.source, "error": result.quarantined[index]}
        for name in storage.find(folder):
            if name not in records:
                storage.delete(storage.join(folder, name))
        for name, record in records.items():
            storage.put(storage.join(folder, name), json.dumps(record, indent=1).encode())
        missing = len(result.quarantined)
        self.log("stage_end", stage=stage.name, seconds=round(result.seconds, 2), missing=missing)
        if missing > self.engine.tolerate_missing * len(result.plan):
            why = "; ".join(list(result.quarantined.values())[:3])
            raise IncompleteError(
                f"{stage.name}: {missing} of {len(result.plan)} units are missing: {why}"
                + (f"; and {missing - 3} more in {folder}" if missing > 3 else "")
                + "; repair or remove the input, or set engine.tolerate_missing"
            )
        for error in result.quarantined.values():
            self.console.print(f"[yellow]{stage.name}: tolerated: {error}[/]", highlight=False)

    def _say_what_changed(self, stage: Stage, fingerprint: Fingerprint) -> None:
        """Where an earlier run of this stage lies in the folder, say which field makes this one another."""
        names = storage.find(storage.join(self.folder, stage.name))
        metas = [n for n in names if n.count("/") == 1 and n.endswith("/stage.json")]
        if not metas:
            return
        records = [json.loads(storage.read_bytes(storage.join(self.folder, stage.name, n)))["fields"] for n in metas]
        closest = min(
            records, key=lambda r: sum(r.get(k) != fingerprint.fields.get(k) for k in r.keys() | fingerprint.fields)
        )
        what = fingerprint.differs(closest)
        self.console.print(f"{stage.name}: changed since it last ran here, so it runs anew ({what})", highlight=False)
        self.log("changed", stage=stage.name, what=what)
