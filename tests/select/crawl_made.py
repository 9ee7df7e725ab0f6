"""A crawl whose scores and clusters the test makes up: documents of some languages, and what would be known of them."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from jql.annotator.histogram import Bins, Histograms
from jql.documents import document_name
from jql.recipe import Select, make_recipe
from jql.select.outlook import Outlook
from jql.select.sample import drawn, sample_schema

HEADS = ["edu", "web", "llama3", "llama31"]
"""Those of the annotator in the box, so that a run can be given its scores."""
ABOUT = {"name": "made", "revision": "r1"}


def wish(**settings) -> Select:
    """The select part of a recipe."""
    return make_recipe({"select": settings}).select


@dataclass
class Made:
    """N documents, with what dedup and annotate would say of them.

    `why` is the reason of the SCORE table, `first` the representative of each cluster; sizes are int64 (3, N).
    """

    ids: list[str]
    languages: list[str]
    cluster: np.ndarray
    size: np.ndarray
    first: np.ndarray
    sizes: np.ndarray
    points: np.ndarray
    why: list[str | None]
    filtered: list[str | None]
    dates: list[str | None]
    confidence: np.ndarray
    heads: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def counted(self) -> np.ndarray:
        """Whether histograms count a document."""
        return self.first & np.array([why in (None, "cascade") for why in self.why], bool)

    def rows_of(self, code: str) -> np.ndarray:
        return np.array([language == code for language in self.languages], bool)

    def histograms(self) -> Histograms:
        return self.histograms_of(np.arange(len(self)))

    def histograms_of(self, rows: np.ndarray) -> Histograms:
        made = Histograms(self.heads, Bins())
        rows = rows[self.counted[rows]]
        names = sorted({self.languages[row] for row in rows})
        codes = np.array([names.index(self.languages[row]) for row in rows], np.int64)
        points = np.where(np.isnan(self.points[rows]), -np.inf, self.points[rows])
        made.add(points, codes, names, self.sizes[:, rows])
        return made

    def reasons(self, by: str) -> list[str | None]:
        """Why a document cannot be kept whatever the cut."""
        before = [f"heuristics_{r}" if r and by != "annotator" else None for r in self.filtered]
        missing = ["not_scored" if by != "heuristics" and np.isnan(row).any() else None for row in self.points]
        return [a or b or c for a, b, c in zip(before, self.why, missing, strict=True)]

    def sample(self, by: str = "annotator") -> pa.Table:
        """All documents, as SAMPLE."""
        n = len(self)
        columns = {
            "unit": np.zeros(n, np.int32),
            "row": np.arange(n, dtype=np.int32),
            "id": self.ids,
            "language": self.languages,
            "cluster": self.cluster,
            "cluster_size": self.size,
            "representative": self.counted,
            "bytes": self.sizes[1],
            "tokens": self.sizes[2],
            "language_score": self.confidence,
            "domain": pa.nulls(n, pa.string()),
            "date": pa.array(self.dates, pa.string()),
            "filter_reason": pa.array(self.filtered, pa.string()),
            "reason": pa.array(self.reasons(by), pa.string()),
        }
        for h, head in enumerate(self.heads):
            columns[f"score_{head}"] = pa.array(self.points[:, h], mask=np.isnan(self.points[:, h]))
        schema = sample_schema(self.heads)
        return pa.table({name: columns[name] for name in schema.names}, schema=schema)

    def outlook(
        self, rate: float | dict[str, float] = 1.0, seed: int = 0, by: str = "annotator", table: pa.Table | None = None
    ) -> Outlook:
        """What would be known of it when `rate` of the clusters was drawn."""
        rates = rate if isinstance(rate, dict) else dict.fromkeys(self.languages, rate)
        rates_N = np.array([rates[code] for code in self.languages])
        chosen = drawn(self.cluster, seed, rates_N)
        table = (self.sample(by) if table is None else table).filter(pa.array(chosen))
        table = table.append_column("rate", pa.array(rates_N[chosen], pa.float64()))
        return Outlook(self.histograms(), table, ABOUT)


def make(
    counts: dict[str, int],
    seed: int = 0,
    copies: float = 0.0,
    largest: int = 0,
    held: float = 0.0,
    lost: float = 0.0,
    filtered: float = 0.0,
    heads: list[str] | None = None,
) -> Made:
    """Documents of some languages.

    Args:
        copies: share of documents that are copies of another. largest: copies of one cluster more, in each language.
        held: share that a cascade has held back, the worst by a cheap score. lost: share whose scoring crashed.
        filtered: share that a heuristic drops.
    """
    draw = np.random.default_rng(seed)
    heads = list(heads or HEADS)
    languages = [code for code, n in counts.items() for _ in range(n)]
    draw.shuffle(languages)
    n = len(languages)
    ids = [f"d{seed}-{i}" for i in range(n)]
    groups = list(range(n))
    by_language: dict[str, list[int]] = {}
    for i, code in enumerate(languages):
        ours = by_language.setdefault(code, [])
        if ours and draw.random() < copies:
            groups[i] = groups[ours[draw.integers(len(ours))]]
        elif largest and ours and draw.random() < largest / counts[code]:
            groups[i] = groups[ours[0]]
        ours.append(i)
    names = np.array([document_name(id) for id in ids], np.uint64)
    members = Counter(groups)
    cluster, first, chosen = np.zeros(n, np.uint64), np.zeros(n, bool), {}
    for i in np.argsort(names).tolist():  # the smallest name first: that is the cluster's, and its representative
        first[i] = groups[i] not in chosen
        cluster[i] = chosen.setdefault(groups[i], names[i])
    quality = draw.normal(size=n)[groups]
    points = 2 + 0.8 * quality[:, None] + 0.5 * draw.normal(size=(n, len(heads)))
    cheap = quality + draw.normal(size=n)
    why: list[str | None] = [None] * n
    for i in np.argsort(cheap)[: int(held * n)]:
        why[i] = "cascade"
    for i in draw.choice(n, int(lost * n), replace=False):
        why[i] = "score_crash"
    points[[reason is not None for reason in why]] = np.nan
    # A longer document is a better one, and copies differ in length, so that it matters which is kept.
    lengths = np.maximum(20, np.exp(5 + 0.5 * quality + 0.5 * draw.normal(size=n))).astype(np.int64)
    return Made(
        ids=ids,
        languages=languages,
        cluster=cluster,
        size=np.array([members[group] for group in groups], np.int64),
        first=first,
        sizes=np.stack([np.ones(n, np.int64), lengths, np.maximum(1, lengths // 5)]),
        points=points.astype(np.float32),
        why=why,
        filtered=["gopher_short" if draw.random() < filtered else None for _ in range(n)],
        dates=[
            None if draw.random() < 0.1 else f"2024-{draw.integers(1, 13):02d}-{draw.integers(1, 29):02d}" for _ in ids
        ],
        confidence=draw.random(n).astype(np.float32),
        heads=heads,
    )
