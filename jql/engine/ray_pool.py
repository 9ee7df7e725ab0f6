"""The Ray backend: a pool of actors that load a stage's worker once and work through its units.

Nothing of value lives in Ray: an actor, a node, or the whole cluster may go at any time; the plan and the receipts are
files. Actors are never restarted by Ray (max_restarts=0), so that every death reaches the ledger.
"""

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jql.engine.attempt import Outcome, attempt_unit
from jql.engine.ledger import Ledger, Task
from jql.engine.plan import Plan, Unit
from jql.engine.stage import Guard, Stage, Worker
from jql.errors import JqlError, OutputError, one_line

HARD = 3.0  # the process is ended after this many times document_s; Python code was asked to stop after one
QUEUE = 2  # units at an actor: one that runs and one that waits, so that no actor idles for a round trip
STRAGGLER = 3.0  # a unit that takes this many times the median of its stage gets a second attempt when an actor is free
MIN_STRAGGLER_S = 30.0
MAX_START_FAILURES = 5


class UnitActor:
    """Lives on a node, keeps the worker of the stage it was last asked for."""

    def __init__(self) -> None:
        self.key = ""
        self.worker: Worker | None = None

    def ready(self) -> str:
        """The node this actor lives on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def run(self, key: str, stage: Stage, folder: str, unit: Unit, task: Task, document_s: float) -> Outcome:
        """One attempt."""
        if self.key != key or self.worker is None:
            self.worker, self.key = None, ""
            try:
                self.worker = stage.factory(**stage.settings)
            except JqlError as error:
                return Outcome(unit.index, "fatal", error=one_line(error))
            self.key = key
        guard = Guard(task.poison, task.start, task.stop, soft_s=document_s, hard_s=HARD * document_s)
        return attempt_unit(folder, self.worker, unit, guard, stage.law, probe=task.kind != "run")


@dataclass
class Member:
    """One actor of the pool and what was sent to it; the first of `sent` is what it works on."""

    actor: Any
    ready: Any
    node: str = ""
    sent: deque[tuple[Any, Task]] = field(default_factory=deque)
    since: float = 0.0


def start_ray(address: str | None, workers: int) -> None:
    """Connect to a cluster, or start a local Ray with as many CPUs as workers.

    Raises:
        JqlError: if the cluster does not answer.
    """
    import ray

    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    # Ray's own log to the driver would tear the progress bar; worker output lies in the session's log folder.
    options: dict[str, Any] = {"log_to_driver": False, "include_dashboard": False, "logging_level": "warning"}
    try:
        if address:
            options.pop("include_dashboard")
            ray.init(address=address, **options)
        else:
            ray.init(num_cpus=workers, _temp_dir=os.environ.get("RAY_TMPDIR"), **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise JqlError(f"ray.address={address!r}: no Ray cluster answers ({one_line(error)}); start one or leave it out") from error


class Pool:
    """Actors for the stages of one run; made as the cluster has room, replaced when they die."""

    def __init__(self, size: int) -> None:
        """`size`: most actors at a time."""
        self.size = size
        self.members: list[Member] = []
        self._failed_starts = 0

    def execute(
        self, stage: Stage, folder: str, plan: Plan, ledger: Ledger, report: Callable[[Outcome], None], document_s: float
    ) -> None:
        """Run the ledger's units; returns when it is complete.

        Raises:
            OutputError: an actor cannot write; the run must stop.
        """
        import ray

        stage_ref = ray.put(stage)
        key = f"{folder}:{os.getpid()}"
        limit_s = max(600.0, 60 * document_s)
        seconds: deque[float] = deque(maxlen=101)
        wanted = min(self.size, len(ledger._order))
        while not ledger.complete:
            self._grow(stage, wanted)
            for member in self.members:
                self._feed(member, ledger, plan, (key, stage_ref, folder, document_s), seconds)
            refs = [member.sent[0][0] for member in self.members if member.sent]
            refs += [member.ready for member in self.members if not member.node]
            done, _ = ray.wait(refs, num_returns=1, timeout=1.0) if refs else ([], [])
            for member in list(self.members):
                if not member.node and member.ready in done:
                    self._welcome(member)
                elif member.sent and member.sent[0][0] in done:
                    self._collect(member, ledger, report, seconds, document_s)
                elif member.sent and time.monotonic() - member.since > limit_s:
                    self._bury(member, ledger, timed_out=True)

    def _grow(self, stage: Stage, wanted: int) -> None:
        import ray

        while len(self.members) < wanted:
            remote = ray.remote(UnitActor).options(
                num_cpus=stage.cpus, num_gpus=stage.gpus, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
            )
            actor = remote.remote()
            self.members.append(Member(actor, actor.ready.remote()))

    def _welcome(self, member: Member) -> None:
        import ray

        try:
            member.node = ray.get(member.ready)
            self._failed_starts = 0
        except ray.exceptions.RayError as error:
            self.members.remove(member)
            self._failed_starts += 1
            if self._failed_starts >= MAX_START_FAILURES:
                raise JqlError(f"{MAX_START_FAILURES} Ray actors in a row did not start: {one_line(error)}") from error

    def _feed(
        self, member: Member, ledger: Ledger, plan: Plan, call: tuple[str, Any, str, float], seconds: deque[float]
    ) -> None:
        key, stage_ref, folder, document_s = call
        while member.node and len(member.sent) < QUEUE and not (member.sent and member.sent[0][1].alone):
            task = ledger.next(idle=not member.sent)
            if task is None and not member.sent:
                task = self._straggler(ledger, seconds)
            if task is None:
                return
            if not member.sent:
                member.since = time.monotonic()
            ref = member.actor.run.remote(key, stage_ref, folder, plan.unit(task.unit), task, document_s)
            member.sent.append((ref, task))

    def _straggler(self, ledger: Ledger, seconds: deque[float]) -> Task | None:
        """A second attempt at what has run longest, if that is far beyond what the stage's units take."""
        usual = sorted(seconds)[len(seconds) // 2] if seconds else MIN_STRAGGLER_S
        slow = max(MIN_STRAGGLER_S, STRAGGLER * usual)
        busy = sorted((m for m in self.members if m.sent), key=lambda m: m.since)
        for member in busy:
            if time.monotonic() - member.since < slow:
                return None
            for _, task in member.sent:
                if again := ledger.again(task):
                    return again
        return None

    def _collect(
        self,
        member: Member,
        ledger: Ledger,
        report: Callable[[Outcome], None],
        seconds: deque[float],
        document_s: float,
    ) -> None:
        import ray

        ref, task = member.sent[0]
        try:
            outcome = ray.get(ref)
        except ray.exceptions.RayError as error:
            lost = isinstance(error, (ray.exceptions.NodeDiedError, ray.exceptions.OwnerDiedError))
            alive = {n["NodeID"] for n in ray.nodes() if n["Alive"]}
            elapsed = time.monotonic() - member.since
            self._bury(member, ledger, timed_out=elapsed >= HARD * document_s, blame=not lost and member.node in alive)
            return
        now = time.monotonic()
        seconds.append(now - member.since)
        member.since = now
        member.sent.popleft()
        ledger.finished(task, outcome)
        report(outcome)
        if outcome.status == "fatal":
            raise OutputError(outcome.error)

    def _bury(self, member: Member, ledger: Ledger, timed_out: bool, blame: bool = True) -> None:
        """Take a dead or stuck actor out; only the task it worked on can be to blame."""
        import ray

        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(member.actor)
        self.members.remove(member)
        for position, (_, task) in enumerate(member.sent):
            ledger.died(task, timed_out, blame=blame and position == 0)

    def close(self) -> None:
        """End the actors."""
        import ray

        for member in self.members:
            with contextlib.suppress(Exception):
                ray.kill(member.actor)
        self.members.clear()
