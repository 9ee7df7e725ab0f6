"""Kill -9 a worker, the driver and a Ray node in the middle of every stage of the demo; compare the tables.

    python benchmarks/faults.py [--stage NAME ...] [--fault worker|driver|node ...]

The demo's pages are copied with other word orders into many WARC files, so that every stage has units enough for a
middle. One undisturbed run gives the expected tables. Each case starts from its folder with the stage and all later
ones taken away, kills when a third of the stage's units are committed, runs the same command again if that ended the
run, and compares every committed table up to the end of the stage's part of the recipe. The later rounds of dedup's
large and small stars are the same code as the first and left out unless named. Prints one JSON line; exit code 1 if
any table differs or a fault missed the middle.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "data" / "sample"))

from ruamel.yaml import YAML  # noqa: E402
from wrap import pages, write_warc  # noqa: E402

FILES = 24
COPIES = 2
PARTS = ("crawl", "dedup", "annotate", "select", "export")
FAULTS = ("worker", "driver", "node")
TRIES = 4
PARAGRAPH = re.compile(r"(?<=>)[^<]{60,}(?=<)")


def make_input(folder: Path, files: int, copies: int) -> None:
    """`files` WARC files of the sample pages: as they are, then rotated (near-duplicates), then with words shuffled."""
    folder.mkdir(parents=True)
    random_ = random.Random(0)
    found = []
    for copy in range(copies):
        for page in pages(ROOT / "data" / "sample" / "pages"):
            html = PARAGRAPH.sub(partial(reordered, copy, random_), page["html"])
            found.append({"url": f"{page['url']}/{copy}", "html": html})
    for number in range(files):
        write_warc(folder / f"part-{number:03d}.warc.gz", found[number::files])


def reordered(copy: int, random_: random.Random, found: re.Match[str]) -> str:
    """The words in another order: rotated in the first copy, shuffled in later ones."""
    words = found[0].split()
    if copy == 0:
        return found[0]
    if copy == 1:
        return " ".join(words[3:] + words[:3])
    random_.shuffle(words)
    return " ".join(words)


def table_bytes(run: Path) -> dict[str, str]:
    """Stage and unit -> SHA-256 of every committed table, read from the files themselves."""
    found = {}
    for receipt in run.glob("**/receipts/*/*.json"):
        folder = receipt.parents[2]
        for name, file in json.loads(receipt.read_text())["files"].items():
            data = (folder / file["path"]).read_bytes()
            found[f"{receipt.relative_to(run)}:{name}"] = hashlib.sha256(data).hexdigest()
    return found


def export_bytes(run: Path) -> dict[str, str]:
    """SHA-256 of every exported Parquet file."""
    return {
        str(p.relative_to(run)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in (run / "export" / "data").rglob("*.parquet")
    }


def stages_in_order(run: Path) -> dict[str, int]:
    """Stage -> units, in the order in which they ran; read from run.log."""
    events = [json.loads(line) for line in (run / "run.log").read_text().splitlines()]
    return {e["stage"]: e["units"] for e in events if e["event"] == "stage"}


class Case:
    """One run folder, one cluster, and the command that runs the recipe there."""

    def __init__(self, work: Path) -> None:
        from ray.cluster_utils import Cluster

        self.run, self.base = work / "run", work / "base"
        demo = YAML(typ="safe").load((ROOT / "pipelines" / "demo.yaml").read_text())
        demo["crawl"]["input"] = [str(work / "warc")]
        demo["dedup"] = {**demo.get("dedup", {}), "partitions": 12}
        demo["export"] = {**demo.get("export", {}), "file_documents": 20}
        demo["output"] = str(self.run)
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self.node = self.cluster.add_node(num_cpus=1)
        self.cluster.wait_for_nodes()
        demo["engine"] = {"address": self.cluster.address, "workers": 2}
        recipe = work / "recipe.yaml"
        recipe.write_text(json.dumps(demo))
        self.command = [sys.executable, "-c", "from jql.cli import main; main()", "run", str(recipe)]

    def start(self, until: str = "export") -> subprocess.Popen[bytes]:
        """The command, with the recipe's parts up to that of a stage."""
        parts = PARTS[: PARTS.index(until.partition("/")[0]) + 1]
        command = [*self.command, f"stages=[{','.join(parts)}]"]
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.base.parent / "code"
        )

    def undisturbed(self) -> float:
        """Make the run that nothing happens to; seconds."""
        started = time.monotonic()
        process = self.start()
        _, said = process.communicate()
        if process.returncode:
            raise SystemExit(f"the undisturbed run fails: {said.decode()}")
        shutil.copytree(self.run, self.base)
        return time.monotonic() - started

    def reset(self, gone: list[str]) -> None:
        """The undisturbed run without the stages in `gone`, at the path it was made at."""
        shutil.rmtree(self.run)
        shutil.copytree(self.base, self.run)
        for stage in gone:
            shutil.rmtree(self.run / stage)
        shutil.rmtree(self.run / "export", ignore_errors=True)

    def disturb(self, stage: str, fault: str, units: int) -> dict[str, Any]:
        """Run with one fault in the middle of the stage; again if that ended the run."""
        started = time.monotonic()
        process = self.start(stage)
        at = self._wait(process, stage, max(1, units // 3), fault)
        self._strike(process, fault)
        after = committed(self.run / stage)
        _, said = process.communicate()
        runs = 1
        if process.returncode:
            runs += 1
            process = self.start(stage)
            _, said = process.communicate()
            if process.returncode:
                raise SystemExit(f"{stage}, {fault}: the second run fails, too: {said.decode()}")
        seconds = round(time.monotonic() - started, 1)
        if fault == "node":
            self.cluster.remove_node(self.node, allow_graceful=False)
            self.node = self.cluster.add_node(num_cpus=1)
            self.cluster.wait_for_nodes()
        return {"units": units, "committed_at_fault": [at, after], "runs": runs, "seconds": seconds}

    def _wait(self, process: subprocess.Popen[bytes], stage: str, units: int, fault: str) -> int:
        """Until so many units of the stage are committed; knows by then whom to kill."""
        self._workers: list[int] = []
        looked = 0.0
        while (at := committed(self.run / stage)) < units:
            if process.poll() is not None:
                raise SystemExit(
                    f"{stage}: the run ended before it could be disturbed: {process.communicate()[1].decode()}"
                )
            if fault == "worker" and time.monotonic() - looked > 0.2:
                self._workers, looked = list(unit_actors()), time.monotonic()
            time.sleep(0.001)
        return at

    def _strike(self, process: subprocess.Popen[bytes], fault: str) -> None:
        if fault == "driver":
            process.kill()
        elif fault == "worker":
            os.kill(self._workers[-1], signal.SIGKILL)
        else:
            self.node.kill_raylet()


def committed(folder: Path) -> int:
    """Receipts in a stage's folder."""
    return sum(1 for _ in folder.glob("*/receipts/*/*.json"))


def unit_actors() -> Iterator[int]:
    """Process ids of the actors below this process; the raylets are its children."""
    parents: dict[int, int] = {}
    actors = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if (entry / "cmdline").read_bytes().startswith(b"ray::UnitActor"):
                actors.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    for actor in actors:
        above = actor
        while above in parents and above != os.getpid():
            above = parents[above]
        if above == os.getpid():
            yield actor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", nargs="*", help="only these stages")
    parser.add_argument("--fault", nargs="*", choices=FAULTS, default=FAULTS)
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="jql-faults-"))
    code = work / "code"  # a copy, so that nobody's edit comes between two runs that must be equal
    for folder in ("jql", "annotators", "data", "pipelines"):
        shutil.copytree(ROOT / folder, code / folder, ignore=shutil.ignore_patterns("__pycache__"))
    os.environ.update(
        {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(code)}
    )
    make_input(work / "warc", FILES, COPIES)
    case = Case(work)
    cases: dict[str, dict[str, Any]] = {}
    try:
        calm_s = round(case.undisturbed(), 1)
        expected = {**table_bytes(case.base), **export_bytes(case.base)}
        stages = stages_in_order(case.base)
        names = list(stages)
        for stage, units in stages.items():
            if stage not in options.stage if options.stage else re.fullmatch(r".*-([2-9]|\d\d+)", stage):
                continue
            done = PARTS[: PARTS.index(stage.partition("/")[0]) + 1]
            for fault in options.fault:
                for _ in range(TRIES):
                    case.reset(names[names.index(stage) :])
                    found = case.disturb(stage, fault, units)
                    if found["committed_at_fault"][0] < units:
                        break  # it struck in the middle
                made = {**table_bytes(case.run), **export_bytes(case.run)}
                wanted = {name: digest for name, digest in expected.items() if name.partition("/")[0] in done}
                differing = [name for name in sorted(made.keys() | wanted.keys()) if made.get(name) != wanted.get(name)]
                found |= {"equal": not differing, "differing": differing[:3]}
                cases[f"{stage} x {fault}"] = found
                print(f"{stage} x {fault}: {found}", file=sys.stderr)
    finally:
        shutdown: Any = case.cluster.shutdown
        shutdown()
        shutil.rmtree(work)
    every = all(c["equal"] for c in cases.values())
    middle = all(c["committed_at_fault"][0] < c["units"] for c in cases.values())
    print(
        json.dumps(
            {
                "benchmark": "faults",
                "date": time.strftime("%Y-%m-%d"),
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
                "tables": len(expected),
                "undisturbed_s": calm_s,
                "all_equal": every,
                "all_in_the_middle": middle,
                "cases": cases,
            }
        )
    )
    raise SystemExit(0 if every and middle else 1)


if __name__ == "__main__":
    main()
