"""The verbs around human ratings: label, and truth sample, import, export, agree, aggregate, translate."""

import typer

app = typer.Typer(no_args_is_help=True)
truth_app = typer.Typer(no_args_is_help=True, help="Ground truth: documents that people have rated.")
app.add_typer(truth_app, name="truth")
