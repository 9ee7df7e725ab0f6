"""The verbs of probes: probe ner, probe make."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from jql.errors import RecipeError

app = typer.Typer(
    no_args_is_help=True, help="Fine-tune a pretrained model on a labelled task, to see what it is good for."
)
AsJson = Annotated[bool, typer.Option("--json", help="print one line of JSON last")]
Files = "CoNLL: a word and its tag a line"


@app.command()
def ner(
    model: Annotated[str, typer.Argument(help="folder, hub id or an encoder's name; encoders and decoders")],
    train: Annotated[str, typer.Option(help=f"{Files}; its types are the ones to learn")],
    validation: Annotated[str, typer.Option(help=f"{Files}; its loss steers the schedule and picks the epoch")],
    test: Annotated[str, typer.Option(help=f"{Files}; what is measured")],
    schedule: Annotated[str, typer.Option(help="adaptive, or fixed: linear over --epochs")] = "adaptive",
    epochs: Annotated[int | None, typer.Option(help="at most; default 250, with fixed 5")] = None,
    learning_rate: Annotated[float, typer.Option(help="at its highest; of small models about 1e-3")] = 2e-5,
    batch: Annotated[int, typer.Option(help="sentences of a step")] = 16,
    max_length: Annotated[int, typer.Option(help="tokens of a sentence; words beyond count as O")] = 128,
    token: Annotated[
        str, typer.Option(help="which of a word bears its label: first or last; last suits decoders")
    ] = "first",
    scheme: Annotated[str, typer.Option(help="bio, iob (IOB1), io, bilou; auto: by the training file")] = "auto",
    share: Annotated[float, typer.Option(help="of the sentences for training and validation")] = 1.0,
    seed: Annotated[int, typer.Option(help="of new weights, order, dropout and --share")] = 42,
    device: Annotated[str | None, typer.Option(help="cpu, cuda:1; default the GPU where there is one")] = None,
    to: Annotated[str | None, typer.Option(help="folder for the figures and the test file with predicted tags")] = None,
    as_json: AsJson = False,
) -> None:
    """Named-entity recognition: fine-tune a model, and F1 of the entities that it finds in the test file."""
    from jql.cli import print_table
    from jql.probe.config import ProbeSettings
    from jql.probe.labels import checked_scheme
    from jql.probe.ner import Task, probe_ner, save_probed
    from jql.probe.ner_tables import probe_table

    settings = ProbeSettings(
        schedule=schedule,  # type: ignore[arg-type]  # checked there
        epochs=epochs,
        learning_rate=learning_rate,
        batch=batch,
        max_length=max_length,
        token=token,  # type: ignore[arg-type]
        share=share,
        seed=seed,
    )
    task = Task.read(train, validation, test, checked_scheme(scheme))

    def tell(epoch: Any) -> None:
        losses = f"loss {epoch.train_loss:.4f}, validation {epoch.validation_loss:.4f}"
        print(f"epoch {epoch.epoch}: {losses}, rate {settings.learning_rate * epoch.factor:.2e}", flush=True)

    found = probe_ner(model, task, settings, device, tell)
    print_table(probe_table(found))
    if to:
        save_probed(Path(to), found, task)
        print(f"probe: {to}")
    if as_json:
        print(json.dumps(found.to_json()))


@app.command()
def make(
    folder: Annotated[str, typer.Argument(help="for train.conll, validation.conll and test.conll")],
    sentences: Annotated[int, typer.Option(help="to train on; a quarter as many for each of the others")] = 1000,
    language: Annotated[list[str] | None, typer.Option("--language", help="of these only (repeatable)")] = None,
    seed: Annotated[int, typer.Option(help="of all three files")] = 0,
) -> None:
    """Make files with known entities, of patterns and invented names, to try a probe on."""
    from jql.probe.conll import write_conll
    from jql.probe.made import LANGUAGES, made_sentences

    if sentences < 4:
        raise RecipeError(f"--sentences: expected 4 or more, got {sentences}")
    for name, count in (("train", sentences), ("validation", sentences // 4), ("test", sentences // 4)):
        path = Path(folder) / f"{name}.conll"
        write_conll(path, made_sentences(language or list(LANGUAGES), count, f"{seed}/{name}"))
        print(f"{path}: {count:,} sentences")
