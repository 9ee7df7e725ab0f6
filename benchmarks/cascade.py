"""The cascade's bound on two real annotators: whether it holds as often as promised, and what is saved.

    OMP_NUM_THREADS=1 python benchmarks/cascade.py DATA [--resamples 300]

DATA holds web/ and judged/. Two annotators score the pages of web/: `edu` as shipped, and a ridge on character n-grams
trained on judged/web38; pages either was trained on are left out. A third is `edu`'s embedding without its n-grams.
The pages of a language (and those of all languages together) are taken for the whole language, so that the true loss
of a threshold is known. From them samples are drawn with replacement, a threshold is made of each, and its true loss
is compared with the tolerance. A language that is refused loses nothing and saves nothing.

Writes benchmarks/results/cascade.json and prints one JSON line.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from heuristics_agreement import machine
from scipy.stats import binom, binomtest, spearmanr

from jql.annotator.cascade_bound import bound_of, kept_by

ROOT = Path(__file__).resolve().parent.parent
CONFIDENCE = 0.95
QUANTILES, TOLERANCES, SAMPLES = (0.6, 0.7), (0.01, 0.05), (1000, 2000, 5000, 20000)
FEWEST = 300
"""Pages of a language, below which it is left out."""
ALL = "all languages"


@dataclass(frozen=True)
class Language:
    """Scores of the pages of one language, by annotator: float64 (N, H)."""

    name: str
    scores: dict[str, np.ndarray]


@dataclass(frozen=True)
class Trial:
    """A first annotator before a second whose heads vote by a rule."""

    first: str
    second: str
    rule: str = "all"
    quantiles: tuple[float, ...] = QUANTILES
    samples: tuple[int, ...] = SAMPLES
    part: float = 1.0  # of the resamples


TRIALS = {
    "n-grams before edu": Trial("n-grams", "edu"),
    "edu before n-grams": Trial("edu", "n-grams"),
    "edu's embedding before edu": Trial("embedding", "edu", samples=(2000, 20000), part=1 / 3),
    "n-grams before three heads, all": Trial("n-grams", "judges", "all", samples=(5000, 20000), part=1 / 3),
    "n-grams before three heads, majority": Trial("n-grams", "judges", "majority", (0.7,), (5000,), 1 / 3),
    "n-grams before three heads, any": Trial("n-grams", "judges", "any", (0.7,), (5000,), 1 / 3),
    "n-grams before three heads, mean": Trial("n-grams", "judges", "mean", (0.7,), (5000,), 1 / 3),
}


def score_pages(data: Path) -> list[Language]:
    """Languages with their scores, by name, and all of them as one at the end."""
    from sklearn.linear_model import Ridge

    from jql.annotator.annotator import Annotator
    from jql.annotator.ngrams import ngrams

    annotator = Annotator.load("edu")
    encoder, read = annotator.encoder(), annotator.features.read
    judged = pq.read_table(data / "judged/web38.parquet", columns=["id", "text", "score"]).to_pylist()
    judged = [row for row in judged if row["score"] is not None and row["text"].strip()]
    ridge = Ridge(alpha=0.5, solver="sparse_cg")  # as the n-grams of benchmarks/annotator.py
    ridge.fit(ngrams([read(row["text"]) for row in judged]), [row["score"] for row in judged])
    seen = {row["id"] for row in judged}
    languages = []
    for file in sorted((data / "web").glob("*.parquet")):
        rows = pq.read_table(file, columns=["id", "text"]).to_pylist()
        texts = [row["text"] for row in rows if row["id"] not in seen]
        if len(texts) < FEWEST:
            continue
        parts = []
        for at in range(0, len(texts), 256):
            dense_ND, ngrams_NV = annotator.features.of(texts[at : at + 256], encoder)
            points_NH, bare_NH = (annotator.trained.points(dense_ND, part) for part in (ngrams_NV, None))
            parts.append(np.column_stack([ridge.predict(ngrams_NV), bare_NH[:, 0], points_NH]).astype(np.float64))
        scores_NS = np.concatenate(parts)
        columns = {"n-grams": [0], "embedding": [1], "edu": [2], "judges": [3, 4, 5]}
        languages.append(Language(file.stem, {name: scores_NS[:, which] for name, which in columns.items()}))
    pooled = {name: np.concatenate([la.scores[name] for la in languages]) for name in languages[0].scores}
    return [*languages, Language(ALL, pooled)]


def measure(language: Language, trial: Trial, resamples: int, seed: int) -> dict[str, Any]:
    """Of one language: the rank correlation, and by setting what is possible, lost and saved."""
    order = np.argsort(language.scores[trial.second][:, 0], kind="stable")  # samples then sort fast
    first_N, second_NH = language.scores[trial.first][order, 0], language.scores[trial.second][order]
    n, sorted_N = len(first_N), np.sort(first_N)
    kept = {q: np.sort(first_N[kept_by(second_NH, q, trial.rule)]) for q in trial.quantiles}
    found: dict[str, Any] = {"spearman": float(spearmanr(first_N, second_NH.mean(axis=1)).statistic)}
    settings = [(q, tolerance) for q in trial.quantiles for tolerance in TOLERANCES]
    for q, tolerance in settings:
        best = kept[q][int(np.floor(tolerance * len(kept[q])))]
        found[label(q, tolerance)] = float(np.searchsorted(sorted_N, best) / n)
    rng = np.random.default_rng(seed)
    outcomes: dict[tuple[str, int], list[tuple[float, float, float, float]]] = {}
    for sample in trial.samples:
        for _ in range(resamples):
            rows = np.repeat(np.arange(n), np.bincount(rng.integers(n, size=sample), minlength=n))
            first, second = first_N[rows], second_NH[rows]
            for q, tolerance in settings:
                bound = bound_of(first, second, q, trial.rule, tolerance, CONFIDENCE)
                below = -np.inf if bound.threshold is None else bound.threshold
                loss = np.searchsorted(kept[q], below) / len(kept[q])
                saved = np.searchsorted(sorted_N, below) / n
                row = (bound.threshold is None, loss > tolerance, saved, loss)
                outcomes.setdefault((label(q, tolerance), sample), []).append(row)
    found["outcomes"] = {key: np.array(rows, float) for key, rows in outcomes.items()}
    return found


def label(quantile: float, tolerance: float) -> str:
    """A setting in words."""
    return f"quantile {quantile}, tolerance {tolerance}"


def interval(failed: int, of: int) -> list[float]:
    """A share and its 95 % interval (Clopper-Pearson)."""
    limits = binomtest(failed, of).proportion_ci(0.95, "exact")
    return [round(float(v), 4) for v in (failed / of, limits.low, limits.high)]


def spread(values: list[float]) -> list[float]:
    """Mean, least and most."""
    return [round(float(v), 3) for v in (np.mean(values), np.min(values), np.max(values))]


def summary(found: dict[str, dict[str, Any]], resamples: int) -> dict[str, Any]:
    """Over languages, each counting alike; all languages as one beside them."""
    alone = {name: entry for name, entry in found.items() if name != ALL}
    result: dict[str, Any] = {
        "resamples": resamples,
        "spearman": spread([entry["spearman"] for entry in alone.values()]),
        "spearman_all_languages": round(found[ALL]["spearman"], 3),
    }
    for setting, sample in found[ALL]["outcomes"]:
        rows = {name: entry["outcomes"][setting, sample] for name, entry in found.items()}
        failed = {name: int(rows[name][:, 1].sum()) for name in alone}
        worst = max(failed, key=lambda name: failed[name])
        mean = {name: rows[name].mean(axis=0) for name in rows}
        entry = result.setdefault(setting, {})
        entry["oracle_saved"] = spread([alone[name][setting] for name in alone])
        entry["oracle_saved_all_languages"] = round(found[ALL][setting], 3)
        entry[f"sample {sample}"] = {
            "failed": interval(sum(failed.values()), len(alone) * resamples),
            "failed_worst_language": [worst, *interval(failed[worst], resamples)],
            "failed_all_languages": interval(int(rows[ALL][:, 1].sum()), resamples),
            "refused": round(float(np.mean([mean[name][0] for name in alone])), 4),
            "saved": spread([mean[name][2] for name in alone]),
            "saved_all_languages": round(float(mean[ALL][2]), 3),
            "true_loss": round(float(np.mean([mean[name][3] for name in alone])), 4),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--resamples", type=int, default=300)
    options = parser.parse_args()
    load, begun, used = os.getloadavg()[0], time.monotonic(), time.process_time()
    languages = score_pages(options.data)
    results: dict[str, Any] = {
        "benchmark": "cascade",
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "load_before": round(load, 1),
        "command": f"OMP_NUM_THREADS=1 python benchmarks/cascade.py DATA --resamples {options.resamples}",
        "pages": len(languages[-1].scores["edu"]),
        "languages": len(languages) - 1,
        "confidence": CONFIDENCE,
        "seconds": {"scoring": round(time.monotonic() - begun)},
    }
    failed, highest = [], 0.0
    for name, trial in TRIALS.items():
        started, resamples = time.monotonic(), round(options.resamples * trial.part)
        found = {la.name: measure(la, trial, resamples, seed) for seed, la in enumerate(languages)}
        results[name] = summary(found, resamples)
        cells = [int(rows[:, 1].sum()) for entry in found.values() for rows in entry["outcomes"].values()]
        failed += [(count, resamples) for count in cells]
        highest = max(highest, max(cells) / resamples)
        results["seconds"][name] = round(time.monotonic() - started)
        print(f"{name}: {results['seconds'][name]} s", file=sys.stderr, flush=True)
    over = [count > (1 - CONFIDENCE) * of for count, of in failed]
    chance = [binom.sf(np.floor((1 - CONFIDENCE) * of + 1e-9), of, 1 - CONFIDENCE) for _, of in failed]
    results["cells"] = {
        "what": "a language (or all), a pair, a quantile, a tolerance and a size of the sample",
        "number": len(failed),
        "highest_failed": round(highest, 4),
        "failed_more_than_promised": sum(over),
        "expected_if_each_failed_just_as_promised": round(float(sum(chance))),
    }
    results["seconds"]["cpu"] = round(time.process_time() - used)
    target = ROOT / "benchmarks/results/cascade.json"
    target.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
