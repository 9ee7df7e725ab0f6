"""Records appended as they arrive: what a killed run has paid for is there for the next one.

A folder holds files of JSON lines, each with one writer, so that any number may write at once. On a local disk a record
is handed to the operating system as it is appended: a killed process loses nothing, a power cut what the system had not
yet written to the disk (half a minute on a usual Linux). Object storage cannot append: there an object holds what
arrived while the one before was uploaded, at most one a second, and a killed process loses what was not yet uploaded.
"""

import io
import json
import os
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from jql.engine import storage
from jql.errors import DataError

FLUSH_S = 1.0  # a thousand writers that upload every 0.1 s would pay more for that than for a small model's answers
TOGETHER = 32  # objects that are read or removed at a time


def line_of(record: dict[str, Any]) -> bytes:
    """A record as a line; strings may hold any code point, lone surrogates too, numbers must be finite."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass") + b"\n"


def record_of(line: bytes) -> dict[str, Any] | None:
    """The record of a line with or without its end; None if it is torn. No part of a record is a record itself."""
    try:
        record = json.loads(line.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


class Journal:
    """The records of a folder, and a file of this writer's own in it; `torn` counts the records `read` found torn."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.torn = 0
        self._name = uuid.uuid4().hex
        self._sink: _File | _Objects | None = None

    def append(self, record: dict[str, Any]) -> None:
        """Write a record; it outlives this process: locally when this returns, on object storage after about a second.

        Raises:
            OutputError: the folder cannot be written.
        """
        if self._sink is None:
            kind = _File if storage.is_local(self.folder) else _Objects
            self._sink = kind(storage.join(self.folder, self._name))
        self._sink.append(line_of(record))

    def read(self) -> Iterator[dict[str, Any]]:
        """All records of all writers, those of one writer in their order.

        The last line of a file may be torn, as its writer was killed; that is counted.

        Raises:
            DataError: a line is torn that is not the last.
        """
        self.torn = 0
        for path, lines in _files(self.folder):
            for number, line in enumerate(lines, 1):
                record = record_of(line)
                if record is not None:
                    yield record
                elif line.endswith(b"\n"):
                    raise DataError(
                        f"{path}, line {number}: no JSON object; the file was damaged, remove it or the line"
                    )
                else:
                    self.torn += 1

    def close(self) -> None:
        """End this writer's file; appending again begins another.

        Raises:
            OutputError: what was left could not be uploaded.
        """
        self._end(keep=True)

    def remove(self) -> None:
        """Remove the records of all writers."""
        self._end(keep=False)
        with ThreadPoolExecutor(TOGETHER) as threads:
            list(threads.map(storage.delete, _names(self.folder)))
        if storage.is_local(self.folder):
            with suppress(OSError):
                os.rmdir(storage.filesystem(self.folder)[1])

    def _end(self, keep: bool) -> None:
        if self._sink is not None:
            sink, self._sink, self._name = self._sink, None, uuid.uuid4().hex
            sink.close(keep)


class _File:
    def __init__(self, path: str) -> None:
        self._path = path + ".jsonl"
        self._size = 0
        inner = storage.filesystem(self._path)[1]
        with storage.writing(self._path):
            os.makedirs(os.path.dirname(inner), exist_ok=True)
            self._file = os.open(inner, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)

    def append(self, line: bytes) -> None:
        with storage.writing(self._path):
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[os.write(self._file, rest) :]
            except OSError:
                with suppress(OSError):  # half a line must not stand before the next one
                    os.ftruncate(self._file, self._size)
                raise
        self._size += len(line)

    def close(self, keep: bool) -> None:
        os.close(self._file)


class _Objects:
    """Uploads from a thread of its own; an upload that fails ends it, and is told at the next append."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lines: list[bytes] = []
        self._closing = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._upload, name="jql-journal", daemon=True)
        self._thread.start()

    def append(self, line: bytes) -> None:
        with self._changed:
            if self._error is not None:
                raise self._error
            self._lines.append(line)
            self._changed.notify()

    def _upload(self) -> None:
        number = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closing)
                lines, self._lines = self._lines, []
            if not lines:
                return
            next_s = time.monotonic() + FLUSH_S
            try:
                storage.put(f"{self._path}-{number:06d}.jsonl", b"".join(lines))
            except Exception as error:
                with self._changed:
                    self._error = error
                return
            number += 1
            with self._changed:
                self._changed.wait_for(lambda: self._closing, next_s - time.monotonic())

    def close(self, keep: bool) -> None:
        with self._changed:
            self._closing = True
            if not keep:
                self._lines = []
            self._changed.notify()
        self._thread.join()
        if keep and self._error is not None:
            raise self._error


def _names(folder: str) -> list[str]:
    return [storage.join(folder, name) for name in storage.find(folder) if name.endswith(".jsonl")]


def _files(folder: str) -> Iterator[tuple[str, Iterable[bytes]]]:
    names = _names(folder)
    if storage.is_local(folder):
        for name in names:
            with open(storage.filesystem(name)[1], "rb") as file:
                yield name, file
        return
    with ThreadPoolExecutor(TOGETHER) as threads:
        for start in range(0, len(names), TOGETHER):
            some = names[start : start + TOGETHER]
            yield from zip(some, map(io.BytesIO, threads.map(storage.read_bytes, some)), strict=True)
