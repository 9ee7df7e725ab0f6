"""The dedup stage: clusters and sizes are those of the documents, whatever the order, the files and the partitions."""

from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import WORDS

from jql.engine.progress import console
from jql.pipeline import run_recipe
from jql.recipe import make_recipe


def documents():
    random = Random(3)

    def text(n):
        return " ".join(random.choices(WORDS, k=n))

    base, other = text(120), text(120)
    words = base.split()
    # A chain: neighbours share nine tenths, its ends half.
    chain = [" ".join(words[i * 12 :]) + " " + " ".join(f"x{i}{k}" for k in range(i * 12)) for i in range(4)]
    made = [
        ("base", base),
        ("same", base),
        *((f"chain{i}", t) for i, t in enumerate(chain)),
        ("other", other),
        ("others", other + " end"),
    ]
    made += [(f"single{i}", text(60)) for i in range(30)]
    rows = [{"id": i, "text": t, "language": "eng_Latn"} for i, t in made]
    rows += [
        {"id": "swedish", "text": base, "language": "swe_Latn"},
        {"id": "bad", "text": None, "language": "eng_Latn"},
    ]
    return [*rows, {"id": "single0", "text": text(70), "language": "eng_Latn"}]


def dedup(folder, run, rows, files, partitions=1):
    folder.mkdir()
    size = -(-len(rows) // files)
    for n in range(files):
        pq.write_table(pa.Table.from_pylist(rows[n * size : (n + 1) * size]), folder / f"{n}.parquet")
    data = {
        "output": str(run),
        "stages": ["dedup"],
        "engine": {"backend": "inline"},
        "documents": {"path": str(folder)},
    }
    result = run_recipe(make_recipe({**data, "dedup": {"partitions": partitions}}), console(quiet=True))
    tables = [pq.read_table(p) for p in sorted(run.glob("dedup/clusters/*/data/*/*.parquet"))]
    return pa.concat_tables(tables).to_pylist(), result.summary


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dedup")
    return dedup(folder / "in", folder / "run", documents(), 2)


def test_the_table_is_aligned_and_nothing_is_removed(reference):
    found, _ = reference
    assert [c["id"] for c in found] == [d["id"] for d in documents()]
    by_id = {c["id"]: c for c in found}
    assert by_id["bad"] == {"id": "bad", "cluster": None, "cluster_size": None, "representative": None}


def test_clusters_hold_what_is_alike_and_their_size(reference):
    found, _ = reference
    cluster = {c["id"]: c["cluster"] for c in found}
    assert cluster["base"] == cluster["same"] == cluster["chain0"] == cluster["chain1"]
    assert cluster["other"] == cluster["others"] != cluster["base"]
    assert cluster["swedish"] != cluster["base"]
    for entry in found:
        if entry["cluster"] is not None:
            members = [c for c in found if c["cluster"] == entry["cluster"]]
            assert entry["cluster_size"] == len(members)
            assert sum(c["representative"] for c in members) == 1


def test_an_id_that_comes_again_is_a_copy_and_is_counted(reference):
    found, summary = reference
    again = [c for c in found if c["id"] == "single0"]
    assert len(again) == 2 and again[0]["cluster"] == again[1]["cluster"]
    assert summary["total"]["ids_again"] == 1


@pytest.mark.parametrize(("files", "partitions"), [(1, 1), (3, 1), (5, 4)])
def test_order_files_and_partitions_change_nothing(reference, files, partitions, tmp_path):
    rows = documents()
    Random(files).shuffle(rows)
    found, _ = dedup(tmp_path / "in", tmp_path / "run", rows, files, partitions)
    key = ("id", "cluster", "cluster_size")
    assert sorted(tuple(c[k] for k in key) for c in found if c["id"] != "bad") == sorted(
        tuple(c[k] for k in key) for c in reference[0] if c["id"] != "bad"
    )
