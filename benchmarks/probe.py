"""Entity F1 of the adaptive schedule beside fixed ones of 5 and 20 epochs, over shares of the training sentences.

    python benchmarks/probe.py [--model FOLDER]... [--learning-rate 1e-3] [--seeds 3] [--to results/probe.json]
    python benchmarks/probe.py --smallest     # two shares, two seeds, few epochs: that it runs

Sentences are made (jql/probe/made.py), in five languages. Without --model a decoder (our trainer, next token) and an
encoder (BERT's shape, masked tokens) are pretrained here on other made sentences. A share holds for training and
validation sentences alike; the test sentences are always all. Seeds are of the share that is drawn, the new weights and
the order. What is in the results already is not done again, unless its models are made anew.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from heuristics_agreement import machine

from jql.laboratory.sensitivity import over_seeds
from jql.probe.config import ProbeSettings
from jql.probe.conll import Corpus
from jql.probe.made import LANGUAGES, made_sentences
from jql.probe.ner import Task, probe_ner

SPAWN = multiprocessing.get_context("spawn")
ROOT = Path(__file__).resolve().parent.parent
SCHEDULES: dict[str, dict[str, Any]] = {
    "adaptive": {"schedule": "adaptive"},
    "fixed-5": {"schedule": "fixed", "epochs": 5},
    "fixed-20": {"schedule": "fixed", "epochs": 20},
}


@dataclass(frozen=True)
class Size:
    """What is measured; of the models pretrained here their width, layers, steps and sentences."""

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


def tokenizer_of(size: Size, folder: Path) -> tuple[Any, list[str]]:
    """A tokenizer for made sentences without their tags, and these."""
    from jql.tokens.bpe import train_bpe
    from jql.tokens.tokenizer import load_tokenizer

    texts = [" ".join(s.words) for s in made_sentences(list(LANGUAGES), size.texts, "text")]
    folder.mkdir(parents=True)
    for name, data in train_bpe(texts, 700 if size.texts < 1000 else 2000, spaces=2).items():
        (folder / name).write_bytes(data)
    return load_tokenizer(str(folder)), texts


def decoder(size: Size, folder: Path) -> str:
    """A decoder of ours, trained on the next token, as a Hugging Face folder."""
    from jql.pretrain.config import ModelConfig, TrainConfig
    from jql.pretrain.hf import to_hf
    from jql.pretrain.model import Decoder
    from jql.pretrain.train import Trainer

    tokenizer, texts = tokenizer_of(size, folder / "tokenizer")
    tokens = np.concatenate([np.append(ids, tokenizer.eod) for ids in tokenizer.encode(texts)]).astype(np.int64)
    shape = ModelConfig(
        vocab=tokenizer.vocab, hidden=size.hidden, layers=size.layers, heads=4, kv_heads=4, ffn=3 * size.hidden
    )
    config = TrainConfig(steps=size.steps, batch=16, micro_batch=16, dtype="float32")
    trainer = Trainer(Decoder(shape, 0), config, Drawn(tokens, 16, 128))
    steps = trainer.run()
    print(f"decoder: loss {steps[-1].loss:.3f} after {size.steps} steps", flush=True)
    to_hf(trainer.model.cpu(), folder / "model", tokenizer.transformers())
    return str(folder / "model")


def encoder(size: Size, folder: Path) -> str:
    """An encoder of BERT's shape, trained on masked tokens, as a Hugging Face folder."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, DataCollatorForLanguageModeling

    ours, texts = tokenizer_of(size, folder / "tokenizer")
    tokenizer = ours.transformers()
    tokenizer.add_special_tokens({"mask_token": "<mask>", "pad_token": "<pad>"})
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=4,
        intermediate_size=3 * size.hidden,
        max_position_embeddings=128,
        pad_token_id=tokenizer.pad_token_id,
    )
    model, ids = BertForMaskedLM(shape), tokenizer(texts, truncation=True, max_length=128)["input_ids"]
    masked = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    steps = 4 * size.steps  # a masked model learns from 15 tokens in 100
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, steps, pct_start=0.1)
    draw, losses = np.random.default_rng(0), []
    for _ in range(steps):
        chosen = draw.integers(len(ids), size=32)
        loss = model(**masked([{"input_ids": ids[i]} for i in chosen])).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
        losses.append(float(loss.detach()))
    print(f"encoder: loss {np.mean(losses[-50:]):.3f} after {steps} steps", flush=True)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return str(folder / "model")


def made_task(size: Size) -> Task:
    """The files, in memory."""
    counts = {"train": size.sentences, "validation": size.sentences // 4, "test": max(size.sentences // 2, 20)}
    return Task(
        *(Corpus(n, "bio", tuple(made_sentences(list(LANGUAGES), count, f"0/{n}"))) for n, count in counts.items())
    )


def one(model: str, size: Size, share: float, seed: int, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """A row of the results."""
    how = {**SCHEDULES[name], **given}
    epochs = min(how.get("epochs", size.cap), size.cap)
    settings = ProbeSettings(**{**how, "epochs": epochs, "share": share, "seed": seed})
    begun = time.monotonic()
    found = probe_ner(model, made_task(size), settings)
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


def quiet() -> None:
    """Of each process, before anything else."""
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()


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
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes, of one thread each")
    parser.add_argument("--smallest", action="store_true")
    parser.add_argument("--to", type=Path)
    options = parser.parse_args()
    given = {key: getattr(options, key) for key in ("seeds", "sentences") if getattr(options, key)}
    size = Size(**{**asdict(SMALLEST if options.smallest else Size()), **given})
    target = options.to or ROOT / "benchmarks/results/probe.json"
    results = json.loads(target.read_text(encoding="utf-8")) if target.is_file() and not options.smallest else {}
    results |= {
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "command": "python benchmarks/probe.py " + " ".join(sys.argv[1:]),
    }
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(options.workers, SPAWN, quiet) as pool:
        made = [] if options.model else [decoder, encoder]
        told = [pool.submit(make, size, Path(folder) / make.__name__) for make in made]
        models = {name: name for name in options.model} | {
            make.__name__: found.result() for make, found in zip(made, told, strict=True)
        }
        wanted = {}
        for name, model in models.items():
            token = options.token or ("last" if name == "decoder" and not options.model else "first")
            how = {"learning_rate": options.learning_rate, "token": token}
            settings = json.loads(json.dumps({**how, "size": asdict(size)}))
            about = results.get(name, {})
            rows = about["rows"] if options.model and about.get("settings") == settings else []
            results[name] = {"settings": settings, "rows": rows, "summary": summary(rows)}
            done = {(row["share"], row["seed"], row["schedule"]) for row in rows}
            for at in product(size.shares, range(size.seeds), SCHEDULES):
                if at not in done:
                    wanted[pool.submit(one, model, size, *at, how)] = name
        for future in as_completed(wanted):
            name, row = wanted[future], future.result()
            rows = results[name]["rows"]
            rows.append(row)
            rows.sort(key=lambda row: (row["share"], row["seed"], row["schedule"]))
            print(json.dumps({"model": name, **row}), flush=True)
            results[name]["summary"] = summary(rows)
            if not options.smallest or options.to:
                target.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        for name in models:
            print_summary(name, results[name]["summary"])


if __name__ == "__main__":
    main()
