"""The command line as a person uses it: exit codes, one line for a mistake, one line of JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, run_here, write_warc

from jql.recipe import INNER, PARTS, Recipe, field_names

PAGE = (
    "<html><body><article><h1>Tides</h1><p>The sea rises and falls twice a day because the Moon pulls on the water of the "
    "oceans. Page number {n} tells how sailors kept tables of these times for many centuries.</p></article></body></html>"
)


def jql(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jql", *arguments], cwd=cwd, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    rows = [
        {
            "id": f"d{i}",
            "text": f"Lesson {i}: water boils when its vapour pressure equals {i} bar.",
            "language": "eng_Latn",
        }
        for i in range(40)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    return folder


def done(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[dict, str]:
    """What a command that works says in its last line, which is JSON, and what it says to a person."""
    code, said = run_here(*arguments, "--json"), capfd.readouterr()
    assert code == 0, said.err
    return json.loads(said.out.splitlines()[-1]), said.err


def test_a_run_ends_with_one_json_line_and_running_again_does_nothing(documents, tmp_path, capfd):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"output: {tmp_path / 'run'}\nstages: [annotate]\nengine: {{backend: inline}}\ndocuments: {{path: {documents}}}\n"
    )
    first = jql("run", str(recipe), "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout.splitlines()[-1])["documents"] == 40
    _, said = done(capfd, "run", str(recipe))
    assert "annotate: 1 of 1 units were done before" in said
    predicted, _ = done(capfd, "select", str(tmp_path / "run"), "--predict", "--quantile", "0.5")
    assert not (tmp_path / "run" / "select" / "decisions").exists()
    kept = done(capfd, "select", str(tmp_path / "run"), "--quantile", "0.5")[0]["kept"]
    assert 0 < kept <= 20 and predicted["total"]["documents"] == [kept] * 3
    before = (tmp_path / "run" / "recipe.yaml").read_text()
    assert run_here("select", str(tmp_path / "run"), "select.languages={eng_Latn: {tokens: 1000000000}}") == 2
    assert "1,000,000,000 wanted, but only" in capfd.readouterr().err
    assert (tmp_path / "run" / "recipe.yaml").read_text() == before
    done(capfd, "export", str(tmp_path / "run"), "--to", str(tmp_path / "out"))
    assert sum(pq.read_metadata(p).num_rows for p in (tmp_path / "out").glob("data/*/*.parquet")) == kept


def test_plan_runs_nothing(documents, tmp_path, capfd):
    plan, _ = done(
        capfd, "plan", "pipelines/fineweb2.yaml", f"documents.path={documents}", f"output={tmp_path / 'run'}"
    )
    assert plan["stages"][0] == {
        "stage": "dedup/signatures",
        "units": 1,
        "done": 0,
        "left": 1,
        "weight": plan["stages"][0]["weight"],
    }
    assert [s["stage"] for s in plan["stages"][1:]] == ["annotate", "select", "export"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("stage", ["recipe", *INNER, *PARTS])
def test_explain_prints_every_field(stage, capsys):
    assert run_here("explain", stage) == 0
    said = capsys.readouterr().out
    for name in field_names(INNER.get(stage) or PARTS.get(stage, Recipe)):
        assert name in said or name in PARTS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml: no such recipe"),
        (
            ["run", "pipelines/demo.yaml", "select.quantile=70"],
            "select.quantile: expected a share in [0, 1), got 70; write 0.7",
        ),
        (["run", "pipelines/demo.yaml", "crawl.input=[/no/such/folder]"], "/no/such/folder: no such file or folder"),
        (["annotate", "/no/such/folder"], "/no/such/folder: no such file or folder"),
        (["annotate", "EMPTY"], "an empty folder, expected files ending in .parquet, .jsonl, .jsonl.gz"),
        (
            ["annotate", "DOCUMENTS", "--annotator", "eddu"],
            "annotator 'eddu': no such folder, and not one that comes with jql",
        ),
        (["annotate", "DOCUMENTS", "--language", "no"], "unknown language 'no'"),
        (["crawl", "EMPTY"], "an empty folder, expected files ending in .warc"),
        (["crawl"], "crawl.input: nothing to crawl"),
        (["crawl", "--dump", "2025-05"], "crawl.dump: expected an id such as CC-MAIN-2025-05, got '2025-05'"),
        (["select", "EMPTY"], "no run folder (it has no recipe.yaml)"),
        (["explain", "slect"], "explain: no stage 'slect'"),
        (["fly"], "No such command"),
    ],
)
def test_mistakes_are_one_clear_line_and_exit_code_2(arguments, message, documents, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    stand_ins = {"DOCUMENTS": str(documents), "EMPTY": str(tmp_path / "empty")}
    arguments = [stand_ins.get(a, a) for a in arguments]
    if arguments[0] in ("annotate", "crawl"):
        arguments += ["--run", str(tmp_path / "run")]
    if arguments[0] == "run":
        arguments += [f"output={tmp_path / 'run'}", "engine.backend=inline"]
    assert run_here(*arguments) == 2
    said = capsys.readouterr().err
    assert message in " ".join(said.split())
    assert "Traceback" not in said


def test_an_unreadable_container_ends_with_exit_code_1_and_its_name(tmp_path, capfd):
    good = write_warc(tmp_path / "a.warc.gz", [(f"https://a.example/{n}", PAGE.format(n=n).encode()) for n in range(3)])
    (tmp_path / "b.warc.gz").write_bytes(good.read_bytes()[:700])
    base = [
        "run",
        "pipelines/demo.yaml",
        f"crawl.input=[{tmp_path}]",
        "crawl.url_filter=false",
        "engine.backend=inline",
    ]
    found = jql(*base, f"output={tmp_path / 'run'}")
    assert found.returncode == 1
    assert (
        "b.warc.gz" in found.stderr and "1 of 2 units are missing" in found.stderr and "Traceback" not in found.stderr
    )
    last, said = done(capfd, *base, f"output={tmp_path / 'run'}", "engine.tolerate_missing=0.5")
    assert "tolerated" in said
    assert last["documents"] == 3


def test_import_jql_loads_neither_torch_nor_ray():
    code = "import sys, jql, jql.recipe, jql.cli; print([m for m in ('torch', 'ray', 'sklearn', 'pandas') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "[]", found.stdout
