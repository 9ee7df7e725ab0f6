"""An annotator evaluated on files: judged documents and parallel text read, scored, and the figures written."""

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jql.agreement.evaluate import compare, evaluate
from jql.agreement.figures import DEFAULT, MIN_DOCUMENTS, Settings, labelled
from jql.agreement.invariance import REFERENCE, translation_invariance
from jql.agreement.tables import comparison_table, evaluation_table, invariance_table, language_table
from jql.documents.inputs import list_files
from jql.engine import storage
from jql.errors import DataError, InputError, one_line

if TYPE_CHECKING:
    from rich.console import Console

LINES = 5  # of a parallel text in one document: single sentences say little about quality


def read_judgments(path: str) -> tuple[dict[str, list[Any]], int]:
    """Judged documents of a Parquet file, or of all below a folder.

    Two rows with the same `source` (where a file has none: `id`) count as one source document, over all files; a row
    with neither is its own.

    Returns:
        Columns text, score (None where missing), language, source; number of rows left out for having no text.

    Raises:
        InputError: nothing there, or a file without the columns, or with columns of other types.
    """
    columns: dict[str, list[Any]] = {name: [] for name in ("text", "score", "language", "source")}
    without_text = 0
    for file in list_files(path, (".parquet",)):
        table = storage.read_table(file)
        missing = [name for name in ("text", "score", "language") if name not in table.column_names]
        if missing:
            found = f"no column {', '.join(missing)} among {', '.join(table.column_names)}"
            raise InputError(f"{file}: {found}; expected text, score, language and perhaps source or id")
        try:
            scores = table.column("score").cast(pa.float64()).to_pylist()
            texts, languages = (table.column(n).cast(pa.string()).to_pylist() for n in ("text", "language"))
        except pa.ArrowException as error:
            raise InputError(f"{file}: {one_line(error)}; expected text, language: strings, score: a number") from error
        key = next((name for name in ("source", "id") if name in table.column_names), None)
        sources = table.column(key).to_pylist() if key else [None] * len(texts)
        for row, text in enumerate(texts):
            if text is None:
                without_text += 1
                continue
            source = sources[row] if sources[row] is not None else f"{file}, row {row}"
            values = (text, scores[row], languages[row] or "unknown", str(source))
            for name, value in zip(columns, values, strict=True):
                columns[name].append(value)
    return columns, without_text


def read_parallel(folder: str, source: str, lines: int) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Documents that say the same in every language, from one Parquet file a language.

    Of each file the last `lines` rows of the source; of these the English lines all languages have (some files miss a
    few, and documents must match), in order; every 5 consecutive ones are one document, a rest is left over.

    Returns:
        Language -> documents, with the English side as eng_Latn; languages left out, and why.

    Raises:
        InputError: nothing there, columns missing, no language has lines of the source. DataError: the languages have
            too few lines in common for 20 documents.
    """
    sides: dict[str, dict[str, str]] = {}
    left_out = {}
    for file in list_files(folder, (".parquet",)):
        table = storage.read_table(file)
        missing = [name for name in ("source", "english", "translation") if name not in table.column_names]
        if missing:
            raise InputError(f"{file}: no column {', '.join(missing)}; expected source, english and translation")
        code = file.rsplit("/", 1)[-1].removesuffix(".parquet")
        rows = [row for row in table.to_pylist() if row["source"] == source][-lines:]
        sides[code] = {row["english"]: row["translation"] for row in rows if row["english"] and row["translation"]}
        if code == REFERENCE or not sides[code]:
            left_out[code] = "is the reference" if code == REFERENCE else f"no lines of {source}"
            del sides[code]
    if not sides:
        raise InputError(f"{folder}: no language has lines of source {source!r}; name another source")
    common = [line for line in min(sides.values(), key=len) if all(line in side for side in sides.values())]
    starts = range(0, len(common) - LINES + 1, LINES)
    if len(starts) < MIN_DOCUMENTS:
        found = f"{len(sides)} languages have {len(common)} lines of {source} in common among the last {lines}"
        expected = f"expected {MIN_DOCUMENTS * LINES} ({MIN_DOCUMENTS} documents of {LINES} lines)"
        fewest = min(sides, key=lambda code: len(sides[code]))
        raise DataError(f"{folder}: {found}, {expected}; take more lines, or leave {fewest} out, which has the fewest")
    sides[REFERENCE] = {line: line for line in common}
    texts = {
        c: ["\n".join(side[line] for line in common[at : at + LINES]) for at in starts] for c, side in sides.items()
    }
    return texts, left_out


def run_evaluate_annotator(
    annotator: str,
    judged: str,
    out: str,
    *,
    head: str | None = None,
    against: str | None = None,
    parallel: str | None = None,
    parallel_source: str = "ntrex",
    parallel_lines: int = 500,
    settings: Settings = DEFAULT,
    console: "Console | None" = None,
) -> dict[str, Any]:
    """Evaluate an annotator on judged documents; write `out`/evaluation.json and print its tables.

    Args:
        annotator: name or folder. judged: Parquet file or folder, see `read_judgments`; documents the annotator was
            trained on flatter it. out: folder.
        head: one head; None is all of them.
        against: a second annotator, compared with the first, paired, in every head the two have in common.
        parallel: folder of parallel text for translation invariance, see `read_parallel`.

    Returns:
        What evaluation.json holds: the annotator, and by head the results of `evaluate`, `compare` and
        `translation_invariance`.

    Raises:
        InputError: an annotator, head, file or column is not there. DataError: the data allow no figures.
    """
    from rich.console import Console

    from jql.annotator.annotator import Annotator

    ours = Annotator.load(annotator)
    heads = [head] if head else list(ours.heads)
    theirs = Annotator.load(against) if against else None
    for one in (ours, theirs):
        if one is not None and head and head not in one.heads:
            raise InputError(f"head {head!r}: {one.name} has {', '.join(one.heads)}; name one of these")
    shared = [h for h in heads if h in theirs.heads] if theirs else []
    if theirs and not shared:
        found = f"{', '.join(ours.heads)} and {', '.join(theirs.heads)}"
        raise InputError(
            f"{ours.name} and {theirs.name} have no head in common ({found}); rename one in annotator.json"
        )
    columns, without_text = read_judgments(judged)
    texts = columns["text"]
    judgments = (columns["score"], columns["language"], columns["source"], [len(t) for t in texts])
    result: dict[str, Any] = {
        "annotator": {"name": ours.name, "revision": ours.revision},
        "against": {"name": theirs.name, "revision": theirs.revision} if theirs else None,
        "judged": judged,
    }
    tables = []
    try:
        labelled(*judgments, settings)  # refuse bad labels before hours of scoring
        scores = ours.score(texts)
        result["evaluation"] = {h: evaluate(scores[h], *judgments, settings) for h in heads}
        for h, entry in result["evaluation"].items():
            entry["left_out"]["no text"] = without_text
            title = f"{ours.name}, head {h}, on {judged}"
            tables += [language_table(entry, title), evaluation_table(entry, title)]
        if theirs:
            others = theirs.score(texts)
            result["comparison"] = {h: compare(scores[h], others[h], *judgments, settings) for h in shared}
            names = (f"{ours.name} {ours.revision[:6]}", f"{theirs.name} {theirs.revision[:6]}")
            tables += [comparison_table(entry, *names) for entry in result["comparison"].values()]
    except DataError as error:
        raise DataError(f"{judged}: {error}") from error
    if parallel:
        sides, left_out = read_parallel(parallel, parallel_source, parallel_lines)
        scored = {language: ours.score(documents) for language, documents in sides.items()}
        result["invariance"] = {"source": parallel_source, "lines": parallel_lines, "languages_left_out": left_out}
        result["invariance"]["heads"] = {}
        for h in heads:
            entry = translation_invariance({code: points[h] for code, points in scored.items()}, settings=settings)
            result["invariance"]["heads"][h] = entry
            tables.append(invariance_table(entry, f"{ours.name}, head {h}, on translations of {parallel_source}"))
    data = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    storage.put(storage.join(out, "evaluation.json"), data.encode("utf-8"))
    console = console or Console()
    for table in tables:
        console.print(table)
    return result
