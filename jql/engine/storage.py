"""Files on any fsspec file system (local, s3, http, hf): atomic writes, create-if-absent, Parquet in and out."""

import errno
import hashlib
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from jql.errors import OutputError

_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
_HOW = {
    errno.ENOSPC: "free some space and run the same command again; finished units are kept",
    errno.EDQUOT: "the quota is used up; raise it and run the same command again",
}


@dataclass(frozen=True)
class DataFile:
    """One file written by an attempt: its path below the stage folder, SHA-256, rows and bytes."""

    path: str
    sha256: str
    rows: int
    bytes: int


def join(root: str, *parts: str) -> str:
    """The path of `parts` below `root`, with single slashes."""
    return "/".join([root.rstrip("/"), *(p.strip("/") for p in parts if p)])


def is_local(path: str) -> bool:
    """Whether the path is on this machine's own file system."""
    return "://" not in path or path.startswith("file://")


def filesystem(path: str) -> tuple[Any, str]:
    """The fsspec file system of a path and the path inside it."""
    return cast(tuple[Any, str], fsspec.core.url_to_fs(path))


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Turn a full disk or a missing permission into one clear line.

    Raises:
        OutputError: naming the path and what to do.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FATAL:
            how = _HOW.get(error.errno, "choose an output you may write to")
            raise OutputError(f"{path}: cannot be written ({os.strerror(error.errno)}); {how}") from error
        raise


def read_bytes(path: str) -> bytes:
    """The whole file."""
    fs, inner = filesystem(path)
    return cast(bytes, fs.cat_file(inner))


def exists(path: str) -> bool:
    """Whether there is a file or folder, asked of the store itself and not of a cached listing."""
    if is_local(path):
        return os.path.lexists(filesystem(path)[1])
    fs, inner = filesystem(path)
    fs.invalidate_cache()
    return bool(fs.exists(inner))


def delete(path: str) -> None:
    """Remove a file if it is there."""
    fs, inner = filesystem(path)
    try:
        fs.rm_file(inner)
    except FileNotFoundError:
        return


def find(root: str) -> list[str]:
    """Paths of all files below `root`, relative to it, sorted; empty if there is no such folder."""
    fs, inner = filesystem(root)
    if is_local(root):
        found = [os.path.relpath(os.path.join(d, f), inner) for d, _, files in os.walk(inner) for f in files]
        return sorted(f.replace(os.sep, "/") for f in found if not f.rsplit("/", 1)[-1].startswith(".tmp-"))
    fs.invalidate_cache()
    base = inner.rstrip("/") + "/"
    return sorted(p[len(base) :] for p in fs.find(inner) if p.startswith(base))


def _temporary(inner: str) -> str:
    return os.path.join(os.path.dirname(inner), f".tmp-{uuid.uuid4().hex}")


def _write_local(temporary: str, data: bytes) -> None:
    with open(temporary, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def put(path: str, data: bytes) -> None:
    """Write a file whole or not at all; an existing one is replaced."""
    fs, inner = filesystem(path)
    with writing(path):
        if not is_local(path):
            fs.pipe_file(inner, data)
            return
        os.makedirs(os.path.dirname(inner), exist_ok=True)
        temporary = _temporary(inner)
        try:
            _write_local(temporary, data)
            os.replace(temporary, inner)
        except BaseException:
            _unlink(temporary)
            raise


def create(path: str, data: bytes) -> bool:
    """Create a file whole if there is none of its name; False if another writer was first.

    Locally a hard link to a finished temporary file, on object storage one conditional PUT: both are atomic, so of two
    writers exactly one is told True.
    """
    fs, inner = filesystem(path)
    with writing(path):
        if not is_local(path):
            return _create_remote(fs, inner, data)
        os.makedirs(os.path.dirname(inner), exist_ok=True)
        temporary = _temporary(inner)
        try:
            _write_local(temporary, data)
            os.link(temporary, inner)
        except FileExistsError:
            return False
        finally:
            _unlink(temporary)
        return True


def _create_remote(fs: Any, inner: str, data: bytes) -> bool:
    try:
        fs.pipe_file(inner, data, mode="create")
    except FileExistsError:
        return False
    except OSError as error:
        # S3 answers 412 (precondition failed) or 409 (another conditional write is under way); s3fs keeps the code's name.
        if any(sign in str(error) for sign in ("PreconditionFailed", "pre-conditions", "ConditionalRequestConflict")):
            return False
        raise
    return True


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


class _Hashing:
    """A binary file that hashes what goes through it."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.sha256 = hashlib.sha256()
        self.size = 0
        self.closed = False

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        self.size += len(data)
        return cast(int, self.raw.write(data))

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        self.raw.flush()

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


def write_table(
    root: str, name: str, schema: pa.Schema, pieces: Iterable[pa.Table], row_group_rows: int = 100_000
) -> DataFile:
    """Write Parquet below `root`, whole or not at all; every piece starts a row group of its own.

    Args:
        pieces: tables of `schema`, taken one at a time, so that memory holds one of them.
    """
    path = join(root, name)
    fs, inner = filesystem(path)
    local = is_local(path)
    with writing(path):
        if local:
            os.makedirs(os.path.dirname(inner), exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=os.path.dirname(inner) if local else None)
        try:
            rows = 0
            with os.fdopen(handle, "wb") as raw:
                sink = _Hashing(raw)
                with pq.ParquetWriter(pa.PythonFile(sink, "w"), schema, compression="zstd") as writer:
                    for piece in pieces:
                        writer.write_table(piece.cast(schema), row_group_size=row_group_rows)
                        rows += piece.num_rows
                raw.flush()
                os.fsync(raw.fileno())
            os.chmod(temporary, 0o644)
            if local:
                os.replace(temporary, inner)
            else:
                fs.put_file(temporary, inner)
        finally:
            _unlink(temporary)
    return DataFile(name, sink.sha256.hexdigest(), rows, sink.size)


def read_table(path: str, columns: Sequence[str] | None = None, filters: Any = None) -> pa.Table:
    """Read a Parquet file, or the columns and rows asked for."""
    fs, inner = filesystem(path)
    return pq.read_table(
        inner, columns=list(columns) if columns is not None else None, filesystem=fs, filters=filters, partitioning=None
    )


def copy(source: str, target: str) -> None:
    """Make `target` the same file as `source`: a hard link where the file system has one, else a copy."""
    fs, inner = filesystem(source)
    fs_target, inner_target = filesystem(target)
    with writing(target):
        if is_local(source) and is_local(target):
            os.makedirs(os.path.dirname(inner_target), exist_ok=True)
            temporary = _temporary(inner_target)
            try:
                os.link(inner, temporary)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                    raise
                import shutil

                shutil.copyfile(inner, temporary)
            os.replace(temporary, inner_target)
        elif type(fs) is type(fs_target):
            fs.copy(inner, inner_target)
        else:
            with fs.open(inner, "rb") as read, fs_target.open(inner_target, "wb") as out:
                while block := read.read(1 << 24):
                    out.write(block)
