"""The run's lock: one generation file per holder, created if absent, so that a takeover is as safe as a commit."""

import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from jql.engine import storage
from jql.errors import LockError

BEAT_S = 10.0
STALE_S = 60.0  # six missed beats; on this machine a dead process is seen at once
_held: set[str] = set()  # tokens of the locks this process holds


class RunLock:
    """Held by the one driver that works in a run folder; a second driver is refused while the first lives.

    The holder is the highest generation. Even two drivers at once could not harm a result (receipts are fenced); the
    lock saves their work. On another machine a driver counts as dead after STALE_S without a beat, so clocks must
    agree to within that.
    """

    def __init__(self, run: str) -> None:
        self.folder = storage.join(run, "lock")
        self.run = run
        self.generation = 0
        self.token = uuid.uuid4().hex
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Become the holder.

        Raises:
            LockError: another run holds the lock and is alive.
            OutputError: the folder cannot be written.
        """
        with storage.writing(self.folder):
            last = max(
                (int(n.removesuffix(".json")) for n in storage.find(self.folder) if n.endswith(".json")), default=0
            )
        if last:
            self._refuse_if_alive(last)
        pid = os.getpid()
        record = {**_machine(), "pid": pid, "born": _born(pid), "token": self.token, "since": time.time()}
        if not storage.create(self._name(last + 1, "json"), json.dumps(record).encode()):
            raise LockError(f"{self.run}: another run has just started here; wait for it or choose another folder")
        self.generation = last + 1
        _held.add(self.token)
        self._beat()
        self._thread = threading.Thread(target=self._keep_beating, daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the lock back; one that is not held is left as it is."""
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join()
        self._thread = None
        _held.discard(self.token)
        storage.put(self._name(self.generation, "released"), b"")

    def _name(self, generation: int, suffix: str) -> str:
        return storage.join(self.folder, f"{generation:06d}.{suffix}")

    def _refuse_if_alive(self, generation: int) -> None:
        if storage.exists(self._name(generation, "released")):
            return
        holder = json.loads(storage.read_bytes(self._name(generation, "json")))
        beat = self._name(generation, "beat")
        age = time.time() - (float(storage.read_bytes(beat)) if storage.exists(beat) else holder["since"])
        here = all(holder[key] == value for key, value in _machine().items())
        if _alive(holder) if here else age < STALE_S:
            raise LockError(
                f"{self.run}: a run is at work here (process {holder['pid']} on {holder['host']}, last sign "
                f"{age:.0f} s ago); wait for it, end it, or choose another folder"
            )

    def _beat(self) -> None:
        storage.put(self._name(self.generation, "beat"), str(time.time()).encode())

    def _keep_beating(self) -> None:
        while not self._stop.wait(BEAT_S):
            try:
                self._beat()
            except Exception:  # botocore's are no OSErrors
                continue  # a store that hiccups must not end the run; six missed beats make the lock stale


def _machine() -> dict[str, str]:
    """What a process number is valid in: a host between two boots, and one container of it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        boot = space = ""
    return {"host": socket.gethostname(), "boot": boot, "space": space}


def _born(pid: int) -> str:
    """When a process started, in ticks since boot; empty if it is dead or cannot be asked."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else rest[18]


def _alive(holder: dict[str, Any]) -> bool:
    """Whether the process that took the lock on this machine still lives, and is not another of the same number."""
    pid = holder["pid"]
    if pid == os.getpid():
        return holder["token"] in _held
    if holder["born"]:
        return bool(_born(pid) == holder["born"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
