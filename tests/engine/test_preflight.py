"""What is checked on every node before work goes out, and what a person sees meanwhile."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from jql.engine.preflight import check_node, judge, preflight, versions
from jql.engine.progress import StageProgress
from jql.errors import JqlError


def test_every_node_agrees_and_nothing_is_left(tmp_path: Path, ray_address: str) -> None:
    preflight(str(tmp_path))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_relative_run_folder_means_the_drivers(
    tmp_path: Path, ray_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # Ray's workers were started elsewhere
    preflight("runs/one")
    assert (tmp_path / "runs" / "one" / "preflight").is_dir()


def test_a_node_that_does_not_see_the_run_folder(tmp_path: Path) -> None:
    answer = check_node(str(tmp_path), "a token that the driver wrote somewhere else")
    with pytest.raises(JqlError, match=r"node .*: does not share the run folder .*FileNotFoundError.*; put the run on"):
        judge(str(tmp_path), answer)


def test_a_node_that_sees_another_folder(tmp_path: Path) -> None:
    (tmp_path / "preflight").mkdir()
    (tmp_path / "preflight" / "token").write_text("another")
    with pytest.raises(JqlError, match="reads something else than the driver wrote"):
        judge(str(tmp_path), check_node(str(tmp_path), "token"))


def test_a_node_with_another_version(tmp_path: Path) -> None:
    answer = {"host": "worker-7", "problem": "", "versions": {**versions(), "pyarrow": "1.0"}}
    with pytest.raises(JqlError, match=r"node worker-7: has pyarrow 1\.0 \(driver: .*\); install the same constraints"):
        judge(str(tmp_path), answer)


def test_no_cluster_at_the_address() -> None:
    """In a process of its own: this one is connected to the session's Ray."""
    code = "from jql.engine.ray_pool import start_ray; start_ray('127.0.0.1:1', 1)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "engine.address='127.0.0.1:1': no Ray cluster answers" in found.stderr.splitlines()[-1]


def test_progress_on_a_terminal_and_off(tmp_path: Path) -> None:
    out = io.StringIO()
    with StageProgress("crawl", 10, 4, Console(file=out, force_terminal=True, width=100)) as progress:
        progress.advance(7, 1, 50)
    assert "crawl" in out.getvalue() and "1 failed" in out.getvalue()
    silent = io.StringIO()
    with StageProgress("crawl", 10, 4, Console(file=silent, force_terminal=False)) as progress:
        progress.advance(7, 0, 50)
    assert silent.getvalue() == "", "a log file gets a line every half minute, not one a unit"
