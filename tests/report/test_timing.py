"""What stages took, beside what was predicted: by hand from receipts, as a table, and on the command line."""

import io
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from jql.cli import main
from jql.engine import storage
from jql.engine.plan import Plan, Unit
from jql.engine.prediction import Prediction
from jql.engine.receipt import Receipt, Totals, receipt_path
from jql.engine.run import StageRun
from jql.recipe import Engine
from jql.report.timing import span, timing, timing_table, worked

RAY = Engine(workers=3)


def printed(table) -> str:
    out = Console(width=200, file=io.StringIO())
    out.print(table)
    return out.file.getvalue()


def stage_run(folder: Path, name: str, seconds: dict[int, float], weights: list[int], **fields) -> StageRun:
    """A stage whose units took these seconds, 100 rows each."""
    plan = Plan.build(Unit(i, f"unit {i}", w) for i, w in enumerate(weights))
    run = StageRun(name, str(folder / name), "f", plan, **fields)
    for unit, taken in seconds.items():
        receipt = Receipt(unit, "a", {}, 100, 100, {}, {}, taken, 0, "here")
        storage.put(receipt_path(run.folder, plan.unit(unit).name), receipt.to_bytes())
    return run


def sums_of(*runs: StageRun) -> dict[str, Totals]:
    sums = {}
    for run in runs:
        sums[run.name] = Totals()
        for receipt in run.receipts():
            sums[run.name].add(receipt)
    return sums


def prediction(stage: str, **changes) -> Prediction:
    fields = {"fingerprint": "f", "backend": "ray", "cpus": 1.0, "gpus": 0.0, "rate": 36.0, "low": 18.0, "high": 72.0}
    fields |= {"date": "2026-11-21T12:00:00", "host": "here", "room": 2, "load_s": 9.0, "first_s": 0.0, "probes": []}
    return Prediction(stage=stage, **{**fields, **changes})


def test_hours_and_speed_by_hand(tmp_path):
    run = stage_run(tmp_path, "annotate", {0: 3600.0, 1: 1800.0}, [100, 50], cpus=4.0, gpus=0.5)
    found = timing([run], sums_of(run), {}, RAY)["annotate"]
    assert found == {
        "units": 2,
        "rows": 200,
        "worker_hours": 1.5,
        "cpu_hours": 6.0,
        "gpu_hours": 0.75,
        "rows_per_second": round(200 / 5400, 2),
    }


def test_predicted_against_actual(tmp_path):
    run = stage_run(tmp_path, "crawl", {0: 3600.0, 1: 1800.0}, [100, 50])
    sums, made = sums_of(run), {"crawl": prediction("crawl")}
    found = timing([run], sums, made, RAY)["crawl"]
    assert found["predicted"] == [1.5, 0.75, 3.0] and found["difference"] == 0
    first = timing([run], sums, {"crawl": prediction("crawl", first_s=360.0)}, RAY)["crawl"]
    assert first["predicted"] == [1.7, 0.95, 3.2], "three workers are allowed, and two units make two of them begin"
    assert first["difference"] == pytest.approx(1.5 / 1.7 - 1, abs=1e-4)
    one = timing([run], sums, {"crawl": prediction("crawl", low=None, high=None)}, RAY)["crawl"]
    assert one["predicted"] == [1.5, None, None]


def test_only_units_that_are_there_are_compared(tmp_path):
    run = stage_run(tmp_path, "crawl", {0: 3600.0, 2: 1800.0}, [100, 70, 50])
    found = timing([run], sums_of(run), {"crawl": prediction("crawl")}, RAY)["crawl"]
    assert found["predicted"][0] == 1.5 and found["difference"] == 0


@pytest.mark.parametrize("changes", [{"fingerprint": "g"}, {"backend": "inline"}, {"gpus": 1.0}, {"cpus": 2.0}])
def test_a_prediction_of_something_else_is_left_out(tmp_path, changes):
    run = stage_run(tmp_path, "crawl", {0: 1.0}, [1])
    assert "predicted" not in timing([run], sums_of(run), {"crawl": prediction("crawl", **changes)}, RAY)["crawl"]


def test_stages_that_did_nothing_are_left_out(tmp_path):
    nothing = stage_run(tmp_path, "select/copies", {}, [])
    before = stage_run(tmp_path, "crawl", {0: 1.0, 1: 1.0}, [1, 1], before=2)
    resumed = stage_run(tmp_path, "annotate", {0: 1.0, 1: 1.0}, [1, 1], before=1)
    runs = [nothing, before, resumed]
    sums = sums_of(*runs)
    assert worked(runs, sums) == {"annotate"}
    found = timing(runs, sums, {}, RAY)
    assert list(found) == ["crawl", "annotate"] and found["annotate"]["units"] == 2
    assert timing_table(found, frozenset()) is None
    assert "crawl" not in printed(timing_table(found, worked(runs, sums)))


def test_the_table_adds_steps_up_and_shows_what_was_predicted(tmp_path):
    runs = [
        stage_run(tmp_path, "crawl", {0: 5400.0}, [1]),
        stage_run(tmp_path, "dedup/signatures", {0: 90.0}, [2]),
        stage_run(tmp_path, "dedup/pairs", {0: 60.0}, [2]),
        stage_run(tmp_path, "annotate", {0: 7200.0, 1: 3600.0}, [200, 100], gpus=0.5),
    ]
    made = {"dedup/signatures": prediction("dedup/signatures"), "annotate": prediction("annotate", gpus=0.5)}
    found = timing(runs, sums_of(*runs), made, RAY)
    table = printed(timing_table(found, found))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if line.startswith("│")]
    assert rows == [
        ["crawl", "1.50 h", "0.00 s", "0.02", "", ""],
        ["dedup", "2.50 min", "0.00 s", "", "", ""],
        ["dedup/signatures", "1.50 min", "0.00 s", "1.11", "1.20 min [0.60, 2.40]", "+25%"],
        ["annotate", "3.00 h", "1.50 h", "0.02", "3.00 h [1.50, 6.00]", "+0%"],
    ]
    runs = [stage_run(tmp_path, "annotate/sample", {0: 36.0}, [1]), *runs]
    found = timing(runs, sums_of(*runs), {}, RAY)
    before = json.dumps(found)
    table = printed(timing_table(found, found))
    assert "annotate/sample" in table and "36.0 s" in table and "3.00 h" in table and json.dumps(found) == before
    runs = runs[1:]
    plain = timing(runs[:1], sums_of(runs[0]), {}, RAY)
    assert "GPU" not in printed(timing_table(plain, plain)) and "predicted" not in printed(timing_table(plain, plain))


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        ([1.3, 1.1, 1.52], "1.30 h [1.10, 1.52]"),
        ([0.9996], "60.0 min"),
        ([0.5, None, None], "30.0 min"),
        ([1234.5, 1000, 2000], "1,234 h [1,000, 2,000]"),
        ([0.001, 0.0, 0.5], "3.60 s [0.00, 1,800]"),
        ([0.0], "0.00 s"),
    ],
)
def test_times_in_words(hours, words):
    assert span(hours) == words


@pytest.fixture
def recipe(tmp_path):
    rows = [{"id": f"d{i}", "text": f"Lesson {i}: ice floats.", "language": "eng_Latn"} for i in range(40)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"output: {tmp_path / 'run'}\nstages: [annotate]\nengine: {{backend: inline}}\n"
        f"documents: {{path: {tmp_path / 'a.parquet'}}}\n"
    )
    return path


def jql(monkeypatch, *arguments: str) -> int:
    """The exit code of a command in this process."""
    monkeypatch.setattr(sys, "argv", ["jql", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_on_the_command_line(recipe, tmp_path, monkeypatch, capsys):
    assert jql(monkeypatch, "plan", str(recipe), "--calibrate", "--seconds", "0.2", "--json") == 0
    said = capsys.readouterr()
    assert "annotate: loading a worker, then probing for about 0.2 s" in said.err
    assert "time left" in said.out and "to load each" in said.out
    assert json.loads(said.out.splitlines()[-1])["stages"][0]["prediction"]["worker_hours"][0] > 0
    assert jql(monkeypatch, "run", str(recipe)) == 0
    said = capsys.readouterr().out
    assert "Time of workers, without loading" in said and "predicted" in said and "off by" in said
    time = json.loads((tmp_path / "run" / "summary.json").read_text())["time"]["annotate"]
    assert time["rows"] == 40 and time["predicted"][0] > 0
    assert jql(monkeypatch, "run", str(recipe)) == 0
    assert "Time of workers" not in capsys.readouterr().out, "nothing was to do"
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["time"]["annotate"] == time
    assert jql(monkeypatch, "plan", str(recipe), "--calibrate") == 0
    assert "nothing is left to run, so nothing was measured" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        ["--calibrate", "--seconds", "0"],
        ["--calibrate", "--seconds", "-1"],
        ["--seconds", "5"],
        ["--calibrate", "--seconds", "nan"],
        ["--calibrate", "--seconds", "inf"],
    ],
)
def test_seconds_that_make_no_sense(recipe, options, monkeypatch, capsys):
    assert jql(monkeypatch, "plan", str(recipe), *options) == 2
    assert "--seconds: expected a number above 0, and --calibrate with it, got" in capsys.readouterr().err
