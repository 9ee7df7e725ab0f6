"""The main job from WARC to Parquet: the same tables inline, on Ray and on object storage; and what a run folder tells."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import ROOT, table_bytes

from jql.engine import storage
from jql.engine.progress import console
from jql.errors import StopError
from jql.pipeline import run_recipe
from jql.recipe import load_recipe

LANGUAGES = ["eng_Latn", "deu_Latn", "ell_Grek", "srp_Cyrl"]


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Four languages of the sample crawl, wrapped as `make demo` wraps all of it."""
    folder = tmp_path_factory.mktemp("sample")
    (folder / "pages").mkdir()
    for code in LANGUAGES:
        (folder / "pages" / f"{code}.yaml").write_bytes(
            (ROOT / "data" / "sample" / "pages" / f"{code}.yaml").read_bytes()
        )
    command = [sys.executable, str(ROOT / "data" / "sample" / "wrap.py"), str(folder / "pages"), str(folder / "warc")]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "warc"


def demo(sample, output, *overrides):
    recipe = load_recipe(
        str(ROOT / "pipelines" / "demo.yaml"), [f"crawl.input=[{sample}]", f"output={output}", *overrides]
    )
    return run_recipe(recipe, console(quiet=True))


@pytest.fixture(scope="module")
def inline(sample, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inline") / "run"
    return folder, demo(sample, folder, "engine.backend=inline")


def test_every_page_is_in_exactly_one_place(inline):
    folder, result = inline
    summary = result.summary
    assert (
        summary
        == json.loads((folder / "summary.json").read_text())
        == json.loads((folder / "dataset" / "summary.json").read_text())
    )
    assert summary["total"]["records"] == 26 + 26 + 26 + 9
    assert summary["total"]["records"] == summary["total"]["kept"] + sum(summary["dropped"].values())
    assert summary["languages"]["srp_Cyrl"]["kept"] == 0
    kept = sum(pq.read_metadata(p).num_rows for p in (folder / "dataset" / "data").glob("*/*.parquet"))
    assert kept == summary["total"]["kept"] > 10


def test_the_run_folder_holds_recipe_log_and_manifest(inline):
    folder, _ = inline
    assert load_recipe(str(folder / "recipe.yaml")).output == str(folder)
    events = [json.loads(line)["event"] for line in (folder / "run.log").read_text().splitlines()]
    assert events[0] == "start" and events[-1] == "end" and events.count("stage") == events.count("stage_end") == 14
    manifest = json.loads((folder / "dataset" / "manifest.json").read_text())
    assert set(manifest["fingerprints"]) == {"crawl", "clusters", "scores", "decisions", "export"}
    assert manifest["inputs"]["stage"] == "crawl" and manifest["annotator"].startswith("edu, revision ")


def test_ray_gives_the_same_bytes(sample, inline, tmp_path, ray_address):
    demo(sample, tmp_path / "run", f"engine.address={ray_address}", "engine.workers=3")
    assert table_bytes(tmp_path / "run") == table_bytes(inline[0])
    published = [
        sorted((p.name, p.read_bytes()) for p in (f / "dataset" / "data").rglob("*.parquet"))
        for f in (tmp_path / "run", inline[0])
    ]
    assert published[0] == published[1]
    for name in ("cuts.json", "histograms.parquet", "sample.parquet"):
        assert (tmp_path / "run" / name).read_bytes() == (inline[0] / name).read_bytes()


def test_object_storage_gives_the_same_bytes(sample, inline, s3):
    output = f"{s3}/runs/demo"
    demo(sample, output, "engine.backend=inline")

    def checksums(root):
        names = [n for n in storage.find(str(root)) if "/receipts/" in n]
        return {
            n: {k: f["sha256"] for k, f in json.loads(storage.read_bytes(storage.join(str(root), n)))["files"].items()}
            for n in names
        }

    assert checksums(output) == checksums(inline[0])
    again = demo(sample, output, "engine.backend=inline", "select.quantile=0.7")
    assert again.summary["total"]["kept"] < inline[1].summary["total"]["kept"]


def test_running_again_does_nothing_again(sample, inline):
    folder, result = inline
    before = {p: p.stat().st_mtime_ns for p in folder.glob("*/**/*.parquet") if "dataset" not in p.parts}
    told = {p.name: p.read_bytes() for p in folder.glob("*.*") if p.name != "run.log"}
    assert demo(sample, folder, "engine.backend=inline").summary == result.summary
    assert {p: p.stat().st_mtime_ns for p in folder.glob("*/**/*.parquet") if "dataset" not in p.parts} == before
    assert {p.name: p.read_bytes() for p in folder.glob("*.*") if p.name != "run.log"} == told
    assert {"cuts.json", "histograms.parquet", "sample.parquet", "summary.json"} <= told.keys()


def test_an_output_that_cannot_be_written_is_one_line(sample, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StopError, match=r"file.*cannot be written"):
        demo(sample, tmp_path / "file" / "run", "engine.backend=inline")


def test_wrapping_the_sample_twice_gives_equal_bytes(sample, tmp_path):
    command = [sys.executable, str(ROOT / "data" / "sample" / "wrap.py"), str(sample.parent / "pages"), str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {
        p.name: p.read_bytes() for p in Path(sample).iterdir()
    }
