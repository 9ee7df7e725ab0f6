"""The annotate stage: aligned side tables without text, reasons instead of scores, one copy of a cluster if asked."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import WORDS

from jql.annotator.annotate import AnnotateWorker
from jql.annotator.annotator import Annotator
from jql.annotator.calibration import Calibration
from jql.annotator.histogram import Bins, Histograms
from jql.annotator.sizes import Sizes
from jql.documents import Documents
from jql.engine.progress import console
from jql.engine.receipt import read_receipts
from jql.engine.stage import Guard
from jql.errors import IncompleteError
from jql.pipeline import run_recipe
from jql.recipe import make_recipe
from jql.schema import COUNT

LONG = "The sea rises and falls twice a day because the Moon pulls on the water; harbours print tables of tides every single year. "


def rows():
    lessons = [" ".join(np.random.default_rng(i).choice(WORDS, 30)) for i in range(6)]
    good = [{"id": f"d{i}", "text": text, "language": "eng_Latn"} for i, text in enumerate(lessons)]
    copies = [{"id": f"c{i}", "text": LONG * 3, "language": "eng_Latn"} for i in range(3)]
    bad = [{"id": "null", "text": None, "language": "eng_Latn"}, {"id": "empty", "text": "  ", "language": "eng_Latn"}]
    return good + copies + bad + [{"id": "d0", "text": "again", "language": "eng_Latn"}]


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents")
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


def counts(run, heads):
    """The histograms of all units."""
    found = [pq.read_table(p) for p in sorted(run.glob("annotate/*/data/aside/counts/*/*.parquet"))]
    return Histograms.of_table(pa.concat_tables([COUNT.empty_table(), *found]), heads, Bins())


def test_the_side_table_is_aligned_and_holds_no_text(documents, tmp_path):
    annotate(documents, tmp_path / "run", stages=["annotate"])
    table = tables(tmp_path / "run", "annotate")
    assert table.schema.names == ["id", "language", "reason", "bytes", "tokens", "edu", "web", "llama3", "llama31"]
    assert table.column("id").to_pylist() == [r["id"] for r in rows()]
    assert table.column("reason").to_pylist() == [None] * 9 + ["text_null", "empty", None]
    expected = Annotator.load("edu").score([r["text"] for r in rows()[:9]])
    assert table.column("web").to_pylist()[:9] == expected["web"].tolist()
    scored = [r is None for r in table.column("reason").to_pylist()]
    assert [v is not None for v in table.column("llama3").to_pylist()] == scored
    sizes = Sizes()([r["text"] for r in rows() if r["id"] not in ("null", "empty")])
    for name, found in zip(("bytes", "tokens"), sizes.tolist(), strict=True):
        assert table.column(name).to_pylist() == [*found[:9], None, None, found[9]]


@pytest.fixture(scope="module")
def clustered(documents, tmp_path_factory):
    """Runs with dedup, that score every copy or one of each cluster."""
    folder = tmp_path_factory.mktemp("runs")
    for copies in ("every", "one"):
        annotate(documents, folder / copies, stages=["dedup", "annotate"], annotate={"copies": copies})
    return folder


def test_one_copy_scores_one_document_of_each_cluster(clustered):
    table = tables(clustered / "one", "annotate")
    clusters = tables(clustered / "one", "dedup/clusters")
    for row, first in enumerate(clusters.column("representative").to_pylist()):
        reason = table.column("reason").to_pylist()[row]
        assert (reason == "duplicate") == (first is False), (row, reason, first)
    copies = table.column("reason").to_pylist()[6:9]
    assert sorted(copies, key=str) == [None, "duplicate", "duplicate"]
    assert len(set(table.column("tokens").to_pylist()[6:9])) == 1 and table.column("bytes")[6].as_py() == 3 * len(LONG)


@pytest.mark.parametrize("copies", ["every", "one"])
def test_histograms_count_one_document_of_each_cluster(clustered, copies):
    run, heads = clustered / copies, ["edu", "web", "llama3", "llama31"]
    table = tables(run, "annotate")
    first = np.array(tables(run, "dedup/clusters").column("representative").to_pylist()) == True  # noqa: E712
    chosen = table.filter(pa.array(first & np.array([r is None for r in table.column("reason").to_pylist()])))
    assert chosen.num_rows == 7
    expected = Histograms(heads, Bins())
    points = np.stack([chosen.column(head).to_numpy() for head in heads], axis=1)
    sizes = [np.ones(len(points), np.int64), *(chosen.column(name).to_numpy() for name in ("bytes", "tokens"))]
    expected.add(points, np.zeros(len(points), np.int64), ["eng_Latn"], np.stack(sizes))
    assert counts(run, heads).to_table().equals(expected.to_table())
    receipts = list(read_receipts(str(next((run / "annotate").iterdir()))))
    assert sum(r.stats["counted"].get("eng_Latn", 0) for r in receipts) == chosen.num_rows
    assert sum(r.stats["languages"]["eng_Latn"] for r in receipts) == sum(r.rows_out for r in receipts) == 12


def unfinite(folder):
    """The annotator in the box, but its head `web` is infinite for some texts, and a number for no German one."""
    edu = Annotator.load("edu")
    heads = replace(edu.trained, ngram_weight=np.zeros((0, 1), np.float16))
    usual = replace(edu, trained=heads).score([LESSON * n for n in range(1, 5)])["web"]
    weight, bias, at = heads.weight.copy(), heads.bias.copy(), heads.names.index("web")
    for tensor in (weight, bias):
        tensor[at] *= np.float32(float(np.finfo(np.float32).max) / np.median(abs(usual)))
    nan = Calibration({"web": {"deu_Latn": [[0.0, 1.0], [float("nan"), float("nan")]]}})
    made = replace(edu, trained=replace(heads, weight=weight, bias=bias), calibration=nan, golden=())
    made.save(folder)
    return usual


LESSON = "Water boils when its vapour pressure equals that of the air, so an egg takes longer on a mountain. "


@pytest.mark.filterwarnings("ignore:overflow encountered in cast", "ignore:invalid value encountered")
def test_a_document_that_a_head_has_no_number_for_is_counted_and_the_run_goes_on(tmp_path):
    usual = unfinite(tmp_path / "big")
    texts = [LESSON * n for n in range(1, 5)] * 2 + [None]
    languages = ["eng_Latn"] * 4 + ["deu_Latn"] * 4 + ["eng_Latn"]
    pq.write_table(pa.table({"text": texts, "language": languages}), tmp_path / "a.parquet")
    run = tmp_path / "run"
    select = {"min_documents": 1, "copy": "every"}
    found = annotate(
        tmp_path / "a.parquet",
        run,
        stages=["annotate", "select"],
        annotate={"annotator": str(tmp_path / "big")},
        select={**select, "heads": ["llama3"]},
    )
    table = tables(run, "annotate")
    infinite = np.abs(usual) > np.median(np.abs(usual))
    assert 0 < infinite.sum() < 4
    reasons = ["not_finite" if bad else None for bad in infinite] + ["not_finite"] * 4 + ["text_null"]
    assert table.column("reason").to_pylist() == reasons
    for head in ("edu", "web", "llama3"):
        assert [v is None for v in table.column(head).to_pylist()] == [reason is not None for reason in reasons]
    assert np.isfinite(table.column("web").drop_null().to_numpy()).all()
    assert [v is None for v in table.column("tokens").to_pylist()] == [False] * 8 + [True]
    [receipt] = read_receipts(str(next((run / "annotate").iterdir())))
    assert receipt.drops == {"not_finite": int(infinite.sum()) + 4, "text_null": 1}
    assert receipt.stats["counted"] == {"eng_Latn": int((~infinite).sum())}
    assert found.summary["languages"]["deu_Latn"]["dropped"] == {"not_finite": 4}


def test_counts_that_lack_a_head_end_the_run_before_anything_is_decided(documents, tmp_path):
    run = tmp_path / "run"
    annotate(documents, run, stages=["annotate"])
    [path, *_] = sorted(run.glob("annotate/*/data/aside/counts/*/*.parquet"))
    table = pq.read_table(path)
    pq.write_table(table.filter(pa.compute.not_equal(table.column("head"), "web")), path)
    with pytest.raises(
        IncompleteError, match=rf"{path.name}: counts of the heads edu, llama3, llama31, expected edu, web"
    ):
        annotate(documents, run, stages=["annotate", "select"])
    left = [p for p in run.rglob("*") if p.is_file() and "select" in p.parts and p.suffix == ".parquet"]
    assert {p.name for p in left} == {p.name for p in left if p.name.startswith("plan")}
    assert not (run / "cuts.json").exists()


def test_rows_that_kill_are_not_looked_at_and_a_probe_looks_at_its_rows_only(tmp_path):
    """What the engine's search for a killing document asks of the worker; tests/engine has the deaths themselves."""
    texts = ["a winter of " + LONG, LONG, LONG * 2, "another winter"]
    pq.write_table(pa.table({"text": texts, "language": ["eng_Latn"] * 4}), tmp_path / "a.parquet", row_group_size=1)
    [unit] = Documents.of_path(str(tmp_path / "a.parquet"), 1000, None).units()
    worker = AnnotateWorker("edu", 2, False, None)
    seen = []
    for tokenizes in (worker.annotator.encoder(), worker.sizes):

        def cut(found, cut=tokenizes._cut):
            seen.extend(found)
            return cut(found)

        tokenizes._cut = cut

    def tables(guard):
        seen.clear()
        output = worker(unit, guard)
        return pa.concat_tables(output.tables[""][1]), output

    table, output = tables(Guard(poison={0: "score_crash", 3: "score_crash"}))
    assert table.column("reason").to_pylist() == ["score_crash", None, None, "score_crash"]
    assert [v is None for v in table.column("edu").to_pylist()] == [True, False, False, True]
    assert output.drops == {"score_crash": 2} and output.rows_in == 4
    assert [v is None for v in table.column("tokens").to_pylist()] == [True, False, False, True]
    assert len(seen) == 4 and not any("winter" in text for text in seen)
    assert pa.concat_tables(output.tables["aside/counts"][1]).column("documents").to_pylist() == [1, 1] * 4
    _, output = tables(Guard(start=1, stop=2))
    assert seen == [LONG] * 2 and output.rows_in == 4
