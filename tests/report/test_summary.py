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
from jql.report.summary import Stages, drops_table, summarize, summary_table

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
    assert summary["languages"]["und"] == {"documents": 1, "kept": 0, "dropped": {"language_unknown": 1}}
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
    assert summarize(Stages(), {}) == {"total": {"documents": 0}, "dropped": {}, "languages": {}, "stages": {}}


def test_tables_for_a_terminal(documents, tmp_path):
    result = run(documents, tmp_path / "run", "dedup", "annotate", "select")
    text = printed(summary_table(result.summary, result.cuts))
    lines = {line.split()[1]: line for line in text.splitlines() if line.startswith("│")}
    assert "too few documents (6)" in lines["isl_Latn"] and "llama" in lines["eng_Latn"]
    assert lines["all"].split()[3] == "50"
    reasons = printed(drops_table(result.summary))
    assert "too_few_documents" in reasons and "language_unknown" in reasons
    assert "cut" not in printed(summary_table(result.summary, None)).splitlines()[2]
