"""A Ray node is lost in the middle of a stage: its units move to others, nothing is lost, nothing comes twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import stages
from conftest import ROOT, table_bytes

from jql.engine.run import Run
from jql.recipe import Engine

SCRIPT = """
import json, sys, threading, time
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
import stages
from jql.engine.run import Run
from jql.recipe import Engine

folder, payloads = Path(sys.argv[1]), json.loads(sys.argv[2])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
lost = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
ray.cloudpickle.register_pickle_by_value(stages)

def lose_node():
    # Both stalled units run, one on each node, and neither can end before: one dies with its node, one goes on.
    while not all((folder / f"stall-{i}").exists() for i in (0, 1)):
        time.sleep(0.01)
    cluster.remove_node(lost, allow_graceful=False)
    for i in (0, 1):
        (folder / f"go-{i}").touch()

threading.Thread(target=lose_node, daemon=True).start()
with Run(str(folder), Engine(address=cluster.address, workers=2)) as run:
    run.run(stages.square_stage(folder), lambda: stages.units(*payloads))
ray.shutdown()
cluster.shutdown()
"""


def test_lost_node(tmp_path: Path) -> None:
    payloads = [{"rows": 5, "stall": 2}, {"rows": 4, "stall": 1}, {"rows": 3}, {"rows": 6}, {"rows": 1}]
    calm = tmp_path / "inline"
    calm.mkdir()
    with Run(str(calm), Engine(backend="inline")) as run:
        run.run(stages.square_stage(calm), lambda: stages.units(*({"rows": p["rows"]} for p in payloads)))
    folder = tmp_path / "ray"
    folder.mkdir()
    script = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), json.dumps(payloads)],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"},
    )
    assert script.returncode == 0, script.stderr
    assert table_bytes(folder) == table_bytes(calm) != {}
    assert "quarantine" not in {p.name for p in folder.rglob("*")}
