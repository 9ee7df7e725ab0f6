"""The rows of benchmarks/encoding.py on a GPU: Parquet in to scores out with six heads, jql and the published way."""

import argparse
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from encoding import BEGUN, Results, agreement, put_shares, save_annotator, speed, write_documents
from encoding_rivals import Published, Writer, product_rate, random_heads, save_model, web_lengths

PUBLISHED_S = 60.0
"""Most seconds of the published way, whose batches are all alike."""
WARM = (9_000, 400, 40, 5)
"""Documents of the files that come first: over 50 packs, after which the graph is compiled, and packs of all sizes."""


class Memory:
    """The most memory of a GPU since `reset`, in GB; of a CPU, 0."""

    def reset(self) -> None:
        """Forget the most so far."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def most(self) -> float:
        """In 10^9 bytes."""
        return round(torch.cuda.max_memory_allocated() / 1e9, 2) if torch.cuda.is_available() else 0.0


class Stage:
    """The annotate stage's worker on one unit after the other, as the inline backend runs it, kept between files."""

    def __init__(self, annotator: str, work: Path) -> None:
        from jql.annotator.annotate import AnnotateWorker
        from jql.recipe import Annotate

        self.worker = AnnotateWorker(annotator, Annotate().batch, one_copy=False, language=None)
        self._work, self._runs = work, 0

    def run(self, documents: Path, until: float | None = None) -> tuple[int, float]:
        """Rows scored and seconds, of all units of a folder, or of those that began before a time."""
        from jql.documents import Documents
        from jql.engine.attempt import attempt_unit
        from jql.engine.stage import Guard

        self._runs += 1
        folder, begun, rows = self._work / f"stage{self._runs}", time.perf_counter(), 0
        for unit in Documents.of_path(str(documents), 30_000, None).units():
            if until and rows and time.monotonic() > until:
                break
            outcome = attempt_unit(str(folder), self.worker, unit, Guard(soft_s=60), "aligned", probe=False)
            if outcome.status != "committed" or outcome.drops:
                raise SystemExit(f"{unit.source}: {outcome.status} {outcome.drops} {outcome.error} {outcome.trace}")
            rows += outcome.rows
        return rows, time.perf_counter() - begun


def gpu_rows(results: Results, options: argparse.Namespace, shape: Any, work: Path) -> None:
    """All rows of a GPU; agreement first, then what the issue's table asks for, most wanted first."""
    if not torch.cuda.is_available() and not options.tiny:
        raise SystemExit("no GPU here; run the rows of a CPU, or see that every line runs with --tiny")
    device, until = "cuda" if torch.cuda.is_available() else "cpu", BEGUN + 60 * options.minutes
    model, layers, memory = work / "model", random_heads(shape.width), Memory()
    save_model(shape, model)
    stage = Stage(save_annotator(work / "annotator", model, shape, "bfloat16", layers), work)
    encoder: Any = stage.worker.annotator.encoder()
    results.put("encoder", {"device": encoder._device.name, "budget": encoder.budget, "packs": encoder._model.packs})
    if not encoder._model.packs:
        raise SystemExit(
            "jql.encoder.packed.can_pack refuses the model on this device; nothing below would be its path"
        )

    writer = Writer()
    few = web_lengths(24 if options.tiny else 200, shape, 5)
    some = writer.texts(few, 6)
    # The shortest documents are also held against the CPU's float32.
    results.put("agreement", agreement(encoder.encode, model, some, few, device, 6))
    rates(results, shape, encoder.budget, device, "before")

    warm = WARM[1:] if options.tiny else WARM
    begun = time.perf_counter()
    for i, n in enumerate(warm):
        stage.run(write_documents(work / f"warm{i}", writer.texts(web_lengths(n, shape, 10 + i), 20 + i)))
    results.put("warm-up", {"documents": sum(warm), "seconds": round(time.perf_counter() - begun, 1)})
    results.put("agreement, warm", agreement(encoder.encode, model, some, few, device, 6))

    lengths = web_lengths(options.documents, shape, 0)
    documents = write_documents(work / "documents", writer.texts(lengths, 1))
    memory.reset()
    rows, took = stage.run(documents, until - 150)
    tokens = sum(lengths[:rows])
    ours = {"documents": rows, "tokens": tokens, "seconds": round(took, 2), **speed(tokens, [took])}
    results.put("stage", {**ours, "documents_per_s": round(rows / took, 1), "peak_gb": memory.most()})
    rates(results, shape, encoder.budget, device, "after")
    share = put_shares(results, shape, lengths[:rows], took)
    results.aim("stage, operations done", "product rate", share, 0.45)

    memory.reset()
    published = Published(model, layers, device)
    results.put("published", {**published_row(published, documents, work), "peak_gb": memory.most()})
    ratio = ours["tokens_per_s"] / results.rows["published"]["tokens_per_s"]
    results.aim("stage", "published", round(ratio, 2), 2.0)

    longest = [shape.longest] * (20 if options.tiny else 1000)
    long = write_documents(work / "long", writer.texts(longest, 3))
    memory.reset()
    stage.worker.batch = 1000
    rows, took = stage.run(long)
    row = {"documents": rows, "batch": 1000, "tokens": shape.longest, **speed(sum(longest), [took])}
    results.put("memory", {**row, "peak_gb": memory.most()})
    results.aim("stage, batches of 1,000 of the longest documents", "go through", rows == len(longest), True)
    results.put("memory, published", published_memory(published, long, work))


def rates(results: Results, shape: Any, tokens: int, device: str, when: str) -> None:
    """The rate of plain matrix products at the tokens of a pack."""
    results.put(f"product rate, {when}, {tokens} tokens", product_rate(shape, tokens, device, "bfloat16"))


def published_row(published: Published, documents: Path, work: Path) -> dict[str, Any]:
    """Tokens a second of the published way on the same documents, after a batch that is not counted."""
    file = min(documents.glob("*.parquet"))
    next(published.batches(file, work / "published0.parquet"))
    begun = time.perf_counter()
    tokens = done = 0
    for found in published.batches(file, work / "published.parquet"):
        tokens, done = tokens + found, done + 1
        if time.perf_counter() - begun > PUBLISHED_S:
            break
    took = time.perf_counter() - begun
    rows = pq.read_table(work / "published.parquet").num_rows if (work / "published.parquet").is_file() else 0
    return {"batches": done, "documents": rows, "tokens": tokens, "seconds": round(took, 2), **speed(tokens, [took])}


def published_memory(published: Published, long: Path, work: Path) -> str:
    """What becomes of one batch of 1,000 of the longest documents."""
    from jql.encoder.device import out_of_memory

    try:
        next(published.batches(min(long.glob("*.parquet")), work / "published1.parquet"))
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return "out of memory"
    return "goes through"
