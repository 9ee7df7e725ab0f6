"""The sampling plan: which documents are rated, and by whom. `jql truth sample` makes the folder of the rating page.

OUT/documents.parquet    what is rated
OUT/assignments.parquet  who rates it, in which order
OUT/rubric.yaml          what a score means
OUT/sample.json          the settings, and what was found for them

Good documents are rare, so within a language documents are drawn evenly over bands of a first-pass score and not at
random. Source: the JQL human set holds 100 documents of each label of a first annotation (arXiv 2505.22232).
"""

from typing import Any

from rich.table import Table

from jql.annotator.annotator import Annotator
from jql.documents import Documents, document_name
from jql.errors import InputError, RecipeError
from jql.languages import check_language
from jql.rubric import load_rubric
from jql.truth.assignments import assign, evenly, meetings
from jql.truth.draw import choose_pilot, draw_sample, shortfalls
from jql.truth.first_pass import FirstPass, read_drawn, score_documents, without_copies
from jql.truth.label.folder import same_name
from jql.truth.sample_folder import assignments_table, documents_table, refuse_another, write_sample

UNIT_ROWS = 10_000


def run_sample(
    documents: str,
    out: str,
    *,
    raters: list[str],
    per_language: int,
    languages: list[str] | None,
    bands: int = 5,
    pilot: int = 20,
    overlap: float = 1.0,
    labels: int = 3,
    annotator: str = "edu",
    head: str | None = None,
    rubric: str,
    seed: int = 0,
    language: str | None = None,
) -> dict[str, Any]:
    """Draw documents to rate and give them to raters. The same seed draws the same, whatever the order of the input.

    Args:
        documents: folder or file, Parquet or JSONL. out: new folder, local or remote.
        raters: their names. Each is taken to read all the languages.
        per_language: documents of each of `languages` (None: of all there are).
        bands: of equal width over the first-pass scores of a language; what one lacks the others give.
        pilot: how many of the documents everyone rates, before all others.
        overlap: share of the rest that is rated by `labels` raters each, in [0, 1]; the others by one each.
        annotator, head: of the first pass; the head of the annotator's own name is taken where there is one.
        rubric: its file, or the name of one that comes with jql.
        language: of the documents where no column says it, or identify.

    Returns:
        What sample.json holds.

    Raises:
        RecipeError: an option; InputError: no such input, a language that the documents do not have, or a folder with
            ratings or with another sample in it. DataError: a file of the documents cannot be read.
    """
    names = _names(raters)
    _check(per_language, bands, pilot, overlap, labels, len(names), seed)
    for code in [*(languages or []), *([language] if language not in (None, "identify") else [])]:
        check_language(str(code))
    if languages is not None and not languages:
        raise RecipeError("languages: expected one or more, got none; leave them out to take all")
    scorer = Annotator.load(annotator)
    column = _head(scorer, head)
    wanted = sorted(set(languages)) if languages is not None else None
    settings = {
        "documents": documents,
        "languages": wanted,
        "language": language,
        "raters": names,
        "per_language": per_language,
        "bands": bands,
        "pilot": pilot,
        "overlap": overlap,
        "labels": labels,
        "annotator": {"name": scorer.name, "head": column, "revision": scorer.revision},
        "rubric": load_rubric(rubric).guideline_version,
        "seed": seed,
    }
    refuse_another(out, settings)
    inputs = Documents.of_path(documents, UNIT_ROWS, language)
    found = without_copies(score_documents(inputs, scorer, column, wanted, seed))
    drawn, counts = draw_sample(found, per_language, bands)
    _refuse_missing(documents, wanted, counts, found)
    if pilot > len(drawn):
        raise RecipeError(f"pilot: expected at most the {len(drawn):,} documents drawn, got {pilot}; lower it")
    first = choose_pilot(drawn, pilot)
    table = documents_table(drawn, first, bands, read_drawn(inputs, (d.place for d in drawn)))
    ids = table.column("id").to_pylist()
    rest = [id for id, is_pilot in zip(ids, first, strict=True) if not is_pilot]
    several = evenly(len(rest), overlap)
    teams = assign([labels if more else 1 for more in several], len(names), seed)
    order = _orders(names, [id for id, is_pilot in zip(ids, first, strict=True) if is_pilot], rest, teams, seed)
    record = {
        "settings": settings,
        "documents": len(drawn),
        "pilot": pilot,
        "rated_by_several": sum(several),
        "rated_by_one": len(rest) - sum(several),
        "raters": {name: len(given) for name, given in order.items()},
        "meetings": meetings(teams, len(names)),
        "languages": counts,
        "left_out": dict(sorted(found.left_out.items())),
        "shortfalls": shortfalls(counts, per_language),
    }
    write_sample(out, record, table, assignments_table(order), rubric)
    return record


def _names(raters: list[str]) -> list[str]:
    """The names as the rating page will know them, sorted, so that their order is no matter."""
    if not raters:
        raise RecipeError("raters: expected one or more names, got none")
    names: list[str] = []
    for rater in raters:
        name = same_name(rater, names)
        if name in names:
            raise RecipeError(f"raters: {rater!r} is there twice (case and spaces do not count); give each a name")
        names.append(name)
    return sorted(names)


def _check(per_language: int, bands: int, pilot: int, overlap: float, labels: int, raters: int, seed: int) -> None:
    least = {"per_language": (per_language, 1), "bands": (bands, 1), "labels": (labels, 1), "pilot": (pilot, 0)}
    for name, (value, low) in {**least, "seed": (seed, 0)}.items():
        if value < low:
            raise RecipeError(f"{name}: expected {low} or more, got {value}")
    if not 0 <= overlap <= 1:
        raise RecipeError(f"overlap: expected a share in [0, 1], got {overlap}; write 1 for all documents")
    if labels > raters:
        raise RecipeError(f"labels: expected at most one a rater ({raters}), got {labels}; name more raters")


def _head(annotator: Annotator, head: str | None) -> str:
    heads = annotator.heads
    chosen = head or (annotator.name if annotator.name in heads else heads[0] if len(heads) == 1 else None)
    if chosen not in heads:
        found = f"got {head!r}" if head else "none was named"
        raise RecipeError(f"head: expected one of {', '.join(heads)} of annotator {annotator.name}, {found}")
    return str(chosen)


def _refuse_missing(
    documents: str, wanted: list[str] | None, counts: dict[str, dict[str, Any]], found: FirstPass
) -> None:
    missing = [code for code in wanted or [] if code not in counts]
    left = ", ".join(f"{reason} {count:,}" for reason, count in sorted(found.left_out.items())) or "nothing"
    if missing:
        raise InputError(
            f"{documents}: no document of {', '.join(missing)} that can be rated (left out: {left}); "
            "leave the language out, or add documents of it"
        )
    if not counts:
        raise InputError(f"{documents}: no document that can be rated (left out: {left}); check the input")


def _orders(
    raters: list[str], pilot: list[str], rest: list[str], teams: list[list[int]], seed: int
) -> dict[str, list[str]]:
    """Rater -> ids: the pilot in one order for all, so that it can be talked over, then theirs, shuffled for each."""
    # Not by the key of the draw: the documents of full bands have smaller keys and would all come first.
    common = sorted(pilot, key=lambda id: document_name(f"pilot\n{id}", seed))
    orders = {}
    for number, rater in enumerate(raters):
        theirs = [id for id, team in zip(rest, teams, strict=True) if number in team]
        theirs.sort(key=lambda id: document_name(f"{rater}\n{id}", seed))
        orders[rater] = common + theirs
    return orders


def sample_table(record: dict[str, Any]) -> Table:
    """What sample.json holds, for a terminal: languages by bands; below, who rates how much and what was left out."""
    settings, bands = record["settings"], record["settings"]["bands"]
    scored = settings["annotator"]
    loads = list(record["raters"].values())
    left = ", ".join(f"{reason} {count:,}" for reason, count in record["left_out"].items()) or "nothing"
    lines = [
        f"{record['documents']:,} documents: {record['pilot']:,} by everyone, {record['rated_by_several']:,} by "
        f"{settings['labels']} raters each, {record['rated_by_one']:,} by one",
        f"{len(loads)} raters with {min(loads):,} to {max(loads):,} each; beyond the pilot, two of them share "
        f"{' to '.join(f'{n:,}' for n in record['meetings']) or 'no'} documents",
        f"left out: {left}",
        *record["shortfalls"],
    ]
    title = f"Documents drawn by band of the first-pass score ({scored['name']}/{scored['head']}), of those held"
    table = Table(title=title, title_justify="left", caption="\n".join(lines), caption_justify="left")
    table.add_column("language")
    for name in [*(f"{band}/{bands}" for band in range(1, bands + 1)), "all"]:
        table.add_column(name, justify="right")
    for code, count in record["languages"].items():
        cells = [f"{n:,} of {held:,}" for n, held in zip(count["drawn"], count["held"], strict=True)]
        table.add_row(code, *cells, f"{sum(count['drawn']):,} of {count['documents']:,}")
    return table
