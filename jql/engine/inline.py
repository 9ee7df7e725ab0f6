"""The inline backend: units one after the other in this process, for tests, notebooks and debuggers."""

from collections.abc import Callable

from jql.engine.attempt import Outcome, attempt_unit
from jql.engine.ledger import Ledger
from jql.engine.plan import Plan
from jql.engine.stage import Guard, Stage
from jql.errors import StopError


def execute(
    stage: Stage, folder: str, plan: Plan, ledger: Ledger, report: Callable[[Outcome], None], document_s: float
) -> None:
    """Run the ledger's units here. A document that crashes the process crashes this process: use Ray for such input."""
    worker = stage.factory(**stage.settings)
    while task := ledger.next():
        guard = Guard(task.poison, task.start, task.stop, soft_s=document_s)
        outcome = attempt_unit(folder, worker, plan.unit(task.unit), guard, stage.law, probe=task.kind != "run")
        ledger.finished(task, outcome)
        report(outcome)
        if outcome.status == "fatal":
            raise StopError(outcome.error)
