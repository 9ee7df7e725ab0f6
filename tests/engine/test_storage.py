"""Storage on a local disk and on a real S3 server: whole or not at all, exactly one first writer, one clear line."""

import hashlib
import http.client
import http.server
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jql.engine import storage
from jql.errors import OutputError

# Everything is imported before root's rights go, in case the packages lie where only root may read.
BE_NOBODY = """
import os, pyarrow, fsspec.implementations.local, jql.engine.storage
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
"""

SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string())])


def table(rows: int, start: int = 0) -> pa.Table:
    return pa.table(
        {"n": list(range(start, start + rows)), "text": [f"row {i}" for i in range(start, start + rows)]}, SCHEMA
    )


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "root")
    return storage.join(request.getfixturevalue("s3"), uuid.uuid4().hex)


def leftovers(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# What it does ------------------------------------------------------------------------------------------------------


def test_put_replaces_and_find_lists(root: str) -> None:
    path = storage.join(root, "a", "b.txt")
    assert not storage.exists(path) and storage.find(root) == []
    storage.put(path, b"one")
    storage.put(path, b"two")
    storage.put(storage.join(root, "c.txt"), b"")
    assert storage.read_bytes(path) == b"two"
    assert storage.find(root) == ["a/b.txt", "c.txt"] and storage.find(storage.join(root, "a")) == ["b.txt"]
    assert storage.exists(path) and storage.exists(storage.join(root, "a"))
    storage.delete(path)
    storage.delete(path)
    assert not storage.exists(path) and storage.find(root) == ["c.txt"]


def test_a_folder_beside_with_the_same_beginning_is_not_listed(root: str) -> None:
    storage.put(storage.join(root, "part", "x"), b"")
    storage.put(storage.join(root, "part2", "y"), b"")
    assert storage.find(storage.join(root, "part")) == ["x"]


def test_words_are_read_as_dictionaries(root: str) -> None:
    words = pa.table({"language": ["deu", "isl", "deu", None, "swe"] * 3, "n": range(15)})
    storage.write_table(root, "w.parquet", words.schema, [words.slice(i, 4) for i in range(0, 15, 4)])
    path = storage.join(root, "w.parquet")
    assert storage.read_table(path).schema == words.schema
    found = storage.read_table(path, ["language"], words=("language", "reason"))
    assert pa.types.is_dictionary(found.schema.field("language").type)
    assert (
        found.column("language").combine_chunks().dictionary_decode().equals(words.column("language").combine_chunks())
    )
    empty = storage.write_table(root, "e.parquet", words.schema, [])
    assert empty.rows == 0 and storage.read_table(storage.join(root, "e.parquet"), words=("language",)).num_rows == 0


def test_write_table_streams_its_pieces(root: str) -> None:
    written = storage.write_table(root, "d/t.parquet", SCHEMA, (table(5, i) for i in (0, 5, 10)), row_group_rows=4)
    path = storage.join(root, "d", "t.parquet")
    assert storage.read_table(path).equals(table(15))
    assert storage.read_table(path, ["n"], [("n", ">=", 12)]).column("n").to_pylist() == [12, 13, 14]
    data = storage.read_bytes(path)
    assert (written.path, written.rows, written.bytes) == ("d/t.parquet", 15, len(data))
    assert written.sha256 == hashlib.sha256(data).hexdigest()
    fs, inner = storage.filesystem(path)
    with fs.open(inner) as file:
        assert pq.ParquetFile(file).num_row_groups == 6  # every piece starts one: 4 + 1, three times
    again = storage.write_table(root, "e.parquet", SCHEMA, [table(5, i) for i in (0, 5, 10)], row_group_rows=4)
    assert again.sha256 == written.sha256


def test_create_is_for_the_first_only(root: str) -> None:
    path = storage.join(root, "x", "receipt.json")
    assert storage.create(path, b"first")
    assert not storage.create(path, b"second")
    assert storage.read_bytes(path) == b"first"


def test_of_twenty_writers_exactly_one_is_first(root: str) -> None:
    for round_ in range(5):
        path = storage.join(root, f"{round_}.json")
        gate = threading.Barrier(20)

        def writer(number: int, path: str = path, gate: threading.Barrier = gate) -> bool:
            gate.wait()
            return storage.create(path, f"writer {number}".encode() * 500)

        with ThreadPoolExecutor(20) as pool:
            told = list(pool.map(writer, range(20)))
        assert told.count(True) == 1
        assert storage.read_bytes(path) == f"writer {told.index(True)}".encode() * 500
    assert storage.find(root) == [f"{i}.json" for i in range(5)]
    if storage.is_local(root):
        assert len(os.listdir(root)) == 5


def test_of_processes_exactly_one_is_first(tmp_path: Path) -> None:
    code = """
import sys
from jql.engine import storage
sys.stdin.read()
print(storage.create(sys.argv[1], sys.argv[2].encode()))
"""
    path = str(tmp_path / "x.json")
    many = [
        subprocess.Popen(
            [sys.executable, "-c", code, path, str(i)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for i in range(6)
    ]
    for one in many:
        assert one.stdin is not None
        one.stdin.close()
    told = [one.stdout.read().strip() for one in many if one.stdout is not None]
    assert [one.wait() for one in many] == [0] * 6
    assert sorted(told) == ["False"] * 5 + ["True"]
    assert Path(path).read_text() == str(told.index("True"))


@pytest.mark.parametrize("way", ["local-local", "local-s3", "s3-s3", "s3-local"])
def test_copy(way: str, tmp_path: Path, s3: str) -> None:
    roots = {"local": str(tmp_path), "s3": storage.join(s3, uuid.uuid4().hex)}
    source, target = (storage.join(roots[w], n) for w, n in zip(way.split("-"), ("from/a", "to/b"), strict=True))
    storage.put(source, b"content")
    for _ in range(2):  # the second time both names may be links to one file
        storage.copy(source, target)
        assert storage.read_bytes(target) == b"content"
    if way.endswith("local"):
        assert os.listdir(tmp_path / "to") == ["b"]


def test_copy_over_a_file_system_border(tmp_path: Path) -> None:
    if not Path("/dev/shm").is_dir() or os.stat("/dev/shm").st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("needs a second file system")
    source = f"/dev/shm/jql-{uuid.uuid4().hex}"
    storage.put(source, b"content")
    try:
        storage.copy(source, str(tmp_path / "x" / "b"))
    finally:
        storage.delete(source)
    assert (tmp_path / "x" / "b").read_bytes() == b"content" and os.listdir(tmp_path / "x") == ["b"]


def test_an_error_of_the_pieces_is_passed_on_and_nothing_is_left(root: str, tmp_path: Path) -> None:
    def pieces() -> Iterator[pa.Table]:
        yield table(3)
        raise PermissionError(13, "Permission denied", "/input/of/the/stage")

    with pytest.raises(PermissionError, match="/input/of/the/stage"):
        storage.write_table(root, "t.parquet", SCHEMA, pieces())
    assert storage.find(root) == [] and leftovers(tmp_path) == []


def test_a_folder_that_cannot_be_listed_does_not_count_as_empty(tmp_path: Path) -> None:
    (tmp_path / "receipts").mkdir(mode=0o000)
    let_through(tmp_path)
    code = f"{BE_NOBODY}\nprint(jql.engine.storage.find({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "PermissionError" in done.stderr


# When nothing can be written ---------------------------------------------------------------------------------------


def run_writers(folder: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """All ways to write, each into `folder`, in a process of its own; prints one line a way."""
    code = f"""
import pyarrow as pa
{before}
from jql.engine import storage
from jql.errors import OutputError
schema = pa.schema([("x", pa.string())])
big = pa.table({{"x": [__import__("random").Random(i).randbytes(500).hex() for i in range(2000)]}}, schema)
ways = {{
    "put": lambda: storage.put({folder!r} + "/a/put.bin", b"x" * 2_000_000),
    "create": lambda: storage.create({folder!r} + "/a/create.json", b"y" * 2_000_000),
    "write_table": lambda: storage.write_table({folder!r}, "a/t.parquet", schema, [big, big]),
}}
for name, way in ways.items():
    try:
        way()
        print(name, "wrote")
    except OutputError as error:
        print(name, error)
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def check_refusals(done: subprocess.CompletedProcess[str], what: str, how: str) -> None:
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["put", "create", "write_table"], done.stdout
    for line, file in zip(lines, ("a/put.bin", "a/create.json", "a/t.parquet"), strict=True):
        assert f"{file}: cannot be written ({what}); {how}" in line


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte; needs the right to mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("may not mount a tiny file system here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_one_clear_line(tiny_disk: Path) -> None:
    check_refusals(
        run_writers(str(tiny_disk)), "No space left on device", "free some space and run the same command again"
    )
    assert leftovers(tiny_disk) == []
    storage.put(str(tiny_disk / "small"), b"there is room again")


def test_the_limit_on_file_size_is_one_clear_line(tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))"
    check_refusals(run_writers(str(tmp_path), limit), "File too large", "the limit on the size of a file is reached")
    assert leftovers(tmp_path) == []


def let_through(folder: Path) -> None:
    """Let others pass through pytest's folders to this one."""
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.getuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)


def test_no_permission_is_one_clear_line(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    let_through(tmp_path)
    check_refusals(run_writers(str(out), BE_NOBODY), "Permission denied", "choose an output you may write to")
    assert leftovers(out) == []


def test_a_read_only_file_system_is_one_clear_line(tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    check_refusals(run_writers(str(tiny_disk)), "Read-only file system", "choose an output you may write to")


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file of yours")
    for write in writers(str(tmp_path / "out")):
        with pytest.raises(
            OutputError, match=r"out/.*: cannot be written \(.*\); a file stands where a folder is needed"
        ):
            write()
    assert leftovers(tmp_path) == ["out"] and (tmp_path / "out").read_text() == "a file of yours"


def writers(root: str) -> list[Callable[[], object]]:
    return [
        lambda: storage.put(storage.join(root, "a/p"), b""),
        lambda: storage.create(storage.join(root, "a/c"), b""),
        lambda: storage.write_table(root, "a/t.parquet", SCHEMA, [table(3)]),
    ]


def test_a_bucket_that_is_not_there_is_one_clear_line(s3: str) -> None:
    for write in writers("s3://jql-no-such-bucket/x"):
        with pytest.raises(
            OutputError, match=r"^s3://jql-no-such-bucket/x/a/.*: cannot be written .*bucket does not exist"
        ):
            write()


# S3 as it is in bad hours ------------------------------------------------------------------------------------------


class Unreliable(http.server.BaseHTTPRequestHandler):
    """Passes requests on to the S3 server; conditional PUTs meet, in turn, what `trouble` holds."""

    behind = ""
    trouble: list[str]
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        conditional = self.command == "PUT" and self.headers.get("If-None-Match") == "*"
        trouble = self.trouble.pop(0) if conditional and self.trouble else ""
        if trouble == "conflict":
            self.answer(409, {}, b"<Error><Code>ConditionalRequestConflict</Code><Message>busy</Message></Error>")
            return
        backend = http.client.HTTPConnection(self.behind, timeout=20)
        backend.request(self.command, self.path, body, dict(self.headers))
        reply = backend.getresponse()
        content = reply.read()
        backend.close()
        if trouble == "lost":
            self.close_connection = True
            return
        kept = {
            k: v
            for k, v in reply.getheaders()
            if k.lower() not in ("content-length", "transfer-encoding", "connection")
        }
        self.answer(reply.status, kept, content, reply.getheader("Content-Length"))

    def answer(self, status: int, headers: dict[str, str], content: bytes, length: str | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", (length or "0") if self.command == "HEAD" else str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def unreliable(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The list of troubles that an S3 server between us and the store will make; the store is `s3`."""
    endpoint = fsspec.config.conf["s3"]["endpoint_url"]
    trouble: list[str] = []
    handler = type("Handler", (Unreliable,), {"behind": endpoint.removeprefix("http://"), "trouble": trouble})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": f"http://127.0.0.1:{server.server_port}"})
    yield trouble
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_lost_answer_does_not_make_us_our_own_rival(unreliable: list[str], s3: str) -> None:
    """The PUT worked, its answer is lost, the client asks again and is told 412: the file there is ours."""
    path = storage.join(s3, uuid.uuid4().hex)
    unreliable.append("lost")
    assert storage.create(path, b"attempt one")
    assert unreliable == []
    assert not storage.create(path, b"attempt two")
    assert storage.read_bytes(path) == b"attempt one"


def test_a_conflict_says_nothing_about_who_was_first(unreliable: list[str], s3: str) -> None:
    """409: another conditional PUT is under way, and may yet fail; giving up would leave the unit without a receipt."""
    path = storage.join(s3, uuid.uuid4().hex)
    unreliable += ["conflict", "conflict"]
    assert storage.create(path, b"attempt one")
    assert unreliable == [] and storage.read_bytes(path) == b"attempt one"
