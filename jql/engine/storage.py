"""Files on any fsspec file system (local, s3, http, hf): atomic writes, create-if-absent, Parquet in and out."""

import errno
import hashlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from jql.errors import OutputError, one_line

_IN_THE_WAY = "a file stands where a folder is needed or the other way round; choose another output"
_ELSE = "choose an output you may write to"
_HOW = {
    errno.ENOSPC: "free some space and run the same command again; finished units are kept",
    errno.EDQUOT: "the quota is used up; raise it and run the same command again",
    errno.EFBIG: "the limit on the size of a file is reached; raise it (ulimit -f) and run the same command again",
    errno.EEXIST: _IN_THE_WAY,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EISDIR: _IN_THE_WAY,
    errno.ENAMETOOLONG: "choose a shorter output",
    errno.EROFS: _ELSE,
    errno.EACCES: _ELSE,
    errno.EPERM: _ELSE,
}
_CONFLICT_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


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
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _HOW:
            raise OutputError(f"{path}: cannot be written ({os.strerror(error.errno)}); {_HOW[error.errno]}") from error
        # A store refuses without an errno (no permission, no such bucket); botocore's "no credentials" is no OSError.
        refused = isinstance(error, (PermissionError, FileNotFoundError)) or "Credentials" in type(error).__name__
        if not is_local(path) and refused:
            raise OutputError(f"{path}: cannot be written ({one_line(error)}); {_ELSE}") from error
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
    """Paths of all files below `root`, relative to it, sorted; empty if there is no such folder.

    A folder that is there but cannot be listed is an error: its files must not count as missing.
    """
    fs, inner = filesystem(root)
    if is_local(root):
        found = [
            os.path.relpath(os.path.join(d, f), inner)
            for d, _, files in os.walk(inner, onerror=_unlisted)
            for f in files
        ]
        return sorted(f.replace(os.sep, "/") for f in found if not f.rsplit("/", 1)[-1].startswith(".tmp-"))
    fs.invalidate_cache()
    base = inner.rstrip("/") + "/"
    return sorted(p[len(base) :] for p in fs.find(inner) if p.startswith(base))


def _unlisted(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


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
    writers exactly one is told True. `data` must be unique to the writer (an attempt, a token): when the answer to our
    own request is lost and the client asks again, the file in the way is our own, and only its content tells.
    """
    fs, inner = filesystem(path)
    with writing(path):
        if (_create_local if is_local(path) else partial(_create_remote, fs))(inner, data):
            return True
    return read_bytes(path) == data


def _create_local(inner: str, data: bytes) -> bool:
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
    for wait_s in (*_CONFLICT_S, None):
        try:
            fs.pipe_file(inner, data, mode="create")
            return True
        except FileExistsError:  # 412
            return False
        except OSError as error:
            # 409: another conditional write is under way, and may yet fail; only 412 says that the file is there.
            answer = getattr(error.__cause__, "response", {}).get("ResponseMetadata", {})
            if answer.get("HTTPStatusCode") != 409 or wait_s is None:
                raise
            time.sleep(wait_s)
    raise AssertionError("the last try returns or raises")


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


class _Hashing:
    """A binary file that hashes what goes through it; its errors name `path`."""

    def __init__(self, raw: Any, path: str) -> None:
        self.raw = raw
        self.path = path
        self.sha256 = hashlib.sha256()
        self.size = 0
        self.closed = False

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        self.size += len(data)
        with writing(self.path):
            return cast(int, self.raw.write(data))

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        with writing(self.path):
            self.raw.flush()

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def sync(self) -> None:
        self.flush()
        with writing(self.path):
            os.fsync(self.raw.fileno())

    def close(self) -> None:
        self.closed = True
        with writing(self.path):
            self.raw.close()


class TableWriter:
    """A Parquet file below `root`, written piece by piece, whole or not at all.

    It is there once `close` has put it there. `discard` removes what was not closed, and does nothing to what was.
    """

    def __init__(self, root: str, name: str, schema: pa.Schema) -> None:
        self.name, self.schema, self.rows = name, schema, 0
        self.path = join(root, name)
        self._fs, self._inner = filesystem(self.path)
        self._local = is_local(self.path)
        folder = os.path.dirname(self._inner) if self._local else None
        with writing(self.path):
            if folder is not None:
                os.makedirs(folder, exist_ok=True)
            handle, self._temporary = tempfile.mkstemp(prefix=".tmp-", dir=folder)
        self._sink = _Hashing(os.fdopen(handle, "wb"), self.path if self._local else self._temporary)
        try:
            self._writer = pq.ParquetWriter(pa.PythonFile(self._sink, "w"), schema, compression="zstd")
        except BaseException:
            self._sink.close()
            _unlink(self._temporary)
            raise

    def write(self, piece: pa.Table, row_group_rows: int | None = None) -> None:
        """Add rows, which start a row group of their own; None: they are one row group, however many."""
        self._writer.write_table(piece.cast(self.schema), row_group_size=row_group_rows or max(1, piece.num_rows))
        self.rows += piece.num_rows

    def close(self) -> DataFile:
        """Put the file under its name."""
        self._writer.close()
        self._sink.sync()
        self._sink.close()
        with writing(self.path):
            if self._local:
                os.chmod(self._temporary, 0o644)
                os.replace(self._temporary, self._inner)
            else:
                self._fs.put_file(self._temporary, self._inner)
        self.discard()
        return DataFile(self.name, self._sink.sha256.hexdigest(), self.rows, self._sink.size)

    def discard(self) -> None:
        """Remove what is not under its name yet."""
        try:
            if not self._sink.closed:
                with suppress(Exception):  # else it would try once more, and say so, when it is collected
                    self._writer.close()
                self._sink.close()
        finally:
            _unlink(self._temporary)


def write_table(
    root: str, name: str, schema: pa.Schema, pieces: Iterable[pa.Table], row_group_rows: int = 100_000
) -> DataFile:
    """Write Parquet below `root`, whole or not at all; every piece starts a row group of its own.

    `pieces` are taken one at a time, so that memory holds one of them. They may read an input while they are taken: an
    error of theirs is passed on as it is.
    """
    writer = TableWriter(root, name, schema)
    try:
        for piece in pieces:
            writer.write(piece, row_group_rows)
        return writer.close()
    finally:
        writer.discard()


def write_file(path: str, table: pa.Table) -> None:
    """Write a table as one Parquet file, whole or not at all; one that is there is replaced."""
    folder, _, name = path.rpartition("/")
    write_table(folder if "/" in path else ".", name, table.schema, [table])


def read_table(
    path: str, columns: Sequence[str] | None = None, filters: Any = None, words: Sequence[str] = ()
) -> pa.Table:
    """Read a Parquet file, or the columns and rows asked for; strings of `words` come as dictionaries."""
    fs, inner = filesystem(path)
    wanted = None if columns is None else list(columns)
    dictionaries = [word for word in words if wanted is None or word in wanted] or None
    if filters is None:  # a file by itself is read a quarter quicker than as a data set
        with fs.open(inner, "rb") as handle:
            file = pq.ParquetFile(handle, read_dictionary=dictionaries, pre_buffer=True)
            if missing := [name for name in wanted or () if name not in file.schema_arrow.names]:
                found = ", ".join(file.schema_arrow.names)
                raise pa.ArrowInvalid(f"no column {', '.join(missing)}; there are {found}")
            table = file.read(wanted)
            return table if wanted is None else table.select(wanted)
    return pq.read_table(
        inner, columns=wanted, filesystem=fs, filters=filters, partitioning=None, read_dictionary=dictionaries
    )


def copy(source: str, target: str) -> None:
    """Make `target` the same file as `source`, whole or not at all: a hard link where that can be had, else a copy."""
    fs, inner = filesystem(source)
    fs_target, inner_target = filesystem(target)
    with writing(target):
        if is_local(target):
            os.makedirs(os.path.dirname(inner_target), exist_ok=True)
            temporary = _temporary(inner_target)
            try:
                if is_local(source):
                    _link_or_copy(inner, temporary)
                else:
                    fs.get_file(inner, temporary)
                os.replace(temporary, inner_target)
            finally:
                _unlink(temporary)  # still there if both names were links to one file: rename does nothing then
        elif is_local(source):
            fs_target.put_file(inner, inner_target)
        elif type(fs) is type(fs_target):
            fs.cp_file(inner, inner_target)
        else:
            with tempfile.TemporaryDirectory() as folder:
                fs.get_file(inner, join(folder, "copy"))
                fs_target.put_file(join(folder, "copy"), inner_target)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        shutil.copyfile(source, target)
