"""Select and export as stages: decisions aligned with reasons, one copy of a cluster, Parquet that others read."""

import json
from collections import Counter
from random import Random

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import WORDS, table_bytes

from jql.engine.progress import console
from jql.errors import RecipeError
from jql.pipeline import run_recipe
from jql.recipe import make_recipe

STORY = "Long ago a miller built a wheel below the dam, and the stream turned it day and night to grind the grain of the valley. "


def texts():
    random = Random(0)
    for i in range(40):
        yield "eng_Latn", " ".join(random.choices(WORDS, k=40)) + f" in lesson {i}.", None
    for i in range(30):
        yield (
            "swe_Latn",
            f"Lektion {i}. " + " ".join(random.choices(WORDS, k=40)),
            "gopher_short_doc" if i % 3 == 0 else None,
        )
    for i in range(5):
        yield "isl_Latn", f"Kennslustund {i} um vatn, ís og eld á Íslandi og hvernig fjöllin urðu til.", None


def rows():
    made = [
        {
            "id": f"d{n}",
            "text": text,
            "language": code,
            "filter_reason": reason,
            "date": f"2024-01-{1 + n % 28:02d}T00:00:00Z",
            "url": f"https://a.example/{n}",
        }
        for n, (code, text, reason) in enumerate(texts())
    ]
    copies = [
        ("old", "2020-05-01", STORY * 3),
        ("new", "2025-05-01", STORY * 3),
        ("long", "2021-05-01", STORY * 3 + "The end of it."),
    ]
    return made + [
        {"id": i, "text": t, "language": "eng_Latn", "filter_reason": None, "date": d, "url": None}
        for i, d, t in copies
    ]


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents")
    table = pa.Table.from_pylist(rows())
    pq.write_table(table.slice(0, 50), folder / "a.parquet")
    pq.write_table(table.slice(50), folder / "b.parquet")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "run"


def select(documents, folder, stages=("dedup", "annotate", "select", "export"), export=None, **settings):
    data = {"name": "test", "output": str(folder), "stages": list(stages), "engine": {"backend": "inline"}}
    data |= {"documents": {"path": str(documents)}, "select": {"quantile": 0.5, **settings}, "export": export or {}}
    return run_recipe(make_recipe(data), console(quiet=True))


def decisions(folder, given=None):
    """The decisions of the latest select, each with the id of its document."""
    log = [json.loads(line) for line in (folder / "run.log").read_text().splitlines()]
    stage = next(e["folder"] for e in reversed(log) if e["event"] == "stage" and e["stage"] == "select/decisions")
    files = sorted((folder / stage / "data").rglob("*.parquet"))
    found = pa.concat_tables([pq.read_table(f) for f in files], promote_options="default").to_pylist()
    return [{"id": row["id"], **found} for row, found in zip(given or rows(), found, strict=True)]


def test_decisions_are_aligned_and_reasons_stand_where_nothing_is_kept(documents, folder):
    result = select(documents, folder)
    found = decisions(folder)
    assert all(d["keep"] == (d["reason"] is None) for d in found)
    reasons = Counter(d["reason"] for d in found if d["language"] == "isl_Latn")
    assert reasons == {"too_few_documents": 5}
    english = [d for d in found if d["language"] == "eng_Latn" and not d["id"].isalpha()]
    assert 0.2 < sum(d["keep"] for d in english) / len(english) < 0.6
    summary = result.summary
    for entry in summary["languages"].values():
        assert entry["documents"] == entry["kept"] + sum(entry["dropped"].values())
    assert summary["total"]["documents"] == len(rows()) == summary["total"]["kept"] + sum(summary["dropped"].values())


@pytest.mark.parametrize(
    ("copy", "kept"), [("longest", ["long"]), ("newest", ["new"]), ("every", ["long", "new", "old"])]
)
def test_the_copy_that_is_kept(documents, folder, copy, kept):
    select(documents, folder, stages=("dedup", "annotate", "select"), copy=copy, quantile=0.0)
    copies = {d["id"]: d for d in decisions(folder) if d["id"].isalpha()}
    assert sorted(i for i, d in copies.items() if d["keep"]) == kept
    assert {d["reason"] for d in copies.values() if not d["keep"]} <= {"duplicate"}


@pytest.mark.parametrize("copy", ["best", "first"])
def test_exactly_one_copy_is_kept_and_always_the_same(documents, folder, copy):
    select(documents, folder, stages=("dedup", "annotate", "select"), copy=copy, quantile=0.0)
    kept = [d["id"] for d in decisions(folder) if d["id"].isalpha() and d["keep"]]
    assert len(kept) == 1
    mirrored = folder.parent / f"mirror_{copy}"
    mirrored.mkdir()
    pq.write_table(pa.Table.from_pylist(rows()[::-1]), mirrored / "z.parquet")
    select(mirrored, folder.parent / f"run_{copy}", stages=("dedup", "annotate", "select"), copy=copy, quantile=0.0)
    again = decisions(folder.parent / f"run_{copy}", rows()[::-1])
    assert [d["id"] for d in again if d["id"].isalpha() and d["keep"]] == kept


def test_annotator_heuristics_and_both(documents, folder):
    kept = {}
    for by in ("annotator", "heuristics", "both"):
        select(documents, folder, stages=("dedup", "annotate", "select"), by=by, copy="every")
        kept[by] = {d["id"] for d in decisions(folder) if d["keep"]}
        if by != "annotator":
            dropped = [d for d in decisions(folder) if d["reason"] == "heuristics_gopher_short_doc"]
            assert len(dropped) == 10
    assert kept["both"] == {i for i in kept["annotator"] & kept["heuristics"]}
    assert len(kept["heuristics"]) == len(rows()) - 10


def test_heuristics_need_no_scores_and_the_annotator_does(documents, tmp_path):
    select(documents, tmp_path / "run", stages=("select", "export"), by="heuristics")
    assert sum(d["keep"] for d in decisions(tmp_path / "run")) == len(rows()) - 10
    with pytest.raises(RecipeError, match=r"select\.by: annotator needs scores; add the annotate stage"):
        select(documents, tmp_path / "other", stages=("select",))


def test_another_quantile_scores_nothing_again(documents, folder):
    select(documents, folder)
    before = table_bytes(folder)
    kept = {q: select(documents, folder, quantile=q).summary["total"]["kept"] for q in (0.6, 0.8)}
    assert kept[0.8] < kept[0.6]
    after = table_bytes(folder)
    new = {name.split("/")[0] for name in after.keys() - before.keys()}
    assert new <= {"select", "export"} and {n: after[n] for n in before} == before


def test_the_export_loads_with_datasets_and_pandas(documents, folder, tmp_path):
    import datasets

    result = select(documents, folder, export={"path": str(tmp_path / "out")})
    kept = [d for d in decisions(folder) if d["keep"]]
    by_language = Counter(d["language"] for d in kept)
    cache = str(tmp_path / "cache")
    for code, count in by_language.items():
        loaded = datasets.load_dataset(str(tmp_path / "out"), code, split="train", cache_dir=cache)
        assert loaded.num_rows == count and set(loaded["language"]) == {code}
        assert len(pd.read_parquet(tmp_path / "out" / "data" / code)) == count
    every = datasets.load_dataset("parquet", data_dir=str(tmp_path / "out" / "data"), split="train", cache_dir=cache)
    assert sorted(every["id"]) == sorted(d["id"] for d in kept)
    frame = pd.read_parquet(tmp_path / "out" / "data").set_index("id")
    source = {r["id"]: r for r in rows()}
    assert all(frame.loc[i, "text"] == source[i]["text"] for i in frame.index)
    assert {"score_llama3", "score_web", "cluster", "cluster_size", "url"} <= set(frame.columns)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["summary"]["total"]["kept"] == len(kept) == result.summary["total"]["kept"]
    assert {k: e["documents"] for k, e in manifest["export"].items()} == dict(by_language)


def test_the_data_set_in_a_run_folder_holds_nothing_else(documents, folder):
    result = select(documents, folder)
    assert result.export == str(folder / "dataset")
    names = {p.relative_to(folder / "dataset").parts[0] for p in (folder / "dataset").rglob("*")}
    assert names == {"README.md", "data", "manifest.json", "summary.json"}


def test_export_files_have_their_checksums_and_stale_ones_go(documents, folder, tmp_path):
    import hashlib

    target = tmp_path / "out"
    select(documents, folder, export={"path": str(target), "file_documents": 5})
    many = sorted(p.relative_to(target).as_posix() for p in target.glob("data/*/*.parquet"))
    select(documents, folder, export={"path": str(target), "file_documents": 1000})
    few = sorted(p.relative_to(target).as_posix() for p in target.glob("data/*/*.parquet"))
    assert len(few) < len(many)
    files = [f for e in json.loads((target / "manifest.json").read_text())["export"].values() for f in e["files"]]
    assert sorted(f["name"] for f in files) == few
    for file in files:
        assert hashlib.sha256((target / file["name"]).read_bytes()).hexdigest() == file["sha256"]
        assert pq.read_metadata(target / file["name"]).num_rows == file["rows"]


def test_without_clusters_an_id_that_comes_again_is_dropped(tmp_path):
    (tmp_path / "in").mkdir()
    again = [dict(row, text=f"{row['text']} once more") for row in rows()[:3]]
    pq.write_table(pa.Table.from_pylist([*rows(), *again]), tmp_path / "in" / "a.parquet")
    select(tmp_path / "in", tmp_path / "run", stages=("annotate", "select"), quantile=0.0)
    assert [d["reason"] for d in decisions(tmp_path / "run", [*rows(), *again])][-3:] == ["duplicate_id"] * 3


def test_what_select_leaves_in_the_run_folder_says_the_same_everywhere(documents, folder):
    result = select(documents, folder, heads=["edu", "web"], copy="every")
    summary = json.loads((folder / "summary.json").read_text())
    cuts = json.loads((folder / "cuts.json").read_text())
    assert summary == result.summary and cuts == result.cuts and cuts["heads"] == ["edu", "web"]
    sample = pq.read_table(folder / "sample.parquet").to_pylist()
    found = {d["id"]: d for d in decisions(folder)}
    assert {row["id"]: row["kept"] for row in sample} == {row["id"]: found[row["id"]]["keep"] for row in sample}
    counts = pq.read_table(folder / "histograms.parquet").to_pylist()
    for code, entry in summary["languages"].items():
        predicted = summary["prediction"]["languages"][code]
        assert predicted["documents"] == [entry["kept"]] * 3 and predicted["rate"] == 1.0
        assert predicted["tokens"] == [entry["kept_tokens"]] * 3 and predicted["bytes"] == [entry["kept_bytes"]] * 3
        ours = [row for row in counts if row["language"] == code and row["head"] == "llama3"]
        assert sum(row["documents"] for row in ours) == cuts["languages"][code]["documents"] == entry["representatives"]
        assert sum(row["tokens"] for row in ours) == cuts["languages"][code]["tokens"]
    kept = [row["text"] for row in rows() if found[row["id"]]["keep"]]
    assert summary["total"]["kept_bytes"] == sum(len(text.encode()) for text in kept)


def test_the_cuts_of_a_run_hold_in_another(documents, folder, tmp_path):
    first = select(documents, folder, stages=("dedup", "annotate", "select"), quantile=0.4)
    mine = {code: entry["cuts"] for code, entry in first.cuts["languages"].items()}
    (tmp_path / "in").mkdir()
    some = [row for n, row in enumerate(rows()) if n % 3]
    pq.write_table(pa.Table.from_pylist(some), tmp_path / "in" / "a.parquet")
    cuts = str(folder / "cuts.json")
    other = select(tmp_path / "in", tmp_path / "run", stages=("dedup", "annotate", "select"), cuts=cuts)
    assert {code: entry["cuts"] for code, entry in other.cuts["languages"].items()} == mine
    before = {d["id"]: d for d in decisions(folder)}
    for decision in decisions(tmp_path / "run", some):
        if not decision["id"].isalpha():  # of copies, another may be kept
            assert decision["keep"] == before[decision["id"]]["keep"]


def test_an_expert_rule_over_scores_and_columns(documents, folder):
    plain = select(documents, folder, stages=("dedup", "annotate", "select"), quantile=0.0)
    assert "where" not in plain.summary["dropped"]
    where = "score_edu >= 1.0 AND date < '2024-01-20' AND cluster_size = 1"
    result = select(documents, folder, stages=("dedup", "annotate", "select"), quantile=0.0, where=where)
    dropped = {d["id"] for d in decisions(folder) if d["reason"] == "where"}
    assert result.summary["dropped"]["where"] == len(dropped)
    for row in pq.read_table(folder / "sample.parquet").to_pylist():
        holds = row["score_edu"] >= 1.0 and row["date"] < "2024-01-20" and row["cluster_size"] == 1
        assert holds == (row["id"] not in dropped)
    with pytest.raises(RecipeError, match=r"select\.where: tokens stand with the scores; add the annotate stage"):
        select(documents, folder.parent / "bare", stages=("select",), by="heuristics", where="tokens > 1")
