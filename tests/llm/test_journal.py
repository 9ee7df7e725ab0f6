"""Records survive their writer: killed, cut anywhere, together with other writers, on a disk and on object storage."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.engine import storage
from jql.errors import DataError, OutputError
from jql.llm import journal
from jql.llm.journal import Journal, line_of, record_of

TEXT = st.text(st.characters(exclude_categories=[]), max_size=8)
RECORD = st.dictionaries(TEXT, TEXT | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.lists(TEXT, max_size=2), max_size=4)  # fmt: skip
RECORDS = [{"key": "река", "text": "a\nb\u2028c"}, {"key": "世界", "n": 2}, {"key": "🙂 \ud800", "x": None}]


def wrote(folder: str, *records: dict) -> Journal:
    journal = Journal(folder)
    for record in records:
        journal.append(record)
    return journal


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@given(RECORD)
def test_a_record_is_one_line_and_comes_back(record: dict) -> None:
    line = line_of(record)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert record_of(line) == record
    assert record_of(line[:-1]) == record
    assert all(record_of(line[:cut]) is None for cut in range(len(line) - 1))


def test_numbers_must_be_finite(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Journal(str(tmp_path)).append({"x": float("nan")})


def test_records_come_back_in_order(tmp_path: Path) -> None:
    folder = str(tmp_path / "new" / "folder")
    first = wrote(folder, *RECORDS)
    assert list(Journal(folder).read()) == RECORDS  # before it is closed
    first.close()
    assert list(first.read()) == RECORDS
    assert first.torn == 0


def test_an_empty_or_missing_folder(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        assert list(Journal(str(folder)).read()) == []
        Journal(str(folder)).close()
        Journal(str(folder)).remove()
    assert not (tmp_path / "missing").exists()


def test_who_only_reads_makes_no_file(tmp_path: Path) -> None:
    list(Journal(str(tmp_path)).read())
    assert files(tmp_path) == []


def test_cut_at_every_byte_of_the_last_record(tmp_path: Path) -> None:
    wrote(str(tmp_path), *RECORDS).close()
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    last = len(whole) - len(line_of(RECORDS[-1]))
    for cut in range(last, len(whole) + 1):
        path.write_bytes(whole[:cut])
        journal = Journal(str(tmp_path))
        found = list(journal.read())
        complete = cut >= len(whole) - 1  # without its end of line it is whole, too
        assert found == (RECORDS if complete else RECORDS[:-1])
        assert journal.torn == (0 if complete or cut == last else 1)


def test_a_power_cut_leaves_zeros(tmp_path: Path) -> None:
    wrote(str(tmp_path), *RECORDS).close()
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes() + b"\x00" * 100)
    journal = Journal(str(tmp_path))
    assert list(journal.read()) == RECORDS
    assert journal.torn == 1


@pytest.mark.parametrize("bad", [b'{"key": "b', b"[1]", b"", b"\xff\xfe"])
def test_a_torn_line_in_the_middle_is_an_error(tmp_path: Path, bad: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"key": "a"}\n' + bad + b'\n{"key": "c"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: no JSON object; .* remove it or the line"):
        list(Journal(str(tmp_path)).read())


def test_torn_lines_of_several_writers_are_counted(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.jsonl").write_bytes(b'{"key": "%s"}\n{"ke' % name.encode())
    journal = Journal(str(tmp_path))
    assert [r["key"] for r in journal.read()] == ["a", "b", "c"]
    assert journal.torn == 3
    list(journal.read())
    assert journal.torn == 3  # counted anew, not added up


def test_two_writers_and_other_files(tmp_path: Path) -> None:
    one, two = Journal(str(tmp_path)), Journal(str(tmp_path))
    for number in range(100):
        (one, two)[number % 2].append({"n": number})
    (tmp_path / "note.txt").write_text("not a record")
    found = [r["n"] for r in Journal(str(tmp_path)).read()]
    assert sorted(found) == list(range(100))
    assert [n for n in found if n % 2] == list(range(1, 100, 2))
    one.close()
    two.close()


def test_appending_after_closing_begins_another_file(tmp_path: Path) -> None:
    journal = wrote(str(tmp_path), {"n": 1})
    journal.close()
    journal.append({"n": 2})
    journal.close()
    assert len(files(tmp_path)) == 2
    assert sorted(r["n"] for r in journal.read()) == [1, 2]


def test_removing(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    wrote(str(folder), *RECORDS).close()
    other = wrote(str(folder), {"n": 1})
    wrote(str(folder), {"n": 2}).remove()
    assert not folder.exists()
    other.append({"n": 3})  # a late attempt that does not know yet
    other.close()
    assert list(Journal(str(folder)).read()) == []


WRITER = """
import sys
from jql.llm.journal import Journal
journal = Journal(sys.argv[1])
for number in range(10**9):
    journal.append({"n": number, "text": "lorem " * 300})
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("after", [1, 40, 400])
def test_a_killed_writer_loses_nothing_that_was_appended(tmp_path: Path, after: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    said = [int(process.stdout.readline()) for _ in range(after)]
    process.send_signal(signal.SIGKILL)
    said += [int(line) for line in process.stdout if line.endswith("\n")]
    process.wait(10)
    journal = Journal(str(tmp_path))
    found = [r["n"] for r in journal.read()]
    assert found[: len(said)] == said == list(range(len(said)))
    assert len(found) <= len(said) + 1 and journal.torn <= 1


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        Journal(str(tmp_path / "taken" / "journal")).append({"n": 1})


FULL = """
import resource, signal, sys
from jql.errors import OutputError
from jql.llm.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
journal = Journal(sys.argv[1])
try:
    for number in range(100):
        journal.append({"n": number, "text": "x" * 90})
except OutputError as error:
    print(number, error)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
journal.append({"n": number, "text": "again"})
"""


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], check=True, capture_output=True, text=True)
    number, said = done.stdout.split(" ", 1)
    assert "the limit on the size of a file is reached" in said
    journal = Journal(str(tmp_path))
    assert [r["n"] for r in journal.read()] == list(range(int(number) + 1))
    assert journal.torn == 0


# Object storage


def test_on_object_storage(s3: str) -> None:
    folder = f"{s3}/journal/plain"
    one, two = wrote(folder, *RECORDS[:2]), wrote(folder, RECORDS[2])
    one.close()
    two.close()
    reader = Journal(folder)
    assert sorted(json.dumps(r) for r in reader.read()) == sorted(json.dumps(r) for r in RECORDS)
    assert reader.torn == 0
    reader.remove()
    assert list(reader.read()) == []


def test_an_upload_takes_all_that_arrived(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "FLUSH_S", 0.3)
    folder = f"{s3}/journal/batches"
    writer = wrote(folder, {"n": 0})
    deadline = time.monotonic() + 20
    while not storage.find(folder):  # the first goes at once
        assert time.monotonic() < deadline
    for number in range(1, 500):
        writer.append({"n": number})
    while list(Journal(folder).read()) == [{"n": 0}]:  # the others without being asked
        assert time.monotonic() < deadline
    writer.close()
    assert [r["n"] for r in Journal(folder).read()] == list(range(500))
    assert 2 <= len(storage.find(folder)) <= 4


def test_a_killed_writer_on_object_storage_loses_the_last_second(s3: str) -> None:
    folder = f"{s3}/journal/killed"
    code = f"""
import time, fsspec
from jql.llm.journal import Journal
fsspec.config.conf["s3"] = {{"endpoint_url": {os.environ["FSSPEC_S3_ENDPOINT_URL"]!r}}}
journal = Journal({folder!r})
for number in range(10**9):
    journal.append({{"n": number}})
    print(number, flush=True)
    time.sleep(0.01)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    deadline = time.monotonic() + 30
    while len(storage.find(folder)) < 2:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.kill()
    said = [int(line) for line in process.stdout if line.endswith("\n")]
    process.wait(10)
    reader = Journal(folder)
    found = [r["n"] for r in reader.read()]
    assert found == list(range(len(found)))
    assert 2 <= len(found) <= len(said) + 1 and reader.torn == 0


def test_removing_what_is_not_yet_uploaded(s3: str) -> None:
    folder = f"{s3}/journal/removed"
    writer = wrote(folder, *({"n": n} for n in range(50)))
    writer.remove()
    assert storage.find(folder) == []


def test_an_upload_that_fails_is_told(s3: str) -> None:
    writer = wrote("s3://no-such-bucket-here/journal", {"n": 1})
    with pytest.raises(OutputError, match=r"no-such-bucket-here/journal/.* cannot be written"):
        writer.close()
    writer = wrote("s3://no-such-bucket-here/journal", {"n": 1})
    deadline = time.monotonic() + 20
    with pytest.raises(OutputError, match="cannot be written"):
        while time.monotonic() < deadline:
            writer.append({"n": 2})
            time.sleep(0.02)
