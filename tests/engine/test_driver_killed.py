"""The driver is killed in the middle of a run; the same command again completes it, byte for byte."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import table_bytes, write_warc

FILES = 20


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of WARC files of three short pages each."""
    folder = tmp_path_factory.mktemp("warc")
    for number in range(FILES):
        pages = []
        for page in range(3):
            day = number * 3 + page
            text = f"On day {day} the keeper wrote down how high the river stood and which boats had passed. " * 8
            html = f"<html><head><title>Log {number}</title></head><body><article><p>{text}</p></article></body></html>"
            pages.append((f"https://river.example/{number}/{page}", html.encode()))
        write_warc(folder / f"part-{number:03d}.warc.gz", pages)
    return folder


def command(crawl: Path, output: Path, *settings: str) -> list[str]:
    """`jql run` of crawl and annotate on the folder."""
    recipe = output.parent / "recipe.yaml"
    recipe.write_text(f"name: river\nstages: [crawl, annotate]\ncrawl:\n  input: [{crawl}]\n")
    code = "from jql.cli import main; main()"
    return [sys.executable, "-c", code, "run", str(recipe), f"output={output}", *settings]


def receipts(output: Path, stage: str) -> int:
    """Units of a stage that are committed."""
    return sum(1 for _ in output.glob(f"{stage}/*/receipts/*/*.json"))


def kill_after(line: list[str], output: Path, stage: str, units: int) -> None:
    """Start the command and kill -9 it once a stage has some units committed."""
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while receipts(output, stage) < units:
        assert process.poll() is None, f"the run ended before it could be killed: {process.communicate()[1].decode()}"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait(10)


@pytest.fixture(scope="module")
def undisturbed(crawl: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Tables of a run that nothing happens to."""
    output = tmp_path_factory.mktemp("undisturbed") / "run"
    subprocess.run(command(crawl, output, "engine.backend=inline"), check=True, capture_output=True)
    return table_bytes(output)


def test_killed_driver_inline(crawl: Path, tmp_path: Path, undisturbed: dict[str, str]) -> None:
    line = command(crawl, tmp_path / "run", "engine.backend=inline")
    kill_after(line, tmp_path / "run", "annotate", 5)
    again = subprocess.run(line, check=True, capture_output=True, text=True).stderr
    check_before(again, "annotate")
    assert table_bytes(tmp_path / "run") == undisturbed


def test_killed_driver_on_ray(crawl: Path, tmp_path: Path, undisturbed: dict[str, str], ray_address: str) -> None:
    line = command(crawl, tmp_path / "run", f"engine.address={ray_address}", "engine.workers=2")
    kill_after(line, tmp_path / "run", "crawl", 5)
    again = subprocess.run(line, check=True, capture_output=True, text=True).stderr
    check_before(again, "crawl")
    assert table_bytes(tmp_path / "run") == undisturbed


def check_before(said: str, stage: str) -> None:
    """The second run says how much the first had done: some of it, not all."""
    found = re.search(rf"{stage}: (\d+) of {FILES} units were done before", said)
    assert found, said
    assert 5 <= int(found[1]) < FILES
