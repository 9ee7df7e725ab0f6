"""The dedup stage, six phases on the engine; no phase holds more than one partition in memory.

    signatures   per document unit    text -> 14 band keys, id -> one more             partitioned by key
    pairs        per partition        equal keys -> edges to the smallest document     partitioned by node
    large-N      per partition        large stars                                      partitioned by node
    small-N      per partition        small stars; N counts up until nothing changes   partitioned by node
    sizes        per partition        stars -> cluster and size of each member         partitioned by document unit
    clusters     per document unit    the CLUSTER table, aligned with the documents

Documents that share an id count as copies of one document, however much their texts differ.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from jql.dedup import stars
from jql.dedup.minhash import BANDS, NGRAM, ROWS, band_keys
from jql.documents import Documents, document_name, read_documents
from jql.engine.exchange import partitioned, read_part
from jql.engine.plan import Unit
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import Guard, Law, Output, Stage
from jql.errors import JqlError
from jql.recipe import Recipe
from jql.schema import CLUSTER

VERSION = 1
SIGNATURE = pa.schema([("part", pa.int32()), ("key", pa.uint64()), ("name", pa.uint64()), ("gid", pa.int64())])
EDGE_COLUMNS = ("u_name", "u_gid", "v_name", "v_gid")
EDGES = pa.schema(
    [("part", pa.int32()), *((n, pa.uint64() if n.endswith("name") else pa.int64()) for n in EDGE_COLUMNS)]
)
MEMBER = pa.schema(
    [
        ("part", pa.int32()),
        ("gid", pa.int64()),
        ("cluster", pa.uint64()),
        ("size", pa.int64()),
        ("first", pa.bool_()),
        ("id_again", pa.bool_()),
    ]
)
# Bytes of documents on disk to a partition: about a million web pages, 15 million keys, 450 MB in its process.
PARTITION_BYTES = 2 << 30
MAX_ROUNDS = 40


def _edge_array(table: pa.Table) -> np.ndarray:
    out = np.empty(table.num_rows, stars.EDGE)
    for name in EDGE_COLUMNS:
        out[name] = table.column(name).to_numpy()
    return out


def _edge_output(edges_E: np.ndarray, both_ways: bool, partitions: int, rows_in: int) -> Output:
    """Output of edges partitioned by their start; `both_ways` adds each edge reversed. Stats describe the edge set."""
    stored = np.concatenate([edges_E, stars.reverse(edges_E)]) if both_ways else edges_E
    table = pa.table({name: stored[name] for name in EDGE_COLUMNS})
    parts = (stored["u_name"] % np.uint64(partitions)).astype(np.int64)
    output = Output({"": (EDGES, partitioned(table, parts, EDGES))}, rows_in)
    output.stats = {"edges": len(edges_E), "fold": stars.fold(edges_E)}
    return output


class SignatureWorker:
    """Band keys of the documents of a unit."""

    def __init__(self, partitions: int, language: str | None) -> None:
        self.partitions, self.language = partitions, language

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """SIGNATURE rows: 14 for every document that has words, and one for its id."""
        table = read_documents(unit, ["text"], self.language)
        columns = (table.column(c).to_pylist() for c in ("id", "text", "language", "problem"))
        drops: Counter[str] = Counter()
        keys: list[np.ndarray] = []
        counts: list[int] = []
        names: list[int] = []
        gids: list[int] = []
        looked_at = guard.rows(table.num_rows)
        for row, (id, text, language, problem) in enumerate(zip(*columns, strict=True)):
            reason = problem or guard.poison.get(row)
            if reason:
                drops[reason] += 1
            elif row in looked_at:
                guard.arm()
                name, found = document_name(id), band_keys(text, language)
                keys += [np.array([name], np.uint64)] if found is None else [found, np.array([name], np.uint64)]
                counts.append(1 if found is None else BANDS + 1)
                names.append(name)
                gids.append(unit.index << 32 | row)
        keys_K = np.concatenate(keys) if keys else np.empty(0, np.uint64)
        columns_K = {"name": np.array(names, np.uint64), "gid": np.array(gids, np.int64)}
        rows = pa.table({"key": keys_K, **{k: np.repeat(v, np.array(counts, np.int64)) for k, v in columns_K.items()}})
        parts = (keys_K % np.uint64(self.partitions)).astype(np.int64)
        return Output({"": (SIGNATURE, partitioned(rows, parts, SIGNATURE))}, table.num_rows, drops)


class EdgeWorker:
    """Pairs, large stars or small stars of one partition."""

    def __init__(self, step: str, partitions: int, paths: list[str]) -> None:
        """`step`: pairs, large or small. `paths`: the tables of the step before."""
        self.step, self.partitions, self.paths = step, partitions, paths

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """EDGES; pairs and small stars in both directions, large stars from larger to smaller."""
        guard.arm(100)
        if self.step == "pairs":
            table = read_part(self.paths, unit.index, ["key", "name", "gid"])
            nodes = np.empty(table.num_rows, stars.NODE)
            nodes["name"], nodes["gid"] = table.column("name").to_numpy(), table.column("gid").to_numpy()
            found = stars.key_stars(table.column("key").to_numpy(), nodes)
        else:
            table = read_part(self.paths, unit.index, EDGE_COLUMNS)
            found = (stars.large_star if self.step == "large" else stars.small_star)(_edge_array(table))
        return _edge_output(found, self.step != "large", self.partitions, table.num_rows)


def _seen_before(names_N: np.ndarray, gids_N: np.ndarray) -> np.ndarray:
    """Bool (N,): an earlier document of the input has the same id hash."""
    order = np.lexsort((gids_N, names_N))
    again = np.zeros(len(order), bool)
    again[order[1:]] = names_N[order[1:]] == names_N[order[:-1]]
    return again


class SizeWorker:
    """Clusters whose centre lies in one partition."""

    def __init__(self, partitions: int, paths: list[str]) -> None:
        self.partitions, self.paths = partitions, paths

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """MEMBER rows of all clusters of two or more documents, partitioned by the unit of the document."""
        guard.arm(100)
        table = read_part(self.paths, unit.index, EDGE_COLUMNS)
        centre, member = stars.ends(_edge_array(table))
        outward = stars.less(centre, member)
        centre, member = centre[outward], member[outward]
        centres, group, count = np.unique(centre, return_inverse=True, return_counts=True)
        gids = np.concatenate([member["gid"], centres["gid"]])
        names = np.concatenate([member["name"], centres["name"]])
        rows = pa.table(
            {
                "gid": gids,
                "cluster": np.concatenate([centre["name"], centres["name"]]),
                "size": np.concatenate([count[group] + 1, count + 1]),
                "first": np.concatenate([np.zeros(len(member), bool), np.ones(len(centres), bool)]),
                "id_again": _seen_before(names, gids),
            }
        )
        output = Output({"": (MEMBER, partitioned(rows, (gids >> 32) % self.partitions, MEMBER))}, table.num_rows)
        output.stats = {"clusters": len(centres), "members": len(gids)}
        return output


class ClusterWorker:
    """The CLUSTER table of a document unit."""

    def __init__(self, partitions: int, paths: list[str], language: str | None) -> None:
        self.partitions, self.paths, self.language = partitions, paths, language

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """CLUSTER rows, one for every document, null where the document has a problem."""
        guard.arm(100)
        table = read_documents(unit, [], self.language)
        ids, languages, problems = (table.column(c).to_pylist() for c in ("id", "language", "problem"))
        members = read_part(self.paths, unit.index % self.partitions, ["gid", "cluster", "size", "first", "id_again"])
        gids = members.column("gid").to_numpy()
        ours = np.flatnonzero(gids >> 32 == unit.index)
        rows = gids[ours] & 0xFFFFFFFF
        cluster = np.array([document_name(id) for id in ids], np.uint64)
        size, first = np.ones(len(ids), np.int64), np.ones(len(ids), bool)
        cluster[rows] = members.column("cluster").to_numpy()[ours]
        size[rows] = members.column("size").to_numpy()[ours]
        first[rows] = members.column("first").to_numpy(zero_copy_only=False)[ours]
        bad = np.array([p is not None for p in problems], bool)
        out = pa.table(
            {
                "id": pa.array(ids, pa.string()),
                "cluster": pa.array(cluster, mask=bad),
                "cluster_size": pa.array(size, mask=bad),
                "representative": pa.array(first, mask=bad),
            },
            schema=CLUSTER,
        )
        good = [(lang, bool(f)) for lang, f, b in zip(languages, first, bad, strict=True) if not b]
        stats = {
            "documents": dict(sorted(Counter(lang for lang, _ in good).items())),
            "representatives": dict(sorted(Counter(lang for lang, f in good if f).items())),
            "ids_again": int(members.column("id_again").to_numpy(zero_copy_only=False)[ours].sum()),
        }
        return Output.of(out, len(ids), Counter(p for p in problems if p), **stats)


def _phase(
    name: str, config: dict[str, Any], inputs: dict[str, Any], factory: Any, settings: dict[str, Any], aligned: bool
) -> Stage:
    law: Law = "aligned" if aligned else "many"
    return Stage(f"dedup/{name}", VERSION, config, inputs, factory, settings, law, "dedup_crash")


def _paths(stage: StageRun) -> list[str]:
    return [stage.path(receipt) for receipt in stage.receipts()]


def run_dedup(recipe: Recipe, run: StageRunner, documents: Documents) -> StageRun:
    """Find near-duplicates among the documents; returns the stage that holds the CLUSTER table."""
    weight = sum(unit.weight for unit in documents.units())
    partitions = recipe.dedup.partitions or max(1, -(-weight // PARTITION_BYTES))
    config = {"bands": BANDS, "rows": ROWS, "ngram": NGRAM, "partitions": partitions, "language": documents.language}
    settings: dict[str, Any] = {"partitions": partitions, "language": documents.language}
    signatures = run.run(
        _phase("signatures", config, documents.mark, SignatureWorker, settings, False), documents.units
    )

    def by_part() -> Iterator[Unit]:
        return (Unit(p, f"partition {p}") for p in range(partitions))

    def edges(name: str, step: str, before: StageRun) -> StageRun:
        settings = {"step": step, "partitions": partitions, "paths": _paths(before)}
        return run.run(_phase(name, config, before.mark(), EdgeWorker, settings, False), by_part)

    found = edges("pairs", "pairs", signatures)
    for number in range(1, MAX_ROUNDS + 1):
        large = edges(f"large-{number}", "large", found)
        small = edges(f"small-{number}", "small", large)
        settled = _edge_set(found) == _edge_set(small)
        found = small
        if settled:
            break
    else:
        raise JqlError(f"dedup: components did not settle in {MAX_ROUNDS} rounds; please report this with the recipe")

    settings = {"partitions": partitions, "paths": _paths(found)}
    sizes = run.run(_phase("sizes", config, found.mark(), SizeWorker, settings, False), by_part)
    settings = {"partitions": partitions, "paths": _paths(sizes), "language": documents.language}
    inputs = {"sizes": sizes.mark(), "documents": documents.mark}
    return run.run(_phase("clusters", config, inputs, ClusterWorker, settings, True), documents.units)


def _edge_set(stage: StageRun) -> tuple[int, int]:
    """Number and fold of a stage's edges, over all partitions."""
    stats = [receipt.stats for receipt in stage.receipts()]
    return sum(s["edges"] for s in stats), sum(s["fold"] for s in stats) % 2**64
