"""What would run: the stages of a recipe with their units, done and left. Reads the run folder, writes nothing."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.table import Table

from jql.engine import storage
from jql.engine.plan import Plan, Unit, open_plan
from jql.engine.receipt import committed
from jql.engine.run import StageRun, stage_fingerprint
from jql.engine.stage import Stage
from jql.recipe import Recipe
from jql.report.summary import Stages, totals


class Waiting(Exception):
    """A stage has units left, so that what follows it cannot be planned yet."""


class Planner:
    """Stands in for a run: finds each stage's plan and receipts, and stops at the first stage with units left."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.found: list[dict[str, Any]] = []
        self.console = Console(quiet=True)

    def run(self, stage: Stage, units: Callable[[], Iterable[Unit]]) -> StageRun:
        """The stage if it is complete.

        Raises:
            Waiting: it is not.
        """
        fingerprint = stage_fingerprint(stage)
        folder = storage.join(self.folder, stage.name, fingerprint.short)
        known = storage.exists(storage.join(folder, "stage.json"))
        plan = open_plan(folder, fingerprint, ()) if known else Plan.build(units())
        done = len(committed(folder)) if known else 0
        weight = int(plan.table.column("weight").to_numpy().sum())
        self.found.append(
            {"stage": stage.name, "units": len(plan), "done": done, "left": len(plan) - done, "weight": weight}
        )
        if done < len(plan):
            raise Waiting
        return StageRun(stage.name, folder, fingerprint.digest, plan)

    def make(self, name: str, done: bool, work: Callable[[], None]) -> None:
        """Count it as one unit.

        Raises:
            Waiting: it is not done.
        """
        self.found.append({"stage": name, "units": 1, "done": int(done), "left": int(not done), "weight": 0})
        if not done:
            raise Waiting


def plan_recipe(recipe: Recipe) -> dict[str, Any]:
    """Stages with units, done and left; stages that wait for others have None; and what scoring copies costs.

    Raises:
        JqlError: an input is missing or wrong, as the run itself would say.
    """
    from jql.pipeline import walk

    planner, stages = Planner(recipe.output), Stages()
    with suppress(Waiting):
        walk(recipe, planner, stages)
    begun = {entry["stage"].split("/")[0] for entry in planner.found}
    waiting = [{"stage": s, "units": None, "done": None, "left": None} for s in recipe.stages if s not in begun]
    return {"run": recipe.output, "stages": planner.found + waiting, "scoring": _scoring(recipe, stages)}


def _scoring(recipe: Recipe, stages: Stages) -> str:
    """What scoring one copy of each cluster saves, once the clusters are known."""
    if "dedup" not in recipe.stages or "annotate" not in recipe.stages:
        return ""
    if stages.clusters is None:
        return "how many documents annotate.copies=one would save is known after dedup"
    every = totals(stages.clusters).accepted
    one = sum(sum(r.stats["representatives"].values()) for r in stages.clusters.receipts())
    chosen = one if recipe.annotate.copies == "one" else every
    return (
        f"annotate.copies={recipe.annotate.copies} scores {chosen:,} documents: every copy is {every:,}, one of each "
        f"near-duplicate cluster {one:,} ({1 - one / max(1, every):.1%} less)"
    )


def plan_table(found: dict[str, Any]) -> Table:
    """The plan for a terminal."""
    table = Table(
        title=f"Plan of {found['run']}", title_justify="left", caption=found["scoring"] or None, caption_justify="left"
    )
    table.add_column("stage")
    for column in ("units", "done", "left"):
        table.add_column(column, justify="right")
    for entry in found["stages"]:
        waits = entry["units"] is None
        table.add_row(
            entry["stage"], *(["-", "-", "waits"] if waits else [f"{entry[c]:,}" for c in ("units", "done", "left")])
        )
    return table
