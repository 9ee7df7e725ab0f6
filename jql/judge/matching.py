"""Judgments beside the ground truth: what matches, what does not and why, and the documents all judges share.

Judges are compared on the same documents: those with truth and a valid score from every judge, the common documents. A
judge without a valid score for more than `max_invalid` of the documents that any judge was asked about is set apart
first, for it would take these documents from the comparison of all others. Who is set apart depends on its own answers
alone, so the order of the judges is no matter, and no judge that stays takes more than that share.

Shapes: N documents that have ground truth, in the order of their ids.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jql.agreement.figures import Judged, Settings, labelled
from jql.errors import DataError, RecipeError
from jql.judge.parse import invalid_share
from jql.schema import JUDGMENT, TRUTH


@dataclass(frozen=True)
class Rated:
    """The documents that have ground truth."""

    table: pa.Table
    """Their rows of TRUTH."""
    judged: Judged
    """The truth as labels; lengths in characters."""
    place: dict[str, int]
    """Id -> row."""
    without_score: frozenset[str]
    """Ids of the truth that nobody gave a score."""


@dataclass(frozen=True)
class Answers:
    """One judge's judgments of the documents that have ground truth."""

    scores_N: np.ndarray
    """float64 (N,), NaN where there is no valid score."""
    asked_N: np.ndarray
    """bool (N,): there is a judgment, valid or not."""
    table: pa.Table
    """Their rows of JUDGMENT, in any order."""
    counts: dict[str, Any]
    """judgments = unknown_id + truth_without_score + the sum of invalid + valid, and N = that sum + valid + not_judged;
    other_text counts those of the matched whose text is not that of the truth."""

    @property
    def valid_N(self) -> np.ndarray:
        """Bool (N,): there is a valid score."""
        return np.asarray(~np.isnan(self.scores_N))


@dataclass(frozen=True)
class Common:
    """What the judges are compared on."""

    rows: np.ndarray
    """int64: the documents with a valid score from every judge that is not set apart."""
    asked: int
    """Documents that at least one judge was asked about."""
    set_apart: dict[str, str]
    """Judge -> why it takes no part."""


def match_truth(truth: pa.Table, settings: Settings) -> Rated:
    """The documents that have ground truth.

    Raises:
        DataError: columns missing, an id twice, scores outside of the rubric's range or all the same, fewer than 50.
    """
    _check("truth", truth, TRUTH)
    ids = truth["id"].to_pylist()
    lengths = [len(text) for text in truth["text"].to_pylist()]
    columns = (truth["language"].to_pylist(), truth["source"].to_pylist(), lengths)
    scores = truth["score"].cast(pa.float64()).to_pylist()
    try:
        judged, rows = labelled(np.array(scores, np.float64), *columns, settings)
    except DataError as error:
        raise DataError(f"truth: {error}") from error
    order = sorted(range(len(rows)), key=lambda i: ids[rows[i]])
    table = truth.take(pa.array(rows[order]))
    place = {name: row for row, name in enumerate(table["id"].to_pylist())}
    return Rated(table, judged.take(np.array(order)), place, frozenset(ids) - place.keys())


def match_judgments(judge: str, judgments: pa.Table, rated: Rated) -> Answers:
    """One judge's judgments beside the truth, by id; a score that is null or not finite is not valid.

    Raises:
        DataError: columns missing, or an id twice.
    """
    _check(f"judge {judge}", judgments, JUDGMENT)
    n = len(rated.place)
    ids = judgments["id"].to_pylist()
    rows = np.array([i for i, name in enumerate(ids) if name in rated.place], np.int64)
    table = judgments.take(pa.array(rows))
    places = np.array([rated.place[ids[i]] for i in rows], np.int64)
    points = table["score"].cast(pa.float64()).to_numpy(zero_copy_only=False)
    scores_N, asked_N = np.full(n, np.nan), np.zeros(n, bool)
    scores_N[places] = np.where(np.isfinite(points), points, np.nan)
    asked_N[places] = True
    invalid: Counter[str] = Counter()
    for point, reason in zip(table["score"].to_pylist(), table["reason"].to_pylist(), strict=True):
        if point is None:
            invalid[reason or "no reason given"] += 1
        elif not np.isfinite(point):
            invalid["not finite"] += 1
    texts = rated.table["text"].take(pa.array(places)).to_pylist()
    counts = {
        "judgments": len(ids),
        "unknown_id": sum(name not in rated.place and name not in rated.without_score for name in ids),
        "truth_without_score": sum(name in rated.without_score for name in ids),
        "invalid": dict(sorted(invalid.items())),
        "not_judged": int((~asked_N).sum()),
        "valid": int((~np.isnan(scores_N)).sum()),
        "other_text": sum(a != b for a, b in zip(table["text"].to_pylist(), texts, strict=True)),
    }
    return Answers(scores_N, asked_N, table, counts)


def find_common(answers: Mapping[str, Answers], max_invalid: float) -> Common:
    """The documents that judges are compared on; the rule stands at the top of this file.

    Raises:
        RecipeError: max_invalid is no share. DataError: no judge, or every judge is set apart.
    """
    if not 0 <= max_invalid < 1:
        raise RecipeError(f"max_invalid: expected a share in [0, 1), got {max_invalid:g}; write 0.1")
    if not answers:
        raise DataError("judges: found none to rank; name at least one with its judgments")
    asked_N = np.any([one.asked_N for one in answers.values()], axis=0)
    asked = int(asked_N.sum())
    if not asked:
        raise DataError(
            f"judges {', '.join(answers)}: no judgment has an id of the truth; judge the documents of the truth"
        )
    set_apart = {}
    for judge, one in answers.items():
        lost = int((asked_N & ~one.valid_N).sum())
        if lost / asked > max_invalid:
            judged = int(one.asked_N.sum())
            what = f"{lost - asked + judged:,} invalid, {asked - judged:,} not judged"
            share = f"{lost:,} of {asked:,} documents have no valid score ({what})"
            set_apart[judge] = f"{share}, more than {max_invalid:.0%}"
    together = [one.valid_N for judge, one in answers.items() if judge not in set_apart]
    if not together:
        found = "; ".join(f"{judge}: {reason}" for judge, reason in set_apart.items())
        raise DataError(f"no judge is left to rank: {found}; read its replies, or raise judge.max_invalid")
    return Common(np.flatnonzero(np.all(together, axis=0)), asked, set_apart)


def answer_kinds(table: pa.Table) -> dict[str, Any]:
    """How a judge's answers were read.

    Args:
        table: JUDGMENT rows.

    Returns:
        documents: number, and share without a score; answers: number, and share not read; kinds: how often each, and
        its share of the answers. A share of nothing is None.
    """
    kinds = Counter(kind for row in table["kinds"].to_pylist() for kind in row or ())
    answers = kinds.total()
    return {
        "documents": {"count": len(table), "invalid": table["score"].null_count / len(table) if len(table) else None},
        "answers": {"count": answers, "invalid": invalid_share(kinds) if answers else None},
        "kinds": {kind: {"count": n, "share": n / answers} for kind, n in kinds.most_common() if n},
    }


def origins(table: pa.Table) -> dict[str, int]:
    """Origin -> rows."""
    return dict(sorted(Counter(table["origin"].to_pylist()).items()))


def _check(name: str, table: pa.Table, schema: pa.Schema) -> None:
    """Whether the columns are there and no id occurs twice."""
    missing = [column for column in schema.names if column not in table.column_names]
    if missing:
        found = f"no column {', '.join(missing)} among {', '.join(table.column_names)}"
        raise DataError(f"{name}: {found}; expected {', '.join(schema.names)}")
    values = pc.value_counts(table["id"].combine_chunks())
    twice = sorted(entry["values"] for entry in values.to_pylist() if entry["counts"] > 1)
    if twice:
        raise DataError(
            f"{name}: {len(twice):,} ids occur more than once, the first is {twice[0]}; keep one row of each"
        )
