"""The joint sample: documents drawn in each language, whole clusters at a time, with all that is known of them.

What a cut keeps is predicted from it, and the report's pictures are drawn from it.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jql.annotator.annotate import representatives
from jql.annotator.histogram import MEASURES
from jql.annotator.part import HELD_BACK
from jql.documents import Documents, document_name
from jql.engine.fingerprint import digest_of
from jql.engine.plan import Unit
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import Guard, Output, Stage
from jql.select.verdicts import Rules, Verdicts, judge

VERSION = 1
SEEN = ("language_score", "url", "date", "filter_reason")


def sample_schema(heads: list[str]) -> pa.Schema:
    """SAMPLE: a row a drawn document. `reason` says why it cannot be kept whatever the cut; null where it can.

    `unit` and `row` are its place. `representative` is the one of its cluster that histograms count.
    """
    return pa.schema(
        [
            ("unit", pa.int32()),
            ("row", pa.int32()),
            ("id", pa.string()),
            ("language", pa.string()),
            ("cluster", pa.uint64()),
            ("cluster_size", pa.int64()),
            ("representative", pa.bool_()),
            ("bytes", pa.int64()),
            ("tokens", pa.int64()),
            ("language_score", pa.float32()),
            ("domain", pa.string()),
            ("date", pa.string()),
            ("filter_reason", pa.string()),
            ("reason", pa.string()),
            *[(f"score_{head}", pa.float32()) for head in heads],
        ]
    )


def drawn(names_N: np.ndarray, seed: int, rates_N: np.ndarray) -> np.ndarray:
    """Bool (N,): whether what bears a name, uint64, is in a random share of all such things.

    Mixed by splitmix64, as the name of a cluster is the smallest of its members' and so not evenly spread.
    """
    with np.errstate(over="ignore"):
        z = names_N + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return np.asarray(z.astype(np.float64) < rates_N * 2.0**64)


class SampleWorker:
    """Draws the documents of a unit whose cluster is drawn."""

    def __init__(self, rules: Rules, heads: list[str], rates: dict[str, float], seed: int) -> None:
        """`heads`: all of the annotator. `rates`: language -> share that is drawn."""
        self.rules, self.heads, self.rates, self.seed = rules, heads, rates, seed

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """SAMPLE rows."""
        guard.arm(100)
        verdicts = judge(unit, self.rules, SEEN, [*MEASURES[1:], *self.heads])
        rates_N = np.array([self.rates.get(name, 0.0) for name in verdicts.names])[verdicts.codes]
        clusters = np.zeros(len(verdicts), np.uint64)
        sizes, alone = np.ones(len(verdicts), np.int64), np.arange(len(verdicts))
        assert verdicts.documents is not None
        ids = verdicts.documents.column("id")
        if verdicts.clusters is not None:
            sizes = verdicts.clusters.column("cluster_size").fill_null(1).to_numpy()
            found = verdicts.clusters.column("cluster")
            clusters = found.fill_null(0).to_numpy().copy()
            alone = np.flatnonzero(found.is_null().to_numpy())  # no text, so no cluster
        clusters[alone] = [document_name(id) for id in ids.take(pa.array(alone, pa.int64())).to_pylist()]
        rows = np.flatnonzero(drawn(clusters, self.seed, rates_N))
        known = {"cluster": clusters, "cluster_size": sizes, "representative": _counted(unit, verdicts)}
        return Output.of(self._table(unit, verdicts, rows, known), len(verdicts))

    def _table(self, unit: Unit, verdicts: Verdicts, rows: np.ndarray, known: dict[str, np.ndarray]) -> pa.Table:
        at = pa.array(rows, pa.int64())
        assert verdicts.documents is not None
        documents = verdicts.documents.take(at)
        columns: dict[str, Any] = {name: documents.column(name) for name in ("id", "language", *SEEN)}
        columns["domain"] = [domain_of(url) for url in columns.pop("url").to_pylist()]
        columns |= {name: values[rows] for name, values in known.items()}
        columns["reason"] = verdicts.reasons.to_arrow().take(at)
        columns |= {"unit": np.full(len(rows), unit.index), "row": rows}
        scored = [*MEASURES[1:], *self.heads]
        scores: dict[str, Any] = dict.fromkeys(scored, pa.nulls(len(rows), pa.float32()))
        if verdicts.scores is not None:
            scores = {name: verdicts.scores.column(name).take(at) for name in scored}
        columns |= {name if name in MEASURES else f"score_{name}": column for name, column in scores.items()}
        schema = sample_schema(self.heads)
        return pa.table({name: columns[name] for name in schema.names}).cast(schema)


def _counted(unit: Unit, verdicts: Verdicts) -> np.ndarray:
    """Bool (N,): the documents that histograms count; one of each cluster, scored or held back by a cascade."""
    if verdicts.scores is None:
        return np.zeros(len(verdicts), bool)
    why = verdicts.scores.column("reason").cast(pa.string())
    counted: np.ndarray = pc.is_in(why, value_set=pa.array([None, HELD_BACK], pa.string())).to_numpy()
    first = representatives(unit)
    return counted if first is None else counted & first


def domain_of(url: str | None) -> str | None:
    """The host of an address, without www; None where there is none."""
    if not url:
        return None
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return None
    return (host or "").removeprefix("www.") or None


def draw_sample(
    run: StageRunner,
    documents: Documents,
    clusters: StageRun | None,
    scores: StageRun,
    rules: Rules,
    heads: list[str],
    rates: dict[str, float],
    seed: int,
) -> pa.Table:
    """The joint sample of a run, with the column `rate`: the share of its language that was drawn."""
    config = {
        "by": rules.by,
        "where": rules.where.expression if rules.where else "",
        "heads": list(rules.heads),
        "rates": digest_of(rates),
        "seed": seed,
    }
    inputs = {"documents": documents.mark, "clusters": clusters.mark() if clusters else "", "scores": scores.mark()}
    settings = {"rules": rules, "heads": heads, "rates": rates, "seed": seed}
    stage = Stage("select/sample", VERSION, config, inputs, SampleWorker, settings, "many", "select_crash")

    def units() -> Iterator[Unit]:
        return documents.beside(clusters=clusters, scores=scores)

    table = pa.concat_tables([sample_schema(heads).empty_table(), *run.run(stage, units).tables()])
    shares = [rates.get(code, 0.0) for code in table.column("language").to_pylist()]
    return table.append_column("rate", pa.array(shares, pa.float64()))
