"""The run's lock: refused while the holder lives, taken over when it does not, by exactly one."""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from jql.engine import storage
from jql.engine.lock import STALE_S, RunLock
from jql.errors import LockError, OutputError

HOLD = """
import sys
from jql.engine.lock import RunLock
RunLock(sys.argv[1]).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["local", "s3"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "run")
    return storage.join(request.getfixturevalue("s3"), uuid.uuid4().hex)


@pytest.fixture
def holder(run: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of `run`."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, run], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.communicate()


def rewrite(run: str, **changes: Any) -> None:
    """Make the first holder another one: what a lock of another machine or time looks like."""
    path = storage.join(run, "lock", "000001.json")
    storage.put(path, json.dumps(json.loads(storage.read_bytes(path)) | changes).encode())


def test_a_second_run_is_refused_while_the_first_lives(run: str, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(
        LockError, match=rf"{run}: a run is at work here \(process {holder.pid} on .*choose another folder"
    ):
        RunLock(run).acquire()


def test_in_one_process_too(run: str) -> None:
    first = RunLock(run)
    first.acquire()
    second = RunLock(run)
    with pytest.raises(LockError, match=f"process {os.getpid()} "):
        second.acquire()
    second.release()  # one that was refused has nothing to give back
    with pytest.raises(LockError):
        RunLock(run).acquire()
    first.release()


def test_a_released_lock_is_free(run: str) -> None:
    for generation in (1, 2, 3):
        lock = RunLock(run)
        lock.acquire()
        assert lock.generation == generation
        lock.release()


def test_the_lock_of_a_killed_process_is_taken_over_at_once(run: str, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    # Not waited for: a zombie, as in a container whose first process does not reap, holds nothing either.
    deadline = time.monotonic() + 10
    while Path(f"/proc/{holder.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
    lock = RunLock(run)
    lock.acquire()
    assert lock.generation == 2
    lock.release()


def test_a_process_that_only_has_the_number_of_the_dead_does_not_count(run: str, holder: subprocess.Popen[str]) -> None:
    rewrite(run, born="1")
    lock = RunLock(run)
    lock.acquire()
    lock.release()


def test_another_machine_is_believed_until_its_beats_end(run: str, holder: subprocess.Popen[str]) -> None:
    rewrite(run, host="far-away")
    with pytest.raises(LockError, match="on far-away, last sign"):
        RunLock(run).acquire()
    storage.put(storage.join(run, "lock", "000001.beat"), str(time.time() - STALE_S - 1).encode())
    lock = RunLock(run)
    lock.acquire()
    lock.release()


def test_of_many_takers_of_a_stale_lock_exactly_one_wins(run: str, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    locks, gate = [RunLock(run) for _ in range(10)], threading.Barrier(10)

    def take(lock: RunLock) -> bool:
        gate.wait()
        try:
            lock.acquire()
        except LockError as error:
            assert "another run has just started here" in str(error) or "is at work here" in str(error)
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(take, locks)).count(True) == 1
    for lock in locks:
        lock.release()
    last = RunLock(run)
    last.acquire()
    assert last.generation == 3
    last.release()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        RunLock(str(tmp_path / "run")).acquire()
