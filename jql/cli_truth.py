"""The verbs around human ratings: label, and truth sample, import, export, agree, aggregate, translate."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)
truth_app = typer.Typer(no_args_is_help=True, help="Ground truth: documents that people have rated.")
app.add_typer(truth_app, name="truth")

Ratings = Annotated[str, typer.Argument(help="run folder of the rating page, or a file of ratings")]
RubricOption = Annotated[str | None, typer.Option("--rubric", help="whose range the scores must keep")]
LanguageOption = Annotated[str | None, typer.Option("--language", help="of rows that do not say")]
OriginOption = Annotated[str, typer.Option("--origin", help="of rows that do not say: human, model or synthetic")]
QuestionOption = Annotated[str | None, typer.Option("--question", help="of Argilla: which one holds the score")]
Formats = Annotated[str, typer.Option("--format", help="argilla, csv, jsonl, parquet or published")]


@app.command()
def label(
    run: Annotated[str, typer.Argument(help="folder made by jql truth sample")],
    port: Annotated[int, typer.Option(help="on this machine only; 0 takes a free one")] = 0,
    rater: Annotated[str | None, typer.Option(help="the only one to rate here")] = None,
    browser: Annotated[bool, typer.Option(help="open the page")] = True,
) -> None:
    """Rate documents on a page of this machine; Ctrl-C ends, and nothing is lost."""
    from jql.truth.label.serve import run_label

    run_label(run, port, browser, rater)


@truth_app.command()
def sample(
    documents: Annotated[str, typer.Argument(help="folder or file of documents, Parquet or JSONL")],
    to: Annotated[str, typer.Option(help="folder for the rating page")],
    rater: Annotated[list[str], typer.Option(help="name of a rater (repeatable)")],
    per_language: Annotated[int, typer.Option(help="documents of each language")] = 100,
    language: Annotated[list[str] | None, typer.Option(help="of these languages only (repeatable)")] = None,
    bands: Annotated[int, typer.Option(help="bands of the first-pass score, drawn from alike")] = 5,
    pilot: Annotated[int, typer.Option(help="documents that everyone rates first")] = 20,
    overlap: Annotated[float, typer.Option(help="share of the others that several rate")] = 1.0,
    labels: Annotated[int, typer.Option(help="how many rate those")] = 3,
    annotator: Annotated[str, typer.Option(help="of the first pass")] = "edu",
    head: Annotated[str | None, typer.Option(help="of the first pass")] = None,
    rubric: Annotated[str, typer.Option(help="file, or name of one that comes with jql")] = "educational",
    documents_language: Annotated[str | None, typer.Option(help="where no column says it, or identify")] = None,
    seed: int = 0,
) -> None:
    """Draw documents to rate, stratified by language and first-pass score, and give them to raters."""
    from jql.cli import print_table
    from jql.truth.sample import run_sample, sample_table

    record = run_sample(
        documents,
        to,
        raters=rater,
        per_language=per_language,
        languages=language,
        bands=bands,
        pilot=pilot,
        overlap=overlap,
        labels=labels,
        annotator=annotator,
        head=head,
        rubric=rubric,
        seed=seed,
        language=documents_language,
    )
    print_table(sample_table(record))
    print(f"{to}: rate with jql label {to}")


@truth_app.command("import")
def import_ratings(
    path: Annotated[str, typer.Argument(help="file or folder of ratings")],
    to: Annotated[str, typer.Option(help="Parquet file of RATING rows with their texts")],
    format: Formats,
    rubric: RubricOption = None,
    language: LanguageOption = None,
    question: QuestionOption = None,
    origin: OriginOption = "human",
) -> None:
    """Ratings of another program as a Parquet table."""
    from jql.cli import print_table
    from jql.truth.convert import ratings_table, run_import

    found = run_import(path, to, format, rubric=rubric, language=language, question=question, origin=origin)
    print_table(ratings_table(found, to))


@truth_app.command()
def export(
    ratings: Ratings,
    to: Annotated[str, typer.Option(help="file to write")],
    format: Formats,
    rubric: RubricOption = None,
    language: LanguageOption = None,
    question: QuestionOption = None,
    origin: OriginOption = "human",
) -> None:
    """Ratings in the form of another program."""
    from jql.cli import print_table
    from jql.truth.convert import ratings_table, run_export

    found = run_export(ratings, to, format, rubric=rubric, language=language, question=question, origin=origin)
    print_table(ratings_table(found, to))


@truth_app.command()
def agree(
    ratings: Ratings,
    to: Annotated[str | None, typer.Option(help="folder for agreement.json")] = None,
    rubric: RubricOption = None,
    resamples: Annotated[int, typer.Option(help="of the documents, for the intervals")] = 1000,
    seed: int = 0,
    language: LanguageOption = None,
    question: QuestionOption = None,
    origin: OriginOption = "human",
) -> None:
    """Agreement of raters: alpha, kappas, raw agreement, spread, each rater against the others, with intervals."""
    from jql.cli import wide
    from jql.truth.agree import run_agree

    run_agree(ratings, to, rubric, resamples, seed, language=language, question=question, origin=origin, console=wide())


@truth_app.command()
def aggregate(
    ratings: Ratings,
    to: Annotated[str, typer.Option(help="Parquet file of the ground truth")],
    rule: Annotated[str, typer.Option(help="majority (ties to their mean, as published), mean or median")] = "majority",
    rubric: RubricOption = None,
    language: LanguageOption = None,
    question: QuestionOption = None,
    origin: OriginOption = "human",
) -> None:
    """One score a document: the ground truth that judges are ranked against."""
    from jql.cli import print_table
    from jql.truth.aggregate import run_aggregate, truth_table

    made = run_aggregate(ratings, to, rule, rubric=rubric, language=language, question=question, origin=origin)
    print_table(truth_table(made, to))


@truth_app.command()
def translate(
    truth: Annotated[str, typer.Argument(help="Parquet file or folder made by jql truth aggregate")],
    out: Annotated[str, typer.Option("--run", help="run folder; the same folder continues")],
    to: Annotated[list[str], typer.Option(help="language code (repeatable)")],
    endpoint: Annotated[str, typer.Option(help="base URL of an OpenAI-compatible server")],
    model: Annotated[str, typer.Option(help="as the endpoint calls it")],
    key: Annotated[str, typer.Option(help="environment variable that holds the endpoint's key")] = "OPENAI_API_KEY",
    revision: Annotated[str, typer.Option(help="what else its answers depend on")] = "",
    max_tokens: Annotated[int, typer.Option(help="of one translation")] = 4096,
    temperature: float = 0.0,
    concurrency: Annotated[int, typer.Option(help="requests in flight for each worker")] = 32,
    budget_tokens: Annotated[int | None, typer.Option(help="tokens, in and out, after which it stops")] = None,
) -> None:
    """The ground truth in other languages, each translation linked to its source; RUN/truth.parquet."""
    from jql.truth.translate import run_translate

    options = {"key": key, "revision": revision, "budget_tokens": budget_tokens}
    numbers = {"max_tokens": max_tokens, "temperature": temperature, "concurrency": concurrency}
    run_translate(truth, out, to=to, endpoint=endpoint, model=model, **options, **numbers)  # type: ignore[arg-type]
    print(f"truth: {out}/truth.parquet")
