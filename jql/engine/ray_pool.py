"""The Ray backend: a pool of actors that load a stage's worker once and work through its units.

Nothing of value lives in Ray: an actor, a node, or the whole cluster may go at any time; the plan and the receipts are
files. Actors are never restarted by Ray (max_restarts=0), so that every death reaches the ledger.
"""

import contextlib
import os
import socket
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jql.engine.attempt import Outcome, attempt_unit
from jql.engine.ledger import Ledger, Task
from jql.engine.plan import Plan, Unit
from jql.engine.preflight import alive_nodes, cause_of, check_room
from jql.engine.stage import Guard, Stage, Worker
from jql.errors import JqlError, StopError, one_line

if TYPE_CHECKING:  # every actor imports this module, and need not wait for pydantic
    from jql.recipe import Engine

HARD = 3.0  # the process is ended after this many times document_s; Python code was asked to stop after one
QUEUE = 2  # units at an actor where units are short: one runs and one waits, so that no actor idles for a round trip
LOOK_S = 5.0  # how often a pool that takes what there is asks whether the cluster has grown
SHORT_S = 1.0  # longer units do not queue: one that waits behind a long unit would keep another actor idle at the end
STRAGGLER = 3.0  # a unit that takes this many times the median of its stage gets a second attempt when an actor is free
MIN_STRAGGLER_S = 30.0
STUCK = 20.0  # a unit that takes this many times the median, and STUCK_S at least, costs its actor the life
STUCK_S = 3600.0  # a Common Crawl file takes half an hour; hanging documents are ended much earlier, by the guard
MAX_START_FAILURES = 5


@dataclass(frozen=True)
class Job:
    """What an actor must know of a stage: it, its folder in the run, and the driver's working folder."""

    stage: Stage
    folder: str
    document_s: float
    cwd: str


class UnitActor:
    """Lives on a node, keeps the worker of the stage it was last prepared for."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.worker: Worker | None = None

    def prepare(self, job: Job) -> tuple[str, str]:
        """Build the stage's worker; the node this actor lives on, and why the worker cannot be built, else nothing."""
        import ray

        node = str(ray.get_runtime_context().get_node_id())
        if self.job is None or self.job.folder != job.folder:
            self.worker, self.job = None, None
            with contextlib.suppress(OSError):  # a node without that folder still serves absolute paths
                os.chdir(job.cwd)
            if not job.stage.gpus:  # tokenizers would take all cores of the node, for each of its workers
                os.environ.setdefault("RAYON_NUM_THREADS", str(max(1, round(job.stage.cpus))))
            try:
                self.worker = job.stage.factory(**job.stage.settings)
            except JqlError as error:
                return node, one_line(error)
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                return node, f"{type(error).__name__}: {one_line(error)} ({where.filename}:{where.lineno})"
            self.job = job
        return node, ""

    def run(self, unit: Unit, task: Task) -> Outcome:
        """One attempt."""
        assert self.job is not None and self.worker is not None, "prepare comes first"
        soft = self.job.document_s
        guard = Guard(task.poison, task.start, task.stop, soft_s=soft, hard_s=HARD * soft)
        return attempt_unit(self.job.folder, self.worker, unit, guard, self.job.stage.law, probe=task.kind != "run")


@dataclass(eq=False)
class Member:
    """One actor of the pool and what was sent to it; the first of `sent` is what it works on."""

    actor: Any
    ready: Any
    node: str = ""
    sent: deque[tuple[Any, Task]] = field(default_factory=deque)
    since: float = 0.0


def start_ray(address: str | None, workers: int | None) -> None:
    """Connect to the cluster at `address`, else at RAY_ADDRESS (as in a Ray job), else start a Ray here.

    Raises:
        JqlError: if the cluster does not answer.
    """
    import ray

    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    # Ray's own log to the driver would tear the progress bar; worker output lies in the session's log folder.
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "warning"}
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        if address:
            host, colon, port = address.rpartition(":")
            if colon and port.isdigit() and "://" not in address:
                # Where nobody listens, Ray would end this process from C++ after a minute.
                socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
            ray.init(address=address, **options)
        else:
            # "local": without it Ray would look for a cluster on this machine, and refuse num_cpus if there is one.
            temporary = os.environ.get("RAY_TMPDIR")
            ray.init(address="local", num_cpus=workers, include_dashboard=False, _temp_dir=temporary, **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise JqlError(
            f"engine.address={address!r}: no Ray cluster answers ({one_line(error)}); start one, or leave "
            "the address out for a Ray on this machine"
        ) from error


def cluster_gpus(engine: "Engine") -> float:
    """GPUs of the cluster that stages run on; 0 for the inline backend, whose workers find a GPU by themselves.

    Raises:
        JqlError: if the cluster does not answer.
    """
    if engine.backend == "inline":
        return 0.0
    import ray

    start_ray(engine.address, engine.workers)
    return float(ray.cluster_resources().get("GPU", 0.0))  # type: ignore[no-untyped-call]


class Pool:
    """Actors for the stages of one run; made as the cluster has room, replaced when they die."""

    def __init__(self, size: int | None, straggler_s: float = MIN_STRAGGLER_S) -> None:
        """`size`: most actors at a time, None for all that the cluster has room for, also when it grows.

        `straggler_s`: a younger attempt gets no second one beside it.
        """
        self.size = size
        self.straggler_s = straggler_s
        self.members: list[Member] = []
        self._resources = (0.0, 0.0)
        self._seconds: deque[float] = deque(maxlen=101)
        self._failed_starts = 0
        self._room, self._looked = 1, 0.0

    def execute(
        self,
        stage: Stage,
        folder: str,
        plan: Plan,
        ledger: Ledger,
        report: Callable[[Outcome], None],
        document_s: float,
    ) -> None:
        """Run the ledger's units; returns when it is complete.

        Raises:
            JqlError: the stage's worker cannot be built, or no actor starts; StopError: no unit can go on.
        """
        import ray

        check_room(stage.cpus, stage.gpus)
        if self._resources != (stage.cpus, stage.gpus):
            self.close()
            self._resources = (stage.cpus, stage.gpus)
        self._seconds.clear()
        job = ray.put(Job(stage, folder, document_s, os.getcwd()))
        for member in self.members:
            member.node, member.ready = "", member.actor.prepare.remote(job)
        self._looked = 0.0
        while not ledger.complete:
            self._grow(
                job, min(self.size or self._cluster_room(), len(ledger) + 1)
            )  # one to spare, for a second attempt
            usual = self._usual()
            for member in self.members:
                self._feed(member, ledger, plan, usual, stage.again)
            refs = [m.sent[0][0] if m.sent else m.ready for m in self.members if m.sent or not m.node]
            done = set(ray.wait(refs, num_returns=1, timeout=1.0)[0]) if refs else set()
            for member in list(self.members):
                self._attend(member, done, stage, ledger, report, document_s)
        # What still runs has lost its race; the next stage's ledger must not hear of it.
        for member in [m for m in self.members if m.sent]:
            self._end(member)

    def _attend(
        self,
        member: Member,
        done: set[Any],
        stage: Stage,
        ledger: Ledger,
        report: Callable[[Outcome], None],
        document_s: float,
    ) -> None:
        """What a member has sent back, if anything; one that has been stuck for hours is ended."""
        if not member.node:
            if member.ready in done:
                self._welcome(member, stage)
        elif member.sent and member.sent[0][0] in done:
            self._collect(member, ledger, report, document_s)
        elif member.sent and time.monotonic() - member.since > max(STUCK_S, STUCK * (self._usual() or STUCK_S)):
            self._bury(member, ledger, timed_out=True)

    def _usual(self) -> float | None:
        """Median seconds of the stage's last units, None before the first."""
        return sorted(self._seconds)[len(self._seconds) // 2] if self._seconds else None

    def _cluster_room(self) -> int:
        """How many actors the cluster's nodes can hold, asked every few seconds; at least one."""
        import ray

        if time.monotonic() - self._looked > LOOK_S:
            total = ray.cluster_resources()  # type: ignore[no-untyped-call]
            needs = zip(("CPU", "GPU"), self._resources, strict=True)
            self._room = max(1, min(int(total.get(name, 0) / need) for name, need in needs if need))
            self._looked = time.monotonic()
        return self._room

    def _grow(self, job: Any, wanted: int) -> None:
        import ray

        cpus, gpus = self._resources
        while len(self.members) < wanted:
            remote = ray.remote(UnitActor).options(
                num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
            )
            actor: Any = remote.remote()
            self.members.append(Member(actor, actor.prepare.remote(job)))

    def _welcome(self, member: Member, stage: Stage) -> None:
        import ray

        try:
            node, problem = ray.get(member.ready)
        except ray.exceptions.RayTaskError as error:
            raise JqlError(f"{stage.name}: its worker cannot be sent to a node ({cause_of(error)})") from error
        except ray.exceptions.RayError as error:
            self.members.remove(member)
            self._failed_starts += 1
            if self._failed_starts >= MAX_START_FAILURES:
                raise JqlError(
                    f"{stage.name}: {MAX_START_FAILURES} Ray actors in a row died at the start: {one_line(error)}"
                ) from error
            return
        if problem:
            raise JqlError(f"{stage.name}: {problem}")
        member.node = node
        self._failed_starts = 0

    def _feed(self, member: Member, ledger: Ledger, plan: Plan, usual: float | None, again: bool) -> None:
        depth = QUEUE if usual is not None and usual < SHORT_S else 1
        while member.node and len(member.sent) < depth and not (member.sent and member.sent[0][1].alone):
            task = ledger.next(idle=not member.sent)
            if task is None and not member.sent and again:
                task = self._straggler(ledger, usual)
            if task is None:
                return
            if not member.sent:
                member.since = time.monotonic()
            member.sent.append((member.actor.run.remote(plan.unit(task.unit), task), task))

    def _straggler(self, ledger: Ledger, usual: float | None) -> Task | None:
        """A second attempt at what has run longest, if that is far beyond what the stage's units take."""
        slow = max(self.straggler_s, STRAGGLER * (usual or 0.0))
        for member in sorted((m for m in self.members if m.sent), key=lambda m: m.since):
            if time.monotonic() - member.since < slow:
                return None
            for _, task in member.sent:
                if again := ledger.again(task):
                    return again
        return None

    def _collect(self, member: Member, ledger: Ledger, report: Callable[[Outcome], None], document_s: float) -> None:
        import ray

        ref, task = member.sent[0]
        now = time.monotonic()
        try:
            outcome = ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            outcome = Outcome(task.unit, "failed", error=cause_of(error), trace=str(error))
        except ray.exceptions.RayError as error:
            lost = isinstance(error, (ray.exceptions.NodeDiedError, ray.exceptions.OwnerDiedError))
            alive = {n["NodeID"] for n in alive_nodes()}
            timed_out = now - member.since >= HARD * document_s
            self._bury(member, ledger, timed_out, blame=not lost and member.node in alive)
            return
        self._seconds.append(now - member.since)
        member.since = now
        member.sent.popleft()
        ledger.finished(task, outcome)
        report(outcome)
        if outcome.status == "fatal":
            raise StopError(outcome.error)

    def _bury(self, member: Member, ledger: Ledger, timed_out: bool, blame: bool = True) -> None:
        """Take a dead or stuck actor out; only the task it worked on can be to blame."""
        self._end(member)
        for position, (_, task) in enumerate(member.sent):
            ledger.died(task, timed_out, blame=blame and position == 0)

    def _end(self, member: Member) -> None:
        import ray

        with contextlib.suppress(Exception):
            ray.kill(member.actor)
        self.members.remove(member)

    def close(self) -> None:
        """End the actors."""
        for member in list(self.members):
            self._end(member)
