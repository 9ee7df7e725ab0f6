"""Does choosing what to label beat labelling at random? Learning curves at equal labels; and second looks at a judge.

    python benchmarks/next_label.py DATA [--seeds 10] [--only web|english|second_look]

DATA holds judged/ (see jql train for the columns). A head is trained on 300 random labels, then on more, chosen by
each strategy in batches from the rest of 70 % of the sources; agreement is measured on the other 30 %. For each seed
the split, the first 300 and the networks' initial weights are the same for all strategies. The head is edu's in small:
three networks of 128 hidden units on static embedding and surface, beside a ridge on n-grams with a share of .4,
trained on the labels of this one judge only.

Settled beforehand: a strategy earns the default of `run_next` if its macro Spearman, mean over the counts of labels,
lies above that of random choice with equal shares of the languages on both collections, at 95 % corrected for their
number.
Writes benchmarks/results/next_label.json and prints one JSON line.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from heuristics_agreement import machine
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import t

from jql.agreement.metrics import mae, point_of, precision_at_top, spearman
from jql.annotator.judgments import split_by_source
from jql.annotator.train_heads import RIDGE, HeadSettings, JudgedFeatures, fit_heads
from jql.documents import document_name
from jql.judge.acquisition import choose, disagreement, random_order

ROOT = Path(__file__).resolve().parent.parent
FILES = {"web": "web38", "english": "fineweb_edu_en", "five answers": "multi26"}
START = 300
COUNTS = {"web": (600, 1200, 2400), "english": (600, 1200)}
NGRAMS, MEMBERS = 0.4, 3
HEAD = HeadSettings(hidden=128, learning_rate=1e-3, dropout=0.3, batch=128, epochs=20)
FIGURES = ("spearman_macro", "spearman_pooled", "top_10_macro", "top_10_pooled", "top_30_macro", "top_30_pooled", "mae")
PRIMARY = "spearman_macro"


@dataclass(frozen=True)
class Pool:
    """Documents with labels of one judge, and what heads of other judges, trained on other documents, say of them."""

    judged: JudgedFeatures
    gram_NN: np.ndarray
    others_NH: np.ndarray
    names_N: np.ndarray
    texts_N: np.ndarray
    sources_N: np.ndarray


@dataclass(frozen=True)
class State:
    """A head at some count of labels: what its members and all of it say of every document, and what may be chosen."""

    pool: Pool
    labelled: np.ndarray
    open: np.ndarray
    members_NM: np.ndarray
    points_N: np.ndarray
    seed: int

    def take(self, acquisition_N: np.ndarray, documents: int, by_language: bool = True) -> np.ndarray:
        """The rows that jql chooses of the open ones by this acquisition."""
        pool, rows = self.pool, self.open
        codes = pool.judged.languages_N[rows] if by_language else np.full(len(rows), "all", object)
        found = choose(acquisition_N[rows], codes, pool.names_N[rows], pool.texts_N[rows], documents, self.seed)
        return rows[found]


def random(state: State, n: int) -> np.ndarray:
    return state.take(random_order(state.pool.names_N, state.seed), n, by_language=False)


def random_equal(state: State, n: int) -> np.ndarray:
    return state.take(random_order(state.pool.names_N, state.seed), n)


def by_members(state: State) -> np.ndarray:
    return disagreement(state.members_NM, state.pool.judged.languages_N)


def by_judges(state: State) -> np.ndarray:
    heads_NH = np.column_stack((state.points_N, state.pool.others_NH))
    return disagreement(heads_NH, state.pool.judged.languages_N)


def bands(state: State, n: int) -> np.ndarray:
    """As many of each point predicted, within each language: the k-th of its point by chance has 1 / k."""
    codes_N, band_N = state.pool.judged.languages_N, point_of(state.points_N, 0, 5)
    drawn_N, acquisition_N = random_order(state.pool.names_N, state.seed), np.zeros(len(codes_N))
    for code in set(codes_N.tolist()):
        for band in range(6):
            rows = state.open[(codes_N[state.open] == code) & (band_N[state.open] == band)]
            acquisition_N[rows[np.argsort(drawn_N[rows])]] = 1 / np.arange(1, len(rows) + 1)
    return state.take(acquisition_N, n)


def k_center(state: State, n: int) -> np.ndarray:
    """One after the other the document that is farthest, by cosine, from all that are labelled (core-set)."""
    dense_ND = state.pool.judged.dense_ND.astype(np.float64)
    unit_ND = (dense_ND - dense_ND.mean(0)) / np.maximum(dense_ND.std(0), 1e-6)
    unit_ND = (unit_ND / np.linalg.norm(unit_ND, axis=1, keepdims=True)).astype(np.float32)
    open_OD = unit_ND[state.open]
    nearest_O = (open_OD @ unit_ND[state.labelled].T).max(1)
    found = []
    for _ in range(n):
        at = int(nearest_O.argmin())
        found.append(at)
        nearest_O = np.maximum(nearest_O, open_OD @ open_OD[at])
        nearest_O[at] = np.inf
    return state.open[found]


def mixed(state: State, n: int) -> np.ndarray:
    """Half by disagreement of judges, half at random."""
    first = state.take(by_judges(state), n // 2)
    rest = replace(state, open=np.setdiff1d(state.open, first))
    return np.concatenate((first, random_equal(rest, n - len(first))))


STRATEGIES: dict[str, Callable[[State, int], np.ndarray]] = {
    "random": random,
    "random, equal languages": random_equal,
    "disagreement of members": lambda state, n: state.take(by_members(state), n),
    "disagreement of judges": lambda state, n: state.take(by_judges(state), n),
    "half judges, half random": mixed,
    "bands of predicted score": bands,
    "k-center": k_center,
}
BASE = "random, equal languages"


def fit(pool: Pool, labelled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of all documents by each member (N, M) and by the whole head (N,)."""
    train = replace(pool.judged.take(labelled), ngrams_NV=None)
    settings = [replace(HEAD, seed=member) for member in range(MEMBERS)]
    heads = [fit_heads(train, None, s, [s.epochs])[0] for s in settings]
    members_NM = np.column_stack([head.points(pool.judged.dense_ND, None)[:, 0] for head in heads])
    mean = train.labels_N.mean()
    factor = cho_factor(pool.gram_NN[np.ix_(labelled, labelled)] + RIDGE * np.eye(len(labelled)), overwrite_a=True)
    weight_N = np.zeros(len(pool.gram_NN))
    weight_N[labelled] = cho_solve(factor, train.labels_N - mean)
    linear_N = mean + pool.gram_NN @ weight_N
    return members_NM, (1 - NGRAMS) * members_NM.mean(1) + NGRAMS * linear_N


def figures(points_N: np.ndarray, judged: JudgedFeatures) -> dict[str, float]:
    """Agreement with the labels, pooled and as a mean over languages."""
    codes_N, labels_N = judged.languages_N, judged.labels_N
    groups = [np.flatnonzero(codes_N == code) for code in sorted(set(codes_N.tolist()))]

    def macro(figure: Callable[..., float | None], *more: float) -> float:
        values = [figure(points_N[rows], labels_N[rows], *more) for rows in groups]
        return float(np.mean([v for v in values if v is not None]))

    found = {"spearman_macro": macro(spearman), "spearman_pooled": spearman(points_N, labels_N) or 0.0}
    for share in (0.1, 0.3):
        found[f"top_{share * 100:.0f}_macro"] = macro(precision_at_top, share)
        found[f"top_{share * 100:.0f}_pooled"] = precision_at_top(points_N, labels_N, share)
    return {**found, "mae": mae(points_N, labels_N)}


def errors_found(state: State, test: np.ndarray) -> dict[str, dict[str, float]]:
    """Whether disagreement tells where the head is wrong on test documents: rank correlation, error of the top 10 %."""
    error_N = np.abs(state.points_N - state.pool.judged.labels_N)[test]
    found = {}
    for name, acquisition_N in (("members", by_members(state)), ("judges", by_judges(state))):
        asked = acquisition_N[test]
        top = error_N[np.argsort(-asked)[: len(test) // 10]].mean()
        found[name] = {"spearman": spearman(asked, error_N) or 0.0, "mae_top_10": float(top), "mae": error_N.mean()}
    return found


def curves(pool: Pool, counts: Sequence[int], names: Sequence[str], seed: int) -> dict[str, Any]:
    """Figures of every strategy at every count of labels, for one split and one start."""
    everything = np.arange(len(pool.names_N))
    test = np.flatnonzero(split_by_source(pool.sources_N, 0.3, seed))
    train = np.setdiff1d(everything, test)
    nothing = State(pool, everything[:0], train, np.zeros((0, 0)), np.zeros(0), seed)
    begin = random(nothing, START)
    fitted = fit(pool, begin)
    start = State(pool, begin, np.setdiff1d(train, begin), *fitted, seed)
    found: dict[str, Any] = {"start": figures(start.points_N[test], pool.judged.take(test))}
    for name in names:
        state = start
        for count in counts:
            new = STRATEGIES[name](state, count - len(state.labelled))
            labelled = np.concatenate((state.labelled, new))
            assert len(set(labelled.tolist())) == count
            state = State(pool, labelled, np.setdiff1d(train, labelled), *fit(pool, labelled), seed)
            found[f"{name} {count}"] = figures(state.points_N[test], pool.judged.take(test))
            if name == BASE:
                found[f"errors {count}"] = errors_found(state, test)
    return found


def interval(values_S: np.ndarray, strategies: int = 1) -> list[float]:
    """Mean and the ends of its 95 % t-interval over seeds, corrected by Bonferroni for a number of strategies."""
    half = t.ppf(1 - 0.025 / strategies, len(values_S) - 1) * values_S.std(ddof=1) / np.sqrt(len(values_S))
    return [round(float(v), 4) for v in (values_S.mean(), values_S.mean() - half, values_S.mean() + half)]


def summary(runs: list[dict[str, Any]], counts: Sequence[int], names: Sequence[str]) -> dict[str, Any]:
    """Means over seeds and paired differences; `worth` is how many random labels would do as well as one chosen."""
    baselines = [name for name in ("random", BASE) if name in names]
    values = {
        (name, count): {f: np.array([run[f"{name} {count}"][f] for run in runs]) for f in FIGURES}
        for name in names
        for count in counts
    }
    start = {f: round(float(np.mean([run["start"][f] for run in runs])), 4) for f in FIGURES}
    curve = [start[PRIMARY], *(float(values[BASE, count][PRIMARY].mean()) for count in counts)]
    found: dict[str, Any] = {f"{START} labels": start}
    for name in names:
        entry: dict[str, Any] = {}
        for count in counts:
            here = values[name, count]
            entry[f"{count} labels"] = {f: round(float(here[f].mean()), 4) for f in FIGURES}
            for base in baselines:
                if name != base:
                    less = {f: interval(here[f] - values[base, count][f]) for f in FIGURES}
                    entry[f"{count} labels"][f"less {base}"] = less
            if name not in baselines and count != counts[-1]:
                alike = np.interp(here[PRIMARY].mean(), curve, np.log([START, *counts]))
                entry[f"{count} labels"]["worth"] = round(float(np.exp(alike) / count), 2)
        for base in baselines:
            if name not in baselines:
                less_S = np.mean([values[name, c][PRIMARY] - values[base, c][PRIMARY] for c in counts], axis=0)
                entry[f"{PRIMARY}, all counts, less {base}"] = {
                    "interval": interval(less_S),
                    "corrected": interval(less_S, len(names) - len(baselines)),
                }
        found[name] = entry
    found["errors_found"] = {
        f"{count} labels": {
            by: {f: round(float(np.mean([r[f"errors {count}"][by][f] for r in runs])), 4) for f in figures_of}
            for by, figures_of in runs[0][f"errors {count}"].items()
        }
        for count in counts
    }
    return found


@dataclass(frozen=True)
class Everything:
    """Judged documents of all three judges with the features of edu; ids and texts beside them."""

    judged: JudgedFeatures
    ids_N: np.ndarray
    texts_N: np.ndarray


def read_judged(data: Path) -> Everything:
    """All judged documents that have a label."""
    from jql.annotator.features import Features
    from jql.encoder.encoder import load_encoder
    from jql.encoder.named import encoder_spec

    rows: list[tuple[int, dict[str, Any]]] = []
    for judge, file in enumerate(FILES.values()):
        table = pq.read_table(data / "judged" / f"{file}.parquet", columns=["id", "text", "language", "score"])
        rows += [(judge, row) for row in table.to_pylist() if row["score"] is not None and row["text"].strip()]
    texts = [row["text"] for _, row in rows]
    dense_ND, ngrams_NV = Features().of(texts, load_encoder(encoder_spec("multilingual-static")))
    judged = JudgedFeatures(
        judges=list(FILES),
        dense_ND=dense_ND,
        ngrams_NV=ngrams_NV,
        labels_N=np.array([float(row["score"]) for _, row in rows]),
        judge_N=np.array([judge for judge, _ in rows]),
        languages_N=np.array([row["language"] for _, row in rows], object),
    )
    return Everything(judged, np.array([row["id"] for _, row in rows], object), np.array(texts, object))


def make_pool(everything: Everything, judge: int) -> Pool:
    """One judge's documents; the heads of the other judges are trained on their own."""
    judged = everything.judged
    own, theirs = np.flatnonzero(judged.judge_N == judge), np.flatnonzero(judged.judge_N != judge)
    others = judged.take(theirs)
    left = sorted(set(others.judge_N.tolist()))
    others = replace(others, judges=[judged.judges[j] for j in left], judge_N=np.searchsorted(left, others.judge_N))
    settings = replace(HEAD, members=MEMBERS, ngram_share=NGRAMS)
    heads, _ = fit_heads(others, None, settings, [settings.epochs] * MEMBERS)
    mine = judged.take(own)
    return Pool(
        judged=replace(mine, judges=[judged.judges[judge]], judge_N=np.zeros(len(own), np.int64)),
        gram_NN=(mine.ngrams_NV @ mine.ngrams_NV.T).toarray().astype(np.float64),
        others_NH=heads.points(mine.dense_ND, mine.ngrams_NV),
        names_N=np.array([document_name(id) for id in everything.ids_N[own]], np.uint64),
        texts_N=np.array([document_name(text) for text in everything.texts_N[own]], np.uint64),
        sources_N=everything.ids_N[own],
    )


def learning(pool: Pool, counts: Sequence[int], names: Sequence[str], seeds: int) -> dict[str, Any]:
    """The learning curves of a collection."""
    runs = []
    # Seeds 0 to 12 were used up when strategies were picked: disagreement of judges seemed .0065 [.003, .010] better
    # than random there, which did not come again on fresh ones.
    for seed in range(100, 100 + seeds):
        runs.append(curves(pool, counts, names, seed))
        print(f"seed {seed}", file=sys.stderr, flush=True)
    here = {
        "documents": len(pool.names_N),
        "languages": len(set(pool.judged.languages_N.tolist())),
        "seeds": seeds,
        "other_judges_spearman": [round(spearman(o, pool.judged.labels_N) or 0.0, 3) for o in pool.others_NH.T],
    }
    return {**here, **summary(runs, counts, names)}


def majority(answers_A: np.ndarray) -> float:
    """The most frequent answer, the median where several are."""
    values, counts = np.unique(answers_A, return_counts=True)
    most = values[counts == counts.max()]
    return float(most[0] if len(most) == 1 else np.median(answers_A))


def second_look(data: Path) -> dict[str, Any]:
    """Whether a label is less reliable where the five answers of one judge differ.

    Every order of a document's answers counts; documents are resampled. A change is a point or more, but for `pair`.
    beside: the label is one answer, a second is compared with it, three others are the second look (majority).
    apart: the label is one answer, two others are compared, two more are the second look (mean): what answers tell of
    the document, and not of the very answer that is the label.
    three: the label is the majority of three answers, which differ or do not; two others are the second look (mean).
    pair: the label is the mean of two answers; points between it and the mean of the other three.
    """
    from itertools import permutations

    rows = pq.read_table(data / "judged/multi26.parquet", columns=["text", "scores"]).to_pylist()
    answers = [r["scores"] for r in {row["text"]: row for row in rows}.values() if None not in r["scores"]]
    tallies: dict[str, list[np.ndarray]] = {name: [] for name in ("beside", "apart", "three", "pair")}
    for scores in answers:
        tally = {name: np.zeros((2, 2)) for name in tallies}  # differ or not; how many, how much
        for a, b, c, d, e in permutations(scores):
            for name, differ, change in (
                ("beside", a != b, abs(a - majority(np.array([c, d, e]))) >= 1),
                ("apart", b != c, abs(a - (d + e) / 2) >= 1),
                ("three", not a == b == c, abs(majority(np.array([a, b, c])) - (d + e) / 2) >= 1),
                ("pair", a != b, abs((a + b) / 2 - (c + d + e) / 3)),
            ):
                tally[name][int(differ)] += 1, float(change)
        for name, found in tally.items():
            tallies[name].append(found)
    draw = np.random.default_rng(0)
    counts_RN = draw.multinomial(len(answers), np.full(len(answers), 1 / len(answers)), size=1000)
    found = {}
    for name, tally in tallies.items():
        tally_N22 = np.array(tally)
        drawn_R22 = np.einsum("rn,nij->rij", counts_RN, tally_N22)
        whole, means_R = tally_N22.sum(0), drawn_R22[:, :, 1] / drawn_R22[:, :, 0]
        alike, differ = whole[:, 1] / whole[:, 0]
        ends = np.quantile(means_R[:, 1] - means_R[:, 0], (0.025, 0.975))
        found[name] = {
            "differing": round(float(whole[1, 0] / whole[:, 0].sum()), 3),
            "change_all": round(float(whole[:, 1].sum() / whole[:, 0].sum()), 3),
            "change_where_alike": round(float(alike), 3),
            "change_where_differing": round(float(differ), 3),
            "more": [round(float(v), 3) for v in (differ - alike, *ends)],
        }
    return {"documents": len(answers), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", choices=["web", "english", "second_look"], action="append")
    options = parser.parse_args()
    target = ROOT / "benchmarks/results/next_label.json"
    results = json.loads(target.read_text()) if target.is_file() else {}
    results["benchmark"], results["date"] = "next_label", time.strftime("%Y-%m-%d")
    results["machine"], results["load_before"] = machine(), round(os.getloadavg()[0], 1)
    results["command"] = f"OMP_NUM_THREADS=1 python benchmarks/next_label.py DATA --seeds {options.seeds}"
    wanted = options.only or ["web", "english", "second_look"]
    found = read_judged(options.data) if {"web", "english"} & set(wanted) else None
    for name in wanted:
        begun, used = time.monotonic(), time.process_time()
        if name == "second_look":
            results[name] = second_look(options.data)
        else:
            names = [s for s in STRATEGIES if name == "web" or s != "random"]  # the same where there is one language
            pool = make_pool(found, list(FILES).index(name))
            results[name] = learning(pool, COUNTS[name], names, options.seeds)
        results[name]["seconds"] = round(time.monotonic() - begun)
        results[name]["cpu_seconds"] = round(time.process_time() - used)
        target.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: results[name] for name in wanted}))


if __name__ == "__main__":
    main()
