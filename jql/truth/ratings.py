"""Ratings of any origin as one table: a run of the rating page, an Argilla export, or a table of a known form."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from jql.engine import storage
from jql.errors import InputError, RecipeError
from jql.languages import check_language
from jql.rubric import Rubric, load_rubric
from jql.truth.checks import ORIGINS, check_ratings
from jql.truth.formats.argilla import argilla_rows, is_argilla
from jql.truth.formats.files import Row, read_rows
from jql.truth.formats.plain import Found, listed_rows, published_rows, rating_rows

FORMATS = ("argilla", "csv", "jsonl", "parquet", "published")


@dataclass(frozen=True)
class Ratings:
    """Ratings that were checked, and what is known of their documents.

    Attributes:
        ratings: RATING, in the order of the file.
        texts: by id, where known; of a run of the rating page also those that nobody has rated.
        sources: by id, where the document is said to be a translation or copy of another.
        adjudicated: score by id that was settled on; of a run of the rating page.
        left_out: rows of no use, by reason: not_a_number, language_unknown, no_id, no_rater, superseded (the same rater
            rated the document again later), draft and unrated (Argilla).
    """

    ratings: pa.Table
    texts: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    adjudicated: dict[str, float] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    def origins(self) -> dict[str, int]:
        """Origin -> ratings."""
        return dict(sorted(Counter(self.ratings.column("origin").to_pylist()).items()))


def read_ratings(
    path: str,
    *,
    format: str | None = None,
    rubric: str | Rubric | None = None,
    language: str | None = None,
    question: str | None = None,
    origin: str = "human",
) -> Ratings:
    """The ratings at a path: a run of the rating page, a folder that Argilla wrote, or a file that holds ratings.

    A file's columns say what it is: `id, rater, score` (a row a rating), `id, scores` (a row a document), those of
    Argilla, or `text, score, language` (the published set). Where a rater rated a document twice, the later counts.

    Args:
        format: one of FORMATS that the file must be of; None takes what it is.
        rubric: file or name of the rubric whose range the scores must keep; a run of the rating page brings its own.
        language: of rows that do not say. origin: likewise.
        question: of Argilla, which one holds the score.

    Raises:
        InputError: nothing there or no form that is known; a score that is text or out of range, two ratings of one
            rater of which none is the later, two texts of one id: names the rows.
        RecipeError: an option.
    """
    if format is not None and format not in FORMATS:
        raise RecipeError(f"format: expected {', '.join(FORMATS)}, got {format!r}")
    if origin not in ORIGINS:
        raise RecipeError(f"origin: expected {', '.join(ORIGINS)}, got {origin!r}")
    if language is not None:
        check_language(language)
    if storage.exists(storage.join(path, "ratings.sqlite")):
        if format is not None:
            raise RecipeError(f"{path}: a run of the rating page, not a file of format {format}; leave the format out")
        return _of_run(path, rubric)
    file = _file(path)
    rows = read_rows(file)
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    kind = _kind(file, rows, names, format)
    if kind == "argilla":
        found: Iterable[Found] = argilla_rows(rows, question, file)
    else:
        found = _FORMS[kind](rows)
    if language is None and kind != "argilla" and "language" not in names:
        listed = ", ".join(names)
        raise InputError(f"{file}: no column language (columns: {listed}); give the language, such as deu_Latn")
    checked = check_ratings(found, file, _loaded(rubric), language, origin)
    return Ratings(checked.ratings, checked.texts, checked.sources, left_out=checked.left_out)


_FORMS: dict[str, Callable[[Sequence[Row]], Iterator[Found]]] = {
    "rating": rating_rows,
    "listed": listed_rows,
    "published": published_rows,
}
_NEEDED = {"rating": ("id", "rater", "score"), "listed": ("id", "scores"), "published": ("text", "score", "language")}


def _kind(path: str, rows: Sequence[Row], names: Sequence[str], format: str | None) -> str:
    """argilla, or which of _FORMS the columns are."""
    if not rows:
        raise InputError(f"{path}: no rows; expected ratings")
    kinds = [kind for kind, needed in _NEEDED.items() if set(needed) <= set(names)]
    kind = "argilla" if is_argilla(names) else kinds[0] if kinds else None
    listed = ", ".join(names)
    if format in ("argilla", "published") and kind != format:
        needed = "fields and responses, or QUESTION.responses" if format == "argilla" else "only text, score, language"
        raise InputError(f"{path}: columns {listed}; format {format} has {needed}; check the format")
    if format in ("csv", "jsonl", "parquet") and (kind == "argilla" or not path.endswith(f".{format}")):
        what = "records of Argilla" if kind == "argilla" else f"no .{format} file"
        raise InputError(f"{path}: {what}, and the format says {format}; check the format")
    if kind is None:
        forms = "; or ".join(", ".join(needed) for needed in _NEEDED.values())
        raise InputError(f"{path}: columns {listed}; expected {forms}; or those of Argilla; rename the columns")
    return kind


def _loaded(rubric: str | Rubric | None) -> Rubric | None:
    return load_rubric(rubric) if isinstance(rubric, str) else rubric


def _file(path: str) -> str:
    """The file at a path: itself, or the records in a folder that Argilla wrote."""
    records = storage.join(path, "records.json")
    if not path.endswith((".json", ".csv", ".jsonl", ".parquet")):
        if storage.exists(records):
            return records
        if storage.exists(storage.join(path, "assignments.parquet")):
            raise InputError(f"{path}: nobody has rated yet (no ratings.sqlite); open the rating page on it first")
        if storage.exists(path) and storage.find(path):
            raise InputError(f"{path}: neither a run of the rating page nor of Argilla; name the file of the ratings")
    return path


def _of_run(path: str, rubric: str | Rubric | None) -> Ratings:
    from jql.truth.label.store import adjudications_of, ratings_of

    rows = ratings_of(path).to_pylist()
    found = (Found(f"{path}: rating of {row['id']} by {row['rater']}", row) for row in rows)
    own = storage.join(path, "rubric.yaml")
    checked = check_ratings(found, path, _loaded(rubric or (own if storage.exists(own) else None)), None, "human")
    documents = storage.read_table(storage.join(path, "documents.parquet")).to_pylist()
    texts = {row["id"]: row["text"] for row in documents}
    sources = {row["id"]: row["source"] for row in documents if row.get("source") not in (None, row["id"])}
    return Ratings(checked.ratings, texts, sources, adjudications_of(path), checked.left_out)
