"""Ratings and adjudications in RUN/ratings.sqlite: events that are only ever added; the last one of a document counts.

An event is on disk before it is acknowledged (write-ahead log, synchronous FULL). Several processes of one machine may
work in the file; on a network file system SQLite's locks are not to be relied on.
"""

import sqlite3
import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa

from jql.engine import storage
from jql.errors import DataError, InputError, JqlError, LockError, OutputError
from jql.schema import RATING
from jql.truth.label.folder import read_languages

FILE = "ratings.sqlite"
ADJUDICATOR = "adjudicator"
WAIT_S = 5.0  # for another process that writes; one event takes milliseconds
_APPLICATION, _LAYOUT = 0x6A716C72, 1  # "jqlr": another program's database is not written to
_COLUMNS = "rater, id, kind, score, reason, seconds, guideline, at"
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_UNWRITABLE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN)

Kind = Literal["rated", "skipped", "undone"]


class StaleError(JqlError):
    """The rater's events have moved on since the sender last saw them."""


@dataclass(frozen=True)
class Event:
    """What a rater did with a document; `reason` is why it was skipped, or the adjudicator's note; `at` is UTC."""

    rater: str
    id: str
    kind: Kind
    score: int | None = None
    reason: str | None = None
    seconds: float | None = None
    guideline: str | None = None
    at: str = ""


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn SQLite's errors into one line.

    Raises:
        LockError: another program holds the file. OutputError: it cannot be written. DataError: it is damaged.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in _BUSY:
            raise LockError(f"{path}: locked by another program; close what has it open and try again") from error
        if code in _UNWRITABLE:
            raise OutputError(f"{path}: cannot be opened or written ({error}); check disk and permissions") from error
        raise DataError(
            f"{path}: not a database of ratings, or damaged ({error}); move it away, and save what is in it with "
            "sqlite3 FILE .recover"
        ) from error


class Log:
    """One append-only table of events; safe for threads that share the connection, and for other processes."""

    def __init__(self, connection: sqlite3.Connection, lock: threading.Lock, path: str, table: str) -> None:
        self._connection, self._lock, self._path, self._table = connection, lock, path, table

    def last(self, rater: str) -> int:
        """The number of the rater's last event, 0 before the first."""
        with self._lock, _explained(self._path):
            return self._last(rater)

    def standing(self, rater: str | None = None) -> list[Event]:
        """What counts, of a rater or of all: the last event of each rater and document unless undone, oldest first."""
        with self._lock, _explained(self._path):
            return self._standing(rater)

    def append(self, event: Event, after: int) -> None:
        """Add an event, on disk when this returns.

        Args:
            event: its `at` is set here.
            after: the number of the rater's last event as the sender knew it.

        Raises:
            StaleError: there has been another since; nothing is added.
        """
        with self._lock, _explained(self._path), self._writing(event.rater, after):
            self._insert(event)

    def undo(self, rater: str, after: int, among: Container[str], guideline: str) -> str:
        """Take back the rater's last standing event on one of the documents `among`; returns its document.

        Raises:
            StaleError: see append. InputError: nothing is left to take back.
        """
        with self._lock, _explained(self._path), self._writing(rater, after):
            ids = [event.id for event in self._standing(rater) if event.id in among]
            if not ids:
                raise InputError("there is nothing to take back")
            self._insert(Event(rater, ids[-1], "undone", guideline=guideline))
            return ids[-1]

    @contextmanager
    def _writing(self, rater: str, after: int) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            if self._last(rater) != after:
                raise StaleError("this has moved on in another tab, or an answer was lost; here is where it stands")
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _last(self, rater: str) -> int:
        query = f"SELECT coalesce(max(n), 0) FROM {self._table} WHERE rater = ?"
        return int(self._connection.execute(query, (rater,)).fetchone()[0])

    def _standing(self, rater: str | None) -> list[Event]:
        query = f"""SELECT {_COLUMNS} FROM {self._table} WHERE kind != 'undone' AND n IN
            (SELECT max(n) FROM {self._table} WHERE ? IS NULL OR rater = ? GROUP BY rater, id) ORDER BY n"""
        return [Event(*row) for row in self._connection.execute(query, (rater, rater))]

    def _insert(self, event: Event) -> None:
        event = replace(event, at=datetime.now(UTC).isoformat(timespec="milliseconds"))
        values = [getattr(event, name) for name in _COLUMNS.split(", ")]
        self._connection.execute(f"INSERT INTO {self._table} ({_COLUMNS}) VALUES ({'?, ' * 7}?)", values)


def _create(connection: sqlite3.Connection) -> None:
    for table in ("ratings", "adjudications"):
        connection.execute(f"""CREATE TABLE {table} (n INTEGER PRIMARY KEY AUTOINCREMENT, rater TEXT NOT NULL,
            id TEXT NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('rated', 'skipped', 'undone')), score INTEGER,
            reason TEXT, seconds REAL, guideline TEXT, at TEXT NOT NULL,
            CHECK ((score IS NULL) = (kind != 'rated')))""")
        connection.execute(f"CREATE INDEX {table}_of_rater ON {table} (rater, id, n)")
        for change in ("UPDATE", "DELETE"):
            connection.execute(f"""CREATE TRIGGER {table}_no_{change} BEFORE {change} ON {table}
                BEGIN SELECT raise(ABORT, 'events are only added'); END""")
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {_LAYOUT}")


class Store:
    """RUN/ratings.sqlite, made where it is not there."""

    def __init__(self, run: str, create: bool = True) -> None:
        self.path = storage.join(run, FILE)
        file = Path(self.path).absolute()
        if not create and not file.exists():
            raise InputError(f"{self.path}: not there; nothing has been rated yet, start with jql label {run}")
        mode = "rwc" if create else "rw"  # a reader too must be able to replay the log of a server that was killed
        lock = threading.Lock()
        with _explained(self.path):
            self._connection = sqlite3.connect(
                f"{file.as_uri()}?mode={mode}", WAIT_S, isolation_level=None, check_same_thread=False, uri=True
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise
        self.ratings = Log(self._connection, lock, self.path, "ratings")
        self.adjudications = Log(self._connection, lock, self.path, "adjudications")

    def _prepare(self) -> None:
        execute = self._connection.execute
        execute("PRAGMA synchronous = FULL")
        execute("BEGIN IMMEDIATE")
        if not execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            _create(self._connection)
        execute("COMMIT")
        application, layout = (execute(f"PRAGMA {p}").fetchone()[0] for p in ("application_id", "user_version"))
        if (application, layout) != (_APPLICATION, _LAYOUT):
            raise sqlite3.DatabaseError("its tables are not those of this jql")
        execute("PRAGMA journal_mode = WAL")
        checked = execute("PRAGMA quick_check").fetchone()[0]
        if checked != "ok":
            raise sqlite3.DatabaseError(checked)

    def close(self) -> None:
        """Close the file; its log is folded in where nobody else has it open."""
        self._connection.close()


def ratings_of(run: str) -> pa.Table:
    """The RATING table of a run: what counts of every rater and document, in the order of the documents, then of names.

    `score` is null where the document was skipped. What was taken back is not in it.

    Raises:
        InputError: nothing has been rated yet. DataError: a rated document is no longer in documents.parquet.
    """
    languages = read_languages(run)
    store = Store(run, create=False)
    try:
        events = store.ratings.standing()
    finally:
        store.close()
    unknown = [event.id for event in events if event.id not in languages]
    if unknown:
        raise DataError(
            f"{store.path}: {len(unknown)} ratings are of documents that documents.parquet does not have, such as "
            f"{unknown[0]!r}; put back the documents that were rated"
        )
    place = {id: i for i, id in enumerate(languages)}
    rows = [
        {
            "id": event.id,
            "rater": event.rater,
            "score": event.score,
            "reason": event.reason,
            "language": languages[event.id],
            "seconds": event.seconds,
            "guideline": event.guideline,
            "rated_at": event.at,
            "origin": "human",
        }
        for event in sorted(events, key=lambda event: (place[event.id], event.rater))
    ]
    return pa.Table.from_pylist(rows, schema=RATING)


def adjudications_of(run: str) -> dict[str, float]:
    """Document id -> the adjudicator's score; empty where there are none.

    Raises:
        InputError: nothing has been rated yet.
    """
    store = Store(run, create=False)
    try:
        return {event.id: float(event.score) for event in store.adjudications.standing() if event.score is not None}
    finally:
        store.close()
