"""Ground truth: one score a document, from the ratings of all who rated it."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from rich.table import Table

from jql.agreement.aggregate import RULES, aggregate
from jql.engine import storage
from jql.errors import InputError, RecipeError
from jql.schema import TRUTH
from jql.truth.checks import ORIGINS
from jql.truth.ratings import Ratings, read_ratings

ADJUDICATED = "adjudicated"


@dataclass(frozen=True)
class Truth:
    """Ground truth and what it was made of.

    Attributes:
        truth: TRUTH.
        raters: how many gave a score. skipped: ratings without one.
        mixed_guidelines: documents that were rated by several versions of the guideline.
        left_out: documents without a text (no_text) or a rating (unrated), adjudications of documents that nobody
            rated (adjudicated_unrated), and ratings of no use, see Ratings.
    """

    truth: pa.Table
    raters: int
    skipped: int
    mixed_guidelines: int
    left_out: Counter[str]


def aggregate_truth(ratings: Ratings, rule: str = "majority", adjudicated: dict[str, float] | None = None) -> pa.Table:
    """One row for each document with a text, in the order of the ratings.

    `raters` and `ratings` are those who gave a score, by name; where nobody did, `score` and `rule` are null.
    `guideline` is null where versions are mixed; `origin` is the weakest of the ratings: synthetic, model, human.

    Args:
        adjudicated: id -> score that was settled on; it stands in place of the aggregate, with the rule "adjudicated".
            None takes those of the ratings.

    Returns:
        TRUTH; `translator` is null.

    Raises:
        RecipeError: an unknown rule.
    """
    aggregate([], rule)
    settled = ratings.adjudicated if adjudicated is None else adjudicated
    truth = []
    for id, rows in _by_document(ratings).items():
        if not ratings.texts.get(id, "").strip():
            continue
        given = sorted((row["rater"], row["score"]) for row in rows if row["score"] is not None)
        score = settled[id] if id in settled else aggregate([score for _, score in given], rule)
        versions = {row["guideline"] for row in rows}
        truth.append(
            {
                "id": id,
                "source": ratings.sources.get(id, id),
                "language": rows[0]["language"],
                "text": ratings.texts[id],
                "score": score,
                "raters": [rater for rater, _ in given],
                "ratings": [score for _, score in given],
                "rule": ADJUDICATED if id in settled else rule if given else None,
                "guideline": versions.pop() if len(versions) == 1 else None,
                "translator": None,
                "origin": max((row["origin"] for row in rows), key=ORIGINS.index),
            }
        )
    return pa.Table.from_pylist(truth, TRUTH)


def _by_document(ratings: Ratings) -> dict[str, list[dict[str, Any]]]:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in ratings.ratings.to_pylist():
        found[row["id"]].append(row)
    return dict(found)


def run_aggregate(path: str, out: str, rule: str = "majority", **options: Any) -> Truth:
    """Aggregate the ratings at a path into ground truth.

    Args:
        path: what read_ratings reads; of a run of the rating page, adjudications count.
        out: Parquet file of TRUTH, local or remote; one that is there is replaced.
        options: of read_ratings: format, rubric, language, question, origin.

    Raises:
        RecipeError: an option. InputError: see read_ratings; no document has a text.
    """
    if rule not in RULES:
        raise RecipeError(f"rule: expected {', '.join(RULES)}, got {rule!r}; write majority")
    if not out.endswith(".parquet"):
        raise RecipeError(f"{out}: expected a name that ends in .parquet; rename it")
    ratings = read_ratings(path, **options)
    documents = _by_document(ratings)
    truth = aggregate_truth(ratings, rule)
    if not truth.num_rows:
        raise InputError(f"{path}: none of {len(documents):,} documents has a text; add a column text to the ratings")
    storage.write_file(out, truth)
    left_out = ratings.left_out + Counter(
        no_text=len(documents) - truth.num_rows,
        unrated=len(ratings.texts.keys() - documents.keys()),
        adjudicated_unrated=len(ratings.adjudicated.keys() - documents.keys()),
    )
    scores = [row["score"] for rows in documents.values() for row in rows]
    mixed = sum(len({row["guideline"] for row in rows}) > 1 for rows in documents.values())
    raters = {row["rater"] for rows in documents.values() for row in rows if row["score"] is not None}
    return Truth(truth, len(raters), scores.count(None), mixed, left_out)


def truth_table(made: Truth, title: str) -> Table:
    """Ground truth for a terminal: a row a rule and score; below, its origin and what was left out."""
    rows = made.truth.to_pylist()
    origins = Counter(row["origin"] for row in rows)
    left = ", ".join(f"{reason} {count:,}" for reason, count in sorted(made.left_out.items())) or "nothing"
    lines = [
        f"{len(rows):,} documents in {len({row['language'] for row in rows})} languages, {made.raters} raters, "
        f"{sum(len(row['ratings']) for row in rows):,} scores, {made.skipped:,} skipped",
        f"origin: {', '.join(f'{name} {count:,}' for name, count in sorted(origins.items()))}; left out: {left}",
    ]
    if made.mixed_guidelines:
        lines.append(f"{made.mixed_guidelines:,} documents were rated by several versions of the guideline")
    table = Table(title=title, title_justify="left", caption="\n".join(lines), caption_justify="left")
    for column in ("score", "rule", "documents", "share"):
        table.add_column(column, justify="left" if column == "rule" else "right")
    counts = Counter((row["score"], row["rule"]) for row in rows)
    for (score, rule), count in sorted(
        counts.items(), key=lambda item: (item[0][0] is None, item[0][0] or 0, item[0][1])
    ):
        table.add_row("none" if score is None else f"{score:g}", rule or "", f"{count:,}", f"{count / len(rows):.1%}")
    return table
