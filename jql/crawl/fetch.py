"""Remote files to a local one, in pieces and with patience: throttling (403, 429, 503) and cuts are waited out."""

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from jql.engine import storage
from jql.errors import DataError, one_line

T = TypeVar("T")

PIECE = 32 << 20
TRIES = 8
BASE_S = 1.0  # waits of 1, 2, 4 ... 64 s with jitter: about two minutes in all before a file is given up
RETRY_STATUS = {403, 408, 425, 429, 500, 502, 503, 504}


def wait_s(tries: int, asked: float | None, base_s: float, jitter: float) -> float:
    """Seconds to wait before the next try: doubling from `base_s`, at most 64 times it, or what the server asked for.

    Args:
        tries: tries made so far, from 1. jitter: in [0, 1), spreads the waits of many workers over half their length.
    """
    patience = base_s * 2.0 ** min(tries - 1, 6)
    return max(asked or 0.0, patience * (0.5 + jitter / 2))


class NotFoundError(DataError):
    """The server says that there is no such file."""


def _source(error: Exception) -> BaseException:
    """What lies behind an error: fsspec makes FileNotFoundError of any trouble in asking for a file's size."""
    return error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ else error


def _status(error: BaseException) -> int | None:
    status = getattr(error, "status", None)
    response = getattr(error, "response", None)
    if status is None and isinstance(response, dict):  # botocore
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return int(status) if status is not None else None


def _retry_after(error: BaseException) -> float | None:
    value = (getattr(error, "headers", None) or {}).get("Retry-After", "")
    return min(float(value), 120.0) if str(value).isdecimal() else None


def retry(what: str, call: Callable[[], T], tries: int = TRIES, base_s: float = BASE_S) -> T:
    """The result of a network call, tried again while the trouble may pass.

    Raises:
        NotFoundError: it is not there.
        DataError: refused for good, or still failing after all tries; names what and why.
    """
    done = 0
    while True:
        try:
            return call()
        except Exception as error:
            done += 1
            source = _source(error)
            status = _status(source)
            if isinstance(source, FileNotFoundError) or status in (404, 410):
                raise NotFoundError(f"{what}: not found; check the name") from error
            hopeless = status is not None and status not in RETRY_STATUS
            if hopeless or isinstance(source, (DataError, TypeError)) or done >= tries:
                times = "1 try" if done == 1 else f"{done} tries"
                why = f"{type(source).__name__}: {one_line(source)}"
                raise DataError(f"{what}: cannot be fetched after {times} ({why})") from error
            time.sleep(wait_s(done, _retry_after(source), base_s, random.random()))


def download(path: str, target: Any, alive: Callable[[], None], tries: int = TRIES, base_s: float = BASE_S) -> int:
    """Write a remote file to an open local one, piece by piece; returns its size in bytes.

    A connection that is cut costs one piece, not the file. `alive` is called before each try.
    """
    fs, inner = storage.filesystem(path)

    def ask(call: Callable[[], T]) -> T:
        def watched() -> T:
            alive()
            return call()

        return retry(path, watched, tries, base_s)

    size = ask(lambda: fs.info(inner))["size"]
    if size is None:
        data = ask(lambda: fs.cat_file(inner))
        target.write(data)
        return len(data)
    start = 0
    while start < size:
        data = ask(partial(_piece, fs, inner, start, size))
        target.write(data)
        start += len(data)
    return int(size)


def _piece(fs: Any, inner: str, start: int, size: int) -> bytes:
    """The next piece from `start`, or the whole file where the server knows no ranges."""
    end = min(size, start + PIECE)
    data: bytes = fs.cat_file(inner, start=start, end=end)
    if len(data) != end - start and not (start == 0 and len(data) == size):
        raise OSError(f"{len(data):,} bytes came for a piece of {end - start:,}")
    return data


@contextmanager
def local_copy(path: str, alive: Callable[[], None]) -> Iterator[str]:
    """A local path with the file's content; a remote file lies in a temporary one for as long as it is needed.

    Raises:
        DataError: the file is not there or cannot be fetched.
    """
    if storage.is_local(path):
        inner = storage.filesystem(path)[1]
        if not os.path.isfile(inner):
            raise DataError(f"{path}: not found; it was there when the plan was made")
        yield inner
        return
    with tempfile.NamedTemporaryFile(prefix="jql-") as file:
        download(path, file, alive)
        file.flush()
        yield file.name
