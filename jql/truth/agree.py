"""How far the raters of ratings agree: figures over all documents, by language, rater, pair and part, and the ceiling.

Shapes: R raters, N documents.
"""

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jql.agreement.ceiling import human_ceiling
from jql.agreement.figures import Settings
from jql.agreement.rater_figures import each_rater, rated_languages, rater_agreement
from jql.engine import storage
from jql.errors import DataError
from jql.rubric import load_rubric
from jql.truth.agree_tables import tables
from jql.truth.ratings import Ratings, read_ratings

if TYPE_CHECKING:
    from rich.console import Console

NO_GUIDELINE = "none given"


def agreement_matrix(table: pa.Table) -> tuple[np.ndarray, list[str], list[str], list[str]]:
    """A RATING table as a matrix.

    Returns:
        float64 (R, N), NaN where a rater gave no score; raters by name, those with no score too; ids by name; the
        language of each document.

    Raises:
        DataError: two ratings of a document by one rater, or two languages of a document.
    """
    raters, ids = (sorted(set(table.column(name).to_pylist())) for name in ("rater", "id"))
    row_of, column_of = ({name: i for i, name in enumerate(names)} for names in (raters, ids))
    ratings_RN = np.full((len(raters), len(ids)), np.nan)
    languages: dict[str, str] = {}
    seen = set()
    for row in table.select(["id", "rater", "score", "language"]).to_pylist():
        id, rater, language = row["id"], row["rater"], row["language"]
        if (id, rater) in seen:
            raise DataError(f"ratings: {rater} rated document {id} twice; keep one of the two")
        if languages.setdefault(id, language) != language:
            raise DataError(
                f"ratings: document {id} is both {languages[id]} and {language}; give each an id of its own"
            )
        seen.add((id, rater))
        if row["score"] is not None:
            ratings_RN[row_of[rater], column_of[id]] = row["score"]
    return ratings_RN, raters, ids, [languages[id] for id in ids]


def work_of_raters(table: pa.Table) -> dict[str, dict[str, Any]]:
    """Rater -> skipped (reason -> documents) and median_seconds of a rating, None where no time was kept."""
    found: dict[str, dict[str, Any]] = {}
    for rater in sorted(set(table.column("rater").to_pylist())):
        rows = table.filter(pc.equal(table["rater"], rater))
        seconds = rows.filter(pc.is_valid(rows["score"])).column("seconds").drop_null().to_pylist()
        median = float(np.median(seconds)) if seconds else None
        found[rater] = {"skipped": dict(skips(rows).most_common()), "median_seconds": median}
    return found


def skips(table: pa.Table) -> Counter[str]:
    """Reason -> documents that were skipped for it; what a rater wrote after `other:` is left away."""
    skipped = table.filter(pc.is_null(table["score"]))
    return Counter((reason or "no reason").split(":")[0] for reason in skipped.column("reason").to_pylist())


def figures_of(table: pa.Table, sources: dict[str, str], settings: Settings) -> dict[str, Any]:
    """`rater_agreement`, its pairs by name, and `human_ceiling`, of the ratings of a table.

    Args:
        sources: document -> what it is a translation of; where it says nothing, each is its own.
    """
    ratings_RN, raters, ids, _ = agreement_matrix(table)
    own = [sources.get(id, id) for id in ids]
    found = rater_agreement(ratings_RN, settings, own)
    for pair in [*found["pairs"], *found["pairs_left_out"]]:
        pair["raters"] = [raters[i] for i in pair["raters"]]
    return {**found, "ceiling": human_ceiling(ratings_RN, raters, settings, sources=own)}


def pilot_ids(path: str) -> list[str]:
    """Ids of the pilot of a run folder of the rating page; empty for anything else."""
    file = storage.join(path, "documents.parquet")
    if not storage.exists(file):
        return []
    table = storage.read_table(file)
    if "pilot" not in table.column_names:
        return []
    return [row["id"] for row in table.select(["id", "pilot"]).to_pylist() if row["pilot"]]


def agreement(read: Ratings, pilot: list[str], settings: Settings) -> dict[str, Any]:
    """Everything that agreement.json holds of the ratings themselves.

    Languages and versions of the guideline have figures of their own where they have `min_documents` documents rated
    twice, versions only where two do. A pilot has them however small it is: to see them is what it is made for.
    """
    table = read.ratings
    ratings_RN, raters, ids, languages = agreement_matrix(table)
    groups, left_out = rated_languages(ratings_RN, languages, settings.min_documents)
    scored = table.filter(pc.is_valid(table["score"]))
    versions = scored["guideline"].fill_null(NO_GUIDELINE)
    in_pilot = pc.is_in(table["id"], pa.array(pilot, pa.string()))
    by_version = {v: scored.filter(pc.equal(versions, v)) for v in sorted(set(versions.to_pylist()))}
    by_part = {"pilot": table.filter(in_pilot), "rest": table.filter(pc.invert(in_pilot))}
    large = {version: part for version, part in by_version.items() if _rated_twice(part) >= settings.min_documents}

    def figures(part: pa.Table) -> dict[str, Any]:
        return figures_of(part, read.sources, settings)

    against = each_rater(ratings_RN, settings, [read.sources.get(id, id) for id in ids])
    work = work_of_raters(table)
    return {
        "origin": read.origins(),
        "guidelines": {version: part.num_rows for version, part in by_version.items()},
        "skipped": dict(skips(table).most_common()),
        "left_out": dict(read.left_out.most_common()),
        "overall": figures(table),
        "languages": {code: figures(table.filter(pc.equal(table["language"], code))) for code in groups},
        "languages_left_out": left_out,
        "raters": {name: {**work[name], **entry} for name, entry in zip(raters, against, strict=True)},
        "by_guideline": {v: figures(part) for v, part in large.items()} if len(large) > 1 else {},
        "by_part": {n: figures(part) for n, part in by_part.items()}
        if all(map(_rated_twice, by_part.values()))
        else {},
    }


def _rated_twice(table: pa.Table) -> int:
    scored = table.filter(pc.is_valid(table["score"])).column("id").to_pylist()
    return sum(times >= 2 for times in Counter(scored).values())


def run_agree(
    path: str,
    out: str | None = None,
    rubric: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
    *,
    language: str | None = None,
    question: str | None = None,
    origin: str = "human",
    console: "Console | None" = None,
) -> dict[str, Any]:
    """Measure the agreement of ratings; write `out`/agreement.json where there is an `out`, and print tables.

    Args:
        path: what `read_ratings` takes: a run of the rating page, an Argilla export, a table. rubric: name or file, to
            check the range of the scores; a run of the rating page brings its own. resamples, seed: of the intervals.
        language, question, origin: see `read_ratings`.

    Returns:
        What agreement.json holds; see `agreement`, `rater_agreement`, `human_ceiling`, `each_rater`.

    Raises:
        InputError: see `read_ratings`. DataError: no rating has a score. RecipeError: fewer than 100 resamples.
    """
    from rich.console import Console

    named = load_rubric(rubric) if rubric else None
    read = read_ratings(path, rubric=named, language=language, question=question, origin=origin)
    scores = read.ratings.column("score").drop_null().to_pylist()
    if not scores:
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in skips(read.ratings).most_common())
        raise DataError(
            f"{path}: none of {read.ratings.num_rows:,} ratings has a score ({reasons}); rate documents first"
        )
    # No figure depends on points that nobody gave, so the range matters to the check of read_ratings alone.
    settings = Settings(min(0.0, *scores), max(5.0, *scores), resamples=resamples, seed=seed)
    result = {
        "path": path,
        "rubric": named.name if named else None,
        "settings": {"resamples": resamples, "seed": seed, "min_documents": settings.min_documents},
        **agreement(read, pilot_ids(path), settings),
    }
    if out:
        data = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        storage.put(storage.join(out, "agreement.json"), data.encode("utf-8"))
    console = console or Console()
    for table in tables(result):
        console.print(table)
    return result
