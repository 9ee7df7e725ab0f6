"""How right `selection.py`'s cuts and predictions are: rank error of cuts, coverage of intervals, error of budgets."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jql.annotator.histogram import BINS, MEASURES, RANK_ERROR, Bins, Histograms
from jql.recipe import Cut, Mixture, Select
from jql.select.cuts import quantile_cut
from jql.select.outlook import Outlook
from jql.select.sample import drawn

QUANTILES = (0.5, 0.6, 0.7, 0.9)
CHUNK = 1_000_000
ROOT = Path(__file__).resolve().parent.parent


def isotonic(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An isotonic map fitted to 2,000 labels of 0 to 5, as calibration would without its slope: flat in between."""
    from sklearn.isotonic import IsotonicRegression

    scores = rng.standard_normal(2000)
    labels = np.clip(np.round(1.5 + scores + rng.standard_normal(2000)), 0, 5)
    fitted = IsotonicRegression(out_of_bounds="clip").fit(scores, labels)
    return fitted.X_thresholds_, fitted.y_thresholds_


def shapes() -> dict[str, Any]:
    """Name -> scores of a shape, float32 (N,), from a generator and N."""
    knots = isotonic(np.random.default_rng(1))
    return {
        "normal, sd 0.1": lambda rng, n: 1.5 + 0.1 * rng.standard_normal(n),
        "normal, sd 0.3": lambda rng, n: 1.5 + 0.3 * rng.standard_normal(n),
        "normal, sd 1": lambda rng, n: 1.5 + rng.standard_normal(n),
        "skewed (gamma, sd 0.8)": lambda rng, n: 0.5 * rng.gamma(2.56, 1.0, n),
        "two modes": lambda rng, n: np.where(rng.random(n) < 0.65, 0.7, 3.2) + 0.4 * rng.standard_normal(n),
        "isotonic steps": lambda rng, n: np.interp(rng.standard_normal(n), *knots),
        "whole points, ties only": lambda rng, n: np.clip(np.round(1.5 + rng.standard_normal(n)), 0, 5),
    }


def rank_errors(scores_N: np.ndarray, counts_B: np.ndarray, bins: Bins) -> Iterator[dict[str, float]]:
    """For each quantile: how a cut from the histogram differs from the exact one.

    `documents`: share of them on which the two cuts differ. `below`: share that the cut drops. `ties`: share that
    scores exactly as the exact cut does, so that no cut can divide it.
    """
    ordered, n = np.sort(scores_N), len(scores_N)
    histograms = Histograms(["score"], bins)
    histograms.counts["all"] = np.stack([counts_B] * 3)[:, None]
    for share in QUANTILES:
        cut = quantile_cut("all", "quantile", share, histograms)
        assert cut.values is not None
        value = cut.values[0].astype(np.float32)
        least = value if value >= cut.values[0] else np.nextafter(value, np.float32(np.inf))
        exact = ordered[int(share * n)]
        ours, its = np.searchsorted(ordered, [least, exact]) / n
        ties = np.searchsorted(ordered, exact, side="right") / n - its
        yield {"documents": abs(ours - its), "below": ours, "ties": ties, "said": cut.rank_error, "of": n}


def measure_ranks(rows: int, run: Path | None) -> dict[str, Any]:
    """Rank errors on made-up scores, and on those of a run, by language and of all languages."""
    bins, found = Bins(), {}
    for seed, (name, draw) in enumerate(shapes().items()):
        rng, counts_B, pieces = np.random.default_rng(seed), np.zeros(BINS, np.int64), []
        for at in range(0, rows, CHUNK):
            pieces.append(draw(rng, min(CHUNK, rows - at)).astype(np.float32))
            counts_B += np.bincount(bins.of(pieces[-1]), minlength=len(counts_B))
        found[name] = _told(list(rank_errors(np.concatenate(pieces), counts_B, bins)))
    result: dict[str, Any] = {"made_up": {"documents": rows, **found}, "promised": RANK_ERROR}
    if run is not None:
        result["real"] = _real_ranks(Outlook.of_run(str(run)))
    return result


def _real_ranks(full: Outlook) -> dict[str, Any]:
    """Of every head, in each language and in all of them as one; the sample is everything."""
    counted = full.sample.column("representative").to_numpy(zero_copy_only=False) & np.isfinite(full.points).all(axis=1)
    bins, by_language, pooled = full.histograms.bins, [], []
    for h in range(len(full.histograms.heads)):
        for place, name in enumerate(full.names):
            scores = full.points[counted & (full.codes == place), h]
            counts_B = full.histograms.counts[name][0, h]
            assert counts_B.sum() == len(scores), f"{name}: the histogram counts other documents"
            by_language += rank_errors(scores, counts_B, bins)
        every = sum(counts[0, h] for counts in full.histograms.counts.values())
        pooled += rank_errors(full.points[counted, h], every, bins)
    large = [entry for entry in by_language if entry["of"] >= 200]
    return {
        "documents": int(counted.sum()),
        "heads": len(full.histograms.heads),
        "languages": len(full.names),
        "languages_of_200_or_more": _told(large),
        "in_documents_at_most": max(round(entry["documents"] * entry["of"]) for entry in by_language),
        "all_languages_as_one": _told(pooled),
    }


def _told(errors: list[dict[str, float]]) -> dict[str, Any]:
    """Mean and largest error; and apart, at cuts where many documents tie."""
    tied = [entry for entry in errors if entry["ties"] > RANK_ERROR]
    free = [entry for entry in errors if entry["ties"] <= RANK_ERROR]
    told: dict[str, Any] = {"cuts": len(errors)}
    for name, entries in {"": free, "tied_": tied}.items():
        if entries:
            values = [entry["documents"] for entry in entries]
            told |= {f"{name}mean": _round(np.mean(values)), f"{name}most": _round(max(values))}
    told |= {"said_at_most": _round(max(entry["said"] for entry in errors)), "tied_cuts": len(tied)}
    told["more_than_said"] = sum(bool(entry["documents"] > entry["said"] + 1 / entry["of"]) for entry in errors)
    return told


def _round(value: Any) -> float:
    return float(f"{float(value):.2g}")


def full_run(data: Path, folder: Path) -> Path:
    """A run over real documents whose sample is everything; one that is there is taken up."""
    command = [sys.executable, "-m", "jql", "run", str(ROOT / "pipelines/demo.yaml"), f"output={folder}"]
    command += ["stages=[dedup,annotate,select]", f"documents.path={data}", "engine.backend=inline", "crawl.input=[]"]
    subprocess.run([*command, "select.sample=1000000000"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return folder


def redrawn(full: Outlook, most: int, seed: int) -> Outlook:
    """As the select stage would have drawn about so many documents of each language with this seed."""
    totals = {name: full.histograms.totals(name)["documents"] for name in full.names}
    rates_N = np.array([min(1.0, most / max(1, totals[name])) for name in full.names])[full.codes]
    rows = drawn(full.sample.column("cluster").to_numpy(), seed, rates_N)
    sample = full.sample.drop_columns(["rate"]).append_column("rate", pa.array(rates_N)).filter(pa.array(rows))
    return Outlook(full.histograms, sample, full.annotator)


def truth(full: Outlook, kept_N: np.ndarray) -> np.ndarray:
    """int64 (L, M): what is kept of each language."""
    sizes = [np.ones(len(kept_N)), *(full.sample.column(m).fill_null(0).to_numpy() for m in MEASURES[1:])]
    return np.stack([np.bincount(full.codes, size * kept_N, len(full.names)) for size in sizes], axis=1)


def measure_predictions(run: Path, resamples: int) -> dict[str, Any]:
    """Coverage of the intervals and error of the estimates over samples drawn anew, and of token budgets."""
    full = Outlook.of_run(str(run))
    summary = json.loads((run / "summary.json").read_text())
    heads = tuple(json.loads((run / "cuts.json").read_text())["heads"])
    found: dict[str, Any] = {"documents": full.sample.num_rows, "languages": len(full.names), "resamples": resamples}
    found |= {"rule": "all", "heads": len(heads), "run_kept": summary["total"]["kept"]}
    for quantile in (0.6, 0.7):
        wish = Select(quantile=quantile, heads=heads)
        cuts = full.cuts(wish)
        kept_LM = truth(full, full.kept(wish, cuts))
        if quantile == summary_quantile(run):
            assert kept_LM[:, 0].sum() == summary["total"]["kept"], "what is called truth is not what the run decided"
        large = np.array([cuts.languages[name].values is not None for name in full.names])
        totals_L = np.array([full.histograms.totals(name)["documents"] for name in full.names])
        joint_L = kept_LM[large, 0] / totals_L[large]
        entry: dict[str, Any] = {"nominal": round(1 - quantile, 3), "joint": _spread(joint_L)}
        for most in (100, 300):
            entry[f"sample {most}"] = _coverage(full, wish, kept_LM, large, most, resamples)
        found[f"quantile {quantile}"] = entry
    found["budgets"] = _budgets(full, heads, max(2, resamples // 20))
    return found


def summary_quantile(run: Path) -> float:
    """The quantile that the run cut at."""
    return float(json.loads((run / "cuts.json").read_text())["quantile"])


def _coverage(
    full: Outlook, wish: Select, kept_LM: np.ndarray, large: np.ndarray, most: int, resamples: int
) -> dict[str, Any]:
    """How many intervals hold the truth, and how wide they are, by measure; of all languages together as well."""
    inside = np.zeros((resamples, *kept_LM.shape), bool)
    error, width = (np.zeros(inside.shape) for _ in range(2))
    total = np.zeros((resamples, len(MEASURES), 3))
    for seed in range(resamples):
        outlook = redrawn(full, most, seed + 1)
        told = outlook.predict(wish, outlook.cuts(wish), full.names)
        for m, measure in enumerate(MEASURES):
            values_L3 = np.array([told["languages"][name][measure] for name in full.names], float)
            inside[seed, :, m] = (values_L3[:, 1] <= kept_LM[:, m]) & (kept_LM[:, m] <= values_L3[:, 2])
            error[seed, :, m] = values_L3[:, 0] / np.maximum(1, kept_LM[:, m]) - 1
            width[seed, :, m] = (values_L3[:, 2] - values_L3[:, 1]) / 2 / np.maximum(1, kept_LM[:, m])
            total[seed, m] = told["total"][measure]
    result = {}
    for m, measure in enumerate(MEASURES):
        every = kept_LM[:, m].sum()
        low, high = total[:, m, 1], total[:, m, 2]
        result[measure] = {
            "covered": round(float(inside[:, large, m].mean()), 4),
            "covered_worst_language": round(float(inside[:, large, m].mean(axis=0).min()), 3),
            "half_width": round(float(width[:, large, m].mean()), 4),
            "error_rms": round(float(np.sqrt((error[:, large, m] ** 2).mean())), 4),
            "bias": round(float(error[:, large, m].mean()), 4),
            "total_covered": round(float(((low <= every) & (every <= high)).mean()), 4),
            "total_error_rms": round(float(np.sqrt(((total[:, m, 0] / every - 1) ** 2).mean())), 4),
        }
    return result


def _budgets(full: Outlook, heads: tuple[str, ...], resamples: int) -> dict[str, Any]:
    """Tokens that are kept of the whole for a budget whose cut was found on a sample, against those asked for."""
    tokens = {name: full.histograms.totals(name)["tokens"] for name in full.names}
    codes = [name for name in full.names if full.histograms.totals(name)["documents"] >= 200]
    found: dict[str, Any] = {"resamples": resamples, "languages": len(codes)}
    for share in (0.1, 0.3):
        asked = np.array([int(share * tokens[code]) for code in codes])
        wishes = {code: Cut(tokens=int(n)) for code, n in zip(codes, asked, strict=True)}
        for most in (300, 10**9):
            errors, totals = [], []
            for seed in range(resamples if most < 10**9 else 1):
                kept = _kept_tokens(full, redrawn(full, most, seed + 1), Select(languages=wishes, heads=heads), codes)
                errors.append(kept / asked - 1)
                totals.append(kept.sum() / asked.sum() - 1)
            name = f"{share:.0%} of each language's tokens, " + ("all documents" if most == 10**9 else f"sample {most}")
            found[name] = {"error": _spread(np.concatenate(errors)), "rms": _round(np.sqrt(np.mean(np.square(errors))))}
            found[name]["total_error"] = _spread(np.array(totals))
    total = int(0.1 * sum(tokens[code] for code in codes))
    mixture = Mixture(tokens=total, alpha=0.5, epochs=4.0)
    outlook = redrawn(full, 300, 1)
    kept = _kept_tokens(full, outlook, Select(mixture=mixture, heads=heads), full.names)
    found["mixture of 10 %, alpha 0.5, sample 300"] = {"asked": total, "kept": int(kept.sum())}
    return found


def _kept_tokens(full: Outlook, outlook: Outlook, wish: Select, codes: list[str]) -> np.ndarray:
    """float64 (L,): tokens of the whole that the cuts found on a sample keep."""
    kept_LM = truth(full, full.kept(wish, outlook.cuts(wish)))
    return kept_LM[[full.names.index(code) for code in codes], 2]


def _spread(values: np.ndarray) -> list[float]:
    """Mean, least and most."""
    return [round(float(v), 4) for v in (values.mean(), values.min(), values.max())]
