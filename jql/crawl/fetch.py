"""Remote files to a local one, in pieces, with patience: throttling (403, 429, 503) and cut connections are waited out."""

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    patience = base_s * 2 ** min(tries - 1, 6)
    return max(asked or 0.0, patience * (0.5 + jitter / 2))


def _status(error: BaseException) -> int | None:
    status = getattr(error, "status", None)
    response = getattr(error, "response", None)
    if status is None and isinstance(response, dict):  # botocore
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return int(status) if status is not None else None


def _retry_after(error: BaseException) -> float | None:
    value = (getattr(error, "headers", None) or {}).get("Retry-After", "")
    return min(float(value), 120.0) if str(value).isdigit() else None


def retry(what: str, call: Callable[[], T], tries: int = TRIES, base_s: float = BASE_S) -> T:
    """The result of a network call, tried again while the trouble may pass.

    Raises:
        DataError: it is not there (404), refused for good, or still failing after all tries; names what and why.
    """
    done = 0
    while True:
        try:
            return call()
        except FileNotFoundError as error:
            raise DataError(f"{what}: not found; check the name") from error
        except Exception as error:
            done += 1
            status = _status(error)
            hopeless = status is not None and status not in RETRY_STATUS
            if hopeless or isinstance(error, (DataError, TypeError)) or done >= tries:
                raise DataError(f"{what}: cannot be fetched after {done} tries ({type(error).__name__}: {one_line(error)})") from error
            time.sleep(wait_s(done, _retry_after(error), base_s, random.random()))


def download(path: str, target: Any, alive: Callable[[], None], tries: int = TRIES, base_s: float = BASE_S) -> int:
    """Write a remote file to an open local one, piece by piece; returns its size in bytes.

    A connection that is cut costs one piece, not the file. `alive` is called after each piece.
    """
    fs, inner = storage.filesystem(path)
    size = retry(path, lambda: fs.info(inner), tries, base_s)["size"]
    if size is None:
        data = retry(path, lambda: fs.cat_file(inner), tries, base_s)
        target.write(data)
        return len(data)
    for start in range(0, size, PIECE):
        end = min(size, start + PIECE)
        target.write(retry(path, lambda a=start, b=end: _piece(fs, inner, a, b), tries, base_s))  # type: ignore[misc]
        alive()
    return int(size)


def _piece(fs: Any, inner: str, start: int, end: int) -> bytes:
    data: bytes = fs.cat_file(inner, start=start, end=end)
    if len(data) != end - start:
        raise OSError(f"{len(data)} bytes came for a piece of {end - start}")
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
