"""What a stage is to the engine: a worker, what decides its output, and the law its rows obey."""

import faulthandler
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Literal, Protocol

import pyarrow as pa

from jql.engine.plan import Unit

Law = Literal["filter", "aligned", "many"]
"""How accepted rows become rows out: one each (filter), one for every row read (aligned), any number (many)."""


@dataclass
class Output:
    """What a worker made of a unit. Counts are read after the tables were written, so a stream may fill them.

    Attributes:
        tables: name -> schema and pieces; the name "" is the stage's main table, others get a folder each.
        rows_in: rows read, good and bad. drops: rows not accepted, by reason.
        stats: what later steps need without reading the data again (histograms, counts by language); JSON.
        mixed: more tables, whose pieces come in any order, each with the name of its table. A piece is a row group;
            the first of a table says its schema, and None that it is whole, so that its file need not stay open.
    """

    tables: dict[str, tuple[pa.Schema, Iterable[pa.Table]]] = field(default_factory=dict)
    rows_in: int = 0
    drops: Counter[str] = field(default_factory=Counter)
    stats: dict[str, Any] = field(default_factory=dict)
    bytes_in: int = 0
    mixed: Iterable[tuple[str, pa.Table | None]] = ()

    @classmethod
    def of(cls, table: pa.Table, rows_in: int, drops: Counter[str] | None = None, **stats: Any) -> "Output":
        """Output with one table that is in memory."""
        return cls({"": (table.schema, [table])}, rows_in, drops or Counter(), stats)


class DocumentTimeout(BaseException):
    """Raised inside a document that took too long; not an Exception, so that library code does not swallow it."""


@dataclass
class Guard:
    """What a worker may touch, and the watch over it.

    Attributes:
        poison: row -> reason; such rows are dropped without being looked at.
        start, stop: the rows a probe looks at; a probe's output is thrown away. stop None: to the end.
        soft_s: seconds a document may take before DocumentTimeout is raised in it (reaches Python code only).
        kept: folder of the unit for what must not be done twice; see `keep`.
        hard_s: seconds before the process is ended from a thread that needs no interpreter lock; None: never (inline).
    """

    poison: dict[int, str] = field(default_factory=dict)
    start: int = 0
    stop: int | None = None
    soft_s: float = 10.0
    hard_s: float | None = None
    kept: str = ""
    keeps: bool = False

    def keep(self) -> str:
        """A folder that later attempts at this unit find as it was left; it goes once the unit is committed."""
        self.keeps = True
        return self.kept

    def rows(self, n: int) -> range:
        """The rows of an n-row unit that this attempt looks at."""
        return range(min(self.start, n), n if self.stop is None else min(self.stop, n))

    @contextmanager
    def document(self) -> Iterator[None]:
        """Watch over one document.

        Raises:
            DocumentTimeout: after `soft_s` seconds.
        """
        soft = threading.current_thread() is threading.main_thread()
        previous = signal.signal(signal.SIGALRM, _raise_timeout) if soft else None
        self.arm()
        if soft:
            # Again every second: an alarm that strikes inside a destructor or a callback is swallowed there.
            signal.setitimer(signal.ITIMER_REAL, self.soft_s, 1.0)
        try:
            yield
        finally:
            if soft:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, previous)

    def arm(self, factor: float = 1.0) -> None:
        """Start the hard watch anew: the process ends unless it is armed again within factor * hard_s seconds."""
        if self.hard_s is not None:
            faulthandler.dump_traceback_later(self.hard_s * factor, exit=True, file=sys.__stderr__ or 2)

    def disarm(self) -> None:
        """End the hard watch."""
        faulthandler.cancel_dump_traceback_later()


def _raise_timeout(number: int, frame: FrameType | None) -> None:
    raise DocumentTimeout


class Worker(Protocol):
    """Made once per process (loads what is heavy), called once per unit."""

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """The output of a unit; deterministic in the unit, the guard's poison and the worker's settings."""


@dataclass(frozen=True)
class Stage:
    """A stage as the engine sees it.

    Attributes:
        name: as in "crawl" or "dedup/pairs"; also the folder in the run.
        version: raised when the code changes what comes out.
        config: everything that decides the output, JSON; goes into the fingerprint.
        inputs: marks of what is read (file identities, fingerprints of stages); goes into the fingerprint.
        factory, settings: how a worker is made where the unit runs.
        law: how accepted rows become rows out.
        crash: the reason of a document that ends the process.
        document_s: seconds for one document (or one batch, for stages that work in batches).
        again: whether a slow unit may get a second attempt beside the first; not where work is paid for.
    """

    name: str
    version: int
    config: dict[str, Any]
    inputs: dict[str, Any]
    factory: Callable[..., Worker]
    settings: dict[str, Any]
    law: Law
    crash: str = "crash"
    document_s: float = 60.0
    cpus: float = 1.0
    gpus: float = 0.0
    again: bool = True
