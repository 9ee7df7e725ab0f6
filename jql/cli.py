"""The command line: `jql run RECIPE`, a verb for each stage, `plan` and `explain`."""

import json
import re
import sys
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from jql.cli_annotator import app as annotator_verbs
from jql.cli_judge import app as judge_verbs
from jql.cli_pretrain import app as pretrain_verbs
from jql.cli_pretrain import show_proof
from jql.cli_probe import app as probe_verbs
from jql.cli_report import app as report_verbs
from jql.cli_select import app as select_verbs
from jql.cli_truth import app as truth_verbs
from jql.errors import JqlError, LockError, RecipeError, one_line

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

app.add_typer(annotator_verbs)
app.add_typer(judge_verbs, name="judge")
app.add_typer(pretrain_verbs)
app.add_typer(probe_verbs, name="probe")
app.add_typer(report_verbs)
app.add_typer(select_verbs)
app.add_typer(truth_verbs)

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[STAGE.FIELD=VALUE]...", help="overrides, values as in YAML")
]
AsJson = Annotated[bool, typer.Option("--json", help="print one line of JSON last")]
RunFolder = Annotated[str, typer.Option("--run", help="run folder; the same folder continues")]
Workers = Annotated[int | None, typer.Option(help="units worked on at a time; default all CPUs")]
Languages = Annotated[list[str] | None, typer.Option("--language", help="keep this language (repeatable)")]


@app.command()
def run(recipe: str, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Run the stages that a recipe names; the same command again continues."""
    from jql.recipe import load_recipe

    _run(load_recipe(recipe, overrides), as_json)


@app.command()
def plan(
    recipe: str,
    overrides: Overrides = None,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="measure the next stage on some of its units")] = False,
    seconds: Annotated[float | None, typer.Option(help="of calibration, once a worker has loaded; default 60")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what would run and how many units are left; runs nothing. --calibrate predicts what the next stage takes."""
    from jql.planner import calibrate_recipe, plan_recipe, plan_table
    from jql.recipe import load_recipe

    if seconds is not None and not (calibrate and 0 < seconds < float("inf")):
        raise RecipeError(f"--seconds: expected a number above 0, and --calibrate with it, got {seconds:g}")
    loaded = load_recipe(recipe, overrides)
    found = calibrate_recipe(loaded, seconds or 60.0) if calibrate else plan_recipe(loaded)
    print_table(plan_table(found))
    if as_json:
        print(json.dumps(found))


@app.command()
def explain(stage: str) -> None:
    """Print every field of a stage: type, default, meaning."""
    from jql.recipe import INNER, PARTS, Recipe

    part: Any = INNER.get(stage) or PARTS.get(stage)
    if part is None and stage != "recipe":
        raise RecipeError(f"explain: no stage {stage!r}; there are recipe, {', '.join(PARTS)}")
    model = part or Recipe
    table = Table(title=f"{stage}: {' '.join((model.__doc__ or '').split())}", title_justify="left")
    for column in ("field", "type", "default", "meaning"):
        table.add_column(column, overflow="fold")
    for name, field in model.model_fields.items():
        if field.alias is None and name in PARTS and model is Recipe:
            continue
        table.add_row(
            field.alias or name,
            _type_words(field),
            "required" if field.is_required() else json.dumps(field.get_default(), default=list),
            escape(" ".join((field.description or "").split())),
        )
    print_table(table)


@app.command()
def crawl(
    inputs: Annotated[list[str] | None, typer.Argument(help="WARC or WET files or folders")] = None,
    run: RunFolder = "runs/crawl",
    dump: Annotated[str | None, typer.Option(help="Common Crawl dump, such as CC-MAIN-2025-05")] = None,
    files: Annotated[int | None, typer.Option(help="how many files of the dump")] = None,
    language: Languages = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """WARC or WET to documents."""
    settings = _given(input=inputs or [], dump=dump, files=files, languages=language)
    _stage(["crawl"], run, workers, as_json, crawl=settings)


@app.command()
def dedup(documents: str, run: RunFolder = "runs/dedup", workers: Workers = None, as_json: AsJson = False) -> None:
    """Near-duplicate clusters of a folder of documents."""
    _stage(["dedup"], run, workers, as_json, documents={"path": documents})


@app.command()
def annotate(
    documents: str,
    run: RunFolder = "runs/annotate",
    annotator: Annotated[str | None, typer.Option(help="name or folder")] = None,
    language: Annotated[str | None, typer.Option(help="code for all documents, or identify")] = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Score a folder of documents: Parquet or JSONL, local, s3://, https:// or hf://."""
    settings = _given(path=documents, language=language)
    _stage(["annotate"], run, workers, as_json, documents=settings, annotate=_given(annotator=annotator))


@app.command()
def select(
    run: Annotated[str, typer.Argument(help="run folder with scores")],
    overrides: Overrides = None,
    quantile: Annotated[float | None, typer.Option(help="share of each language that a cut drops")] = None,
    rule: Annotated[str | None, typer.Option(help="all, any, majority or mean")] = None,
    by: Annotated[str | None, typer.Option(help="annotator, heuristics or both")] = None,
    predict: Annotated[bool, typer.Option("--predict", help="say what would be kept, and decide nothing")] = False,
    as_json: AsJson = False,
) -> None:
    """Decide in a run folder what is kept; nothing is scored again."""
    from jql.pipeline import later_recipe, predict_recipe

    recipe = later_recipe("select", run, overrides, select=_given(quantile=quantile, rule=rule, by=by))
    if not predict:
        return _run(recipe, as_json)
    _show_prediction(*predict_recipe(recipe), as_json)


def _show_prediction(summary: dict[str, Any], cuts: dict[str, Any], as_json: bool) -> None:
    from jql.report.summary import summary_table

    print_table(summary_table(summary, cuts))
    print("predicted; nothing was decided")
    if as_json:
        print(json.dumps(summary["prediction"]))


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="run folder with decisions")],
    overrides: Overrides = None,
    path: Annotated[str | None, typer.Option("--to", help="where to; default RUN/dataset")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the kept documents of a run folder as Parquet by language."""
    from jql.pipeline import later_recipe

    _run(later_recipe("export", run, overrides, export=_given(path=path)), as_json)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _stage(stages: list[str], folder: str, workers: int | None, as_json: bool, **parts: Any) -> None:
    from jql.recipe import make_recipe

    data = {
        "name": folder.rstrip("/").rsplit("/", 1)[-1],
        "output": folder,
        "stages": stages,
        "engine": {"workers": workers},
        **parts,
    }
    _run(make_recipe(data, where="options"), as_json)


def _run(recipe: Any, as_json: bool) -> None:
    from jql.pipeline import run_recipe

    show(run_recipe(recipe), as_json)


def show(result: Any, as_json: bool) -> None:
    """What a run made, as tables; one line of JSON last."""
    from jql.report.cascade import cascade_words
    from jql.report.summary import drops_table, judges_table, summary_table
    from jql.report.timing import timing_table

    if judges := result.summary["total"].get("judges"):
        print_table(judges_table(judges))
        for name, entry in judges.items():
            print(f"judgments of {name}: {entry['judgments']}")
    if result.annotator:
        print(f"annotator: {result.annotator}")
    if result.summary["languages"]:
        print_table(summary_table(result.summary, result.cuts))
    if result.summary["dropped"]:
        print_table(drops_table(result.summary))
    if cascade := result.summary.get("cascade"):
        print(cascade_words(cascade))
    if (time := timing_table(result.summary["time"], result.worked)) is not None:
        print_table(time)
    show_proof(result)
    if again := result.summary["total"].get("ids_again"):
        print(f"{again:,} documents have an id that an earlier one has; they count as its copies")
    print(f"data set: {result.export}" if result.export else f"run: {result.folder}")
    if as_json:
        print(
            json.dumps(
                {
                    "run": result.folder,
                    "export": result.export,
                    **result.summary["total"],
                    "dropped": result.summary["dropped"],
                }
            )
        )


def _type_words(field: Any) -> str:
    text = str(field.annotation).replace("typing.", "").replace("jql.recipe.", "")
    text = re.sub(r"Annotated\[(\w+), FieldInfo\((?:[^()]|\([^()]*\))*\)\]", r"\1", text)  # bounds are for messages
    return escape(text.removeprefix("<class '").removesuffix("'>").replace("NoneType", "none"))


def wide() -> Any:
    """The console of results: a log has no width of its own, and tables would be folded to rich's 80 columns."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(soft_wrap=not terminal, width=None if terminal else 140)


def print_table(table: Table) -> None:
    """A table of results."""
    wide().print(table)


def main() -> None:
    """Entry point; exit code 0 done, 1 failed or incomplete, 2 the user's mistake."""
    try:
        app()
    except (RecipeError, LockError) as error:
        _fail(error, 2)
    except JqlError as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        _fail("interrupted; the same command continues", 1)
    except OSError as error:
        if error.filename is None:
            raise
        _fail(error, 1)


def _fail(error: BaseException | str, code: int) -> None:
    print(f"jql: {one_line(error) if isinstance(error, BaseException) else error}", file=sys.stderr)
    raise SystemExit(code)
