"""How well `edu`'s way of training meets judgments it has not seen, against n-grams and fastText; speed on one core.

    python benchmarks/annotator.py DATA [--only agreement|unseen|invariance|length|speed]

DATA holds judged/, parallel/ and web/ (see jql train and jql encoder train for their columns). Five folds by source
document; baselines are trained on the same folds. Writes benchmarks/results/annotator.json and prints one JSON line.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
FILES = {"web": "web38", "llama3": "fineweb_edu_en", "llama31": "multi26"}
FOLDS = 5
LEFT_OUT = {"kat_Geor", "ukr_Cyrl", "tur_Latn", "eus_Latn", "mlt_Latn", "gle_Latn"}


def judgments(data: Path) -> Any:
    """All judged documents with the features of the recipe."""
    from jql.annotator.features import Features
    from jql.annotator.judgments import Judgments
    from jql.annotator.reading import window
    from jql.annotator.train import features_of
    from jql.encoder.encoder import load_encoder
    from jql.encoder.named import encoder_spec
    from jql.recipe import load_recipe

    part = load_recipe(str(ROOT / "pipelines/train_edu.yaml")).train
    rows: list[tuple[int, dict[str, Any]]] = []
    for j, file in enumerate(FILES.values()):
        found = pq.read_table(
            data / "judged" / f"{file}.parquet", columns=["id", "text", "language", "score"]
        ).to_pylist()
        rows += [(j, row) for row in found if row["score"] is not None and row["text"].strip()]
    texts = [row["text"] for _, row in rows]
    features = features_of(part)
    dense = Features(chars=features.chars, surface=features.surface, ngrams=False)
    encoder = load_encoder(encoder_spec(part.encoder))
    dense_ND = np.concatenate([dense.of(texts[at : at + 256], encoder)[0] for at in range(0, len(texts), 256)])
    return Judgments(
        judges=list(FILES),
        judge_N=np.array([j for j, _ in rows]),
        labels_N=np.array([float(row["score"]) for _, row in rows]),
        languages_N=np.array([row["language"] for _, row in rows], object),
        sources_N=np.array([row["id"] for _, row in rows], object),
        chars_N=np.array([len(text) for text in texts]),
        dense_ND=dense_ND,
        texts=[window(text, part.chars) for text in texts],
        dropped={},
        origins={},
    )


def fold_of(sources_N: np.ndarray) -> np.ndarray:
    """Int (N,): fold of each document, by its source."""
    import xxhash

    return np.array([xxhash.xxh3_64_intdigest(s.encode()) % FOLDS for s in sources_N.tolist()])


def translations(data: Path, leave_out: tuple[str, ...] = ()) -> Any:
    """Translated documents as the recipe uses them, without those of more languages."""
    from jql.annotator.train import features_of
    from jql.annotator.translations import translated_documents, translated_features
    from jql.encoder.encoder import load_encoder
    from jql.encoder.named import encoder_spec
    from jql.recipe import load_recipe

    part = load_recipe(str(ROOT / "pipelines/train_edu.yaml")).train
    pairs = translated_documents(data / "parallel", (*part.leave_out, *leave_out), 0)
    return translated_features(pairs, features_of(part), load_encoder(encoder_spec(part.encoder)))


def points_of(train: Any, test: Any, translated: Any) -> dict[str, np.ndarray]:
    """Head -> scores of the test documents, trained as the recipe says."""
    from dataclasses import replace

    from jql.annotator.train import head_settings
    from jql.annotator.train_heads import fit_heads
    from jql.recipe import load_recipe

    part = load_recipe(str(ROOT / "pipelines/train_edu.yaml")).train
    settings = head_settings(part, 0)
    heads, _ = fit_heads(train, None, settings, [settings.epochs] * settings.members, translated)
    heads = replace(heads, combinations=part.combine)
    points = heads.points(test.dense_ND, test.ngrams_NV)
    return {name: points[:, i] for i, name in enumerate(heads.all_names)}


def ngram_baseline(train: Any, test: Any) -> np.ndarray:
    """Scores of each judge's own ridge on character n-grams."""
    from sklearn.linear_model import Ridge

    found = np.zeros(len(test.labels_N))
    for j in range(len(train.judges)):
        own, here = np.flatnonzero(train.judge_N == j), np.flatnonzero(test.judge_N == j)
        if len(own) and len(here):
            ridge = Ridge(alpha=0.5, solver="sparse_cg").fit(train.ngrams_NV[own], train.labels_N[own])
            found[here] = ridge.predict(test.ngrams_NV[here])
    return found


FASTTEXT = """
import json, sys, fasttext, numpy as np
train, test, out = sys.argv[1:]
# A matrix over 32 MiB comes from fresh pages; smaller ones are trained from uninitialised memory in this version.
model = fasttext.train_supervised(input=train, epoch=25, lr=0.3, wordNgrams=2, dim=64, bucket=200000, minn=2, maxn=4,
                                  minCount=2, thread=1, seed=0, verbose=0)
assert np.isfinite(model.get_input_matrix()).all()
if out.endswith(".bin"):
    model.save_model(out)
else:
    scores = []
    for line in open(test, encoding="utf-8"):
        labels, shares = model.predict(line.rstrip("\\n"), k=-1)
        scores.append(float(sum(float(l[9:]) * p for l, p in zip(labels, shares)) / sum(shares)))
    json.dump(scores, open(out, "w"))
"""


def fasttext_baseline(texts: list[str], labels: np.ndarray, tests: list[str]) -> np.ndarray:
    """Expected label of a fastText classifier over whole points, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        train, test, out = (Path(folder) / name for name in ("train.txt", "test.txt", "scores.json"))
        flat = [" ".join(text.lower().split()) for text in texts]
        lines = [f"__label__{int(np.floor(y + 0.5))} {t}" for t, y in zip(flat, labels, strict=True)]
        train.write_text("\n".join(lines) + "\n", encoding="utf-8")
        test.write_text("\n".join(" ".join(t.lower().split()) for t in tests) + "\n", encoding="utf-8")
        subprocess.run([sys.executable, "-c", FASTTEXT, train, test, out], check=True)
        return np.array(json.loads(out.read_text()))


def agreement(data: Path) -> dict[str, Any]:
    """Five folds: Spearman with unseen judgments, paired with the n-gram baseline; fastText beside it."""
    from jql.agreement.evaluate import compare, evaluate
    from jql.annotator.ngrams import ngrams
    from jql.annotator.train_heads import JudgedFeatures

    found = judgments(data)
    judged = JudgedFeatures(
        found.judges, found.dense_ND, ngrams(found.texts), found.labels_N, found.judge_N, found.languages_N
    )
    fold_N, translated = fold_of(found.sources_N), translations(data)
    scores = {name: np.zeros(len(fold_N)) for name in ("edu", *FILES, "ngrams", "fasttext")}
    for fold in range(FOLDS):
        train, test = np.flatnonzero(fold_N != fold), np.flatnonzero(fold_N == fold)
        for name, points in points_of(judged.take(train), judged.take(test), translated).items():
            scores[name][test] = points
        scores["ngrams"][test] = ngram_baseline(judged.take(train), judged.take(test))
        for j in range(len(found.judges)):
            own, here = train[found.judge_N[train] == j], test[found.judge_N[test] == j]
            texts = [found.texts[i] for i in own], found.labels_N[own], [found.texts[i] for i in here]
            scores["fasttext"][here] = fasttext_baseline(*texts)
        print(f"fold {fold + 1} of {FOLDS}", file=sys.stderr, flush=True)
    results: dict[str, Any] = {}
    for j, judge in enumerate(found.judges):
        rows = np.flatnonzero(found.judge_N == j)
        here = (found.labels_N[rows], found.languages_N[rows].tolist(), found.sources_N[rows].tolist())
        lengths = found.chars_N[rows].tolist()
        results[judge] = {"documents": len(rows)}
        for name in ("edu", judge, "ngrams", "fasttext"):
            entry = evaluate(scores[name][rows], *here, lengths)
            label = "own head" if name == judge else name
            kept = {g: entry[g]["figures"] for g in ("pooled", "macro")}
            results[judge][label] = {
                group: {f: figures[f] for f in ("spearman", "spearman_given_length", "mae", "precision_top_10")}
                for group, figures in kept.items()
            }
            results[judge]["length only"] = kept["pooled"]["spearman_of_length"]
        for name in ("edu", judge):
            paired = compare(scores[name][rows], scores["ngrams"][rows], *here, lengths)
            label = "own head" if name == judge else name
            results[judge][f"{label} less ngrams"] = {g: paired[g]["spearman"] for g in ("pooled", "macro")}
    return results


def unseen(data: Path) -> dict[str, Any]:
    """Languages left out of training whole: `edu` and the web head on their judgments, paired with n-grams."""
    from jql.agreement.evaluate import compare
    from jql.annotator.ngrams import ngrams
    from jql.annotator.train_heads import JudgedFeatures

    found = judgments(data)
    judged = JudgedFeatures(
        found.judges, found.dense_ND, ngrams(found.texts), found.labels_N, found.judge_N, found.languages_N
    )
    out_N = np.isin(found.languages_N.astype(str), sorted(LEFT_OUT))
    train, test = np.flatnonzero(~out_N), np.flatnonzero(out_N & (found.judge_N == 0))
    points, plain = (
        points_of(judged.take(train), judged.take(test), translations(data, tuple(LEFT_OUT))),
        ngram_baseline(judged.take(train), judged.take(test)),
    )
    here = (found.labels_N[test], found.languages_N[test].tolist(), found.sources_N[test].tolist())
    lengths = found.chars_N[test].tolist()
    results: dict[str, Any] = {"languages": sorted(LEFT_OUT), "documents": len(test)}
    for name in ("edu", "web"):
        paired = compare(points[name], plain, *here, lengths)
        results[name] = {group: paired[group]["spearman"] for group in ("pooled", "macro")}
    return results


def invariance(data: Path) -> dict[str, Any]:
    """The shipped `edu` on translations of held-out NTREX documents."""
    from jql.agreement.invariance import translation_invariance
    from jql.annotator.annotator import Annotator
    from jql.annotator.evaluate_annotator import read_parallel

    sides, _ = read_parallel(str(data / "parallel"), "ntrex", 500)
    annotator = Annotator.load("edu")
    scored = {language: annotator.score(texts) for language, texts in sides.items()}
    seen = {language: s for language, s in scored.items() if language not in ("arb_Arab", "tha_Thai", "cmn_Hani")}
    results: dict[str, Any] = {"documents": len(sides["eng_Latn"])}
    for head in annotator.heads:
        for label, chosen in (("seen", seen), ("all", scored)):
            entry = translation_invariance({language: s[head] for language, s in chosen.items()})
            results[f"{head}, {label}"] = {key: value for key, value in entry.items() if key != "languages"}
        if head == "edu":
            results["by language"] = entry["languages"]
    return results


def length(data: Path) -> dict[str, Any]:
    """Mean score of the same long documents when only a part is given, and when they are repeated."""
    from jql.annotator.annotator import Annotator

    texts = pq.read_table(data / "judged/fineweb_edu_en.parquet", columns=["text"]).column(0).to_pylist()
    texts = [text for text in texts if 6000 <= len(text) <= 20000][:300]
    annotator = Annotator.load("edu")
    whole = annotator.score(texts)["edu"]
    results: dict[str, Any] = {"documents": len(texts), "characters": "6,000 to 20,000", "whole": float(whole.mean())}
    for chars in (500, 1000, 2000, 3000, 6000):
        part = annotator.score([text[:chars] for text in texts])["edu"]
        results[f"first {chars}"] = float(part.mean())
    twice = annotator.score([f"{text}\n{text}\n{text}" for text in texts])["edu"]
    results["three times over"] = float(twice.mean())
    return {name: round(v, 3) if isinstance(v, float) else v for name, v in results.items()}


SPEED = """
import json, sys, time
begun = time.perf_counter()
import pyarrow.parquet as pq
from pathlib import Path
files = sorted(Path(sys.argv[1]).glob("*.parquet"))
texts = [t for f in files for t in pq.read_table(f, columns=["text"]).column(0).to_pylist()]
read = time.perf_counter()
if sys.argv[2] == "edu":
    from jql import Annotator
    annotator = Annotator.load("edu"); annotator.score(["warm"])
    loaded = time.perf_counter()
    scores = annotator.score(texts)["edu"]
else:
    import fasttext
    model = fasttext.load_model(sys.argv[2])
    loaded = time.perf_counter()
    scores = [model.predict(" ".join(t.lower().split()), k=-1) for t in texts]
done = time.perf_counter()
# Not ru_maxrss, which a process inherits from the one that started it.
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"documents": len(texts), "load_s": round(loaded - read, 2), "score_s": round(done - loaded, 2),
                  "total_s": round(done - read, 2),
                  "peak_mb": peak // 1024}))
"""


def speed(data: Path) -> dict[str, Any]:
    """All of web/ on one core, model load included; a fastText model of the same labels beside it. Best of 3."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    env["TOKENIZERS_PARALLELISM"] = "false"
    found = judgments(data)
    with tempfile.TemporaryDirectory() as folder:
        train, model = Path(folder) / "train.txt", Path(folder) / "model.bin"
        rows = np.flatnonzero(found.judge_N == 0)
        lines = [f"__label__{int(found.labels_N[i] + 0.5)} {' '.join(found.texts[i].lower().split())}" for i in rows]
        train.write_text("\n".join(lines) + "\n", encoding="utf-8")
        subprocess.run([sys.executable, "-c", FASTTEXT, train, train, model], check=True)
        results: dict[str, Any] = {}
        for name, which in (("edu", "edu"), ("fasttext", str(model))):
            command = ["taskset", "-c", "0", sys.executable, "-c", SPEED, str(data / "web"), which]
            runs = [
                json.loads(subprocess.run(command, check=True, env=env, capture_output=True).stdout) for _ in range(3)
            ]
            results[name] = min(runs, key=lambda run: run["total_s"])
            results[name]["runs_total_s"] = [run["total_s"] for run in runs]
    return results


PARTS = {"agreement": agreement, "unseen": unseen, "invariance": invariance, "length": length, "speed": speed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=list(PARTS), action="append")
    options = parser.parse_args()
    target = ROOT / "benchmarks/results/annotator.json"
    results = json.loads(target.read_text()) if target.is_file() else {}
    results["machine"] = (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    for name in options.only or PARTS:
        begun = time.monotonic()
        results[name] = PARTS[name](options.data)
        results[name]["seconds"] = round(time.monotonic() - begun)
        target.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: results[name] for name in options.only or PARTS}))


if __name__ == "__main__":
    main()
