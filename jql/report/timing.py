"""What each stage took, by its receipts, beside what a calibration had predicted.

A receipt's time is that of the attempt that was committed: loading a worker, attempts that failed or came second, and
waiting are not in it. Receipts outlive a driver, so a run that was resumed is counted whole.
"""

from collections.abc import Collection, Iterable
from typing import Any

from rich.table import Table

from jql.engine.prediction import HOUR, Prediction, weights_of
from jql.engine.receipt import Totals, committed
from jql.engine.run import StageRun
from jql.recipe import Engine


def timing(
    ran: Iterable[StageRun], sums: dict[str, Totals], predictions: dict[str, Prediction], engine: Engine
) -> dict[str, dict[str, Any]]:
    """Stage -> hours of its workers, rows a second, and what was predicted for the same units.

    Args:
        sums: stage -> sums over its receipts.
        predictions: by stage; one that was made for another recipe, backend or size of worker is left out.
    """
    found = {}
    for stage in ran:
        took = sums[stage.name]
        if not took.units:
            continue
        entry: dict[str, Any] = {
            "units": took.units,
            "rows": took.rows_in,
            "worker_hours": round(took.seconds / HOUR, 6),
            "cpu_hours": round(took.seconds / HOUR * stage.cpus, 6),
            "gpu_hours": round(took.seconds / HOUR * stage.gpus, 6),
            "rows_per_second": round(took.rows_in / max(took.seconds, 1e-3), 2),
        }
        known = predictions.get(stage.name)
        if known and known.fits(stage.fingerprint, engine.backend, stage.cpus, stage.gpus):
            weights = weights_of(stage.plan)
            weights = weights if took.units == len(weights) else weights[committed(stage.folder)]
            work = known.work(float(weights.sum()), known.workers(engine.workers, took.units))
            entry["predicted"] = [None if s is None else round(s / HOUR, 6) for s in work]
            entry["difference"] = round(took.seconds / work[0] - 1, 4)
        found[stage.name] = entry
    return found


def worked(ran: Iterable[StageRun], sums: dict[str, Totals]) -> frozenset[str]:
    """The stages that had units to do in this run."""
    return frozenset(stage.name for stage in ran if sums[stage.name].units > stage.before)


def timing_table(found: dict[str, dict[str, Any]], shown: Collection[str]) -> Table | None:
    """For a terminal: a row for each stage of the recipe, its steps added up, and one for each step that was predicted.

    Args:
        shown: the stages and steps to tell of; None comes back where there are none.
    """
    rows = _rows({name: entry for name, entry in found.items() if name in shown})
    if not rows:
        return None
    gpus, predicted = (any(entry.get(key) for entry in rows.values()) for key in ("gpu_hours", "predicted"))
    table = Table(title="Time of workers, without loading", title_justify="left")
    table.add_column("stage")
    columns = ["took", *(["on GPUs"] if gpus else []), "documents/s a worker"]
    for column in columns + (["predicted", "off by"] if predicted else []):
        table.add_column(column, justify="right")
    for name, entry in rows.items():
        cells = [span([entry["worker_hours"]]), *([span([entry["gpu_hours"]])] if gpus else [])]
        cells.append(_digits(entry["rows_per_second"]) if "rows_per_second" in entry else "")
        if "predicted" in entry:
            cells += [span(entry["predicted"]), f"{entry['difference']:+.0%}"]
        table.add_row(name, *cells)
    return table


def _rows(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A stage of several steps is their sum, without a speed: not all their rows are documents. Then those predicted.

    A step of a stage that also has units of its own, such as annotate/sample, stands for itself.
    """
    rows: dict[str, dict[str, Any]] = {}
    for name, entry in found.items():
        head = name.split("/")[0]
        if head in found:
            rows[name] = entry
            continue
        total = rows.setdefault(head, {"worker_hours": 0.0, "gpu_hours": 0.0})
        for key in total:
            total[key] += entry[key]
        if "predicted" in entry:
            rows[name] = entry
    return rows


def span(hours: list[float | None]) -> str:
    """A time in hours, minutes or seconds, whichever fits; with the ends of its interval where there are some."""
    expected = hours[0] or 0.0
    unit, times = ("h", 1) if expected >= 1 else ("min", 60) if expected * 60 >= 1 else ("s", 3600)
    first, *ends = (_digits(h * times) for h in hours if h is not None)
    return f"{first} {unit}" + (f" [{', '.join(ends)}]" if ends else "")


def _digits(value: float) -> str:
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"
