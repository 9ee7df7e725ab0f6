"""Entity F1 of the adaptive schedule beside fixed ones of 5 and 20 epochs, over shares of the training sentences.

    python benchmarks/probe.py [--model FOLDER]... [--learning-rate 1e-3] [--seeds 3] [--to results/probe.json]
    python benchmarks/probe.py --smallest     # two shares, two seeds, few epochs: that it runs

Sentences are made (jql/probe/made.py), in five languages. Without --model a decoder is pretrained here on other made
sentences. A share holds for training and validation sentences alike; the test sentences are always all. Seeds are of
the share that is drawn, the new weights and the order. What is in the results already is not done again.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from jql.laboratory.sensitivity import over_seeds
from jql.probe.config import ProbeSettings
from jql.probe.conll import Corpus
from jql.probe.made import LANGUAGES, made_sentences
from jql.probe.ner import Task, probe_ner

ROOT = Path(__file__).resolve().parent.parent
SCHEDULES: dict[str, dict[str, Any]] = {
    "adaptive": {"schedule": "adaptive"},
    "fixed-5": {"schedule": "fixed", "epochs": 5},
    "fixed-20": {"schedule": "fixed", "epochs": 20},
}


@dataclass(frozen=True)
class Size:
    """What is measured; of the decoder pretrained here its width, layers, steps and sentences."""

    sentences: int = 1000
    shares: tuple[float, ...] = (0.1, 0.2, 0.4, 0.7, 1.0)
    seeds: int = 3
    hidden: int = 128
    layers: int = 4
    steps: int = 600
    texts: int = 8000
    cap: int = 250


SMALLEST = Size(sentences=40, shares=(0.5, 1.0), seeds=2, hidden=16, layers=1, steps=3, texts=200, cap=2)


class Drawn:
    """Sequences at random places of one long text."""

    def __init__(self, tokens: np.ndarray, batch: int, length: int) -> None:
        self.tokens, self.batch, self.length, self.draw = tokens, batch, length, np.random.default_rng(0)

    def __iter__(self) -> Any:
        from jql.tokens.loader import Sequences

        while True:
            at = self.draw.integers(len(self.tokens) - self.length - 1, size=self.batch)
            rows = self.tokens[at[:, None] + np.arange(self.length + 1)]
            yield Sequences(rows[:, :-1], rows[:, 1:], None)

    def state(self) -> dict[str, Any]:
        """Nothing, as no such training is resumed."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """See state."""


def pretrained(size: Size, folder: Path) -> Path:
    """A decoder trained on made sentences without their tags, as a Hugging Face folder."""
    from jql.pretrain.config import ModelConfig, TrainConfig
    from jql.pretrain.hf import to_hf
    from jql.pretrain.model import Decoder
    from jql.pretrain.train import Trainer
    from jql.tokens.bpe import train_bpe
    from jql.tokens.tokenizer import load_tokenizer

    texts = [" ".join(s.words) for s in made_sentences(list(LANGUAGES), size.texts, "text")]
    (folder / "tokenizer").mkdir()
    for name, data in train_bpe(texts, 700 if size.texts < 1000 else 2000, spaces=2).items():
        (folder / "tokenizer" / name).write_bytes(data)
    tokenizer = load_tokenizer(str(folder / "tokenizer"))
    tokens = np.concatenate([np.append(ids, tokenizer.eod) for ids in tokenizer.encode(texts)]).astype(np.int64)
    shape = ModelConfig(
        vocab=tokenizer.vocab, hidden=size.hidden, layers=size.layers, heads=4, kv_heads=4, ffn=3 * size.hidden
    )
    config = TrainConfig(steps=size.steps, batch=16, micro_batch=16, dtype="float32")
    trainer = Trainer(Decoder(shape, 0), config, Drawn(tokens, 16, 128))
    steps = trainer.run()
    print(f"pretrained: loss {steps[-1].loss:.3f} after {size.steps} steps", flush=True)
    to_hf(trainer.model.cpu(), folder / "model", tokenizer.transformers())
    return folder / "model"


def made_task(size: Size) -> Task:
    """The files, in memory."""
    counts = {"train": size.sentences, "validation": size.sentences // 4, "test": max(size.sentences // 2, 20)}
    return Task(
        *(Corpus(n, "bio", tuple(made_sentences(list(LANGUAGES), count, f"0/{n}"))) for n, count in counts.items())
    )


def one(model: str, task: Task, size: Size, share: float, seed: int, name: str, how: dict[str, Any]) -> dict[str, Any]:
    """A row of the results."""
    epochs = min(how.get("epochs", size.cap), size.cap)
    settings = ProbeSettings(**{**how, "epochs": epochs, "share": share, "seed": seed})
    begun = time.monotonic()
    found = probe_ner(model, task, settings)
    return {
        "share": share,
        "sentences": found.sentences["train"],
        "seed": seed,
        "schedule": name,
        "f1": found.test.f1,
        "f1_last": found.last.f1,
        "f1_consistent": found.test.f1_consistent,
        "best": found.best,
        "epochs": len(found.history),
        "seconds": round(time.monotonic() - begun, 1),
    }


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By share and schedule: F1 with its interval over seeds, and by how much adaptive is better, seed by seed."""
    found = []
    for share in sorted({row["share"] for row in rows}):
        here = {name: [r for r in rows if (r["share"], r["schedule"]) == (share, name)] for name in SCHEDULES}
        ours = {row["seed"]: row["f1"] for row in here["adaptive"]}
        for name, some in here.items():
            apart = [ours[row["seed"]] - row["f1"] for row in some if row["seed"] in ours]
            if not apart:
                continue
            line = {"share": share, "sentences": some[0]["sentences"], "schedule": name}
            line |= {key: asdict(over_seeds(np.array([row[key] for row in some]))) for key in ("f1", "f1_last")}
            line["epochs"] = [row["epochs"] for row in some]
            if name != "adaptive":
                line["adaptive_better_by"] = asdict(over_seeds(np.array(apart)))
            found.append(line)
    return found


def print_summary(model: str, lines: list[dict[str, Any]]) -> None:
    for line in lines:
        f1, apart = line["f1"], line.get("adaptive_better_by")
        better = "" if apart is None else f"  adaptive better by {apart['mean']:+.3f}" + interval(apart)
        print(f"{model} {line['sentences']:5} {line['schedule']:9} F1 {f1['mean']:.3f}{interval(f1)}{better}")


def interval(found: dict[str, Any]) -> str:
    return "" if found["low"] is None else f" [{found['low']:.3f}, {found['high']:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", default=[], help="folder, hub id or name; repeatable")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument(
        "--token", default=None, help="first or last; default last for the decoder made here, else first"
    )
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--sentences", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smallest", action="store_true")
    parser.add_argument("--to", type=Path)
    options = parser.parse_args()
    import torch
    import transformers

    torch.set_num_threads(options.threads)
    transformers.utils.logging.disable_progress_bar()
    given = {key: getattr(options, key) for key in ("seeds", "sentences") if getattr(options, key)}
    size = Size(**{**asdict(SMALLEST if options.smallest else Size()), **given})
    target = options.to or ROOT / "benchmarks/results/probe.json"
    results = json.loads(target.read_text(encoding="utf-8")) if target.is_file() and not options.smallest else {}
    results |= {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "date": datetime.now(UTC).date().isoformat(),
        "command": "python benchmarks/probe.py " + " ".join(sys.argv[1:]),
    }
    task = made_task(size)
    with tempfile.TemporaryDirectory() as folder:
        models = {name: name for name in options.model} or {"decoder": str(pretrained(size, Path(folder)))}
        for name, model in models.items():
            token = options.token or ("first" if options.model else "last")
            settings = {"learning_rate": options.learning_rate, "token": token, "size": asdict(size)}
            settings = json.loads(json.dumps(settings))
            about = results.get(name, {})
            rows = about["rows"] if about.get("settings") == settings else []
            done = {(row["share"], row["seed"], row["schedule"]) for row in rows}
            for share in size.shares:
                for seed in range(size.seeds):
                    for schedule, how in SCHEDULES.items():
                        if (share, seed, schedule) in done:
                            continue
                        how = {**how, "learning_rate": options.learning_rate, "token": token}
                        rows.append(one(model, task, size, share, seed, schedule, how))
                        print(json.dumps(rows[-1]), flush=True)
                        results[name] = {"settings": settings, "rows": rows, "summary": summary(rows)}
                        if not options.smallest or options.to:
                            target.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            print_summary(name, results[name]["summary"])


if __name__ == "__main__":
    main()
