"""The verdict on each document of a unit, near-duplicates aside."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jql.documents import read_documents, repeated_ids
from jql.engine import storage
from jql.engine.plan import Unit
from jql.errors import DataError
from jql.select.cuts import BELOW, TOO_FEW, Cuts
from jql.select.reasons import Reasons, encode
from jql.select.where import Where


@dataclass(frozen=True)
class Rules:
    """What a verdict needs besides the tables.

    Attributes:
        by, copy: as in the recipe. heads: those that vote; empty without scores. where: what else must hold.
        cuts: None before they are known, or where nothing is cut by scores.
        doubtful: language_score below which a language is doubtful. language: as of the documents.
    """

    by: str
    copy: str
    heads: tuple[str, ...]
    where: Where | None
    cuts: Cuts | None
    doubtful: float
    language: str | None


@dataclass
class Verdicts:
    """The N documents of a unit.

    Attributes:
        names: the languages. codes: int64 (N,), each document's place in them.
        reasons: why documents are dropped so far. points: float32 (N, H), NaN where there is no score.
        documents: columns of the documents that were needed. scores: of the SCORE table, None without one.
        clusters: cluster and cluster_size, None without them.
    """

    names: list[str]
    codes: np.ndarray
    reasons: Reasons
    points: np.ndarray
    documents: pa.Table | None
    scores: pa.Table | None
    clusters: pa.Table | None

    def __len__(self) -> int:
        return len(self.codes)


def judge(unit: Unit, rules: Rules, columns: Iterable[str] = (), beside: Iterable[str] = ()) -> Verdicts:
    """The verdict on every document of a unit, near-duplicates aside.

    Nothing is read of the documents that the tables beside them can say.

    Args:
        columns: of the documents, which are read, too. beside: of the scores.

    Raises:
        DataError: a table beside the documents has other rows than they have.
    """
    where = rules.where
    needed = dict.fromkeys([*columns, *(where.document_columns if where else ())])
    if rules.by != "annotator":
        needed["filter_reason"] = None
    documents = scores = clusters = None
    if needed or not {"scores", "clusters"} <= unit.payload.keys():
        documents = read_documents(unit, needed, rules.language)
    if "scores" in unit.payload:
        scores = _scores(unit, rules, beside)
    if "clusters" in unit.payload:
        clusters = storage.read_table(unit.payload["clusters"], ["cluster", "cluster_size"])
    _same_rows(unit, documents=documents, scores=scores, clusters=clusters)
    return weigh(rules, documents, scores, clusters)


def weigh(rules: Rules, documents: pa.Table | None, scores: pa.Table | None, clusters: pa.Table | None) -> Verdicts:
    """The verdicts from aligned tables, see `judge`; either `documents` or `scores` must be there."""
    first = documents if documents is not None else scores
    assert first is not None
    names, codes = encode(first.column("language"))
    points = _points(rules, scores, len(codes))
    verdicts = Verdicts(names, codes, Reasons.none(len(codes)), points, documents, scores, clusters)
    _before_cuts(verdicts, rules)
    if rules.cuts is not None and rules.by != "heuristics":
        found = rules.cuts.verdicts(points, codes, names)
        verdicts.reasons.drop(found == 1, BELOW)
        verdicts.reasons.drop(found == 2, TOO_FEW)
    return verdicts


def _before_cuts(verdicts: Verdicts, rules: Rules) -> None:
    """Find the documents that no cut can keep."""
    reasons, documents, scores = verdicts.reasons, verdicts.documents, verdicts.scores
    if documents is not None:
        reasons.add(documents.column("problem"))
        if verdicts.clusters is None:  # with clusters, documents that share an id are copies of one
            reasons.drop(repeated_ids(documents), "duplicate_id")
        if rules.by != "annotator":
            reasons.add(documents.column("filter_reason"), "heuristics_")
    if rules.heads:
        if scores is not None:
            reasons.add(scores.column("reason"))
        if scores is None or rules.by != "heuristics":  # none: a unit that the annotate stage was allowed to miss
            reasons.drop(np.isnan(verdicts.points).any(axis=1), "not_scored")
    if rules.where is not None:
        reasons.drop(~rules.where.holds(_columns(verdicts, rules.where)), "where")


def _scores(unit: Unit, rules: Rules, beside: Iterable[str]) -> pa.Table:
    wanted = ["language", "reason", *rules.heads, *beside]
    for name in rules.where.columns if rules.where else ():
        if name.startswith("score_") or name in ("bytes", "tokens"):
            wanted.append(name.removeprefix("score_"))
    path = unit.payload["scores"]
    try:
        return storage.read_table(path, list(dict.fromkeys(wanted)), words=("language", "reason"))
    except (pa.ArrowException, KeyError) as error:
        raise DataError(f"{path}: made by another annotator, or broken; it cannot be read ({error})") from error


def _points(rules: Rules, scores: pa.Table | None, n: int) -> np.ndarray:
    """float32 (N, H) in columns, which is how they are compared."""
    points = np.full((n, len(rules.heads)), np.nan, np.float32, order="F")
    for h, head in enumerate(rules.heads if scores is not None else ()):
        assert scores is not None
        points[:, h] = scores.column(head).to_numpy()
    return points


def _columns(verdicts: Verdicts, where: Where) -> pa.Table:
    """The columns that an expression is about."""
    found: dict[str, Any] = {}
    for name in where.columns:
        if name in where.document_columns and verdicts.documents is not None:
            found[name] = verdicts.documents.column(name)
        elif name == "cluster_size":
            one = pa.array(np.ones(len(verdicts), np.int64))
            found[name] = one if verdicts.clusters is None else pc.fill_null(verdicts.clusters.column(name), 1)
        elif verdicts.scores is not None:
            found[name] = verdicts.scores.column(name.removeprefix("score_"))
        else:
            found[name] = pa.nulls(len(verdicts), pa.float32())
    return pa.table(found)


def _same_rows(unit: Unit, **tables: pa.Table | None) -> None:
    rows = {name: table.num_rows for name, table in tables.items() if table is not None}
    if len(set(rows.values())) > 1:
        found = ", ".join(f"{n:,} rows of {name}" for name, n in rows.items())
        raise DataError(f"{unit.source}: {found}; they must be as many, so a table beside the documents is not theirs")


COPY_COLUMNS = {"longest": ["text"], "newest": ["date"]}
"""What the choice of a copy needs of the documents."""


def merit(rules: Rules, verdicts: Verdicts, rows: np.ndarray) -> np.ndarray:
    """float64 (R,): what makes a copy the one to keep; larger is better, equal ones are told apart by id hash."""
    if rules.copy == "best" and rules.cuts is not None:
        ranks = rules.cuts.ranks(verdicts.points[rows], verdicts.codes[rows], verdicts.names)
        return np.asarray(np.nan_to_num(ranks, nan=-1.0))
    if rules.copy in COPY_COLUMNS and verdicts.documents is not None:
        (name,) = COPY_COLUMNS[rules.copy]
        column = verdicts.documents.column(name).take(pa.array(rows))
        return lengths(column) if name == "text" else dates(column)
    return np.zeros(len(rows))


def lengths(texts: pa.ChunkedArray) -> np.ndarray:
    """float64 (N,): characters."""
    return np.asarray(pc.utf8_length(texts).to_numpy(), np.float64)


def dates(column: pa.ChunkedArray) -> np.ndarray:
    """float64 (N,): 2024-05-01T10:00:00Z as the number 20240501100000, a shorter one filled up; 0 for none."""
    digits = pc.utf8_slice_codeunits(pc.replace_substring_regex(column.fill_null(""), "[^0-9]", ""), 0, 14)
    return np.asarray(pc.utf8_rpad(digits, 14, "0").cast(pa.float64()).to_numpy())
