"""The exact second pass: the scores in the bin of each cut are read again, and the cut is one of them."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from jql.annotator.histogram import Bins
from jql.documents import Documents
from jql.engine import storage
from jql.engine.fingerprint import digest_of
from jql.engine.plan import Unit
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import Guard, Output, Stage
from jql.select.cuts import Cuts
from jql.select.reasons import encode

VERSION = 1
NEAR = pa.schema([("of", pa.string()), ("head", pa.string()), ("score", pa.float32())])


class NearWorker:
    """Finds the scores of a unit in the bins of the cuts, of documents that the histograms count."""

    def __init__(self, bins: Bins, wanted: dict[tuple[str, str], int], group_of: dict[str, str]) -> None:
        """`wanted`: language or group and head -> bin. `group_of`: language -> whose scores it is ranked among."""
        self.bins, self.wanted, self.group_of = bins, wanted, group_of
        self.heads = sorted({head for _, head in wanted})

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """NEAR rows."""
        guard.arm(100)
        scores = storage.read_table(unit.payload["scores"], ["language", "reason", *self.heads], words=("language",))
        names, codes = encode(scores.column("language"))
        counted = scores.column("reason").is_null().to_numpy(zero_copy_only=False)
        if "clusters" in unit.payload:
            first = storage.read_table(unit.payload["clusters"], ["representative"]).column(0)
            counted = counted & first.fill_null(False).to_numpy()
        ofs = [self.group_of.get(name, name) for name in names]
        pieces = [NEAR.empty_table()]
        for head in self.heads:
            wanted_L = np.array(
                [self.wanted.get((self.group_of.get(name, name), head), -1) for name in names], np.int64
            )
            points = scores.column(head).to_numpy()
            rows = np.flatnonzero(counted & (wanted_L[codes] >= 0))
            rows = rows[self.bins.of(points[rows]) == wanted_L[codes[rows]]]
            of = [ofs[code] for code in codes[rows]]
            pieces.append(pa.table({"of": of, "head": [head] * len(rows), "score": points[rows]}, schema=NEAR))
        return Output.of(pa.concat_tables(pieces), scores.num_rows)


def exact_quantile(counts_B: np.ndarray, near: np.ndarray, share: float, bins: Bins) -> float:
    """The score that `share` of all lie below, one of them: of N in order, the one at floor(share * N).

    Where that is a document that a cascade has held back, the lowest score there is, so that all that have one pass.

    Args:
        near: the scores in the bin of `cut_bin`; the lowest bin also counts documents that were held back.
    """
    place = cut_bin(counts_B, share)
    if not len(near):
        return bins.edge(place)
    at = int(share * int(counts_B.sum())) - int(counts_B[: place + 1].sum()) + len(near)
    return float(np.sort(near)[max(0, at)])


def cut_bin(counts_B: np.ndarray, share: float) -> int:
    """The bin of the score at floor(share * N)."""
    return int(np.searchsorted(np.cumsum(counts_B), int(share * int(counts_B.sum())), side="right"))


def make_exact(cuts: Cuts, run: StageRunner, documents: Documents, clusters: StageRun | None, scores: StageRun) -> Cuts:
    """The same cuts, each at a score that there is; those that were given as scores stay as they are."""
    asked: dict[str, float] = {
        cut.of: cut.quantile
        for cut in cuts.languages.values()
        if cut.values is not None and cut.quantile is not None and cut.by != "file"
    }
    counts = {of: cuts.histograms.counts[of][0] for of in asked}
    wanted = {
        (of, head): cut_bin(counts[of][h], share) for of, share in asked.items() for h, head in enumerate(cuts.heads)
    }
    group_of = {code: cut.of for code, cut in cuts.languages.items()}
    config = {"bins": digest_of([[*key, place] for key, place in sorted(wanted.items())])}
    inputs = {"scores": scores.mark(), "clusters": clusters.mark() if clusters else ""}
    settings = {"bins": cuts.histograms.bins, "wanted": wanted, "group_of": group_of}
    stage = Stage("select/near", VERSION, config, inputs, NearWorker, settings, "many", "select_crash")

    def units() -> Iterator[Unit]:
        return (u for u in documents.beside(clusters=clusters, scores=scores) if "scores" in u.payload)

    table = pa.concat_tables([NEAR.empty_table(), *run.run(stage, units).tables()])
    ofs, heads = (np.array(table.column(name).to_pylist(), object) for name in ("of", "head"))
    found = table.column("score").to_numpy()
    exact: dict[str, np.ndarray] = {}
    bins = cuts.histograms.bins
    for of, share in asked.items():
        ours = [found[(ofs == of) & (heads == head)] for head in cuts.heads]
        exact[of] = np.array([exact_quantile(counts[of][h], near, share, bins) for h, near in enumerate(ours)])
    languages = {
        code: replace(cut, values=exact[cut.of], rank_error=0.0) if cut.values is not None and cut.of in exact else cut
        for code, cut in cuts.languages.items()
    }
    return replace(cuts, languages=languages)
