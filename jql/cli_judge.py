"""The verbs around judges: judge, judge rank, judge next."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from jql.recipe import Recipe, StageName


class DefaultVerb(TyperGroup):
    """`jql judge RECIPE` is `jql judge run RECIPE`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The sub-command named, else run."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["run", *args])


app = typer.Typer(
    cls=DefaultVerb, no_args_is_help=True, help="Language models that label documents: `jql judge RECIPE`, and more."
)
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[STAGE.FIELD=VALUE]...", help="overrides, values as in YAML")
]


@app.command("run")
def judge(recipe: str, overrides: Overrides = None) -> None:
    """Let the judges of a recipe label documents, after ranking them where the recipe does."""
    _up_to(recipe, overrides, "judge")


@app.command()
def rank(recipe: str, overrides: Overrides = None) -> None:
    """Rank the judges of a recipe against its human ratings; RUN/rank.json."""
    _up_to(recipe, overrides, "rank")


@app.command("next")
def next_label(
    run: Annotated[str, typer.Argument(help="run folder with scores; with --by spread: a judge's judgments")],
    to: Annotated[str, typer.Option(help="Parquet file of the documents chosen")],
    documents: Annotated[int, typer.Option(help="how many, equal shares of the languages")] = 1000,
    by: Annotated[str, typer.Option(help="random, disagreement of heads, or spread of a judge's answers")] = "random",
    language: Annotated[list[str] | None, typer.Option(help="of these languages only (repeatable)")] = None,
    head: Annotated[list[str] | None, typer.Option(help="heads that may disagree (repeatable)")] = None,
    known: Annotated[list[str] | None, typer.Option(help="judged or rated documents, not to label again")] = None,
    seed: int = 0,
) -> None:
    """Where to spend the next labels: documents of a run to judge or rate, or judged ones for a second look."""
    from typing import get_args

    from jql.errors import RecipeError
    from jql.judge.next_label import By, run_next
    from jql.judge.second_look import run_second_look

    if by == "spread":
        found = run_second_look(run, to, documents, language or (), seed)
    elif by in get_args(By):
        chosen: By = by  # type: ignore[assignment]
        found = run_next(run, to, documents, chosen, language or (), head or (), known or (), seed)
    else:
        raise RecipeError(f"--by: expected random, disagreement or spread, got {by}")
    left = ", ".join(f"{reason} {count:,}" for reason, count in found["left_out"].items())
    print(f"{to}: {found['documents']:,} documents, by {found['by']}" + (f"; left out: {left}" if left else ""))


def _up_to(path: str, overrides: list[str] | None, last: StageName) -> None:
    """Run what a recipe has up to a stage."""
    from jql.cli import show
    from jql.pipeline import run_recipe
    from jql.recipe import load_recipe

    show(run_recipe(load_recipe(path, [*(overrides or []), stages_up_to(load_recipe(path, overrides), last)])), False)


def stages_up_to(recipe: Recipe, last: StageName) -> str:
    """An override: the stages that `last` needs of those of a recipe, and itself."""
    before: list[str] = []
    if last != "rank" and not recipe.judge.documents:
        before = [stage for stage in recipe.stages if stage in ("crawl", "dedup")]
    if last != "rank" and recipe.judge.truth:
        before.append("rank")
    if last == "train":
        before.append("judge")
    return f"stages=[{', '.join([*before, last])}]"
