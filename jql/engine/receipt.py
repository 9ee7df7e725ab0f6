"""Receipts: the commit of a unit. Created if absent, so that of many attempts exactly one counts."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from jql.engine import storage
from jql.engine.stage import Law
from jql.engine.storage import DataFile
from jql.errors import DataError

ASIDE = "aside/"
"""What the names of tables begin with whose rows are not what the stage makes, such as histograms: no law holds."""


@dataclass(frozen=True)
class Receipt:
    """What an attempt committed: its files with checksums, its counts, where and how long."""

    unit: int
    attempt: str
    files: dict[str, DataFile]
    rows_in: int
    accepted: int
    drops: dict[str, int]
    stats: dict[str, Any]
    seconds: float
    bytes_in: int
    host: str

    def to_bytes(self) -> bytes:
        """The receipt as it lies in the store."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Receipt":
        """The receipt of stored bytes."""
        raw = json.loads(data)
        raw["files"] = {name: DataFile(**file) for name, file in raw["files"].items()}
        return cls(**raw)

    @property
    def rows_out(self) -> int:
        """Rows in all files but those that lie aside."""
        return sum(file.rows for name, file in self.files.items() if not name.startswith(ASIDE))


def receipt_path(folder: str, unit_name: str) -> str:
    """Where the receipt of a unit lies."""
    return storage.join(folder, "receipts", unit_name + ".json")


def check_law(law: Law, receipt: Receipt) -> None:
    """Every row read is accepted or dropped with a reason, and the rows out follow the stage's law.

    Raises:
        AssertionError: the stage's code miscounts; the unit must not be committed.
    """
    dropped = sum(receipt.drops.values())
    if receipt.rows_in != receipt.accepted + dropped or min([0, receipt.accepted, *receipt.drops.values()]) < 0:
        raise AssertionError(f"rows in {receipt.rows_in} != accepted {receipt.accepted} + dropped {dropped}")
    expected = {"filter": receipt.accepted, "aligned": receipt.rows_in, "many": receipt.rows_out}[law]
    if receipt.rows_out != expected:
        raise AssertionError(f"rows out {receipt.rows_out} != {expected} by the law {law!r}")


def committed(folder: str) -> list[int]:
    """Indices of the units of a stage folder that have a receipt, ascending."""
    names = storage.find(storage.join(folder, "receipts"))
    return sorted(int(n[:5]) * 1000 + int(n[6:9]) for n in names if n.endswith(".json"))


def read_receipts(folder: str, indices: Iterable[int] | None = None) -> Iterator[Receipt]:
    """The receipts of a stage, by unit index; read with 16 threads, a chunk of 512 in memory at a time."""
    wanted = committed(folder) if indices is None else sorted(indices)
    with ThreadPoolExecutor(16) as pool:
        for at in range(0, len(wanted), 512):
            paths = [receipt_path(folder, f"{i // 1000:05d}/{i % 1000:03d}") for i in wanted[at : at + 512]]
            yield from map(Receipt.from_bytes, pool.map(storage.read_bytes, paths))


@dataclass
class Totals:
    """Sums over the receipts of a stage."""

    units: int = 0
    rows_in: int = 0
    accepted: int = 0
    rows_out: int = 0
    seconds: float = 0.0
    bytes_in: int = 0

    def __post_init__(self) -> None:
        self.drops: Counter[str] = Counter()

    def add(self, receipt: Receipt) -> None:
        """Count a receipt in."""
        self.units += 1
        self.rows_in += receipt.rows_in
        self.accepted += receipt.accepted
        self.rows_out += receipt.rows_out
        self.seconds += receipt.seconds
        self.bytes_in += receipt.bytes_in
        self.drops.update(receipt.drops)


def verify(folder: str, receipt: Receipt) -> None:
    """Check that a committed file is there and is what the receipt says.

    Raises:
        DataError: naming the file and both checksums.
    """
    import hashlib

    for file in receipt.files.values():
        path = storage.join(folder, file.path)
        if not storage.exists(path):
            raise DataError(
                f"{path}: committed by unit {receipt.unit} but gone; remove its receipt to compute it again"
            )
        found = hashlib.sha256(storage.read_bytes(path)).hexdigest()
        if found != file.sha256:
            raise DataError(
                f"{path}: SHA-256 is {found[:12]}, the receipt of unit {receipt.unit} says {file.sha256[:12]}"
            )
