"""Which copy of a near-duplicate cluster is kept: an exchange by cluster, between the verdicts and the decisions."""

import numpy as np
import pyarrow as pa

from jql.engine.exchange import partitioned, read_part
from jql.engine.plan import Unit
from jql.engine.stage import Guard, Output

CANDIDATE = pa.schema(
    [
        ("part", pa.int32()),
        ("cluster", pa.uint64()),
        ("merit", pa.float64()),
        ("name", pa.uint64()),
        ("gid", pa.int64()),
    ]
)
CHOSEN = pa.schema([("part", pa.int32()), ("gid", pa.int64())])


def best_of_each(cluster_N: np.ndarray, merit_N: np.ndarray, name_N: np.ndarray, gid_N: np.ndarray) -> np.ndarray:
    """int64: positions of the best member of every cluster: most merit, then smallest id hash, then input order."""
    order = np.lexsort((gid_N, name_N, -merit_N, cluster_N))
    ordered = cluster_N[order]
    starts = np.ones(len(order), bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    return np.asarray(order[starts])


def candidates(
    cluster_N: np.ndarray, merit_N: np.ndarray, name_N: np.ndarray, gid_N: np.ndarray, partitions: int
) -> list[pa.Table]:
    """CANDIDATE pieces, partitioned by cluster."""
    table = pa.table({"cluster": cluster_N, "merit": merit_N, "name": name_N, "gid": gid_N})
    return list(partitioned(table, (cluster_N % np.uint64(partitions)).astype(np.int64), CANDIDATE))


class CopyWorker:
    """Chooses among the candidates of the clusters of one partition."""

    def __init__(self, partitions: int, paths: list[str]) -> None:
        self.partitions, self.paths = partitions, paths

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """CHOSEN rows, partitioned by the document's unit."""
        guard.arm(100)
        table = read_part(self.paths, unit.index, ["cluster", "merit", "name", "gid"])
        columns = {name: table.column(name).to_numpy() for name in ("cluster", "merit", "name", "gid")}
        chosen = columns["gid"][best_of_each(columns["cluster"], columns["merit"], columns["name"], columns["gid"])]
        pieces = partitioned(pa.table({"gid": chosen}), (chosen >> 32) % self.partitions, CHOSEN)
        return Output({"": (CHOSEN, pieces)}, table.num_rows, stats={"clusters": len(chosen)})
