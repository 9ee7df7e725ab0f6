"""The verbs of the proof: tokenizer, tokens, pretrain and its sweep, ablate."""

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from jql.cli_judge import DefaultVerb
from jql.recipe import StageName

app = typer.Typer(no_args_is_help=True)
tokenizer_app = typer.Typer(
    cls=DefaultVerb, no_args_is_help=True, help="Train a tokenizer: `jql tokenizer RECIPE`; or evaluate some."
)
app.add_typer(tokenizer_app, name="tokenizer")
pretrain_app = typer.Typer(
    cls=DefaultVerb, no_args_is_help=True, help="Pretrain a decoder: `jql pretrain RECIPE`; or sweep learning rates."
)
app.add_typer(pretrain_app, name="pretrain")
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[STAGE.FIELD=VALUE]...", help="overrides, values as in YAML")
]
AsJson = Annotated[bool, typer.Option("--json", help="print one line of JSON last")]


@tokenizer_app.command("run")
def tokenizer(recipe: str, overrides: Overrides = None) -> None:
    """Train the tokenizer of a recipe on its documents, or on those that it keeps."""
    _up_to(recipe, overrides, "tokenizer")


@tokenizer_app.command()
def evaluate(
    names: Annotated[list[str], typer.Argument(help="tokenizers: folders, files or hub ids")],
    documents: Annotated[str, typer.Option("--documents", help="texts: a folder of Parquet or JSONL")],
    parallel: Annotated[str | None, typer.Option(help="folder of parallel text, for parity to English")] = None,
    source: Annotated[list[str] | None, typer.Option("--source", help="of parallel text, such as ntrex")] = None,
    language: Annotated[list[str] | None, typer.Option("--language", help="of these only (repeatable)")] = None,
    held_out: Annotated[float, typer.Option(help="only this share of documents, as evaluate.held_out draws it")] = 0.0,
    seed: Annotated[int, typer.Option(help="of the recipe that held them out")] = 0,
    as_json: AsJson = False,
) -> None:
    """Fertility, split words, characters and bytes per token, unknowns, parity to English, by language."""
    from jql.cli import print_table
    from jql.tokens.evaluate_tokenizers import evaluate_tokenizers, tokenizer_tables

    found = evaluate_tokenizers(names, documents, parallel, language or (), source or (), held_out, seed)
    for table in tokenizer_tables(found):
        print_table(table)
    if as_json:
        print(json.dumps(found))


@app.command()
def tokens(
    run: Annotated[str, typer.Argument(help="run folder with decisions")],
    overrides: Overrides = None,
    tokenizer: Annotated[str | None, typer.Option(help="folder or hub id; default: the run trains one")] = None,
    to: Annotated[
        list[str] | None, typer.Option("--format", help="datatrove, megatron, modalities (repeatable)")
    ] = None,
    path: Annotated[str | None, typer.Option("--to", help="where to; default RUN/tokenized")] = None,
) -> None:
    """The kept documents of a run as tokens, and as files for other trainers."""
    from jql.cli import show
    from jql.pipeline import later_recipe, run_recipe

    wish: dict[str, Any] = {name: value for name, value in (("formats", to), ("path", path)) if value}
    parts: dict[str, Any] = {"tokens": wish} | ({"tokenizer": {"use": tokenizer}} if tokenizer else {})
    show(run_recipe(later_recipe("tokens", run, overrides, **parts)), False)


@pretrain_app.command("run")
def pretrain(recipe: str, overrides: Overrides = None) -> None:
    """Pretrain a small decoder on what a recipe keeps; RUN/pretrain.json, and a Hugging Face folder."""
    _up_to(recipe, overrides, "pretrain")


@pretrain_app.command()
def sweep(recipe: str, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Learning rates x seeds x techniques that make training stable; RUN/sweep.json, and a picture of the losses."""
    _up_to(recipe, overrides, "sweep", as_json)


@app.command()
def ablate(recipe: str, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Compare the data sets of a recipe by the small models trained on them; RUN/ablation.json."""
    _up_to(recipe, overrides, "ablate", as_json)


def _up_to(path: str, overrides: list[str] | None, last: StageName, as_json: bool = False) -> None:
    """Run what a recipe has up to a stage."""
    from jql.cli import show
    from jql.pipeline import run_recipe
    from jql.recipe import STAGES, load_recipe

    found = load_recipe(path, overrides)
    needed: set[StageName] = {last}
    needed |= set() if found.tokenizer.use else {"tokenizer"}
    stages = [s for s in STAGES if s in needed or (s in found.stages and STAGES.index(s) < STAGES.index(last))]
    stages = [s for s in stages if s == last or s not in ("pretrain", "sweep")]
    show(run_recipe(load_recipe(path, [*(overrides or []), f"stages=[{', '.join(stages)}]"])), as_json)


def show_proof(result: Any) -> None:
    """What a run's tokens, model and comparison are, as tables."""
    from jql.cli import print_table

    if result.tokenizer:
        print(f"tokenizer: {result.tokenizer}")
    for name, found in (result.formats or {}).items():
        print(f"{name}: {found['folder']}, {found['tokens']:,} tokens in {found['files']:,} files")
    if model := result.pretrained:
        print(
            f"model: {model['folder']}, {model['epochs']:g} epochs of {model['tokens']:,} tokens, "
            f"last loss {model['last_loss']:.3f}, {model['tokens_per_s']:,.0f} tokens/s"
        )
        for text, languages in model["bits_per_byte"].items():
            mean = sum(languages.values()) / len(languages)
            print(f"bits per byte, {text}: {mean:.4f}, the mean of {len(languages)} languages")
    parts: list[Table | str] = []
    if result.sweep:
        from jql.laboratory.sweep_table import sweep_tables

        parts += sweep_tables(result.sweep)
    if result.ablation:
        from jql.evaluate.ablation_table import ablation_tables

        parts += ablation_tables(result.ablation)
    for shown in parts:
        if isinstance(shown, str):
            print(shown)
        else:
            print_table(shown)
