"""Train the plain annotator on judged documents: ridge on character n-grams, one head per judge.

python -m jql.annotator.train_ngrams JUDGED_FOLDER annotators/edu-ngram
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge

from jql.annotator.annotator import Annotator
from jql.annotator.ngrams import NgramEncoder, NgramSpec

HEADS = {"llama": ("fineweb_edu_en", "multi26"), "web": ("web38",)}
ALPHA = 1.0
HELD_OUT = 10  # every tenth document is kept for the figures on the card

GOLDEN = [
    "Plants make sugar from water and carbon dioxide. The energy comes from light that the green leaf takes up.",
    "Buy now! Best prices, free delivery, click here to see all offers of the week.",
    "Ein Dreieck hat drei Ecken. Die Summe seiner Winkel beträgt in der Ebene immer 180 Grad.",
    "Köp nu, rea på alla skor! Gratis frakt.",
    "Hvorfor flyter is på vann? Fordi vann utvider seg når det fryser, blir isen lettere enn vannet rundt.",
    "Ξ",
    "",
]

RUBRIC = """\
name: edu
task: How useful is the document for teaching, from primary school to the first years of university?
scale:
  0: nothing of use
  1: some basic information on a topic, mixed with irrelevant matter
  2: touches on something teachable, disorganised or superficial
  3: usable in teaching, introduces key ideas coherently though incompletely
  4: clear, well organised and focused, like a section of a textbook
  5: outstanding, complete and thorough, with worked steps or exercises
"""


def main(judged: Path, target: Path) -> None:
    """Fit the heads, measure them on held-out documents, refit on everything, write the annotator's folder."""
    spec = NgramSpec()
    encoder = NgramEncoder(spec)
    weight, bias, metrics = [], [], {}
    for head, files in HEADS.items():
        texts: list[str] = []
        scores: list[float] = []
        for file in files:
            rows = pq.read_table(judged / f"{file}.parquet", columns=["text", "score"]).to_pylist()
            texts += [r["text"] for r in rows if r["score"] is not None]
            scores += [float(r["score"]) for r in rows if r["score"] is not None]
        features, target_N = encoder.encode(texts), np.array(scores, np.float32)
        held = np.arange(len(texts)) % HELD_OUT == 0
        trial = Ridge(alpha=ALPHA, solver="sparse_cg").fit(features[~held], target_N[~held])
        metrics[head] = {
            "documents": len(texts),
            "held_out": int(held.sum()),
            "spearman": round(float(spearmanr(trial.predict(features[held]), target_N[held]).statistic), 4),
        }
        model = Ridge(alpha=ALPHA, solver="sparse_cg").fit(features, target_N)
        weight.append(model.coef_.astype(np.float32))
        bias.append(np.float32(model.intercept_))
    annotator = Annotator("edu-ngram", spec, list(HEADS), np.stack(weight), np.array(bias, np.float32), "")
    meta = {"range": [0, 5], "trained_on": {h: list(f) for h, f in HEADS.items()}, "alpha": ALPHA, "metrics": metrics}
    annotator.save(target, meta, RUBRIC, GOLDEN, card(metrics))
    print(json.dumps(metrics))


def card(metrics: dict[str, dict[str, float]]) -> str:
    """The text of CARD.md."""
    rows = "\n".join(f"| {h} | {m['documents']} | {m['held_out']} | {m['spearman']:.2f} |" for h, m in metrics.items())
    return f"""# edu-ngram

Educational value of a page, 0 to 5 (rubric.yaml), from hashed character n-grams of its first 1,500 characters and a
ridge regression for each judge. A stand-in until an annotator on a multilingual encoder takes its place.

| head | judged documents | held out for the figure | Spearman |
| --- | --- | --- | --- |
{rows}

Judges: `llama` is Llama-3 (English pages) and Llama-3.1-70B (26 languages), `web` another LLM on excerpts in 38
languages. It sees the wording and the spelling of a text, not its meaning; languages without judged documents are
guesses.
"""


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
