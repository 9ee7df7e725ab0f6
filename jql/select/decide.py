"""Decisions: which documents pass, which copy of each cluster is kept, how often it is to be seen.

candidates  per document unit   documents that pass and have near-duplicates       partitioned by cluster
copies      per partition       the copy of each cluster to keep                   partitioned by document unit
decisions   per document unit   the DECISION table, aligned with the documents
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from jql.annotator.histogram import MEASURES
from jql.documents import Documents, document_name, read_column
from jql.engine import storage
from jql.engine.exchange import read_part
from jql.engine.fingerprint import digest_of
from jql.engine.plan import Unit
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import Guard, Law, Output, Stage
from jql.errors import RecipeError
from jql.recipe import Recipe
from jql.schema import DECISION
from jql.select.copies import CANDIDATE, CopyWorker, candidates
from jql.select.rehydrate import Repeats, learn_repeats
from jql.select.verdicts import COPY_COLUMNS, Rules, Verdicts, judge, merit

VERSION = 2
MEANS = ("sample", "tokenizer", "cuts", "groups", "exact")
"""Settings by which the cuts are come by: the cuts themselves are in a decision's fingerprint."""


class CandidateWorker:
    """Documents of a unit that pass and have near-duplicates; counts how many pass by the size of their cluster."""

    def __init__(self, rules: Rules, partitions: int) -> None:
        self.rules, self.partitions = rules, partitions

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """CANDIDATE rows."""
        guard.arm(100)
        verdicts = judge(unit, self.rules, COPY_COLUMNS.get(self.rules.copy, ()))
        size, passes = cluster_sizes(unit, verdicts), verdicts.reasons.passes
        if verdicts.clusters is None:
            sizes = passed_by_size(verdicts.names, verdicts.codes, size, passes)
            return Output({"": (CANDIDATE, [])}, len(verdicts), stats={"sizes": sizes})
        table = storage.read_table(unit.payload["clusters"], ["id", "representative"])
        rows = np.flatnonzero((size > 1) & passes)
        cluster = verdicts.clusters.column("cluster").fill_null(0).to_numpy()[rows]
        ids = table.column("id").take(pa.array(rows, pa.int64())).to_pylist()
        names = np.array([document_name(id) for id in ids], np.uint64)
        gids = rows + (unit.index << 32)
        pieces = candidates(cluster, merit(self.rules, verdicts, rows), names, gids, self.partitions)
        first = np.flatnonzero(table.column("representative").fill_null(False).to_numpy())
        sizes = passed_by_size(verdicts.names, verdicts.codes[first], size[first], passes[first])
        return Output({"": (CANDIDATE, pieces)}, len(verdicts), stats={"sizes": sizes})


def cluster_sizes(unit: Unit, verdicts: Verdicts) -> np.ndarray:
    """int64 (N,): near-duplicates of each document, itself among them; without dedup, what FineWeb2 says, or 1."""
    column = read_column(unit, "minhash_cluster_size") if verdicts.clusters is None else None
    if verdicts.clusters is not None:
        column = verdicts.clusters.column("cluster_size")
    if column is None:
        return np.ones(len(verdicts), np.int64)
    return np.asarray(column.fill_null(1).to_numpy())


def passed_by_size(
    names: list[str], codes_N: np.ndarray, size_N: np.ndarray, passes_N: np.ndarray
) -> dict[str, dict[str, list[int]]]:
    """Language -> size of a cluster -> documents, and those of them that are dropped."""
    found: dict[str, dict[str, list[int]]] = {}
    for code in np.unique(codes_N).tolist():
        ours = codes_N == code
        sizes, at = np.unique(size_N[ours], return_inverse=True)
        counts = np.stack([np.bincount(at), np.bincount(at, weights=~passes_N[ours])], axis=1).astype(int)
        found[names[code]] = dict(zip(map(str, sizes.tolist()), counts.tolist(), strict=True))
    return found


class DecisionWorker:
    """Decisions of a unit."""

    def __init__(
        self, rules: Rules, partitions: int, copies: list[str] | None, repeats: dict[str, Repeats] | None
    ) -> None:
        """`repeats`: language -> how often documents are seen, by the size of their cluster."""
        self.rules, self.partitions, self.copies, self.repeats = rules, partitions, copies, repeats

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """DECISION rows, one for every document."""
        guard.arm(100)
        verdicts = judge(unit, self.rules, beside=MEASURES[1:])
        reasons, n = verdicts.reasons, len(verdicts)
        size = cluster_sizes(unit, verdicts) if self.repeats or self.copies is not None else np.ones(n, np.int64)
        if verdicts.clusters is not None and self.copies is not None:
            chosen = read_part(self.copies, unit.index % self.partitions, ["gid"]).column("gid").to_numpy()
            copy = size > 1
            copy[chosen[chosen >> 32 == unit.index] & 0xFFFFFFFF] = False
            reasons.drop(copy, "duplicate")
        counts = reasons.by_group(verdicts.codes, verdicts.names)
        drops = Counter[str]()
        for found in counts.values():
            drops.update(found)
        del drops["kept"]
        stats = {"languages": counts, "doubtful": self._doubtful(unit, verdicts), "sizes": self._sizes(verdicts)}
        columns = {
            "language": pa.DictionaryArray.from_arrays(pa.array(verdicts.codes, pa.int32()), pa.array(verdicts.names)),
            "keep": pa.array(reasons.passes),
            "reason": reasons.to_arrow(),
            "repeats": self._repeats(verdicts, size),
        }
        return Output.of(pa.table(columns, schema=DECISION), n, drops, **stats)

    def _repeats(self, verdicts: Verdicts, size: np.ndarray) -> pa.Array:
        """How often each kept document is to be seen; null where nothing was learnt of that."""
        if self.repeats is None:
            return pa.nulls(len(verdicts), pa.int32())
        found = np.ones(len(verdicts), np.int32)
        for code, name in enumerate(verdicts.names):
            if name in self.repeats:
                rows = verdicts.codes == code
                found[rows] = self.repeats[name].of(size[rows])
        return pa.array(found, pa.int32(), mask=~verdicts.reasons.passes)

    def _doubtful(self, unit: Unit, verdicts: Verdicts) -> dict[str, list[int]]:
        """Language -> documents of it whose language is doubtful, and those of them that are kept."""
        column = read_column(unit, "language_score")
        if column is None:
            return {}
        rows, names = np.flatnonzero(column.fill_null(1.0).to_numpy() < self.rules.doubtful), verdicts.names
        kept = verdicts.reasons.passes[rows]
        counts = np.bincount(verdicts.codes[rows] * 2 + kept, minlength=2 * len(names)).reshape(-1, 2)
        return {name: [int(c.sum()), int(c[1])] for name, c in zip(names, counts, strict=True) if c.any()}

    def _sizes(self, verdicts: Verdicts) -> dict[str, list[int]]:
        """Language -> bytes and tokens that are kept."""
        if verdicts.scores is None:
            return {}
        joint, names = verdicts.codes * 2 + verdicts.reasons.passes, verdicts.names  # a mask over each column is slower
        sizes = [verdicts.scores.column(name).fill_null(0).to_numpy() for name in MEASURES[1:]]
        sums = [np.bincount(joint, column, 2 * len(names))[1::2] for column in sizes]
        return {name: [int(total[i]) for total in sums] for i, name in enumerate(names)}


@dataclass
class Decider:
    """The steps of a selection whose cuts are known."""

    recipe: Recipe
    run: StageRunner
    documents: Documents
    clusters: StageRun | None
    scores: StageRun | None
    rules: Rules

    def units(self) -> Iterator[Unit]:
        """The documents with the tables beside them."""
        return self.documents.beside(clusters=self.clusters, scores=self.scores)

    @property
    def partitions(self) -> int:
        """Parts of the exchange by cluster."""
        return self.recipe.dedup.partitions or max(1, -(-len(list(self.documents.units())) // 2000))

    def stage(self, name: str, factory: Any, settings: dict[str, Any], law: Law = "many") -> Stage:
        """A step; what decides its output are the rules with the cuts, not how they were come by."""
        wish, rules = self.recipe.select, self.rules
        config = {name: value for name, value in wish.deciding().items() if name not in MEANS}
        config |= {"language": self.documents.language}
        config["values"] = digest_of(rules.cuts.to_json()["languages"]) if rules.cuts else ""
        inputs: dict[str, Any] = {"documents": self.documents.mark}
        inputs |= {"clusters": self.clusters.mark() if self.clusters else ""}
        inputs |= {"scores": self.scores.mark() if self.scores else ""}
        return Stage(name, VERSION, config, inputs, factory, settings, law, "select_crash")

    def candidates(self) -> StageRun:
        """Documents that pass and have near-duplicates."""
        settings = {"rules": self.rules, "partitions": self.partitions}
        return self.run.run(self.stage("select/candidates", CandidateWorker, settings), self.units)

    def learn(self) -> dict[str, Repeats]:
        """Language -> how often documents are seen, from what is dropped at each size of a cluster."""
        total: dict[str, Counter[int]] = {}
        dropped: dict[str, Counter[int]] = {}
        for receipt in self.candidates().receipts():
            for code, sizes in receipt.stats["sizes"].items():
                for size, (documents, gone) in sizes.items():
                    total.setdefault(code, Counter())[int(size)] += documents
                    dropped.setdefault(code, Counter())[int(size)] += gone
        if not any(size > 1 for sizes in total.values() for size in sizes):
            raise RecipeError(
                "select.rehydrate: no document has a near-duplicate that is known of; add the dedup stage, take "
                "documents with minhash_cluster_size, or set select.rehydrate=1"
            )
        most = self.recipe.select.rehydrate
        return {code: learn_repeats(total[code], dropped[code], most) for code in sorted(total)}

    def decide(self, repeats: dict[str, Repeats]) -> StageRun:
        """The decisions, once one copy of each cluster is chosen."""
        copies: list[str] | None = None
        if self.clusters is not None and self.rules.copy != "every":
            found = self.candidates()
            settings: dict[str, Any] = {
                "partitions": self.partitions,
                "paths": [found.path(r) for r in found.receipts()],
            }
            stage = replace(self.stage("select/copies", CopyWorker, settings), inputs=found.mark())
            partitions = self.partitions
            chosen = self.run.run(stage, lambda: (Unit(p, f"partition {p}") for p in range(partitions)))
            copies = [chosen.path(r) for r in chosen.receipts()]
        settings = {"rules": self.rules, "partitions": self.partitions, "copies": copies, "repeats": repeats or None}
        return self.run.run(self.stage("select/decisions", DecisionWorker, settings, "aligned"), self.units)
