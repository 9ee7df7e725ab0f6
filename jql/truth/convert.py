"""Ratings from one form into another: `jql truth import` and `jql truth export`."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table

from jql.engine import storage
from jql.errors import InputError, RecipeError
from jql.truth.aggregate import aggregate_truth
from jql.truth.formats.argilla import argilla_file
from jql.truth.formats.plain import PUBLISHED, RATED, csv_file, jsonl_file
from jql.truth.ratings import FORMATS, Ratings, read_ratings

SUFFIX = {"argilla": ".json", "csv": ".csv", "jsonl": ".jsonl", "parquet": ".parquet", "published": ".parquet"}


def rated_rows(ratings: Ratings) -> Iterator[dict[str, Any]]:
    """Rows of RATED: each rating with the text and the source of its document, null where they are not known."""
    for row in ratings.ratings.to_pylist():
        yield {**row, "text": ratings.texts.get(row["id"]), "source": ratings.sources.get(row["id"])}


def published_table(ratings: Ratings) -> pa.Table:
    """PUBLISHED: documents that have a text and a score, adjudicated or by majority, in the order of the ratings.

    Where not all of it is human, a column `origin` says so.

    Raises:
        InputError: there is none.
    """
    truth = aggregate_truth(ratings)
    truth = truth.filter(pc.is_valid(truth.column("score")))
    if not truth.num_rows:
        documents = pc.count_distinct(ratings.ratings.column("id")).as_py()
        raise InputError(f"ratings: none of {documents:,} documents has a score and a text; import them with texts")
    human = set(truth.column("origin").to_pylist()) == {"human"}
    return truth.select(PUBLISHED.names if human else [*PUBLISHED.names, "origin"])


def write_ratings(ratings: Ratings, out: str, format: str) -> None:
    """Write ratings to a file, local or remote, that read_ratings reads; one that is there is replaced.

    published keeps neither raters nor single ratings, only what they came to.

    Raises:
        RecipeError: an unknown format, or a file name that does not end as the format does. InputError: published,
            and there is no document with a text and a score.
    """
    if format not in FORMATS:
        raise RecipeError(f"format: expected {', '.join(FORMATS)}, got {format!r}")
    if not out.endswith(SUFFIX[format]):
        raise RecipeError(f"{out}: expected a name that ends in {SUFFIX[format]} for format {format}; rename it")
    if SUFFIX[format] == ".parquet":
        published = format == "published"
        table = published_table(ratings) if published else pa.Table.from_pylist([*rated_rows(ratings)], RATED)
        storage.write_file(out, table)
        return
    make = {"argilla": argilla_file, "csv": csv_file, "jsonl": jsonl_file}[format]
    storage.put(out, make(rated_rows(ratings)))


def run_import(path: str, out: str, format: str, **options: Any) -> Ratings:
    """Read ratings of a format and write them as a Parquet table of RATED.

    Args:
        options: of read_ratings: rubric, language, question, origin.

    Returns:
        What was read, with what was left out.

    Raises:
        InputError, RecipeError: see read_ratings and write_ratings.
    """
    ratings = read_ratings(path, format=format, **options)
    write_ratings(ratings, out, "parquet")
    return ratings


def run_export(path: str, out: str, format: str, **options: Any) -> Ratings:
    """Write the ratings at a path, whatever holds them, in a format.

    Args:
        options: of read_ratings: rubric, language, question, origin.

    Returns:
        What was read, with what was left out.

    Raises:
        InputError, RecipeError: see read_ratings and write_ratings.
    """
    ratings = read_ratings(path, **options)
    write_ratings(ratings, out, format)
    return ratings


def ratings_table(ratings: Ratings, title: str) -> Table:
    """What was read, for a terminal: a row a language, below it the origin and what was left out."""
    rows = ratings.ratings.to_pylist()
    left = ", ".join(f"{reason} {count:,}" for reason, count in sorted(ratings.left_out.items())) or "nothing"
    origin = ", ".join(f"{name} {count:,}" for name, count in ratings.origins().items())
    caption = f"origin: {origin}; left out: {left}"
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    table.add_column("language")
    for name in ("documents", "with text", "raters", "ratings", "skipped"):
        table.add_column(name, justify="right")
    for language in [*sorted({row["language"] for row in rows}), None]:
        ours = [row for row in rows if language in (None, row["language"])]
        ids = {row["id"] for row in ours}
        raters, skipped = {row["rater"] for row in ours}, sum(row["score"] is None for row in ours)
        found = (len(ids), len(ids & ratings.texts.keys()), len(raters), len(ours) - skipped, skipped)
        if language is None:
            table.add_section()
        table.add_row(language or "all", *(f"{count:,}" for count in found))
    return table
