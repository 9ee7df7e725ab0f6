"""How long a stage will take, from probes of a few of its units: the mathematics, and where it is written down.

Shapes: P probes, U units.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from jql.engine import storage
from jql.engine.plan import Plan
from jql.errors import DataError, one_line

FILE = "predictions.json"
SURE = 0.95
HOUR = 3600.0

Range = tuple[float, float | None, float | None]
"""What is expected, and the ends of its 95 % interval, None where there is none."""


@dataclass(frozen=True)
class Probe:
    """One unit that was measured, whole or in a range of its rows.

    Attributes:
        weight: of the unit in its plan. rows: looked at, of the unit's `of` rows.
        seconds: the longest look took. unit_seconds: what the whole unit would take.
    """

    unit: int
    source: str
    weight: float
    rows: int
    of: int
    seconds: float
    unit_seconds: float

    @property
    def rate(self) -> float:
        """Seconds for one unit of weight."""
        return self.unit_seconds / self.weight


@dataclass(frozen=True)
class Prediction:
    """What a stage's worker was measured to take; it counts for the stage with this fingerprint on such workers.

    Attributes:
        date, host: when and where it was measured. room: workers that the machine or the cluster had room for.
        load_s: from the start of a worker's process to its first unit. first_s: what that takes longer than others.
        rate, low, high: seconds of a worker for one unit of weight, and the ends of the 95 % interval.
    """

    stage: str
    fingerprint: str
    backend: str
    cpus: float
    gpus: float
    date: str
    host: str
    room: int
    load_s: float
    first_s: float
    rate: float
    low: float | None
    high: float | None
    probes: list[Probe]

    def fits(self, fingerprint: str, backend: str, cpus: float, gpus: float) -> bool:
        """Whether it was made for this stage on such workers."""
        return (self.fingerprint, self.backend, self.cpus, self.gpus) == (fingerprint, backend, cpus, gpus)

    def workers(self, most: int | None, units: int) -> int:
        """How many work on so many units, where a recipe allows `most`."""
        return 1 if self.backend == "inline" else max(1, min(most or self.room, units))

    def work(self, weight: float, workers: int) -> Range:
        """Seconds in units of this weight together, by so many workers, which have loaded."""
        low, high = (None if end is None else end * weight + workers * self.first_s for end in (self.low, self.high))
        return self.rate * weight + workers * self.first_s, low, high


def weights_of(plan: Plan) -> np.ndarray:
    """float64 (U,): the weights of a plan's units, at least 1: where sizes are not known, all units count alike."""
    weights_U: np.ndarray = np.maximum(plan.table.column("weight").to_numpy(), 1).astype(np.float64)
    return weights_U


def mean_rate(rates_P: Sequence[float]) -> Range:
    """The mean cost of a unit of weight, and how sure it is.

    Units were drawn with replacement and by weight, so total weight times this mean estimates the seconds of all units
    without bias. The interval is Student's over the probes; it covers which units and rows were drawn, and what
    disturbed the machine from one probe to the next. It knows nothing of a machine that is slower later on.

    Args:
        rates_P: float (P,), seconds for one unit of weight, one for each probe.

    Returns:
        Mean, and the ends of the 95 % interval; None of fewer than two probes.

    Source: Hansen and Hurwitz, On the theory of sampling from finite populations, 1943.
    """
    rates = np.asarray(rates_P, np.float64)
    mean = float(rates.mean())
    if len(rates) < 2:
        return mean, None, None
    from scipy.special import stdtrit

    reach = float(stdtrit(len(rates) - 1, (1 + SURE) / 2) * rates.std(ddof=1) / np.sqrt(len(rates)))
    return mean, max(0.0, mean - reach), mean + reach


def forecast(prediction: Prediction, weights_U: np.ndarray, most: int | None) -> dict[str, Any]:
    """What is left of a stage, in hours.

    Worker-hours are those of units and of every worker's load. The stage cannot end before its heaviest unit does.

    Args:
        weights_U: float64 (U,), of the units left, at least one.
        most: units worked on at a time by the recipe, None for all that there is room for.
    """
    workers = prediction.workers(most, len(weights_U))
    work = prediction.work(float(weights_U.sum()), workers)
    heaviest = prediction.work(float(weights_U.max()), 1)
    wall = [None if s is None or h is None else max(s / workers, h) for s, h in zip(work, heaviest, strict=True)]
    worker_hours = _hours(work, workers * prediction.load_s)
    return {
        "units": len(weights_U),
        "workers": workers,
        "room": prediction.room,
        "hours": _hours(wall, prediction.load_s),
        "worker_hours": worker_hours,
        "gpu_hours": [None if h is None else round(h * prediction.gpus, 6) for h in worker_hours],
        "cpu_hours": [None if h is None else round(h * prediction.cpus, 6) for h in worker_hours],
        "load_s": prediction.load_s,
        "probes": len(prediction.probes),
        "date": prediction.date,
        "host": prediction.host,
    }


def _hours(seconds: Sequence[float | None], more_s: float) -> list[float | None]:
    return [None if s is None else round((s + more_s) / HOUR, 6) for s in seconds]


def read_predictions(folder: str) -> dict[str, Prediction]:
    """The predictions of a run folder, by stage.

    Raises:
        DataError: the file is not one of ours.
    """
    path = storage.join(folder, FILE)
    if not storage.exists(path):
        return {}
    try:
        found = json.loads(storage.read_bytes(path))
        return {name: Prediction(**{**p, "probes": [Probe(**q) for q in p["probes"]]}) for name, p in found.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path}: not what jql plan --calibrate writes ({one_line(error)}); remove it") from error


def write_prediction(folder: str, prediction: Prediction) -> dict[str, Prediction]:
    """Put a prediction into a run folder, in the place of an earlier one of the same stage; all that are there now."""
    known = {**read_predictions(folder), prediction.stage: prediction}
    content = json.dumps({name: asdict(p) for name, p in sorted(known.items())}, indent=1, ensure_ascii=False)
    storage.put(storage.join(folder, FILE), (content + "\n").encode())
    return known
