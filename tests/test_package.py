"""The wheel: built, installed in a bare environment elsewhere, it scores a text and knows its data and recipes."""

import json
import subprocess
import sys
import zipfile

from conftest import ROOT

SCORE = """
import json, os
os.chdir("/")
from jql import Annotator
from jql.languages import languages
from jql.paths import annotators_dir, data_dir, pipelines_dir
import jql
annotator = Annotator.load("edu")
golden = [json.loads(line) for line in (annotators_dir() / "edu" / "golden.jsonl").open(encoding="utf-8")]
scores = annotator.score([row["text"] for row in golden])
worst = max(abs(float(scores[h][i]) - row["scores"][h]) for i, row in enumerate(golden) for h in annotator.heads)
print(json.dumps({
    "file": jql.__file__, "worst": worst, "languages": len(languages()),
    "pages": len(list((data_dir() / "sample" / "pages").glob("*.yaml"))), "demo": (pipelines_dir() / "demo.yaml").is_file(),
}))
"""


def test_the_wheel_scores_a_text_in_a_bare_environment(tmp_path):
    def call(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    build = "from hatchling.builders.wheel import WheelBuilder; print(next(WheelBuilder({root!r}).build(directory={out!r})))"
    wheel = call(sys.executable, "-c", build.format(root=str(ROOT), out=str(tmp_path))).strip()
    names = zipfile.ZipFile(wheel).namelist()
    assert not [n for n in names if n.startswith(("tests/", "benchmarks/")) or n.endswith((".warc.gz", ".parquet"))]
    call(sys.executable, "-m", "venv", "--without-pip", "bare")
    python = str(tmp_path / "bare" / "bin" / "python")
    # --offline: the packages come from uv's cache, where `make` has put them.
    call(
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "-q",
        "--offline",
        "--python",
        python,
        "-c",
        str(ROOT / "constraints.txt"),
        wheel,
    )
    found = json.loads(call(python, "-B", "-c", SCORE))  # its bytecode would stay behind
    assert found["file"].startswith(str(tmp_path))
    assert found["worst"] < 1e-3
    assert (found["languages"], found["demo"]) == (42, True)
    assert found["pages"] == len(list((ROOT / "data" / "sample" / "pages").glob("*.yaml")))
