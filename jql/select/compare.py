"""What FineWeb2's heuristics keep beside what the annotator keeps of the same documents: counted by language and rule.

Compared are documents that both can judge: with a text and a score, of a language that has a cut. Of near-duplicates
it is one of each cluster, the one that the histograms count: the heuristics, too, were made for what a deduplication
leaves, and a copy that is chosen for its score would favour the annotator.

Letters: N documents, L languages, R heuristics that drop one, and none.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from jql.annotator.annotate import representatives
from jql.annotator.part import HELD_BACK
from jql.crawl.signals import rules as heuristics_for
from jql.crawl.words import SPACELESS
from jql.documents import Documents, read_column
from jql.engine import storage
from jql.engine.fingerprint import digest_of
from jql.engine.plan import Unit
from jql.engine.receipt import Receipt
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import Guard, Output, Stage
from jql.errors import InputError
from jql.recipe import Recipe
from jql.select.cuts import BELOW, Cuts
from jql.select.outlook import Outlook
from jql.select.reasons import encode
from jql.select.select import look_ahead
from jql.select.verdicts import Rules, Verdicts, judge

VERSION = 1
SIDES = ("neither", "annotator", "heuristics", "both")
"""Who keeps a document."""
PASSED = ""
"""In place of a heuristic: none drops the document."""
UNNAMED = "unnamed"
"""A heuristic whose name is the empty string."""
JUDGED = (BELOW, HELD_BACK)
"""Reasons that are the annotator's judgment: of the cut, or of the cascade before it."""
NO_RULES = "no_heuristics"
"""Why documents are left out whose language has no thresholds, or is written without spaces: see crawl/signals.py."""


@dataclass
class Compared:
    """Who keeps what.

    Attributes:
        counts: language -> heuristic that drops a document, or PASSED -> int64 (2, 2): documents and tokens (columns)
            that the annotator drops and keeps (rows). Tokens are those of select.tokenizer.
        left_out: language -> why documents are not compared -> how many.
        cuts: the annotator's. outlook: what they were made from, and what samples are drawn from.
        one_copy: of near-duplicates one counts; without clusters all do. crawled: by this run, so that the heuristics
            are known to have been asked. unasked: documents of units without a filter_reason: FineWeb2 publishes what
            it has dropped apart from what it keeps, and only the former with the column.
    """

    counts: dict[str, dict[str, np.ndarray]]
    left_out: dict[str, Counter[str]]
    cuts: Cuts
    outlook: Outlook
    one_copy: bool
    crawled: bool
    unasked: int


class CompareWorker:
    """Counts who keeps what in a unit."""

    def __init__(self, rules: Rules) -> None:
        """`rules`: by the annotator, with its cuts."""
        self.rules = rules

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """No table: what is counted is in the receipt."""
        guard.arm(100)
        verdicts = judge(unit, self.rules)
        column = read_column(unit, "filter_reason")
        known = column is not None and (unit.payload["format"] == "parquet" or column.null_count < len(column))
        if column is None:
            column = pa.chunked_array([pa.nulls(len(verdicts), pa.string())])
        left_out, compared_N = self._left_out(unit, verdicts)
        words, places_N = encode(column)
        places_N = np.where(places_N < 0, len(words), places_N)
        tokens = np.zeros(len(verdicts), np.int64)
        if "scores" in unit.payload:
            tokens = storage.read_table(unit.payload["scores"], ["tokens"]).column(0).fill_null(0).to_numpy()
        rows = np.flatnonzero(compared_N)
        counts = tally(
            verdicts.codes[rows],
            places_N[rows],
            verdicts.reasons.passes[rows],
            tokens[rows],
            verdicts.names,
            [*(word or UNNAMED for word in words), PASSED],
        )
        unasked = 0 if known else len(verdicts)
        return Output(rows_in=len(verdicts), stats={"counts": counts, "left_out": left_out, "unasked": unasked})

    def _left_out(self, unit: Unit, verdicts: Verdicts) -> tuple[dict[str, dict[str, int]], np.ndarray]:
        """Language -> why documents are not compared -> how many; and bool (N,), those that are."""
        reasons = verdicts.reasons
        judged = reasons.passes | np.isin(reasons.codes, [reasons.names.index(w) for w in JUDGED if w in reasons.names])
        found = replace(reasons, codes=np.where(judged, -1, reasons.codes), names=list(reasons.names))
        if self.rules.where is not None:  # which comes after a cascade's reason, so it is asked for by itself
            alone = judge(unit, replace(self.rules, heads=(), cuts=None)).reasons
            found.add(alone.to_arrow())
        if (first := representatives(unit)) is not None:
            found.drop(~first, "duplicate")
        counts = found.by_group(verdicts.codes, verdicts.names)
        for by_reason in counts.values():
            by_reason.pop("kept", None)
        return {code: by_reason for code, by_reason in counts.items() if by_reason}, found.passes


def tally(
    codes_N: np.ndarray,
    rules_N: np.ndarray,
    kept_N: np.ndarray,
    tokens_N: np.ndarray,
    names: list[str],
    words: list[str],
) -> dict[str, dict[str, list[list[int]]]]:
    """Language -> heuristic -> documents and tokens that the annotator drops, and those that it keeps.

    Args:
        codes_N: int, the place in `names` of each document's language. rules_N: int, the place in `words` of the
            heuristic that drops it. kept_N: bool, by the annotator. tokens_N: int64.
    """
    key = (codes_N * len(words) + rules_N) * 2 + kept_N
    size = len(names) * len(words) * 2
    sums = np.stack([np.bincount(key, minlength=size), np.bincount(key, tokens_N, size)], axis=1).astype(np.int64)
    shaped = sums.reshape(len(names), len(words), 2, 2)
    found: dict[str, dict[str, list[list[int]]]] = {}
    for code, rule in zip(*np.nonzero(shaped[..., 0].sum(axis=2)), strict=True):
        found.setdefault(names[code], {})[words[rule]] = shaped[code, rule].tolist()
    return dict(sorted(found.items()))


def merge(receipts: Iterable[Receipt]) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Counter[str]], int, int]:
    """Sums over all units: counts, left_out and unasked as of Compared, and documents."""
    counts: dict[str, dict[str, np.ndarray]] = {}
    left_out: dict[str, Counter[str]] = {}
    unasked = documents = 0
    for receipt in receipts:
        for code, by_rule in receipt.stats["counts"].items():
            total = counts.setdefault(code, {})
            for rule, found in by_rule.items():
                total[rule] = total.get(rule, 0) + np.array(found, np.int64)
        for code, by_reason in receipt.stats["left_out"].items():
            left_out.setdefault(code, Counter()).update(by_reason)
        unasked += receipt.stats["unasked"]
        documents += receipt.rows_in
    return counts, left_out, unasked, documents


def has_heuristics(code: str) -> bool:
    """Whether our crawl asks heuristics of a language's documents; else its filter_reason says nothing."""
    return bool(heuristics_for(code)) and code.partition("_")[2] not in SPACELESS


def run_compare(
    recipe: Recipe, run: StageRunner, documents: Documents, clusters: StageRun | None, scores: StageRun
) -> Compared:
    """Count who keeps what; nothing is scored again.

    Args:
        recipe: its `select` is by the annotator.

    Raises:
        InputError: the documents carry no heuristics. RecipeError: see `look_ahead`.
    """
    outlook, rules = look_ahead(recipe, run, documents, clusters, scores)
    cuts = rules.cuts
    assert cuts is not None
    config: dict[str, Any] = {"heads": list(rules.heads), "rule": cuts.rule, "where": recipe.select.where}
    config |= {"language": documents.language, "values": digest_of(cuts.to_json()["languages"])}
    inputs: dict[str, Any] = {
        "documents": documents.mark,
        "clusters": clusters.mark() if clusters else "",
        "scores": scores.mark(),
    }
    stage = Stage("select/compare", VERSION, config, inputs, CompareWorker, {"rules": rules}, "many", "select_crash")

    def units() -> Iterator[Unit]:
        return documents.beside(clusters=clusters, scores=scores)

    counts, left_out, unasked, every = merge(run.run(stage, units).receipts())
    if unasked == every > 0:
        raise InputError(
            f"{next(iter(documents.units())).source}: these documents carry no heuristics (no filter_reason), so there "
            "is nothing to compare; crawl the pages with jql, which asks FineWeb2's heuristics, or add the column: "
            "null for what they keep, else the rule's name"
        )
    crawled = "crawl" in recipe.stages
    for code in [code for code in counts if crawled and not has_heuristics(code)]:
        gone = sum(int(found[:, 0].sum()) for found in counts.pop(code).values())
        left_out.setdefault(code, Counter())[NO_RULES] += gone
    for code, by_rule in counts.items():
        for found in by_rule.values():
            found[:, 1] = np.rint(found[:, 1] * outlook.rates.get(code, 1.0))
    return Compared(
        counts=dict(sorted(counts.items())),
        left_out=dict(sorted(left_out.items())),
        cuts=cuts,
        outlook=outlook,
        one_copy=clusters is not None,
        crawled=crawled,
        unasked=unasked,
    )
