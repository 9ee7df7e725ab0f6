"""The annotate stage: aligned side tables without text, reasons instead of scores, one copy of a cluster if asked."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jql.annotator.annotate import AnnotateWorker
from jql.annotator.annotator import Annotator
from jql.annotator.histogram import merge
from jql.documents import Documents
from jql.engine.progress import console
from jql.engine.stage import Guard
from jql.pipeline import run_recipe
from jql.recipe import make_recipe

LONG = "The sea rises and falls twice a day because the Moon pulls on the water; harbours print tables of tides every single year. "


def rows():
    good = [{"id": f"d{i}", "text": f"Lesson {i}: " + LONG, "language": "eng_Latn"} for i in range(6)]
    copies = [{"id": f"c{i}", "text": LONG * 3, "language": "eng_Latn"} for i in range(3)]
    bad = [{"id": "null", "text": None, "language": "eng_Latn"}, {"id": "empty", "text": "  ", "language": "eng_Latn"}]
    return good + copies + bad + [{"id": "d0", "text": "again", "language": "eng_Latn"}]


@pytest.fixture
def documents(tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows()), folder / "a.parquet", row_group_size=5)
    return folder


def annotate(documents, run, **parts):
    data = {
        "output": str(run),
        "engine": {"backend": "inline"},
        "documents": {"path": str(documents), "unit_rows": 5},
        **parts,
    }
    return run_recipe(make_recipe(data), console(quiet=True))


def tables(run, stage):
    return pa.concat_tables([pq.read_table(p) for p in sorted(run.glob(f"{stage}/*/data/*/*.parquet"))])


def test_the_side_table_is_aligned_and_holds_no_text(documents, tmp_path):
    annotate(documents, tmp_path / "run", stages=["annotate"])
    table = tables(tmp_path / "run", "annotate")
    assert table.schema.names == ["id", "language", "reason", "edu", "web", "llama3", "llama31"]
    assert table.column("id").to_pylist() == [r["id"] for r in rows()]
    assert table.column("reason").to_pylist() == [None] * 9 + ["text_null", "empty", None]
    expected = Annotator.load("edu").score([r["text"] for r in rows()[:9]])
    assert table.column("web").to_pylist()[:9] == expected["web"].tolist()
    scored = [r is None for r in table.column("reason").to_pylist()]
    assert [v is not None for v in table.column("llama3").to_pylist()] == scored


def test_one_copy_scores_one_document_of_each_cluster(documents, tmp_path):
    annotate(documents, tmp_path / "run", stages=["dedup", "annotate"], annotate={"copies": "one"})
    table = tables(tmp_path / "run", "annotate")
    clusters = tables(tmp_path / "run", "dedup/clusters")
    for row, first in enumerate(clusters.column("representative").to_pylist()):
        reason = table.column("reason").to_pylist()[row]
        assert (reason == "duplicate") == (first is False), (row, reason, first)
    copies = table.column("reason").to_pylist()[6:9]
    assert sorted(copies, key=str) == [None, "duplicate", "duplicate"]


def test_histograms_count_one_document_of_each_cluster(documents, tmp_path):
    from jql.engine.receipt import read_receipts

    annotate(documents, tmp_path / "run", stages=["dedup", "annotate"])
    folder = next((tmp_path / "run" / "annotate").iterdir())
    packed = [
        r.stats["histograms"]["eng_Latn"]["web"]
        for r in read_receipts(str(folder))
        if "eng_Latn" in r.stats["histograms"]
    ]
    clusters = tables(tmp_path / "run", "dedup/clusters")
    scores = tables(tmp_path / "run", "annotate")
    scored = [r is None for r in scores.column("reason").to_pylist()]
    first = clusters.column("representative").to_pylist()
    assert merge(packed).sum() == sum(bool(f) and s for f, s in zip(first, scored, strict=True))


def test_rows_that_kill_are_not_looked_at_and_a_probe_looks_at_its_rows_only(tmp_path):
    """What the engine's search for a killing document asks of the worker; tests/engine has the deaths themselves."""
    texts = ["a winter of " + LONG, LONG, LONG * 2, "another winter"]
    pq.write_table(pa.table({"text": texts, "language": ["eng_Latn"] * 4}), tmp_path / "a.parquet", row_group_size=1)
    [unit] = Documents.of_path(str(tmp_path / "a.parquet"), 1000, None).units()
    worker = AnnotateWorker("edu", 2, False, None)
    seen = []
    encoder = worker.annotator.encoder()
    cut = encoder._cut
    encoder._cut = lambda found: seen.extend(found) or cut(found)

    def tables(guard):
        seen.clear()
        output = worker(unit, guard)
        return pa.concat_tables(output.tables[""][1]), output

    table, output = tables(Guard(poison={0: "score_crash", 3: "score_crash"}))
    assert table.column("reason").to_pylist() == ["score_crash", None, None, "score_crash"]
    assert [v is None for v in table.column("edu").to_pylist()] == [True, False, False, True]
    assert output.drops == {"score_crash": 2} and output.rows_in == 4
    assert len(seen) == 2 and not any("winter" in text for text in seen)
    _, output = tables(Guard(start=1, stop=2))
    assert len(seen) == 1 and output.rows_in == 4
