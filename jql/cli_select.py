"""The verb that sets heuristics beside the annotator: compare."""

import json
from typing import Annotated, Any

import typer

from jql.errors import InputError, RecipeError
from jql.recipe import Recipe

app = typer.Typer(no_args_is_help=True)

STORED = 5
"""Documents of each difference in compare.json, where --samples does not say."""


@app.command()
def compare(
    run: Annotated[str, typer.Argument(help="run folder with scores")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[STAGE.FIELD=VALUE]...", help="overrides, values as in YAML")
    ] = None,
    quantile: Annotated[float | None, typer.Option(help="share of each language that a cut drops")] = None,
    samples: Annotated[
        int | None, typer.Option(help="print so many documents of each difference; compare.json holds them, too")
    ] = None,
    language: Annotated[list[str] | None, typer.Option(help="print documents of this language (repeatable)")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one line of JSON last")] = False,
) -> None:
    """What FineWeb2's heuristics keep beside what the annotator keeps of a scored run; RUN/compare.json."""
    from jql.cli import print_table
    from jql.pipeline import later_recipe
    from jql.report.compare import compare_table, rules_table
    from jql.report.differences import sample_lines

    if samples is not None and samples < 0:
        raise RecipeError(f"--samples: expected 0 or more, got {samples}")
    wish: dict[str, Any] = {"by": "annotator"} | ({} if quantile is None else {"quantile": quantile})
    recipe = later_recipe("select", run, overrides, select=wish)
    if quantile is not None and (recipe.select.mixture or recipe.select.cuts):
        raise RecipeError("--quantile: the run is cut by select.mixture or select.cuts; set that to null beside it")
    if recipe.select.by != "annotator":
        raise RecipeError(f"select.by: {recipe.select.by} cannot be set beside the heuristics; leave it out")
    found = compare_recipe(recipe, STORED if samples is None else samples)
    shown = list(language or (found["samples"] if samples is not None else ()))
    if unknown := [code for code in shown if code not in found["languages"]]:
        there = ", ".join(found["languages"]) or "none"
        raise RecipeError(f"--language: no documents of {', '.join(unknown)} could be compared; there are {there}")
    print_table(compare_table(found))
    print_table(rules_table(found["total"]))
    for code in shown:
        for line in sample_lines(code, found["samples"].get(code, {})):
            print(line)
    print(f"{run.rstrip('/')}/compare.json: all of this, and documents that only one side keeps")
    if as_json:
        print(json.dumps(found))


def compare_recipe(recipe: Recipe, samples: int = STORED) -> dict[str, Any]:
    """Compare in the run folder of a recipe that selects by the annotator, and write compare.json there.

    Raises:
        InputError: no scores, or documents without heuristics. RecipeError: a cut that cannot be.
    """
    from jql.engine import storage
    from jql.engine.run import Run
    from jql.pipeline import walk_to_scores
    from jql.report.compare import comparison
    from jql.report.differences import differences
    from jql.report.summary import Stages
    from jql.select.compare import run_compare
    from jql.select.groups import groups_of

    if "annotate" not in recipe.stages:
        raise InputError(
            f"{recipe.output}: this run has no scores to set beside the heuristics; run `jql annotate DOCUMENTS --run "
            "RUN`, or add annotate to the stages of its recipe and run that"
        )
    stages = Stages()
    with Run(recipe.output, recipe.engine) as run:
        documents, recipe = walk_to_scores(recipe, run, stages)
        assert documents is not None and stages.scores is not None
        compared = run_compare(recipe, run, documents, stages.clusters, stages.scores)
        found = comparison(compared, groups_of(recipe.select))
        found["samples"] = differences(compared, documents, samples, recipe.seed, bool(recipe.select.where))
        content = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
        storage.put(storage.join(recipe.output, "compare.json"), content.encode())
    return found
