"""A run from plan to complete with the inline backend: resume, change, missing units, what is said and written down."""

import io
import json
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

from jql.engine import storage
from jql.engine.plan import Unit
from jql.engine.run import Run, StageRun
from jql.engine.stage import DocumentTimeout, Guard, Output, Stage
from jql.errors import DataError, IncompleteError, LockError, StopError
from jql.recipe import Engine

SCHEMA = pa.schema([("line", pa.string())])


class Lines:
    """Reads a text file of lines; leaves a mark for every call beside it."""

    def __init__(self, upper: bool) -> None:
        self.upper = upper

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        path = Path(unit.source)
        with path.with_suffix(".calls").open("a") as calls:
            calls.write("x")
        text = path.read_text()
        if text.startswith("damaged"):
            raise DataError(f"{path}: is damaged; expected lines")
        if text.startswith("bug"):
            raise RuntimeError("a bug in the worker")
        if text.startswith("slow"):
            try:
                with guard.document():
                    time.sleep(60)
            except DocumentTimeout:
                return Output.of(SCHEMA.empty_table(), 1, drops=Counter(timeout=1))
        if text.startswith("forgets"):
            with guard.document():
                time.sleep(60)
        lines = [line.upper() if self.upper else line for line in text.splitlines()]
        return Output.of(pa.table({"line": lines}, SCHEMA), len(lines))


def calls(path: Path) -> int:
    marks = path.with_suffix(".calls")
    return len(marks.read_text()) if marks.exists() else 0


class Place:
    """Inputs, a run folder, and what was said to a person."""

    def __init__(self, folder: Path, texts: list[str], out: str = "") -> None:
        self.inputs = [folder / f"in-{i}.txt" for i in range(len(texts))]
        for path, text in zip(self.inputs, texts, strict=True):
            path.write_text(text)
        self.out = out or str(folder / "out")
        self.planned = 0
        self.said = io.StringIO()

    def run(self, upper: bool = False, document_s: float = 60.0, **engine: Any) -> StageRun:
        def units() -> list[Unit]:
            self.planned += 1
            return [Unit(i, str(path), path.stat().st_size) for i, path in enumerate(self.inputs)]

        self.said = io.StringIO()
        stage = Stage("lines", 1, {"upper": upper}, {}, Lines, {"upper": upper}, "filter", document_s=document_s)
        with Run(self.out, Engine(backend="inline", **engine), Console(file=self.said, width=1000)) as run:
            return run.run(stage, units)

    def log(self) -> list[dict[str, Any]]:
        data = storage.read_bytes(storage.join(self.out, "run.log")).decode()
        assert data.endswith("\n")
        return [json.loads(line) for line in data.splitlines()]

    def calls(self) -> list[int]:
        return [calls(path) for path in self.inputs]


def lines(result: StageRun) -> list[str]:
    return [line for table in result.tables() for line in table.column("line").to_pylist()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, ["a\nb\n", "c\n", "d\ne\nf\n"])


def test_the_same_command_again_does_nothing_again_and_says_so(place: Place) -> None:
    first = place.run()
    assert lines(first) == list("abcdef") and first.before == 0 and "done before" not in place.said.getvalue()
    again = place.run()
    assert lines(again) == list("abcdef") and again.before == 3
    assert "lines: 3 of 3 units were done before" in place.said.getvalue()
    assert place.calls() == [1, 1, 1] and place.planned == 1


def test_what_is_missing_is_done_and_only_that(place: Place) -> None:
    first = place.run()
    storage.delete(storage.join(first.folder, "receipts", "00000/001.json"))
    again = place.run()
    assert lines(again) == list("abcdef") and again.before == 2 and place.calls() == [1, 2, 1]
    assert "2 of 3 units were done before" in place.said.getvalue()


def test_on_s3(tmp_path: Path, s3: str) -> None:
    place = Place(tmp_path, ["a\n", "b\n"], storage.join(s3, "run-test"))
    assert lines(place.run()) == lines(place.run()) == ["a", "b"] and place.calls() == [1, 1]
    assert [e["event"] for e in place.log()] == ["start", "stage", "stage_end", "end"] * 2


def test_a_changed_setting_runs_anew_and_is_named(place: Place) -> None:
    place.run()
    assert lines(place.run(upper=True)) == list("ABCDEF") and place.calls() == [2, 2, 2]
    said = place.said.getvalue()
    assert "lines: changed since it last ran here, so it runs anew (config.upper: false -> true)" in said
    assert [e["what"] for e in place.log() if e["event"] == "changed"] == ["config.upper: false -> true"]
    assert lines(place.run()) == list("abcdef") and place.calls() == [2, 2, 2], "the old result is still there"


def test_an_unreadable_unit_is_named_and_tried_again_by_the_same_command(place: Place) -> None:
    place.inputs[1].write_text("damaged")
    with pytest.raises(
        IncompleteError, match=r"^lines: 1 of 3 units are missing: .*in-1.txt: is damaged; expected lines; repair"
    ):
        place.run()
    assert place.calls() == [1, 1, 1], "an input that cannot be read is not read three times"
    folder = next(Path(place.out).glob("lines/*"))
    record = json.loads((folder / "quarantine/00000/001.json").read_text())
    assert record["unit"] == 1 and record["source"] == str(place.inputs[1]) and "is damaged" in record["error"]
    events = place.log()
    assert [e["event"] for e in events] == ["start", "stage", "unit", "stage_end", "end"]
    assert events[2]["status"] == "unreadable" and "DataError" in events[2]["trace"] and events[3]["missing"] == 1
    assert events[4]["error"].startswith("IncompleteError: lines: 1 of 3")
    place.inputs[1].write_text("c\n")
    assert lines(place.run()) == list("abcdef") and place.calls() == [1, 2, 1]
    assert not list((folder / "quarantine").rglob("*.json")), "nothing is missing any more"


def test_a_tolerated_share_goes_on_and_says_so(place: Place) -> None:
    place.inputs[1].write_text("damaged")
    result = place.run(tolerate_missing=0.34)
    assert lines(result) == list("abdef") and list(result.quarantined) == [1]
    assert "lines: tolerated: " in place.said.getvalue() and "in-1.txt: is damaged" in place.said.getvalue()
    assert result.mark()["missing"]
    with pytest.raises(IncompleteError, match=r"set engine\.tolerate_missing"):
        place.run(tolerate_missing=0.33)


def test_an_exception_is_tried_three_times_and_does_not_stop_the_others(tmp_path: Path) -> None:
    place = Place(tmp_path, ["bug", *"abcd"])
    with pytest.raises(
        IncompleteError, match=r"1 of 5 units are missing: .*in-0.txt: RuntimeError: a bug in the worker"
    ):
        place.run()
    assert place.calls() == [3, 1, 1, 1, 1]


def test_many_missing_units_are_counted_and_three_are_named(tmp_path: Path) -> None:
    place = Place(tmp_path, ["damaged"] * 5)
    with pytest.raises(
        IncompleteError, match=r"5 of 5 units are missing: .*in-0.*in-1.*in-2.*; and 2 more in .*quarantine"
    ) as found:
        place.run()
    assert "in-3" not in str(found.value)


def test_a_document_that_hangs_is_stopped(tmp_path: Path) -> None:
    place = Place(tmp_path, ["slow", "a\n"])
    result = place.run(document_s=0.2)
    assert lines(result) == ["a"] and [r.drops for r in result.receipts()] == [{"timeout": 1}, {}]


def test_a_worker_that_does_not_expect_the_timeout_fails_its_unit_only(tmp_path: Path) -> None:
    place = Place(tmp_path, ["forgets", "a\n"])
    with pytest.raises(IncompleteError, match=r"1 of 2 units are missing: .*in-0.txt: DocumentTimeout"):
        place.run(document_s=0.1)


def test_output_that_cannot_be_written_stops_at_once(place: Place) -> None:
    first = place.run()
    for name in ("00000/000.json", "00000/001.json", "00000/002.json"):
        storage.delete(storage.join(first.folder, "receipts", name))
    data = Path(first.folder) / "data"
    shutil.rmtree(data)
    data.write_text("a file in the way")
    with pytest.raises(
        StopError, match=r"data/00000/00.-\w+\.parquet: cannot be written \(Not a directory\); a file stands"
    ):
        place.run()
    assert sum(place.calls()) == 3 + 1
    assert place.log()[-1]["error"].startswith("StopError: ")
    data.unlink()
    assert lines(place.run()) == list("abcdef")


def test_two_runs_in_one_folder(place: Place) -> None:
    held = Run(place.out, Engine(backend="inline"), Console(file=io.StringIO()))
    with held, pytest.raises(LockError, match="a run is at work here"):
        place.run()
    assert lines(place.run()) == list("abcdef")


def test_no_units_is_complete(tmp_path: Path) -> None:
    assert lines(Place(tmp_path, []).run()) == []


class Keeper:
    """Notes each line in the folder that the unit keeps, and fails half-way the first time."""

    def __init__(self) -> None:
        return

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        lines = Path(unit.source).read_text().splitlines()
        folder = Path(guard.keep())
        folder.mkdir(parents=True, exist_ok=True)
        known = {path.name for path in folder.iterdir()}
        for line in lines:
            if line not in known:
                (folder / line).touch()
                with Path(unit.source).with_suffix(".paid").open("a") as paid:
                    paid.write(line)
                if line == "b" and len(known) == 0:
                    raise RuntimeError("half-way")
        return Output.of(pa.table({"line": lines}, SCHEMA), len(lines))


def test_what_a_unit_keeps_is_there_for_its_next_attempt_and_gone_once_it_is_committed(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("a\nb\nc\n")
    stage = Stage("keep", 1, {}, {}, Keeper, {}, "filter")
    with Run(str(tmp_path / "run"), Engine(backend="inline"), Console(file=io.StringIO())) as run:
        done = run.run(stage, lambda: [Unit(0, str(source))])
    assert [row for table in done.tables() for row in table.column("line").to_pylist()] == ["a", "b", "c"]
    assert source.with_suffix(".paid").read_text() == "abc"  # nothing twice
    assert not [path for path in (tmp_path / "run").rglob("kept/**/*") if path.is_file()]


def test_what_is_no_stage_is_made_once(tmp_path: Path) -> None:
    said, made = io.StringIO(), []
    with Run(str(tmp_path), Engine(backend="inline"), Console(file=said)) as run:
        run.make("heads", False, lambda: made.append(1))
        run.make("heads", True, lambda: made.append(2))
    assert made == [1] and "heads: done before" in said.getvalue()
    assert [json.loads(line)["event"] for line in (tmp_path / "run.log").read_text().splitlines()][1] == "made"
