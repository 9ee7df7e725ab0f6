"""Before work goes out: every node must see the run folder and have the same versions; one must have room."""

import os
import platform
import socket
import uuid
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from jql.engine import storage
from jql.errors import JqlError, one_line

PACKAGES = ("jql", "pyarrow", "numpy", "ray", "datatrove", "trafilatura")


def versions() -> dict[str, str]:
    """Versions that must agree for outputs to be equal: Python and the packages that touch data."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def check_node(folder: str, token: str) -> dict[str, Any]:
    """Runs on a node: read what the driver wrote, write an answer, and say what is installed."""
    problem = ""
    try:
        if storage.read_bytes(storage.join(folder, "preflight", token)) != token.encode():
            problem = "reads something else than the driver wrote"
        answer = storage.join(folder, "preflight", f"{token}-{uuid.uuid4().hex[:8]}")
        storage.put(answer, b"")
        storage.delete(answer)
    except (OSError, JqlError) as error:
        problem = f"{type(error).__name__}: {error}"
    return {"host": socket.gethostname(), "versions": versions(), "problem": problem}


def cause_of(error: Any) -> str:
    """What an exception raised on a node says, in one line; Ray appends the node's traceback to it."""
    cause = str(error.cause).partition("traceback:")[0].strip()
    return f"{type(error.cause).__name__}: {' '.join(cause.split())[:400]}"


def alive_nodes() -> list[dict[str, Any]]:
    """The cluster's live nodes, as Ray describes them."""
    import ray

    nodes: Any = ray.nodes
    return [node for node in nodes() if node["Alive"]]


def check_room(cpus: float, gpus: float) -> None:
    """Whether some node is large enough for a worker.

    Raises:
        JqlError: says what the nodes have.
    """
    nodes = [n["Resources"] for n in alive_nodes()]
    if not any(n.get("CPU", 0) >= cpus and n.get("GPU", 0) >= gpus for n in nodes):
        have = "; ".join(f"{n.get('CPU', 0):g} CPU, {n.get('GPU', 0):g} GPU" for n in nodes)
        raise JqlError(
            f"no Ray node has room for a worker of {cpus:g} CPU and {gpus:g} GPU (nodes: {have}); add one that has"
        )


def preflight(folder: str) -> None:
    """Check every live node of the cluster.

    Raises:
        JqlError: names the node and what is wrong with it.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = alive_nodes()
    if storage.is_local(folder):
        folder = os.path.abspath(folder.removeprefix("file://"))  # a node's working folder is another
    token = uuid.uuid4().hex
    marker = storage.join(folder, "preflight", token)
    storage.put(marker, token.encode())
    try:
        calls = []
        for node in nodes:
            pinned = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            calls.append(ray.remote(check_node).options(num_cpus=0, scheduling_strategy=pinned).remote(folder, token))
        for node, call in zip(nodes, calls, strict=True):
            try:
                answer = ray.get(call, timeout=120)
            except ray.exceptions.RayTaskError as error:
                raise JqlError(
                    f"node {node['NodeManagerAddress']}: the check does not run there ({cause_of(error)}); "
                    "install jql and the same constraints on every node"
                ) from error
            except ray.exceptions.RayError as error:
                raise JqlError(f"node {node['NodeManagerAddress']}: does not answer ({one_line(error)})") from error
            judge(folder, answer)
    finally:
        storage.delete(marker)


def judge(folder: str, answer: dict[str, Any]) -> None:
    """Whether a node's answer is good.

    Raises:
        JqlError: names the node and what is wrong with it.
    """
    if answer["problem"]:
        raise JqlError(
            f"node {answer['host']}: does not share the run folder {folder} ({answer['problem']}); "
            "put the run on storage that every node mounts, or on s3://"
        )
    here = versions()
    other = {k: v for k, v in answer["versions"].items() if v != here[k]}
    if other:
        told = ", ".join(f"{k} {v} (driver: {here[k]})" for k, v in other.items())
        raise JqlError(f"node {answer['host']}: has {told}; install the same constraints on every node")
