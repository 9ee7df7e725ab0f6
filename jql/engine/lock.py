"""The run's lock: one generation file per holder, created if absent, so that a takeover is as safe as a commit."""

import json
import os
import socket
import threading
import time
import uuid

from jql.engine import storage
from jql.errors import LockError

BEAT_S = 10.0
STALE_S = 60.0  # six missed beats; on this host a dead process is seen at once


class RunLock:
    """Held by the one driver that works in a run folder; a second driver is refused while the first lives.

    The holder is the highest generation. Even two drivers at once could not harm a result (receipts are fenced); the lock
    saves their work.
    """

    def __init__(self, run: str) -> None:
        self.folder = storage.join(run, "lock")
        self.run = run
        self.generation = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Become the holder.

        Raises:
            LockError: another run holds the lock and is alive.
        """
        names = [n for n in storage.find(self.folder) if n.endswith(".json")]
        last = max((int(n.removesuffix(".json")) for n in names), default=0)
        if last:
            self._refuse_if_alive(last)
        record = {"host": socket.gethostname(), "pid": os.getpid(), "token": uuid.uuid4().hex, "since": time.time()}
        if not storage.create(self._name(last + 1, "json"), json.dumps(record).encode()):
            raise LockError(f"{self.run}: another run has just started here; wait for it or choose another folder")
        self.generation = last + 1
        self._beat()
        self._thread = threading.Thread(target=self._keep_beating, daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the lock back."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            storage.put(self._name(self.generation, "released"), b"")
            self._thread = None

    def _name(self, generation: int, suffix: str) -> str:
        return storage.join(self.folder, f"{generation:06d}.{suffix}")

    def _refuse_if_alive(self, generation: int) -> None:
        if storage.exists(self._name(generation, "released")):
            return
        holder = json.loads(storage.read_bytes(self._name(generation, "json")))
        here = holder["host"] == socket.gethostname()
        beat = self._name(generation, "beat")
        age = time.time() - (float(storage.read_bytes(beat)) if storage.exists(beat) else holder["since"])
        if (_alive(holder["pid"]) and holder["pid"] != os.getpid()) if here else age < STALE_S:
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
            except OSError:
                continue  # a store that hiccups must not end the run; six missed beats make the lock stale


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
