"""One attempt at one unit, in whatever process: work, write under a name of its own, commit if nobody has."""

import socket
import time
import traceback
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from jql.engine import storage
from jql.engine.plan import Unit
from jql.engine.receipt import Receipt, check_law, receipt_path
from jql.engine.stage import DocumentTimeout, Guard, Law, Output, Worker
from jql.engine.storage import DataFile, TableWriter
from jql.errors import DataError, StopError, one_line

Status = Literal["committed", "late", "survived", "failed", "unreadable", "fatal"]


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        status: committed; late (another attempt was first, ours is removed); survived (a probe that lived); failed (an
            exception, worth another try); unreadable (the input cannot be read: no use to try again); fatal (no
            unit can go on: the run must stop).
        rows: rows read.
        error: one line, empty when all went well. trace: the traceback.
    """

    unit: int
    status: Status
    rows: int = 0
    drops: dict[str, int] | None = None
    error: str = ""
    trace: str = ""


def write_output(folder: str, unit: Unit, attempt: str, output: Output, law: Law, started: float) -> Receipt:
    """Write an attempt's tables and make its receipt, not yet committed; after an error no file of it is left."""
    files: dict[str, DataFile] = {}
    try:
        for name, (schema, pieces) in output.tables.items():
            files[name] = storage.write_table(folder, _data_path(name, unit, attempt), schema, pieces)
        _write_mixed(folder, unit, attempt, output.mixed, files)
        receipt = Receipt(
            unit=unit.index,
            attempt=attempt,
            files=files,
            rows_in=output.rows_in,
            accepted=output.rows_in - sum(output.drops.values()),
            drops=dict(sorted(output.drops.items())),
            stats=output.stats,
            seconds=round(time.monotonic() - started, 4),
            bytes_in=output.bytes_in,
            host=socket.gethostname(),
        )
        check_law(law, receipt)
        return receipt
    except BaseException:
        with suppress(OSError):
            _remove(folder, files)
        raise


def _data_path(table: str, unit: Unit, attempt: str) -> str:
    return storage.join("data", table, f"{unit.name}-{attempt}.parquet")


def _write_mixed(
    folder: str, unit: Unit, attempt: str, mixed: Iterable[tuple[str, pa.Table | None]], files: dict[str, DataFile]
) -> None:
    """Write tables whose pieces come in any order; `files` gets each as soon as it is whole."""
    writers: dict[str, TableWriter] = {}
    try:
        for name, piece in mixed:
            assert name not in files, f"more of the table {name!r}, which was whole"
            if piece is None:
                files[name] = writers[name].close()
                del writers[name]
                continue
            if name not in writers:
                writers[name] = TableWriter(folder, _data_path(name, unit, attempt), piece.schema)
            writers[name].write(piece)
        for name, writer in writers.items():
            files[name] = writer.close()
    finally:
        for writer in writers.values():
            writer.discard()


def _remove(folder: str, files: dict[str, DataFile]) -> None:
    for file in files.values():
        storage.delete(storage.join(folder, file.path))


def commit(folder: str, unit: Unit, receipt: Receipt) -> bool:
    """Create the unit's receipt; if another attempt was first, remove this one's data and say False."""
    if storage.create(receipt_path(folder, unit.name), receipt.to_bytes()):
        return True
    _remove(folder, receipt.files)
    return False


def _armed_after(guard: Guard, pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    yield from pieces
    guard.arm(10)


def _armed_between(guard: Guard, mixed: Iterable[tuple[str, pa.Table | None]]) -> Iterator[tuple[str, pa.Table | None]]:
    for item in mixed:
        guard.arm(10)
        yield item
    guard.arm(10)


def attempt_unit(folder: str, worker: Worker, unit: Unit, guard: Guard, law: Law, probe: bool) -> Outcome:
    """Work through a unit and commit it; a probe only looks whether the process lives through its rows."""
    started = time.monotonic()
    try:
        guard.kept = storage.join(folder, "kept", unit.name)
        guard.arm(10)  # opening the input may wait for a network; a document has 1 x hard_s
        output = worker(unit, guard)
        # The last document's watch must not end the process while the tables are written and uploaded.
        guard.arm(10)
        output.tables = {
            name: (schema, _armed_after(guard, pieces)) for name, (schema, pieces) in output.tables.items()
        }
        output.mixed = _armed_between(guard, output.mixed)
        if probe:
            for pieces in (*(pieces for _, pieces in output.tables.values()), output.mixed):
                for _ in pieces:
                    pass
            return Outcome(unit.index, "survived", output.rows_in)
        receipt = write_output(folder, unit, uuid.uuid4().hex[:8], output, law, started)
        status: Status = "committed" if commit(folder, unit, receipt) else "late"
        for left in storage.find(guard.kept) if guard.keeps else ():
            storage.delete(storage.join(guard.kept, left))
        return Outcome(unit.index, status, receipt.rows_in, receipt.drops)
    except DataError as error:
        return Outcome(unit.index, "unreadable", error=one_line(error), trace=traceback.format_exc())
    except StopError as error:
        return Outcome(unit.index, "fatal", error=one_line(error), trace=traceback.format_exc())
    except (Exception, DocumentTimeout) as error:
        text = f"{unit.source}: {type(error).__name__}: {one_line(error)}"
        return Outcome(unit.index, "failed", error=text, trace=traceback.format_exc())
    finally:
        guard.disarm()
