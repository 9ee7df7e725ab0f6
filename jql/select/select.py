"""The select stage: cuts from the receipts, a verdict on every document, one copy of each cluster, decisions.

candidates  per document unit   documents that pass and have near-duplicates       partitioned by cluster
copies      per partition       the copy of each cluster to keep                   partitioned by document unit
decisions   per document unit   the DECISION table, aligned with the documents
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jql.annotator.annotator import Annotator
from jql.annotator.heads import choose_heads
from jql.documents import Documents, document_name, read_documents, repeated_ids
from jql.engine import storage
from jql.engine.exchange import read_part
from jql.engine.plan import Unit
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import Guard, Output, Stage
from jql.errors import RecipeError
from jql.recipe import Recipe
from jql.schema import DECISION
from jql.select.copies import CANDIDATE, CopyWorker, candidates
from jql.select.cuts import Cuts, make_cuts, mean_ranks, passes

VERSION = 1


@dataclass(frozen=True)
class Rules:
    """What a verdict needs besides the tables."""

    by: str
    rule: str
    copy: str
    cuts: Cuts | None


@dataclass
class Verdicts:
    """The documents of a unit: `reason` is None where a document passes; `rank` is its mean rank, else NaN."""

    table: pa.Table
    reasons: list[str | None]
    rank: np.ndarray


def judge(unit: Unit, rules: Rules, language: str | None, columns: Sequence[str] = ()) -> Verdicts:
    """The verdict on every document of a unit, near-duplicates aside; `columns` are read for other uses."""
    table = read_documents(unit, ["filter_reason", *columns], language)
    nulls = pa.nulls(table.num_rows, pa.string())
    reason = table.column("problem")
    if "clusters" not in unit.payload:  # with clusters, documents that share an id are copies of one
        reason = pc.coalesce(reason, pc.if_else(pa.array(repeated_ids(table)), "duplicate_id", nulls))
    if rules.by != "annotator":
        reason = pc.coalesce(reason, pc.binary_join_element_wise("heuristics", table.column("filter_reason"), "_"))
    verdicts = Verdicts(table, reason.to_pylist(), np.full(table.num_rows, np.nan))
    if rules.cuts is None:
        return verdicts
    if "scores" not in unit.payload:  # a unit that the annotate stage was allowed to miss
        verdicts.reasons = [r or "not_scored" for r in verdicts.reasons]
        return verdicts
    scores = storage.read_table(unit.payload["scores"])
    verdicts.reasons = pc.coalesce(reason, scores.column("reason")).to_pylist()
    points = np.stack([scores.column(h).to_numpy() for h in rules.cuts.heads], axis=1)
    _cut(rules, rules.cuts, points, verdicts)
    return verdicts


def _cut(rules: Rules, cuts: Cuts, points_NH: np.ndarray, verdicts: Verdicts) -> None:
    """Fill in ranks, and the reasons of the documents that the heads drop."""
    languages_N = np.array(verdicts.table.column("language").to_pylist(), object)
    open_N = np.array([r is None for r in verdicts.reasons], bool)
    for language in sorted(set(languages_N[open_N].tolist())):
        rows = np.flatnonzero(open_N & (languages_N == language))
        # None where all that was scored here has its cluster's representative, which is what counts, elsewhere.
        histograms = cuts.histograms.get(language)
        if histograms is not None:
            verdicts.rank[rows] = mean_ranks(points_NH[rows], histograms)
        if rules.by == "heuristics":
            continue
        if histograms is None or language not in cuts.values:
            verdict, why = np.zeros(len(rows), bool), "too_few_documents"
        else:
            verdict = passes(points_NH[rows], cuts.values[language], rules.rule, histograms, cuts.quantile)
            why = "below_cut"
        for row in rows[~verdict]:
            verdicts.reasons[row] = why


COPY_COLUMNS = {"longest": ["text"], "newest": ["date"]}
"""What the choice of a copy needs of the documents."""


def merit(rules: Rules, verdicts: Verdicts, rows: np.ndarray) -> np.ndarray:
    """float64 (R,): what makes a copy the one to keep; larger is better, equal ones are told apart by id hash."""
    if rules.copy == "best":
        return np.asarray(np.nan_to_num(verdicts.rank[rows], nan=-1.0))
    found = verdicts.table.take(pa.array(rows))
    if rules.copy == "longest":
        return np.asarray(pc.utf8_length(found.column("text")).to_numpy(), np.float64)
    if rules.copy == "newest":  # 2024-05-01T10:00:00Z as the number 20240501100000, a shorter one filled up
        digits = pc.utf8_slice_codeunits(
            pc.replace_substring_regex(found.column("date").fill_null(""), "[^0-9]", ""), 0, 14
        )
        return np.asarray(pc.utf8_rpad(digits, 14, "0").cast(pa.float64()).to_numpy())
    return np.zeros(len(rows))


class CandidateWorker:
    """Documents of a unit that pass and have near-duplicates."""

    def __init__(self, rules: Rules, partitions: int, language: str | None) -> None:
        self.rules, self.partitions, self.language = rules, partitions, language

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """CANDIDATE rows."""
        guard.arm(100)
        verdicts = judge(unit, self.rules, self.language, COPY_COLUMNS.get(self.rules.copy, ()))
        if "clusters" not in unit.payload:
            return Output({"": (CANDIDATE, [])}, verdicts.table.num_rows)
        clusters = storage.read_table(unit.payload["clusters"], ["cluster", "cluster_size"])
        size = clusters.column("cluster_size").fill_null(1).to_numpy()
        rows = np.flatnonzero((size > 1) & np.array([r is None for r in verdicts.reasons], bool))
        cluster = clusters.column("cluster").fill_null(0).to_numpy()[rows]
        ids = verdicts.table.column("id").to_pylist()
        names = np.array([document_name(ids[row]) for row in rows], np.uint64)
        pieces = candidates(
            cluster, merit(self.rules, verdicts, rows), names, rows + (unit.index << 32), self.partitions
        )
        return Output({"": (CANDIDATE, pieces)}, verdicts.table.num_rows)


class DecisionWorker:
    """Decisions of a unit."""

    def __init__(self, rules: Rules, partitions: int, copies: list[str] | None, language: str | None) -> None:
        self.rules, self.partitions, self.copies, self.language = rules, partitions, copies, language

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """DECISION rows, one for every document."""
        guard.arm(100)
        verdicts = judge(unit, self.rules, self.language)
        reasons = verdicts.reasons
        if self.copies is not None and "clusters" in unit.payload:
            chosen = read_part(self.copies, unit.index % self.partitions, ["gid"]).column("gid").to_numpy()
            ours = set((chosen[chosen >> 32 == unit.index] & 0xFFFFFFFF).tolist())
            sizes = storage.read_table(unit.payload["clusters"], ["cluster_size"]).column(0).fill_null(1).to_pylist()
            for row, size in enumerate(sizes):
                if reasons[row] is None and size > 1 and row not in ours:
                    reasons[row] = "duplicate"
        languages = verdicts.table.column("language").to_pylist()
        out = pa.table(
            {
                "id": verdicts.table.column("id"),
                "language": verdicts.table.column("language"),
                "keep": pa.array([r is None for r in reasons], pa.bool_()),
                "reason": pa.array(reasons, pa.string()),
            },
            schema=DECISION,
        )
        by_language: dict[str, Counter[str]] = {}
        for language, reason in zip(languages, reasons, strict=True):
            by_language.setdefault(language, Counter())[reason or "kept"] += 1
        stats = {"languages": {code: dict(sorted(c.items())) for code, c in sorted(by_language.items())}}
        return Output.of(out, len(reasons), Counter(r for r in reasons if r), **stats)


def run_select(
    recipe: Recipe, run: StageRunner, documents: Documents, clusters: StageRun | None, scores: StageRun | None
) -> tuple[StageRun, Cuts | None]:
    """Decide; returns the stage that holds the DECISION table, and the cuts.

    Raises:
        RecipeError: no scores though the recipe selects by them.
    """
    wish = recipe.select
    if scores is None and wish.by != "heuristics":
        raise RecipeError(f"select.by: {wish.by} needs scores; add the annotate stage or set select.by=heuristics")
    cuts = None
    if scores is not None:
        heads = choose_heads(wish.heads, Annotator.load(recipe.annotate.annotator).heads, "select.heads")
        cuts = make_cuts(scores.receipts(), heads, wish.quantile, wish.min_documents)
    rules = Rules(wish.by, wish.rule, wish.copy_kept, cuts)
    config = {**wish.deciding(), "language": documents.language}
    inputs: dict[str, Any] = {"documents": documents.mark}
    inputs |= {"clusters": clusters.mark() if clusters else "", "scores": scores.mark() if scores else ""}
    partitions = recipe.dedup.partitions or max(1, -(-len(list(documents.units())) // 2000))

    def units() -> Iterator[Unit]:
        return documents.beside(clusters=clusters, scores=scores)

    copies: list[str] | None = None
    if clusters is not None and wish.copy_kept != "every":
        settings = {"rules": rules, "partitions": partitions, "language": documents.language}
        stage = Stage("select/candidates", VERSION, config, inputs, CandidateWorker, settings, "many", "select_crash")
        found = run.run(stage, units)
        settings = {"partitions": partitions, "paths": [found.path(r) for r in found.receipts()]}
        stage = Stage("select/copies", VERSION, config, found.mark(), CopyWorker, settings, "many", "select_crash")
        chosen = run.run(stage, lambda: (Unit(p, f"partition {p}") for p in range(partitions)))
        copies = [chosen.path(r) for r in chosen.receipts()]
    settings = {"rules": rules, "partitions": partitions, "copies": copies, "language": documents.language}
    stage = Stage("select/decisions", VERSION, config, inputs, DecisionWorker, settings, "aligned", "select_crash")
    return run.run(stage, units), cuts
