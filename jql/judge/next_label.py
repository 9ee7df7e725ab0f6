"""Where to spend the next label: the documents of a run that a judge or a person should see next, within a budget.

random        equal shares of the languages, by a seeded hash of the ids; the default
disagreement  within these shares, the documents that heads rank most differently: to read and to talk over

Random is the default because nothing beat it (benchmarks/next_label.py). Macro Spearman of a head with 600, 1,200 and
2,400 labels of 5,104 documents in 38 languages was .667, .688 and .712 by random choice. The others less that, mean of
the three counts and 95 % over ten splits: disagreement of judges +.000 [-.005, .006], of a head's members +.002 [-.004,
.007], half judges and half random +.000 [-.002, .003], as many of each predicted score -.005 [-.012, .001], k-center on
embeddings -.003 [-.007, .001]. On 2,996 English documents none differed either. Nor does disagreement tell where a head
is wrong: its rank correlation with the error is .06, and -.06 in English.

What disagreement picks is a sample of nothing: measure no agreement, cut or share of good documents on it.

Shapes: N documents, H heads.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

from jql.documents import document_name, list_files, read_documents
from jql.engine import storage
from jql.engine.plan import Plan, Unit
from jql.engine.receipt import read_receipts
from jql.errors import DataError, InputError, RecipeError
from jql.judge.acquisition import choose, disagreement, random_order
from jql.judge.next_table import Wish, next_table, write_next
from jql.recipe import Recipe, make_recipe, parse_yaml

By = Literal["random", "disagreement"]


@dataclass(frozen=True)
class Candidates:
    """What could be labelled: about 50 bytes a document, as texts stay where they are.

    Attributes:
        names_N, texts_N: uint64 hashes of id and text. scores_NH: float32. unit_N, row_N: where a document stands.
    """

    names_N: np.ndarray
    texts_N: np.ndarray
    languages_N: np.ndarray
    scores_NH: np.ndarray
    unit_N: np.ndarray
    row_N: np.ndarray


def scored_units(run: str) -> list[Unit]:
    """The units that the last annotate stage of a run folder has scored, with the paths of their SCORE tables.

    Raises:
        InputError: it has none.
    """
    root = storage.join(run, "annotate")
    found = [n.split("/")[0] for n in storage.find(root) if n.count("/") == 1 and n.endswith("/stage.json")]
    if len(found) > 1:  # another annotator or other documents before: the log knows which were the last
        log = [json.loads(line) for line in storage.read_bytes(storage.join(run, "run.log")).splitlines()]
        begun = [e["folder"] for e in log if e["event"] == "stage" and e["stage"] == "annotate"]
        found = [name for name in found if begun and begun[-1].endswith(f"/{name}")]
    folder = storage.join(root, *found)
    paths = {r.unit: storage.join(folder, r.files[""].path) for r in read_receipts(folder)} if found else {}
    if not paths:
        raise InputError(f"{run}: no scores in this run folder; run `jql annotate` first")
    stage = json.loads(storage.read_bytes(storage.join(folder, "stage.json")))
    plan = Plan(storage.read_table(storage.join(folder, stage["plan"])))
    scored = (unit for unit in plan if unit.index in paths)
    return [Unit(u.index, u.source, u.weight, {**u.payload, "scores": paths[u.index]}) for u in scored]


def labelled(known: Sequence[str]) -> frozenset[int]:
    """Hashes of the ids, and where there are texts of the texts, in Parquet files and folders of them.

    Raises:
        InputError: no files, or one without ids.
    """
    found: set[int] = set()
    for file in (file for path in known for file in list_files(path, (".parquet",))):
        table = storage.read_table(file)
        if "id" not in table.column_names:
            raise InputError(f"{file}: expected a column id, found {', '.join(table.column_names)}; rename it")
        for name in {"id", "text"} & set(table.column_names):
            found.update(document_name(value) for value in table.column(name).to_pylist())
    return frozenset(found)


def read_candidates(
    unit: Unit, heads: list[str], language: str | None, languages: Sequence[str], known: frozenset[int]
) -> tuple[Candidates, Counter[str]]:
    """The scored documents of a unit that has the path of its SCORE table in the payload, and why others are none.

    Args:
        language: as in the recipe's documents. languages: those wanted, none for all.
        known: hashes of the ids and texts of documents that have a label.

    Raises:
        DataError: a file cannot be read, or the documents are not those that were scored.
    """
    table = read_documents(unit, ["text"], language)
    scored = storage.read_table(unit.payload["scores"], ["id", "language", "reason", *heads])
    if table.column("id").to_pylist() != scored.column("id").to_pylist():
        raise DataError(f"{unit.source}: not the documents that were scored; run `jql annotate` again")
    names = [document_name(id) for id in table.column("id").to_pylist()]
    texts = [document_name(text or "") for text in table.column("text").to_pylist()]
    codes, reasons = scored.column("language").to_pylist(), scored.column("reason").to_pylist()
    for row, code in enumerate(codes):
        if reasons[row] is None and languages and code not in languages:
            reasons[row] = "other_language"
        elif reasons[row] is None and (names[row] in known or texts[row] in known):
            reasons[row] = "labelled"
    rows = np.flatnonzero([reason is None for reason in reasons])
    candidates = Candidates(
        names_N=np.array(names, np.uint64)[rows],
        texts_N=np.array(texts, np.uint64)[rows],
        languages_N=np.array(codes, object)[rows],
        scores_NH=np.array([scored.column(head).to_numpy()[rows] for head in heads]).T.reshape(len(rows), len(heads)),
        unit_N=np.full(len(rows), unit.index),
        row_N=rows,
    )
    return candidates, Counter(reason for reason in reasons if reason is not None)


def join_candidates(pieces: Sequence[Candidates]) -> Candidates:
    """The candidates of one or more units as one."""
    return Candidates(*(np.concatenate([getattr(piece, f.name) for piece in pieces]) for f in fields(Candidates)))


def chosen_documents(
    units: list[Unit], found: Candidates, rows: np.ndarray, language: str | None
) -> list[dict[str, Any]]:
    """Id, source, language and text of the rows chosen, in their order; only units that hold one are read."""
    places = list(zip(found.unit_N[rows].tolist(), found.row_N[rows].tolist(), strict=True))
    documents: dict[tuple[int, int], dict[str, Any]] = {}
    for unit in units:
        here = [row for index, row in places if index == unit.index]
        if here:
            table = read_documents(unit, ["text", "source"], language).take(pa.array(here))
            documents.update(((unit.index, row), d) for row, d in zip(here, table.to_pylist(), strict=True))
    codes = found.languages_N[rows].tolist()
    return [{**documents[place], "language": code} for place, code in zip(places, codes, strict=True)]


def run_next(
    run: str,
    out: str,
    documents: int,
    by: By = "random",
    languages: Sequence[str] = (),
    heads: Sequence[str] = (),
    known: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Documents of a run folder with scores to label next, as a NEXT table.

    Args:
        out: a Parquet file. languages: those wanted, none for all.
        heads: that may disagree; none takes those that were trained, not combinations of them.
        known: files or folders of judged documents or ratings (Parquet with `id`), which are not labelled again; where
            they have the text, neither are copies.

    Returns:
        out, by, heads, documents, wanted, languages (held and chosen of each), left_out by reason.

    Raises:
        RecipeError: an option, or fewer than two heads to disagree. InputError: no run folder, no scores, a language
            without documents. DataError: documents that are not those that were scored.
    """
    wish = Wish(out, documents, by, languages, seed)
    wish.check(get_args(By))
    recipe = _recipe(run)
    language = None if "crawl" in recipe.stages else recipe.documents.language
    units = scored_units(run)
    used = _heads(run, recipe, heads) if by == "disagreement" else []
    labels = labelled(known)
    read = [read_candidates(unit, used, language, languages, labels) for unit in units]
    found = join_candidates([candidates for candidates, _ in read])
    if by == "disagreement":
        acquisition_N = disagreement(found.scores_NH, found.languages_N)
    else:
        acquisition_N = random_order(found.names_N, seed)
    rows = choose(acquisition_N, found.languages_N, found.names_N, found.texts_N, documents, seed)
    table = next_table(chosen_documents(units, found, rows, language), acquisition_N[rows], by)
    told = write_next(run, wish, table, Counter(found.languages_N.tolist()), sum((c for _, c in read), Counter()))
    return {**told, "heads": used}


def _recipe(run: str) -> Recipe:
    path = storage.join(run, "recipe.yaml")
    if not storage.exists(path):
        raise InputError(f"{run}: no run folder (it has no recipe.yaml); run `jql annotate` or `jql run` first")
    return make_recipe(parse_yaml(storage.read_bytes(path).decode(), path), where=path)


def _heads(run: str, recipe: Recipe, wanted: Sequence[str]) -> list[str]:
    from jql.annotator.annotator import Annotator

    name = recipe.annotate.annotator
    annotator = Annotator.load(storage.join(run, "annotator") if name == "trained" else name)
    for head in wanted:
        if head not in annotator.heads:
            raise RecipeError(f"heads: the annotator has no head {head!r}; it has {', '.join(annotator.heads)}")
    used = list(dict.fromkeys(wanted)) or annotator.trained.names
    if len(used) < 2:
        raise RecipeError(
            f"by: disagreement needs two heads or more, {annotator.name} gives {', '.join(used)}; write by=random"
        )
    return used
