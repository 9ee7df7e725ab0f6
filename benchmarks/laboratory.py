"""What mu-centering, mu-loss, z-loss and Coupled Adam add to a step of training, by turns with a training without.

    python benchmarks/laboratory.py [--turns 6] [--threads 2] [--device cuda]   # a CPU: five minutes on two quiet cores

An untied decoder of 30 M parameters, two passes of 4 x 512 tokens a step, bfloat16 autocast, AdamW, clipped. Twice:
`share` is what the added work takes when it is done alone, many times, by the time of a plain step, as steps themselves
differ by more than what is looked for. `ratio` is the time of whole steps by that of plain ones of the same turn (the
least, the median, the largest). Both in seconds of the processor too, for a machine with other work. Prints one JSON
line.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from pretrain import TRAINING, Random, machine

from jql.laboratory.config import Variant
from jql.laboratory.factory import hooks_of
from jql.pretrain.config import ModelConfig, TrainConfig
from jql.pretrain.model import Decoder
from jql.pretrain.train import Trainer
from jql.pretrain.world import World

SHAPE = {"vocab": 16_000, "hidden": 512, "layers": 5, "heads": 8, "kv_heads": 4, "ffn": 1408, "sequence": 512}
VARIANTS = {
    "plain": Variant(),
    "centering": Variant(centering=True),
    "mu_loss": Variant(mu_loss=1e-4),
    "z_loss": Variant(z_loss=1e-4),
    "coupled": Variant(coupled=True),
}
ALONE = 20
"""Times that added work is done by itself; the median counts."""


def seconds(work: Callable[[], Any], device: torch.device) -> tuple[float, float]:
    """Of the clock, and of the processor."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def alone(trainers: dict[str, Trainer], device: torch.device) -> dict[str, np.ndarray]:
    """Milliseconds of the clock, and of the processor, that each technique adds to a step."""
    model = Decoder(ModelConfig(**SHAPE, tied=False)).to(device)  # type: ignore[arg-type]
    vocab, sequence = model.config.vocab, model.config.sequence
    rows = int(TRAINING["micro_batch"])
    passes = int(TRAINING["batch"]) // rows
    half = torch.bfloat16 if trainers["plain"].config.dtype == "bfloat16" else torch.float32
    logits = torch.randn(rows, sequence, vocab, device=device, dtype=half).requires_grad_()
    targets = torch.randint(vocab, (rows, sequence), device=device)
    (centering,), (mu,), (z,) = (trainers[name].hooks for name in ("centering", "mu_loss", "z_loss"))

    def term(hook: Any) -> None:
        hook.loss(model, logits, targets).backward()

    def median(work: Callable[[], Any]) -> np.ndarray:
        work()
        found: np.ndarray = 1e3 * np.median([seconds(work, device) for _ in range(ALONE)], axis=0)
        return found

    for name in ("plain", "coupled"):
        for parameter in trainers[name].model.parameters():
            parameter.grad = torch.full_like(parameter, 1e-3)
    head = model.head.weight
    head.grad = torch.zeros_like(head)
    steps = {name: median(trainers[name].optimizer.step) for name in ("plain", "coupled")}
    return {
        "centering": median(lambda: centering.after_step(model, 1)),
        "mu_loss": passes * median(lambda: term(mu)),
        "z_loss": passes * median(lambda: term(z)),
        "coupled": steps["coupled"] - steps["plain"],
        "optimizer_step": steps["plain"],
    }


def measure(turns: int, device: torch.device) -> dict[str, Any]:
    """Steps by turns, then the added work alone."""
    bf16 = device.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    config = TrainConfig(steps=1000, dtype="bfloat16" if bf16 else "float32", **TRAINING)  # type: ignore[arg-type]
    trainers, streams = {}, {}
    for name, variant in VARIANTS.items():
        model = Decoder(ModelConfig(**SHAPE, tied=False))  # type: ignore[arg-type]
        batches = Random(config.batch, model.config.sequence, model.config.vocab)
        trainers[name] = Trainer(
            model, config, batches, hooks=hooks_of(variant, tied=False), world=World(device=device)
        )
        streams[name] = iter(batches)
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in VARIANTS}
    names = list(VARIANTS)
    for turn in range(turns + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            found = seconds(lambda name=name: trainers[name].step(streams[name]), device)  # type: ignore[misc]
            if turn:  # the first is to warm up
                took[name].append(found)
    step_ms = 1e3 * np.median(took["plain"], axis=0)
    added = alone(trainers, device)
    row: dict[str, Any] = {
        "parameters": sum(p.numel() for p in trainers["plain"].model.parameters()),
        "dtype": config.dtype,
        "step_ms": step_ms.round(1).tolist(),
        "optimizer_step_ms": added.pop("optimizer_step").round(2).tolist(),
    }
    for name, ms in added.items():
        row[name] = {"added_ms": ms.round(2).tolist()}
        for i, end in enumerate(("", "_cpu")):
            ratios = [one[i] / plain[i] for one, plain in zip(took[name], took["plain"], strict=True)]
            row[name]["share" + end] = round(float(ms[i] / step_ms[i]), 4)
            row[name]["ratio" + end] = [round(x, 3) for x in (min(ratios), statistics.median(ratios), max(ratios))]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    about = {
        "benchmark": "laboratory",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "command": "python benchmarks/laboratory.py " + " ".join(sys.argv[1:]),
        "load_before": round(os.getloadavg()[0], 1),
        "threads": options.threads,
    }
    print(json.dumps({**about, **measure(options.turns, torch.device(options.device))}))


if __name__ == "__main__":
    main()
