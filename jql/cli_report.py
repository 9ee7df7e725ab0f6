"""The verbs that show a run to a person: report, explore."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)

RunFolder = Annotated[str, typer.Argument(help="run folder that a run has ended in")]


@app.command()
def report(
    run: RunFolder,
    to: Annotated[str | None, typer.Option(help="the file; default RUN/report.html")] = None,
) -> None:
    """One HTML page of a run that opens offline: funnel, scores and cuts, what the filter favours, samples, cost."""
    from jql.report.page import write_report

    print(f"report: {write_report(run, to)}")


@app.command()
def explore(
    run: RunFolder,
    port: Annotated[int, typer.Option(help="on this machine only; 0 takes a free one")] = 0,
    browser: Annotated[bool, typer.Option(help="open the page")] = True,
) -> None:
    """The same page on this machine, with cuts to be moved and what they would keep; Ctrl-C ends."""
    from jql.report.explore_app import run_explore

    run_explore(run, port, browser)
