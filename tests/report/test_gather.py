"""What a run folder holds, read for the page: a file that is not there is not shown, a broken one is named."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_help import Made, write_log, write_run

from jql.errors import DataError, InputError
from jql.report.funnel import STEPS, funnel, step_of, whole_funnel
from jql.report.gather import read_run


@pytest.fixture
def run(tmp_path):
    return Path(write_run(tmp_path / "run"))


def test_no_folder_and_no_ended_run(tmp_path):
    with pytest.raises(InputError, match=r"no summary.json: no run folder \(jql run RECIPE output="):
        read_run(str(tmp_path / "none"))
    (tmp_path / "recipe.yaml").write_text("name: x")
    with pytest.raises(InputError, match="the run has not ended yet; start it again with jql run"):
        read_run(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("summary.json", "{", "summary.json: not JSON"),
        ("summary.json", "[]", "summary.json: expected an object, got list"),
        ("summary.json", "{}", "no total or languages in it"),
        ("cuts.json", '{"a"', "cuts.json: not JSON"),
        ("sample.parquet", "PAR1", r"sample.parquet: cannot be read .* run jql select"),
        ("histograms.parquet", "", r"histograms.parquet .*cannot be read"),
        ("recipe.yaml", "stages: [nothing]", "stages"),
    ],
)
def test_a_broken_file_is_named(run, name, content, match):
    (run / name).write_text(content)
    with pytest.raises((DataError, InputError, ValueError), match=match):
        read_run(str(run))


def test_only_a_summary(run):
    for name in ("cuts.json", "sample.parquet", "histograms.parquet", "recipe.yaml", "run.log"):
        (run / name).unlink()
    files = read_run(str(run))
    assert (files.cuts, files.outlook, files.recipe, files.about, files.stored_cuts()) == (None,) * 5
    assert files.summary["name"] == "small run" and not files.notes


def test_stored_cuts_decide_as_the_run_did(run):
    files = read_run(str(run))
    cuts = files.stored_cuts()
    assert np.array_equal(files.outlook.kept(files.recipe.select, cuts), files.kept)
    assert cuts.to_json() == files.cuts


def test_a_shared_cut_is_that_of_its_group(tmp_path):
    made = Made(select={"groups": {"two": ["arb_Arab", "tha_Thai"]}, "shared": ["two"]})
    files = read_run(write_run(tmp_path / "run", made))
    cuts = files.stored_cuts()
    assert cuts.languages["arb_Arab"].of == "two" and "two" in cuts.histograms.counts
    assert cuts.to_json() == files.cuts


def test_an_annotator_that_changed_or_went_away_is_told(run):
    assert read_run(str(run)).notes == ["annotator edu: it has changed since this run (was revision 0123)"]
    recipe = (run / "recipe.yaml").read_text().replace("annotator: edu", "annotator: gone")
    (run / "recipe.yaml").write_text(recipe)
    files = read_run(str(run))
    assert files.about is None and "annotator gone: not at hand" in files.notes[0]


def test_failures_are_those_since_the_last_start(run):
    unit = {"event": "unit", "stage": "annotate", "unit": 3, "status": "failed", "error": "boom"}
    place = run / "annotate" / "abcdef"
    stage = {"event": "stage", "stage": "annotate", "folder": f"/elsewhere/before/it/moved/{place.name}"}
    write_log(run, stage, unit, unit, {"event": "stage_end", "stage": "annotate", "missing": 1})
    (place / "quarantine" / "00000").mkdir(parents=True)
    record = {"unit": 3, "source": "<b>a.parquet</b>", "error": "not readable"}
    (place / "quarantine" / "00000" / "003.json").write_text(json.dumps(record))
    found = read_run(str(run)).failures
    assert found.missing == {"annotate": 1} and found.repeated == {"annotate": 2}
    assert found.units == [{"stage": "annotate", "source": "<b>a.parquet</b>", "error": "not readable"}]


reasons = st.dictionaries(
    st.sampled_from(
        ["below_cut", "duplicate", "where", "heuristics_line_punct", "empty", "cascade", "not_scored", "new"]
    ),
    st.integers(1, 1000),
)


@given(
    st.dictionaries(
        st.sampled_from(["deu_Latn", "arb_Arab", "tha_Thai"]), st.tuples(st.integers(0, 1000), reasons), min_size=1
    )
)
def test_every_document_is_kept_or_lost_in_one_step(found):
    languages = {
        code: {"documents": kept + sum(dropped.values()), "kept": kept, "dropped": dropped}
        for code, (kept, dropped) in found.items()
    }
    for entry in languages.values():
        one = funnel(entry)
        assert one.kept + sum(one.lost.values()) == one.documents and set(one.lost) <= set(STEPS)
    documents = sum(entry["documents"] for entry in languages.values())
    steps = whole_funnel({"total": {"records": documents + 7, "documents": documents}, "languages": languages})
    assert steps[0] == ("records in the crawl", documents + 7, 0) and steps[1] == ("documents", documents, 7)
    assert steps[-1][1] == sum(entry["kept"] for entry in languages.values())
    assert all(before - after == lost for (_, before, _), (_, after, lost) in itertools.pairwise(steps))


def test_steps():
    assert [step_of(r) for r in ("heuristics_x", "cascade", "duplicate_id", "text_null")] == [
        "heuristics",
        "cut",
        "copies",
        "unusable",
    ]
    assert funnel({"documents": 3}) is None
