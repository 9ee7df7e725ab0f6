"""Publishing: nothing of the user's is touched, no manifest before all is there, missing units are left out."""

import json
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import WORDS, table_bytes

from jql.engine.progress import console
from jql.errors import RecipeError
from jql.pipeline import run_recipe
from jql.recipe import make_recipe
from jql.select.card import PENDING
from jql.select.columns import export_schema
from jql.select.unit_groups import group_units


def text(i):
    return " ".join(Random(i).choices(WORDS, k=40))


def rows(part, codes=("eng_Latn", "swe_Latn")):
    return [{"id": f"p{part}-{i}", "text": text(100 * part + i), "language": codes[i % 2]} for i in range(30)]


@pytest.fixture
def documents(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for part in range(4):
        pq.write_table(pa.Table.from_pylist(rows(part)), folder / f"{part}.parquet")
    return folder


def export(documents, output, stages=("annotate", "select", "export"), **parts):
    data = {"name": "test", "output": str(output), "stages": list(stages), "documents": {"path": str(documents)}}
    data |= {"engine": {"backend": "inline"}, "select": {"quantile": 0.5}, **parts}
    return run_recipe(make_recipe(data), console(quiet=True))


def test_the_schema_is_what_it_says(documents, tmp_path):
    export(documents, tmp_path / "run", stages=("dedup", "annotate", "select", "export"))
    for path in (tmp_path / "run" / "dataset" / "data").rglob("*.parquet"):
        assert pq.read_schema(path).equals(export_schema(["edu", "web", "llama3", "llama31"], True))


def test_a_language_of_many_units_is_one_row_group(documents, tmp_path):
    export(documents, tmp_path / "run")
    for path in (tmp_path / "run" / "dataset" / "data").rglob("*.parquet"):
        assert pq.read_metadata(path).num_rows > 15 and pq.read_metadata(path).num_row_groups == 1


def test_counts_add_up_in_the_manifest(documents, tmp_path):
    export(documents, tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "dataset" / "manifest.json").read_text())
    for code, entry in manifest["summary"]["languages"].items():
        assert entry["documents"] == 60 == entry["kept"] + sum(entry["dropped"].values())
        files = manifest["export"][code]["files"]
        assert entry["kept"] == manifest["export"][code]["documents"] == sum(f["rows"] for f in files)
        texts = pq.read_table([tmp_path / "run" / "dataset" / f["name"] for f in files]).column("text").to_pylist()
        assert manifest["export"][code]["characters"] == sum(map(len, texts))


def test_two_runs_give_equal_bytes(documents, tmp_path):
    for name in ("one", "two"):
        export(documents, tmp_path / name, stages=("dedup", "annotate", "select", "export"))
    assert table_bytes(tmp_path / "one") == table_bytes(tmp_path / "two")


def test_the_users_own_files_are_not_touched(documents, tmp_path):
    mine = tmp_path / "home" / "data" / "mine.parquet"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(RecipeError, match=r"export\.path: .*home holds 1 files that are not .* \(data/mine\.parquet\)"):
        export(documents, tmp_path / "run", export={"path": str(tmp_path / "home")})
    assert mine.read_bytes() == b"mine" and list((tmp_path / "home").rglob("*.parquet")) == [mine]


def test_after_an_export_that_was_stopped_the_next_one_clears_up(documents, tmp_path):
    target = tmp_path / "out"
    export(documents, tmp_path / "run", export={"path": str(target), "file_documents": 5})
    many = len(list(target.glob("data/*/*.parquet")))
    names = [
        f["name"] for e in json.loads((target / "manifest.json").read_text())["export"].values() for f in e["files"]
    ]
    # What a process that died between publish and write_card leaves behind.
    (target / "manifest.json").unlink()
    (target / PENDING).write_text(json.dumps(names))
    export(documents, tmp_path / "run", export={"path": str(target)})
    assert 2 == len(list(target.glob("data/*/*.parquet"))) < many
    assert (target / "manifest.json").is_file() and not (target / PENDING).exists()


def test_nothing_kept_is_an_export_too(documents, tmp_path):
    result = export(documents, tmp_path / "run", select={"quantile": 0.5, "min_documents": 1000})
    assert result.summary["total"]["kept"] == 0 and result.summary["dropped"] == {"too_few_documents": 120}
    assert json.loads((tmp_path / "run" / "dataset" / "manifest.json").read_text())["export"] == {}


@pytest.mark.parametrize("column", [0, 1], ids=["id", "text"])
@pytest.mark.parametrize("stages", [("annotate", "select", "export"), ("dedup", "annotate", "select", "export")])
def test_units_that_may_be_missing_are_left_out(documents, tmp_path, stages, column):
    path = documents / "1.parquet"
    data = bytearray(path.read_bytes())
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(column)  # the footer stays whole
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    data[start : start + 200] = b"\xff" * 200
    path.write_bytes(bytes(data))
    engine = {"backend": "inline", "tolerate_missing": 0.5}
    summary = export(documents, tmp_path / "run", stages=stages, engine=engine).summary
    found = pq.read_table(tmp_path / "run" / "dataset" / "data")
    assert 20 < found.num_rows == summary["total"]["kept"] <= 45
    assert not [i for i in found.column("id").to_pylist() if i.startswith("p1-")]
    assert summary["dropped"].get("not_scored", 0) == (30 if column else 0)
    assert summary["stages"]["decisions"]["units"] == (4 if column else 3)


@pytest.mark.parametrize(
    ("counts", "size", "expected"),
    [
        ([3, 3, 3], 6, [[0, 1], [2]]),
        ([10, 1, 1], 5, [[0], [1, 2]]),
        ([0, 0, 0], 5, [[0, 1, 2]]),
        ([5, 5], 5, [[0], [1]]),
        ([], 5, []),
    ],
)
def test_groups_of_units(counts, size, expected):
    assert group_units(counts, size) == expected
