"""The state machine of plan, attempt and receipt (docs/engine.md), driven by Hypothesis on a real stage folder.

Workers take tasks, write, stall for any time, commit, report, fail and die between any two of these; drivers come and
go. A death is a worker that is never heard of again: what it had written stays on the disk, as after a kill -9.
"""

import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jql.engine import storage
from jql.engine.attempt import Outcome, attempt_unit, commit, write_output
from jql.engine.fingerprint import Fingerprint
from jql.engine.ledger import MAX_ERRORS, MAX_POISON, MAX_SEARCHES, Ledger, Task
from jql.engine.plan import Unit, open_plan
from jql.engine.receipt import Receipt, committed, read_receipts, receipt_path, verify
from jql.engine.stage import Guard, Output
from jql.errors import DataError

SCHEMA = pa.schema([("unit", pa.int64()), ("row", pa.int64())])
ODD = 3  # every third row is dropped by the worker itself


class Killed(BaseException):
    """Stands for the end of the process: the rest of the attempt does not happen."""


@dataclass
class CountingWorker:
    """Passes rows on, drops every third, and dies of a poison row, half way through what it writes."""

    killers: frozenset[int] = frozenset()
    error: Exception | None = None

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        if self.error:
            raise self.error
        n = unit.payload["rows"]
        output = Output(rows_in=n)
        output.tables[""] = (SCHEMA, self.pieces(unit, guard, output, n))
        return output

    def pieces(self, unit: Unit, guard: Guard, output: Output, n: int) -> Iterator[pa.Table]:
        for row in guard.rows(n):
            if row in guard.poison:
                output.drops[guard.poison[row]] += 1
            elif row in self.killers:
                raise Killed
            elif row % ODD == 0:
                output.drops["odd"] += 1
            else:
                yield pa.table({"unit": [unit.index], "row": [row]}, schema=SCHEMA)


def expected(unit: Unit, killers: frozenset[int]) -> tuple[list[int], dict[str, int]]:
    """The rows and the drops that are right, whatever happened on the way."""
    alive = [r for r in range(unit.payload["rows"]) if r not in killers]
    drops = Counter({"crash": len(killers), "odd": sum(r % ODD == 0 for r in alive)})
    return [r for r in alive if r % ODD], {k: v for k, v in drops.items() if v}


@dataclass
class Hand:
    """What one simulated worker holds: a task; then a receipt that is not committed; then an outcome not reported."""

    driver: int = 0
    task: Task | None = None
    receipt: Receipt | None = None
    outcome: Outcome | None = None

    def drop(self) -> None:
        self.task = self.receipt = self.outcome = None


@dataclass
class Search:
    """Tasks of the search that is under way in a unit, and how many searches there were."""

    tasks: int = 0
    begun: int = 0


HANDS = st.integers(0, 3)


class Engine(RuleBasedStateMachine):
    """Invariants hold after every step; in the end, chaos stops and everything must come to a good end."""

    @initialize(
        units=st.lists(
            st.integers(0, 13).flatmap(
                lambda n: st.tuples(st.just(n), st.sets(st.integers(0, max(n - 1, 0)), max_size=3))
            ),
            min_size=1,
            max_size=3,
        )
    )
    def start(self, units: list[tuple[int, set[int]]]) -> None:
        self.root = tempfile.mkdtemp(prefix="jql-machine-")
        self.killers = {i: frozenset(r for r in k if r < n) for i, (n, k) in enumerate(units)}
        fingerprint = Fingerprint.of(stage="machine", units=len(units))
        made = (Unit(i, f"input-{i}", n, {"rows": n}) for i, (n, _) in enumerate(units))
        self.plan = open_plan(self.root, fingerprint, made)
        self.hands = [Hand() for _ in range(4)]
        self.seen: dict[int, bytes] = {}
        self.garbage: set[str] = set()
        self.driver = 0
        self.begin()

    def begin(self) -> None:
        """A driver starts: all it knows is what is committed."""
        order = self.plan.order()
        self.driver += 1
        self.ledger = Ledger(order[~np.isin(order, committed(self.root))])
        self.searches = {i: Search() for i in range(len(self.plan))}

    # What a worker does ---------------------------------------------------------------------------------------------

    def worker(self, unit: int) -> CountingWorker:
        return CountingWorker(self.killers[unit])

    def give(self, hand: Hand, task: Task | None) -> None:
        if task is not None:
            hand.driver, hand.task = self.driver, task
            if task.kind == "count":
                self.searches[task.unit].tasks = 0
                self.searches[task.unit].begun += 1

    def died(self, hand: Hand, blame: bool) -> None:
        assert hand.task is not None
        if hand.receipt is not None and hand.outcome is None:
            self.garbage |= {file.path for file in hand.receipt.files.values()}
        if hand.driver == self.driver:
            self.heard(hand.task, blame)
            self.ledger.died(hand.task, timed_out=False, blame=blame)
        hand.drop()

    def reported(self, hand: Hand, outcome: Outcome) -> None:
        assert hand.task is not None
        if hand.driver == self.driver:
            self.heard(hand.task, True)
            self.ledger.finished(hand.task, outcome)
        hand.drop()

    def heard(self, task: Task, counts: bool) -> None:
        """Bisection takes one count, at most log2(rows) probes, one confirmation."""
        if task.kind != "run" and counts:
            search = self.searches[task.unit]
            search.tasks += 1
            rows = self.plan.unit(task.unit).payload["rows"]
            assert search.tasks <= 2 + math.ceil(math.log2(max(rows, 1)))
            assert search.begun <= len(self.killers[task.unit]) + MAX_SEARCHES + MAX_ERRORS

    def work(self, hand: Hand) -> None:
        """Do a probe, or write a run's data and keep the receipt in hand."""
        task = hand.task
        assert task is not None
        unit, guard = self.plan.unit(task.unit), Guard(task.poison, task.start, task.stop)
        try:
            if task.kind != "run":
                self.reported(hand, attempt_unit(self.root, self.worker(task.unit), unit, guard, "filter", probe=True))
            else:
                output = self.worker(task.unit)(unit, guard)
                hand.receipt = write_output(self.root, unit, f"a{task.id}d{hand.driver}", output, "filter", 0.0)
        except Killed:
            self.died(hand, blame=True)

    def commit(self, hand: Hand) -> None:
        assert hand.task is not None and hand.receipt is not None
        unit = self.plan.unit(hand.task.unit)
        there = storage.exists(receipt_path(self.root, unit.name))
        first = commit(self.root, unit, hand.receipt)
        assert first != there
        hand.outcome = Outcome(unit.index, "committed" if first else "late", hand.receipt.rows_in)

    def advance(self, hand: Hand) -> None:
        """The next thing this worker does if nothing goes wrong."""
        if hand.task is None:
            self.give(hand, self.ledger.next())
        elif hand.outcome is not None:
            self.reported(hand, hand.outcome)
        elif hand.receipt is not None:
            self.commit(hand)
        else:
            self.work(hand)

    # Steps ----------------------------------------------------------------------------------------------------------

    @rule(at=HANDS, steps=st.integers(1, 4))
    def goes_on(self, at: int, steps: int) -> None:
        for _ in range(steps):
            self.advance(self.hands[at])

    @rule(at=HANDS)
    def whole_attempt(self, at: int) -> None:
        """The path that Ray's actors and the inline backend take."""
        hand = self.hands[at]
        if hand.task is None:
            self.give(hand, self.ledger.next())
        if (task := hand.task) is None or hand.receipt is not None:
            return
        guard = Guard(task.poison, task.start, task.stop)
        unit = self.plan.unit(task.unit)
        try:
            outcome = attempt_unit(self.root, self.worker(task.unit), unit, guard, "filter", task.kind != "run")
        except Killed:
            self.died(hand, blame=True)
        else:
            assert outcome.status in ("committed", "late", "survived"), outcome
            self.reported(hand, outcome)

    @rule(at=HANDS, of=HANDS)
    def second_attempt(self, at: int, of: int) -> None:
        hand, slow = self.hands[at], self.hands[of]
        if hand.task is None and slow.task is not None and slow.driver == self.driver:
            self.give(hand, self.ledger.again(slow.task))

    @rule(at=HANDS, by=HANDS)
    def is_overtaken(self, at: int, by: int) -> None:
        """A worker stalls between its data and its receipt, and a second attempt goes all the way."""
        slow, fast = self.hands[at], self.hands[by]
        for _ in range(3):
            if slow.receipt is None:
                self.advance(slow)
        if fast.task is None and slow.driver == self.driver and slow.receipt is not None and slow.task is not None:
            self.give(fast, self.ledger.again(slow.task))
            while fast.task is not None:
                self.advance(fast)

    @rule(at=HANDS, node=st.booleans())
    def dies(self, at: int, node: bool) -> None:
        """At any point; but a chance kill of a confirmation cannot be told from a row that kills, so there is none."""
        hand = self.hands[at]
        if hand.task is not None:
            self.died(hand, blame=not node and hand.task.kind != "confirm")

    @rule(at=HANDS, readable=st.booleans())
    def fails(self, at: int, readable: bool) -> None:
        hand = self.hands[at]
        if hand.task is not None and hand.receipt is None:
            error = RuntimeError("a hiccup") if readable else DataError("input: not readable")
            unit, probe = self.plan.unit(hand.task.unit), hand.task.kind != "run"
            outcome = attempt_unit(self.root, CountingWorker(error=error), unit, Guard(), "filter", probe)
            assert outcome.status == ("failed" if readable else "unreadable")
            self.reported(hand, outcome)

    @precondition(lambda self: self.driver < 4)
    @rule(all_die=st.booleans())
    def driver_restarts(self, all_die: bool) -> None:
        """Workers of the old driver may live on for any time; nobody listens to them."""
        self.begin()
        for hand in self.hands:
            if hand.task is not None and all_die:
                self.died(hand, blame=False)

    # What always holds ----------------------------------------------------------------------------------------------

    @invariant()
    def receipts_are_right_and_never_change(self) -> None:
        if not hasattr(self, "plan"):
            return
        now = {i: storage.read_bytes(receipt_path(self.root, self.plan.unit(i).name)) for i in committed(self.root)}
        assert {i: now.get(i) for i in self.seen} == self.seen
        self.seen = now
        for receipt in read_receipts(self.root):
            verify(self.root, receipt)
            rows, drops = expected(self.plan.unit(receipt.unit), self.killers[receipt.unit])
            table = storage.read_table(storage.join(self.root, receipt.files[""].path))
            assert table.column("row").to_pylist() == rows
            assert set(table.column("unit").to_pylist()) <= {receipt.unit}
            assert receipt.drops == drops
            assert receipt.rows_in == receipt.accepted + sum(drops.values())

    @invariant()
    def no_other_data_than_committed_in_hand_or_of_the_dead(self) -> None:
        if not hasattr(self, "plan"):
            return
        allowed = {r.files[""].path for r in read_receipts(self.root)} | self.garbage
        allowed |= {h.receipt.files[""].path for h in self.hands if h.receipt is not None and h.outcome is None}
        assert {f"data/{name}" for name in storage.find(storage.join(self.root, "data"))} == allowed
        assert not list(Path(self.root).rglob(".tmp-*"))

    @invariant()
    def at_most_two_attempts_at_a_unit(self) -> None:
        if hasattr(self, "plan"):
            assert max(Counter(t.unit for t in self.ledger.running.values()).values(), default=0) <= 2

    # The end --------------------------------------------------------------------------------------------------------

    def drive(self) -> None:
        for _ in range(3_000):
            if self.ledger.complete:
                return
            for hand in self.hands:
                self.advance(hand)
        raise AssertionError(f"no end: {self.ledger.running}")

    def teardown(self) -> None:
        if not hasattr(self, "plan"):
            return
        try:
            units = set(range(len(self.plan)))
            self.drive()
            assert set(committed(self.root)) | set(self.ledger.quarantined) == units
            self.begin()  # the same command again
            self.drive()
            assert not self.ledger.quarantined
            assert set(committed(self.root)) == units
            for hand in self.hands:  # who sleeps wakes up, after all is done
                while hand.task is not None:
                    self.advance(hand)
            self.receipts_are_right_and_never_change()
            self.no_other_data_than_committed_in_hand_or_of_the_dead()
        finally:
            shutil.rmtree(self.root)


Engine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestEngine = Engine.TestCase


# The ledger by itself ----------------------------------------------------------------------------------------------


def simulate(rows: int, killers: set[int], units: int = 1) -> tuple[Ledger, Counter[str], dict[int, str]]:
    """Drive a ledger without files; what it asked for, by kind, and the poison of the last run."""
    ledger, kinds, poison = Ledger(np.arange(units), "extract_crash"), Counter[str](), dict[int, str]()
    while task := ledger.next():
        kinds[task.kind] += 1
        touched = set(range(rows) if task.kind == "run" else range(task.start, task.stop or 0)) - task.poison.keys()
        if touched & killers:
            ledger.died(task, timed_out=False)
        elif task.kind == "run":
            poison = task.poison
            ledger.finished(task, Outcome(task.unit, "committed", rows))
        else:
            ledger.finished(task, Outcome(task.unit, "survived", rows))
    return ledger, kinds, poison


@pytest.mark.parametrize("row", [0, 1, 511, 512, 998, 999])
def test_bisection_finds_one_row_of_a_thousand_in_ten_probes(row: int) -> None:
    ledger, kinds, poison = simulate(1000, {row})
    assert ledger.complete and not ledger.quarantined
    assert poison == {row: "extract_crash"}
    assert kinds["probe"] in (9, 10) and kinds["count"] == kinds["confirm"] == 1 and kinds["run"] == 3


def test_a_unit_with_too_many_killing_rows_is_quarantined() -> None:
    assert not simulate(MAX_POISON + 30, set(range(MAX_POISON)))[0].quarantined
    assert "more than 50 rows" in simulate(MAX_POISON + 30, set(range(MAX_POISON + 1)))[0].quarantined[0]


def test_deaths_that_no_row_explains_end_in_quarantine() -> None:
    ledger = Ledger(np.arange(1))
    while task := ledger.next():
        if task.kind == "run":
            ledger.died(task, timed_out=False)
        else:
            ledger.finished(task, Outcome(0, "survived", 8))
    assert "no single row explains it" in ledger.quarantined[0]


def test_a_hanging_row_is_a_timeout() -> None:
    ledger = Ledger(np.arange(1))
    while (task := ledger.next()) and not task.poison:
        if task.kind == "count":
            ledger.finished(task, Outcome(0, "survived", 1))
        else:
            ledger.died(task, timed_out=True)
    assert task is not None and task.poison == {0: "timeout"} and task.alone


def test_a_lost_node_is_never_the_units_fault() -> None:
    ledger = Ledger(np.arange(1))
    for _ in range(100):
        task = ledger.next()
        assert task is not None and task.kind == "run" and not task.alone
        ledger.died(task, timed_out=False, blame=False)


def test_what_must_run_alone_waits_for_an_idle_worker() -> None:
    ledger = Ledger(np.arange(3))
    for _ in range(2):
        task = ledger.next()
        while task is not None and task.unit != 0:
            task = ledger.next()
        assert task is not None
        ledger.died(task, timed_out=False)
    rest = [ledger.next(idle=False), ledger.next(idle=False)]
    assert [t.unit for t in rest if t] in ([1, 2], []) and ledger.next(idle=False) is None
    count = ledger.next(idle=True)
    assert count is not None and count.kind == "count" and count.alone


@pytest.mark.parametrize("how", ["dies", "fails", "node lost"])
def test_a_mishap_beside_a_second_attempt_starts_no_third(how: str) -> None:
    ledger = Ledger(np.arange(1))
    first = ledger.next()
    assert first is not None
    second = ledger.again(first)
    assert second is not None and ledger.again(first) is None
    if how == "fails":
        ledger.finished(second, Outcome(0, "failed", error="a hiccup"))
    else:
        ledger.died(second, timed_out=False, blame=how == "dies")
    assert ledger.next() is None and not ledger.complete
    assert ledger.again(first) is not None
    ledger.finished(first, Outcome(0, "committed", 1))
    assert ledger.complete
