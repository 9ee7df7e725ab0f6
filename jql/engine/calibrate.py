"""A short calibration: probes of units of a stage that are drawn at random, whose output is thrown away.

The backends run them as they run any ledger's tasks, so that a worker is prepared, watched and replaced as in a run.
"""

import socket
import time

import numpy as np

from jql.engine import inline
from jql.engine.plan import Plan
from jql.engine.prediction import Prediction, mean_rate
from jql.engine.probes import ProbeLedger
from jql.engine.run import stage_fingerprint
from jql.engine.stage import Stage
from jql.errors import DataError, JqlError
from jql.recipe import Engine

ROOM_S = 20.0  # Ray takes a moment to count what an ended actor gives back


def calibrate(
    stage: Stage, folder: str, plan: Plan, left_U: np.ndarray, run: str, engine: Engine, seconds: float, seed: int
) -> tuple[Prediction, list[str]]:
    """Measure one worker of a stage on units that are left; nothing is committed.

    Args:
        folder: of the stage. run: folder of the run.
        left_U: int64 (U,), the units left. seconds: to spend once the worker has loaded; the last probe is finished.

    Returns:
        The prediction, and why units that were drawn could not be measured.

    Raises:
        JqlError: the worker cannot be built, or the cluster has no room for it. DataError: no unit could be measured.
    """
    ledger = ProbeLedger(plan, left_U, seconds, seed)
    host, room = socket.gethostname(), 1
    if engine.backend == "inline":
        inline.execute(stage, folder, plan, ledger, lambda outcome: None, stage.document_s)
    else:
        host, room = _on_ray(stage, folder, plan, ledger, run, engine)
    if not ledger.probes:
        raise DataError(
            f"{stage.name}: no unit could be measured, {len(ledger.bad)} of {len(left_U)} were tried: "
            f"{next(iter(ledger.bad.values()))}; repair or remove the input"
        )
    rate, low, high = mean_rate([p.rate for p in ledger.probes])
    prediction = Prediction(
        stage=stage.name,
        fingerprint=stage_fingerprint(stage).digest,
        backend=engine.backend,
        cpus=stage.cpus,
        gpus=stage.gpus,
        date=time.strftime("%Y-%m-%dT%H:%M:%S"),
        host=host,
        room=room,
        load_s=round(ledger.load_s, 3),
        first_s=round(ledger.first_s, 3),
        rate=rate,
        low=low,
        high=high,
        probes=ledger.probes,
    )
    return prediction, list(ledger.bad.values())


def _on_ray(stage: Stage, folder: str, plan: Plan, ledger: ProbeLedger, run: str, engine: Engine) -> tuple[str, int]:
    """Probe with one actor; the node it was on, and how many of them the cluster's nodes can hold."""
    from jql.engine import ray_pool
    from jql.engine.preflight import alive_nodes, check_room, preflight

    ray_pool.start_ray(engine.address, engine.workers)
    preflight(run)
    check_room(stage.cpus, stage.gpus)
    _check_free(stage)
    pool = ray_pool.Pool(1)
    ledger.start()
    try:
        pool.execute(stage, folder, plan, ledger, lambda outcome: None, stage.document_s)
        nodes = alive_nodes()
        host = next((n["NodeManagerHostname"] for m in pool.members for n in nodes if n["NodeID"] == m.node), "")
    finally:
        pool.close()
    needs = {name: need for name, need in (("CPU", stage.cpus), ("GPU", stage.gpus)) if need}
    each = (min((int(n["Resources"].get(k, 0) / need + 1e-9) for k, need in needs.items()), default=1) for n in nodes)
    return host, max(1, sum(each))


def _check_free(stage: Stage) -> None:
    """Whether there is room for one more worker beside what runs on the cluster.

    Raises:
        JqlError: there is none.
    """
    import ray

    deadline = time.monotonic() + ROOM_S
    while True:
        free = ray.available_resources()  # type: ignore[no-untyped-call]
        if free.get("CPU", 0) >= stage.cpus and free.get("GPU", 0) >= stage.gpus:
            return
        if time.monotonic() > deadline:
            raise JqlError(
                f"{stage.name}: its worker needs {stage.cpus:g} CPU and {stage.gpus:g} GPU, and the cluster has "
                f"{free.get('CPU', 0):g} CPU and {free.get('GPU', 0):g} GPU free; calibrate when other work has ended"
            )
        time.sleep(0.5)
