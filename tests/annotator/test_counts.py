"""Histograms of units and the tree that adds them up: the root is the sum, whatever the tree; other heads end the run."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import table_bytes

from jql.annotator.annotator import Annotator
from jql.annotator.counts import COUNTS, Counts, bins_of, merged
from jql.annotator.histogram import BINS, MEASURES, Bins, Histograms
from jql.annotator.part import HELD_BACK, Part
from jql.engine.plan import Unit
from jql.engine.progress import console
from jql.engine.run import Run
from jql.engine.stage import Output, Stage
from jql.errors import DataError, IncompleteError
from jql.planner import Planner, Waiting
from jql.recipe import Engine
from jql.schema import COUNT

HEADS, NAMES, ROWS = ["edu", "web"], ["deu_Latn", "tha_Thai"], 20


@pytest.fixture(autouse=True)
def merged_by_three(monkeypatch):
    monkeypatch.setattr("jql.annotator.counts.MERGED", 3)


def made_up(index, heads):
    """The histograms of a unit; every fourth has nothing that counts."""
    draw, made = np.random.default_rng(index), Histograms(heads, Bins())
    n = 0 if index % 4 == 3 else ROWS
    sizes = np.stack([np.ones(n, np.int64), *draw.integers(1, 2**40, (2, n))])
    made.add(draw.normal(2, 1, (n, len(heads))), draw.integers(0, len(NAMES), n), NAMES, sizes)
    return made


class Scored:
    """A unit's rows and, aside, their counts."""

    def __call__(self, unit, guard):
        output = Output.of(pa.table({"row": range(ROWS)}), ROWS)
        output.tables[COUNTS] = (COUNT, [made_up(unit.index, unit.payload["heads"]).to_table()])
        return output


def scored(run, *heads, version=1):
    """A stage with as many units, and counts of these heads."""
    units = [Unit(i, f"in-{i}", ROWS, {"heads": found}) for i, found in enumerate(heads)]
    return run.run(Stage("scores", version, {}, {}, Scored, {}, "aligned"), lambda: iter(units))


def open_run(folder, **engine):
    return Run(str(folder), Engine(backend="inline", **engine), console(quiet=True))


def add_up(run, scores):
    """The stage with the sum, and the sum."""
    root = merged(run, scores, HEADS, Bins(), "counts")
    return root, pa.concat_tables([COUNT.empty_table(), *root.tables()])


@pytest.mark.parametrize(("units", "steps"), [(1, [1]), (3, [1]), (4, [2, 1]), (10, [4, 2, 1]), (28, [10, 4, 2, 1])])
def test_the_root_is_the_sum_of_all_units(tmp_path, units, steps):
    with open_run(tmp_path) as run:
        scores = scored(run, *[HEADS] * units)
        root, table = add_up(run, scores)
        planned = [(stage.name, len(stage.plan)) for stage in run.stages[1:]]
    assert planned == [(f"counts/{step}", many) for step, many in enumerate(steps, 1)]
    direct = Histograms(HEADS, Bins())
    for index in range(units):
        direct.merge(made_up(index, HEADS).to_table())
    assert table.equals(direct.to_table())
    assert [len(list(root.receipts())), sum(r.rows_in for r in scores.receipts())] == [1, units * ROWS]
    counted = Histograms.of_table(table, HEADS, Bins())
    found = sum(counted.totals(name)["documents"] for name in NAMES)
    assert found == ROWS * sum(index % 4 != 3 for index in range(units))


def test_of_no_units_there_are_no_counts(tmp_path):
    with open_run(tmp_path) as run:
        assert not add_up(run, scored(run))[1].num_rows


def test_what_was_added_up_is_not_added_up_again(tmp_path):
    with open_run(tmp_path) as run:
        _, table = add_up(run, scored(run, *[HEADS] * 10))
    before, times = table_bytes(tmp_path), {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.parquet")}
    planner = Planner(str(tmp_path))
    assert add_up(planner, scored(planner, *[HEADS] * 10))[1].equals(table)
    assert all(entry["left"] == 0 for entry in planner.found) and planner.found[-1]["stage"] == "counts/3"
    [receipt, *_] = sorted(tmp_path.glob("counts/1/*/receipts/*/002.json"))
    [root] = tmp_path.glob("counts/3/*/receipts/*/*.json")
    for lost in (receipt, root):
        lost.unlink()
    planner = Planner(str(tmp_path))
    with pytest.raises(Waiting):
        add_up(planner, scored(planner, *[HEADS] * 10))
    assert [entry["left"] for entry in planner.found] == [0, 1]
    with open_run(tmp_path) as run:
        assert add_up(run, scored(run, *[HEADS] * 10))[1].equals(table)
    assert table_bytes(tmp_path) == before
    assert sum(p.stat().st_mtime_ns != times.get(p) for p in tmp_path.rglob("*.parquet")) == 2


def test_other_scores_are_added_up_anew(tmp_path):
    with open_run(tmp_path) as run:
        first, _ = add_up(run, scored(run, *[HEADS] * 4))
        second, _ = add_up(run, scored(run, *[HEADS] * 4, version=2))
    assert first.folder != second.folder


@pytest.mark.parametrize("tolerated", [0.0, 0.9])
@pytest.mark.parametrize("other", [["edu"], ["edu", "law"], ["edu", "law", "web"]])
def test_a_head_that_half_of_the_units_lack_ends_the_run(tmp_path, other, tolerated):
    with open_run(tmp_path, tolerate_missing=tolerated) as run:
        scores = scored(run, *[HEADS, other] * 6)
        path = scores.path(list(scores.receipts())[1], COUNTS)
        said = rf"counts/1: .*{path}: counts of the heads {', '.join(other)}, expected edu, web; its unit was scored by"
        with pytest.raises(IncompleteError, match=said):
            add_up(run, scores)
    assert not (tmp_path / "counts" / "2").exists()


def test_the_run_goes_on_once_the_counts_are_right(tmp_path):
    with open_run(tmp_path) as run:
        scores = scored(run, *[HEADS] * 2, ["edu"])
        with pytest.raises(IncompleteError):
            add_up(run, scores)
        pq.write_table(made_up(2, HEADS).to_table(), scores.path(list(scores.receipts())[2], COUNTS))
    with open_run(tmp_path) as run:
        _, table = add_up(run, scored(run, *[HEADS] * 2, ["edu"]))
    counted = Histograms.of_table(table, HEADS, Bins())
    assert sum(counted.totals(name)["documents"] for name in NAMES) == 3 * ROWS


def test_what_a_part_counts():
    reasons = [None, None, HELD_BACK, HELD_BACK, "empty", "not_finite", None, "duplicate"]
    languages = ["deu_Latn", "tha_Thai"] * 4
    counted = np.array([1, 1, 1, 0, 1, 1, 0, 0], bool)
    points, sizes = (
        np.repeat(np.arange(8, dtype=np.float32)[:, None] / 2, 4, axis=1),
        np.array([range(10, 18), range(8)]),
    )
    made = Counts(Annotator.load("edu"))
    part = Part(pa.chunked_array([list("abcdefgh")]), languages, reasons, np.arange(2), counted, points, sizes)
    made.add(part)
    assert made.to_stats() == {"languages": {"deu_Latn": 4, "tha_Thai": 4}, "counted": {"deu_Latn": 2, "tha_Thai": 1}}
    assert {name: made.histograms.totals(name) for name in NAMES} == {
        "deu_Latn": dict(zip(MEASURES, (2, 22, 2), strict=True)),
        "tha_Thai": dict(zip(MEASURES, (1, 11, 1), strict=True)),
    }
    for documents in made.histograms.counts["deu_Latn"][0]:
        assert np.flatnonzero(documents).tolist() == [0, 800]  # what was held back, and the score 0
    table = part.to_table(made.histograms.heads)
    assert table.column("web").to_pylist() == [0, 0.5, None, None, None, None, 3, None]


@pytest.mark.parametrize(("about", "bins"), [({}, Bins()), ({"range": [-1, 1]}, Bins.over(-1, 1))])
def test_bins_are_those_of_the_annotators_rubric(about, bins):
    found = bins_of(replace(Annotator.load("edu"), about=about))
    assert found == bins and found.edge(BINS) > bins.edge(0)


@pytest.mark.parametrize("range", [[5, 0], [1, 1], [0], None, 5, [0, float("nan")], [0, float("inf")], [0, "high"]])
def test_a_range_that_is_none_is_refused(range):
    with pytest.raises(
        DataError, match=r"annotator edu: range .* in annotator.json, expected two numbers, as \[0, 5\]"
    ):
        bins_of(replace(Annotator.load("edu"), about={"range": range}))
