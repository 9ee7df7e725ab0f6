"""The summary of a run: every document in one place, whatever stages there are; and its tables for a terminal."""

import io
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from jql.engine.progress import console
from jql.pipeline import run_recipe
from jql.recipe import make_recipe
from jql.report.summary import Stages, drops_table, group_sums, summarize, summary_table

WORDS = ["river", "stone", "light", "energy", "number", "school", "history", "market", "garden", "bridge"]


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents")
    texts = [" ".join(Random(i).choices(WORDS, k=30)) for i in range(50)]
    rows = [{"id": f"e{i}", "text": t, "language": "eng_Latn"} for i, t in enumerate(texts[:40])]
    rows += [{"id": f"i{i}", "text": t, "language": "isl_Latn"} for i, t in enumerate(texts[40:46])]
    rows += [{"id": "copy", "text": texts[0], "language": "eng_Latn"}, {"id": "q", "text": "x", "language": "qq"}]
    rows += [
        {"id": "null", "text": None, "language": "eng_Latn"},
        {"id": "blank", "text": "  ", "language": "eng_Latn"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    return folder


def run(documents, output, *stages):
    data = {"output": str(output), "stages": list(stages), "documents": {"path": str(documents)}}
    data |= {"engine": {"backend": "inline"}, "select": {"quantile": 0.5}}
    return run_recipe(make_recipe(data), console(quiet=True))


def printed(table):
    out = Console(width=200, file=io.StringIO())
    out.print(table)
    return out.file.getvalue()


def test_every_document_is_kept_or_dropped_with_a_reason(documents, tmp_path):
    result = run(documents, tmp_path / "run", "dedup", "annotate", "select", "export")
    summary, dropped = result.summary, result.summary["dropped"]
    assert summary["total"]["documents"] == 50 == summary["total"]["kept"] + sum(dropped.values())
    expected = {"text_null": 1, "language_unknown": 1, "empty": 1, "too_few_documents": 6}
    assert {name: dropped[name] for name in expected} == expected
    assert set(dropped) - set(expected) <= {"below_cut", "duplicate"}
    english = summary["languages"]["eng_Latn"]
    assert english["documents"] == 43 and english["representatives"] == 41
    nothing = {"kept_bytes": 0, "kept_tokens": 0}
    assert summary["languages"]["und"] == {"documents": 1, "kept": 0, "dropped": {"language_unknown": 1}, **nothing}
    for entry in summary["languages"].values():
        assert entry["documents"] == entry["kept"] + sum(entry["dropped"].values())
    stages = summary["stages"]
    assert stages["scores"]["rows_in"] == stages["decisions"]["rows_out"] == 50
    assert stages["export"]["rows_out"] == summary["total"]["kept"]


@pytest.mark.parametrize("stages", [("dedup",), ("annotate",), ("dedup", "annotate")])
def test_a_run_without_decisions_counts_documents(documents, tmp_path, stages):
    summary = run(documents, tmp_path / "run", *stages).summary
    assert "kept" not in summary["total"]
    assert summary["languages"]["isl_Latn"]["documents"] == 6
    assert summary["languages"]["eng_Latn"]["documents"] in (42, 43)  # dedup does not count the one without text


def test_nothing_ran_yet():
    nothing = {"dropped": {}, "languages": {}, "groups": {}, "stages": {}}
    assert summarize(Stages(), {}, {"bcms": ["hrv_Latn"]}) == {"total": {"documents": 0}, **nothing}


def test_tables_for_a_terminal(documents, tmp_path):
    result = run(documents, tmp_path / "run", "dedup", "annotate", "select")
    text = printed(summary_table(result.summary, result.cuts))
    lines = {line.split()[1]: line for line in text.splitlines() if line.startswith("│")}
    assert "too few documents (6)" in lines["isl_Latn"] and "llama" in lines["eng_Latn"]
    assert lines["all"].split()[3] == "50"
    reasons = printed(drops_table(result.summary))
    assert "too_few_documents" in reasons and "language_unknown" in reasons
    assert "cut" not in printed(summary_table(result.summary, None)).splitlines()[2]


def test_without_scores_no_sizes_are_told_and_none_is_taken_for_0(documents, tmp_path):
    data = {"output": str(tmp_path / "run"), "stages": ["select"], "documents": {"path": str(documents)}}
    result = run_recipe(
        make_recipe({**data, "engine": {"backend": "inline"}, "select": {"by": "heuristics"}}), console(quiet=True)
    )
    assert result.cuts is None and result.summary["total"] == {"documents": 50, "kept": 48}
    assert "prediction" not in result.summary and "tokens" not in printed(summary_table(result.summary, None))


ENTRIES = {
    "hrv_Latn": {"documents": 10},  # its unit had no scores, and no cluster either
    "srp_Latn": {
        "documents": 20,
        "representatives": 15,
        "kept": 4,
        "kept_bytes": 400,
        "kept_tokens": 100,
        "doubtful": {"documents": 3, "kept": 1},
    },
    "swe_Latn": {"documents": 5, "kept": 5, "doubtful": {"documents": 2, "kept": 2}},
}
GROUPS = {"bcms": ["bos_Latn", "hrv_Latn", "srp_Latn"], "scandinavian": ["swe_Latn", "dan_Latn"]}


def test_groups_of_which_two_languages_are_there_are_summed():
    found = group_sums(ENTRIES, GROUPS)
    sums = {"documents": 30, "representatives": 15, "kept": 4, "kept_bytes": 400, "kept_tokens": 100, "doubtful": 3}
    assert found == {"bcms": {"codes": ["hrv_Latn", "srp_Latn"], **sums}}


def test_the_table_shows_what_was_expected_beside_what_came_and_the_groups_below():
    prediction = {
        "languages": {
            "srp_Latn": {"nominal": 0.3, "documents": [5, 3, 7]},
            "swe_Latn": {"nominal": None, "documents": [5, 5, 5]},
        },
        "total": {"documents": [1010, 900, 1120]},
    }
    summary = {"languages": ENTRIES, "groups": group_sums(ENTRIES, GROUPS), "prediction": prediction}
    whole = {"documents": 500, "of": "bcms", "cuts": {"web": 2.125}, "note": "web: all 500 scores lie in one bin"}
    none = {"documents": 5, "of": "swe_Latn", "cuts": None, "note": "has no share of the mixture"}
    text = printed(summary_table(summary, {"languages": {"srp_Latn": whole, "swe_Latn": none}}))
    lines = {line.split()[1]: line for line in text.splitlines() if line.startswith("│")}
    assert "30%" in lines["srp_Latn"] and "5 [3, 7]" in lines["srp_Latn"]
    assert "web 2.12 of bcms; web: all 500 scores lie in one bin" in lines["srp_Latn"]
    assert "has no share of the mixture" in lines["swe_Latn"] and "[" not in lines["swe_Latn"]
    assert "hrv_Latn, srp_Latn" in lines["bcms"] and "1,010 [900, 1,120]" in lines["all"]
    assert lines["all"].count("35") == 1 and "too few documents (0)" in lines["hrv_Latn"]
    headings = text.splitlines()[2]
    assert headings.index("each head") < headings.index("predicted") < headings.index(" kept ") < headings.index("cut")


def test_doubtful_documents_are_counted_apart(tmp_path):
    rows = [
        {"id": str(i), "text": f"{i} " + " ".join(WORDS), "language": code, "language_score": score}
        for i, (code, score) in enumerate(
            [("hrv_Latn", 0.3), ("hrv_Latn", 0.5), ("srp_Latn", 0.49), ("srp_Latn", None)]
        )
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    data = {"output": str(tmp_path / "run"), "stages": ["select"], "documents": {"path": str(tmp_path / "a.parquet")}}
    data |= {"engine": {"backend": "inline"}, "select": {"by": "heuristics"}}
    summary = run_recipe(make_recipe(data), console(quiet=True)).summary
    assert summary["languages"]["hrv_Latn"]["doubtful"] == {"documents": 1, "kept": 1}
    assert summary["languages"]["srp_Latn"]["doubtful"] == {"documents": 1, "kept": 1}
    assert summary["groups"] == {"bcms": {"codes": ["hrv_Latn", "srp_Latn"], "documents": 4, "kept": 4, "doubtful": 2}}
    data["select"]["doubtful"] = 0.31
    assert run_recipe(make_recipe(data), console(quiet=True)).summary["groups"]["bcms"]["doubtful"] == 1
