"""The Ray backend on a real Ray: what comes out is what inline makes, whatever happens to processes and documents."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stages
from conftest import table_bytes

from jql.engine.attempt import Outcome
from jql.engine.ledger import Ledger
from jql.engine.plan import Plan, Unit
from jql.engine.ray_pool import Pool
from jql.engine.receipt import Receipt, read_receipts
from jql.engine.run import Run, StageRun
from jql.engine.storage import read_table
from jql.errors import IncompleteError, JqlError
from jql.recipe import Engine

PLAIN = [{"rows": 5}, {"rows": 0}, {"rows": 7}, {"rows": 1}, {"rows": 4}, {"rows": 6}]


@pytest.fixture(autouse=True, scope="module")
def _stages_travel(ray_address: str) -> None:
    """Ray's workers do not have this folder in their path; the test's stages go to them as code."""
    from ray import cloudpickle

    register: Any = cloudpickle.register_pickle_by_value
    register(stages)


def run_units(
    folder: Path, units: list[Unit], address: str | None, document_s: float = 10.0, **engine: Any
) -> StageRun:
    """Run the square stage over the units, inline where there is no address."""
    folder.mkdir()
    backend: Any = "ray" if address else "inline"
    with Run(str(folder), Engine(backend=backend, address=address, **engine)) as run:
        return run.run(stages.square_stage(folder, document_s), lambda: units)


def ids(stage: StageRun) -> list[int]:
    """Ids in the committed tables, in order."""
    return [i for table in stage.tables() for i in table.column("id").to_pylist()]


def wait_for(path: Path, seconds: float = 60) -> str:
    """The text of a file that another process is about to write."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)
    return path.read_text()


class Meddler(threading.Thread):
    """Does something to the pool's processes while it works; `finish` raises what went wrong there."""

    def __init__(self, action: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.action = action
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.action()
        except BaseException as error:
            self.error = error

    def finish(self) -> None:
        """Wait for the end."""
        self.join(60)
        if self.error is not None:
            raise self.error


def test_tables_are_those_of_inline_and_the_same_run_again_does_nothing_twice(tmp_path: Path, ray_address: str) -> None:
    run_units(tmp_path / "inline", stages.units(*PLAIN), None)
    first = run_units(tmp_path / "ray", stages.units(*PLAIN), ray_address, workers=3)
    assert table_bytes(tmp_path / "ray") == table_bytes(tmp_path / "inline") != {}
    before = {r.unit: r.attempt for r in first.receipts()}
    with Run(str(tmp_path / "ray"), Engine(address=ray_address)) as run:
        again = run.run(stages.square_stage(tmp_path / "ray"), lambda: stages.units(*PLAIN))
    assert again.before == len(PLAIN)
    assert {r.unit: r.attempt for r in again.receipts()} == before


@pytest.mark.parametrize("queued", [False, True])
def test_killed_worker(tmp_path: Path, ray_address: str, queued: bool) -> None:
    """Also when other units wait at the actor that dies: they are not lost, and not to blame."""
    stalled = [{**p, "stall": 2} if i == (4 if queued else 0) else p for i, p in enumerate(PLAIN)]
    run_units(tmp_path / "inline", stages.units(*PLAIN), None)
    index = 4 if queued else 0
    folder = tmp_path / "ray"
    meddler = Meddler(lambda: os.kill(int(wait_for(folder / f"stall-{index}")), signal.SIGKILL))
    stage = run_units(folder, stages.units(*stalled), ray_address, workers=1 if queued else 2)
    meddler.finish()
    assert table_bytes(folder) == table_bytes(tmp_path / "inline")
    assert all(r.drops == {} for r in stage.receipts())


def test_poison_documents(tmp_path: Path, ray_address: str) -> None:
    """Each is dropped with its reason, the rest of its unit survives; the unit that dies on open is named."""
    units = stages.units(
        {"rows": 2, "bad": {"1": "hang_c"}},
        {"rows": 4, "bad": {"2": "exit"}},
        {"rows": 2, "bad": {"0": "segfault"}},
        {"rows": 3, "bad": {"1": "hang_python"}},
        {"rows": 4, "open": "kill"},
        {"rows": 4},
    )
    with pytest.raises(
        IncompleteError, match=r"1 of 6 units are missing: .*unit 4: the process dies when the input is opened"
    ):
        run_units(tmp_path / "run", units, ray_address, document_s=0.6, workers=3)
    stage_folder = next((tmp_path / "run" / "square").iterdir())
    receipts = {r.unit: r for r in read_receipts(str(stage_folder))}
    assert {u: r.drops for u, r in receipts.items()} == {
        0: {"timeout": 1},
        1: {"square_crash": 1},
        2: {"square_crash": 1},
        3: {"timeout": 1},
        5: {},
    }
    assert {u: _ids(stage_folder, r) for u, r in receipts.items()} == {
        0: [0],
        1: [1000, 1001, 1003],
        2: [2001],
        3: [3000, 3002],
        5: [5000, 5001, 5002, 5003],
    }
    assert [p.name for p in (stage_folder / "quarantine").rglob("*.json")] == ["004.json"]


def _ids(folder: Path, receipt: Receipt) -> list[int]:
    found: list[int] = read_table(str(folder / receipt.files[""].path)).column("id").to_pylist()
    return found


def test_a_hang_in_python_costs_no_process(tmp_path: Path, ray_address: str) -> None:
    units = stages.units({"rows": 3, "bad": {"1": "hang_python"}})
    stage = run_units(tmp_path / "run", units, ray_address, document_s=1.0, workers=1)
    assert ids(stage) == [0, 2]
    assert '"status": "failed"' not in (tmp_path / "run" / "run.log").read_text()
    calls = (tmp_path / "run" / "calls-0").read_text()
    assert calls == "x", "the document was stopped after 1 s, not with its process after 3 s"


def test_tolerated_quarantine(tmp_path: Path, ray_address: str) -> None:
    units = stages.units({"rows": 2, "open": "kill"}, {"rows": 2})
    stage = run_units(tmp_path / "run", units, ray_address, tolerate_missing=0.5)
    assert list(stage.quarantined) == [0]
    assert ids(stage) == [1000, 1001]


def test_stopped_worker_wakes_up_late(tmp_path: Path, ray_address: str) -> None:
    """Another attempt commits while the first is stopped; when it goes on, it finds the receipt, removes its data."""
    payloads = [{"rows": 5, "stall": 2}, {"rows": 3, "stall": 1, "every": True}]
    run_units(tmp_path / "inline", stages.units(*({"rows": p["rows"]} for p in payloads)), None)
    run = tmp_path / "ray"
    run.mkdir()
    plan = Plan.build(stages.units(*payloads))
    outcomes: list[Outcome] = []

    def stop_and_continue() -> None:
        pid = int(wait_for(run / "stall-0"))
        os.kill(pid, signal.SIGSTOP)
        wait_for(run / "stage" / "receipts" / "00000" / "000.json")
        (run / "go-0").touch()
        os.kill(pid, signal.SIGCONT)

    def report(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if outcome.status == "late":
            (run / "go-1").touch()  # only now may the stage end

    meddler = Meddler(stop_and_continue)
    pool = Pool(3, straggler_s=0.5)
    try:
        pool.execute(stages.square_stage(run), str(run / "stage"), plan, Ledger(plan.order()), report, 10.0)
    finally:
        pool.close()
    meddler.finish()
    assert [(o.unit, o.status) for o in outcomes[:2]] == [(0, "committed"), (0, "late")]
    data = sorted(p.name.partition("-")[0] for p in (run / "stage" / "data").rglob("*.parquet"))
    assert data[0] == "000" and data.count("000") == 1
    expected = {name.split("/", 2)[-1]: digest for name, digest in table_bytes(tmp_path / "inline").items()}
    assert {name.split("/", 1)[-1]: digest for name, digest in table_bytes(run).items()} == expected


def test_a_lost_race_does_not_reach_the_next_stage(tmp_path: Path, ray_address: str) -> None:
    """An attempt that is still stopped when its stage ends is ended with it; the pool goes on."""
    units = stages.units({"rows": 3, "stall": 1}, {"rows": 2})
    plan = Plan.build(units)
    pool = Pool(2, straggler_s=0.5)
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        pool.execute(
            stages.square_stage(folder), str(folder / "stage"), plan, Ledger(plan.order()), lambda outcome: None, 10.0
        )
        assert not any(member.sent for member in pool.members)
        assert [r.rows_out for r in read_receipts(str(folder / "stage"))] == [3, 2]
    pool.close()


def test_worker_that_cannot_be_built(tmp_path: Path, ray_address: str) -> None:
    with Run(str(tmp_path), Engine(address=ray_address)) as run:
        with pytest.raises(JqlError, match=r"square: .*: there are no weights; fetch them first$"):
            run.run(stages.square_stage(tmp_path, factory=stages.unbuildable), lambda: stages.units({"rows": 1}))
        with pytest.raises(JqlError, match=r"square: TypeError: .*no_such_argument.*stages\.py:\d+\)$"):
            run.run(stages.square_stage(tmp_path, factory=stages.broken), lambda: stages.units({"rows": 1}))


def test_no_room_for_a_worker(tmp_path: Path, ray_address: str) -> None:
    from dataclasses import replace

    stage = replace(stages.square_stage(tmp_path), gpus=64.0)
    with (
        Run(str(tmp_path), Engine(address=ray_address)) as run,
        pytest.raises(JqlError, match=r"no Ray node has room .*64 GPU"),
    ):
        run.run(stage, lambda: stages.units({"rows": 1}))


def test_work_that_is_paid_for_gets_no_second_attempt(tmp_path: Path, ray_address: str) -> None:
    """A slow unit of a stage with again=False is left to its first attempt, however long it takes."""
    from dataclasses import replace

    plan = Plan.build(stages.units({"rows": 3, "stall": 1, "every": True}, {"rows": 2}))
    outcomes: list[Outcome] = []

    def go() -> None:
        wait_for(tmp_path / "stall-0")
        time.sleep(1.5)  # a second attempt would come after half a second
        (tmp_path / "go-0").touch()

    meddler = Meddler(go)
    pool = Pool(2, straggler_s=0.5)
    try:
        stage = replace(stages.square_stage(tmp_path), again=False)
        pool.execute(stage, str(tmp_path / "stage"), plan, Ledger(plan.order()), outcomes.append, 10.0)
    finally:
        pool.close()
    meddler.finish()
    assert sorted((o.unit, o.status) for o in outcomes) == [(0, "committed"), (1, "committed")]
    assert not list(tmp_path.glob("stall-0.*"))
