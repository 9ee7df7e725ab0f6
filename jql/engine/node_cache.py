"""What every process of a node needs is fetched or made once per node and shared through a folder."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock

from jql.engine import storage
from jql.engine.fingerprint import digest_of, identify_file


def once_per_node(key: str, make: Callable[[Path], None]) -> Path:
    """The folder of `key` in this node's cache, filled by `make` if it is not there yet.

    Processes that ask at the same time wait for the first. A process killed in `make` leaves nothing that counts.

    Args:
        key: names the content; content that differs must have another key.
    """
    base = Path(tempfile.gettempdir()) / f"jql-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    target = base / key
    if target.is_dir():
        return target
    with FileLock(str(target) + ".lock"):
        if not target.is_dir():
            fresh = Path(tempfile.mkdtemp(dir=base))
            try:
                make(fresh)
                fresh.rename(target)
            except BaseException:
                shutil.rmtree(fresh, ignore_errors=True)
                raise
    return target


def fetched(address: str, names: Sequence[str]) -> Path:
    """A copy of files of a remote folder (s3://, https://) in this node's cache; another one once they change."""
    marks = [identify_file(storage.join(address, name)) for name in names]

    def fetch(folder: Path) -> None:
        for name in names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            fs, inner = storage.filesystem(storage.join(address, name))
            fs.get_file(inner, str(target))

    return once_per_node(f"fetched-{digest_of(marks)}", fetch)
