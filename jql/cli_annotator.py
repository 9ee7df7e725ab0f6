"""The verbs around annotators: train, evaluate-annotator, import-heads, push, encoder train."""

from pathlib import Path
from typing import Annotated

import typer

from jql.errors import InputError, RecipeError

app = typer.Typer(no_args_is_help=True)
encoder_app = typer.Typer(no_args_is_help=True, help="Encoders: texts to embeddings.")
app.add_typer(encoder_app, name="encoder")


@app.command()
def train(
    recipe: str,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[STAGE.FIELD=VALUE]...", help="overrides, values as in YAML")
    ] = None,
    leave_one_out: Annotated[
        bool, typer.Option("--leave-one-language-out", help="also train without each language in turn")
    ] = False,
) -> None:
    """Train the annotator of a recipe into RUN/annotator, on files of judgments or on what its judges say."""
    from jql.annotator.train import run_train
    from jql.cli_judge import stages_up_to
    from jql.recipe import load_recipe

    found = load_recipe(recipe, overrides)
    if found.judge.judges and not found.train.judges:
        if leave_one_out:
            raise RecipeError("--leave-one-language-out: needs train.judges; name RUN/judge's judgments there")
        from jql.cli import show
        from jql.pipeline import run_recipe

        show(run_recipe(load_recipe(recipe, [*(overrides or []), stages_up_to(found, "train")])), False)
        return
    made = run_train(found, leave_one_out)
    print(f"annotator: {made.folder}, heads {', '.join(made.annotator.heads)}, revision {made.annotator.revision}")


@app.command("evaluate-annotator")
def evaluate_annotator(
    annotator: Annotated[str, typer.Argument(help="name, folder or hub id")],
    judged: Annotated[str, typer.Argument(help="judged documents it was not trained on: Parquet file or folder")],
    out: Annotated[str, typer.Option(help="folder for evaluation.json")] = "runs/evaluation",
    head: Annotated[str | None, typer.Option(help="one head; default all")] = None,
    against: Annotated[str | None, typer.Option(help="second annotator, compared on the same documents")] = None,
    parallel: Annotated[
        str | None, typer.Option(help="folder of parallel text: score the same in every language")
    ] = None,
) -> None:
    """Agreement with judgments by language, with intervals over source documents; translation invariance."""
    from jql.annotator.evaluate_annotator import run_evaluate_annotator

    run_evaluate_annotator(annotator, judged, out, head=head, against=against, parallel=parallel)


@app.command("import-heads")
def import_heads_command(
    checkpoints: Annotated[list[str], typer.Argument(metavar="NAME=FILE...", help="Lightning checkpoints")],
    to: Annotated[Path, typer.Option(help="folder of the annotator")],
    encoder: Annotated[str, typer.Option(help="what the heads were trained on")] = "snowflake-arctic-embed-m-v2.0",
    rubric: Annotated[Path | None, typer.Option(help="the rubric's YAML file")] = None,
) -> None:
    """An annotator folder from published checkpoints; nothing in them is executed."""
    from jql.annotator.import_heads import import_heads

    found: dict[str, Path] = {}
    for pair in checkpoints:
        name, sign, file = pair.partition("=")
        if not sign or not name or not file:
            raise RecipeError(f"{pair}: expected NAME=FILE, such as llama=edu-llama-snowflake-balanced.ckpt")
        found[name] = Path(file)
    if rubric and not rubric.is_file():
        raise InputError(f"{rubric}: no such rubric")
    made = import_heads(found, encoder, to, to.name, rubric)
    print(f"annotator: {to}, heads {', '.join(made.heads)}, revision {made.revision}")
    if not made.golden:
        print(
            f"no golden scores: {made.spec.model} is not on this machine; load the annotator where it is, save it again"
        )


@app.command()
def push(
    annotator: str,
    repo: Annotated[str, typer.Argument(help="hub id, owner/name")],
    public: Annotated[bool, typer.Option("--public", help="for everyone to see")] = False,
) -> None:
    """Upload an annotator to the Hugging Face hub."""
    from jql.annotator.annotator import Annotator

    print(Annotator.load(annotator).push_to_hub(repo, private=not public))


@encoder_app.command("train")
def encoder_train(
    parallel: Annotated[Path, typer.Argument(help="parallel text: one Parquet file a language")],
    to: Annotated[Path, typer.Option(help="folder of the encoder")],
    pages: Annotated[Path | None, typer.Option(help="web pages: one Parquet file a language")] = None,
    teacher: Annotated[str | None, typer.Option(help="English sentence-transformers model to distil")] = None,
    epochs: Annotated[float, typer.Option(help="passes over the weighted pairs")] = 3.0,
    vocabulary: Annotated[int, typer.Option(help="sub-word pieces")] = 64_000,
    dim: Annotated[int, typer.Option(help="dimensions")] = 256,
) -> None:
    """Train a static encoder such as the one in the box."""
    from jql.encoder.make_encoder import make_encoder
    from jql.encoder.train_static import Training

    make_encoder(parallel, pages, teacher, to, Training(vocabulary=vocabulary, dim=dim, epochs=epochs))
