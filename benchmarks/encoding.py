"""Tokens a second of jql's transformer encoding against other ways, in one run on the same documents and weights.

    python benchmarks/encoding.py [--data DATA]              # a CPU: half an hour on two quiet cores
    python benchmarks/encoding.py --device cuda              # an H200: under eight minutes

Documents: lengths lognormal (sigma 1.0, mean 690 tokens, cut at 8,192), made of random words of one token each; and
with --data a seeded draw from DATA/web. Weights: random, at the true shapes of snowflake-arctic-embed-m-v2.0; random
words touch more rows of its embeddings than language does. Tokens count special ones, no padding; every way tokenizes.
Writes benchmarks/results/encoding.json after every row and prints one JSON line.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
BATCHES = (1, 2, 4, 8, 32)
BUDGETS = (2048, 4096, 8192)
AGREEING = 12
"""Documents whose vectors are compared with those they have alone, from the shortest to the longest."""
BEGUN = time.monotonic()
Way = Callable[[list[str]], Any]


class Results:
    """Rows of a run, in a file that is written anew after each."""

    def __init__(self, file: Path, kind: str, about: dict[str, Any]) -> None:
        self._file, self._kind = file, kind
        self.rows: dict[str, Any] = about

    def put(self, name: str, row: Any) -> None:
        """Keep a row, and show it."""
        self.rows[name] = row
        found = json.loads(self._file.read_text()) if self._file.is_file() else {}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps({**found, self._kind: self.rows}, indent=1) + "\n", encoding="utf-8")
        print(f"{time.monotonic() - BEGUN:6.0f} s  {name}: {json.dumps(row)}", file=sys.stderr, flush=True)

    def aim(self, of: str, against: str, measured: float | bool, aim: float | bool) -> None:
        """Keep a line of the table: what was measured, what was aimed at."""
        entry = {"of": of, "against": against, "measured": measured, "aim": aim, "reached": bool(measured >= aim)}
        self.put("table", [*self.rows.get("table", []), entry])


def machine() -> str:
    """Processor, GPU, cores, Python and torch, in words."""
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    return (
        f"{names[0] if names else platform.machine()}{gpu}, {cores}, Python {platform.python_version()}, "
        f"torch {torch.__version__}"
    )


def seconds(work: Callable[[], Any]) -> float:
    """What a call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def speed(tokens: int, took: list[float]) -> dict[str, Any]:
    """Tokens a second: the median, and the range of more than one run."""
    rates = sorted(round(tokens / s, 1) for s in took)
    spread = {"low": rates[0], "high": rates[-1], "runs": len(rates)} if len(rates) > 1 else {}
    return {"tokens_per_s": round(statistics.median(rates), 1), **spread}


def spec_of(folder: Path, shape: Any, dtype: str) -> Any:
    """The encoder's spec, as jql's own of this model."""
    from jql.encoder.encoder import EncoderSpec

    return EncoderSpec("transformer", str(folder), "", "cls", shape.longest, dtype, True, "", shape.width, "truncate")


def save_annotator(folder: Path, model: Path, shape: Any, dtype: str, layers: Any) -> str:
    """Six random heads on the encoder, as `jql import-heads` puts them there."""
    from jql.annotator.annotator import Annotator
    from jql.annotator.features import Features
    from jql.annotator.heads import Heads

    features, heads = Features(chars=0, surface=False, ngrams=False), Heads.side_by_side(layers)
    made = Annotator("six", spec_of(model, shape, dtype), features, heads, rubric="name: six\n", card="six\n")
    made.save(folder)
    return str(folder)


def write_documents(folder: Path, texts: list[str], rows: int = 30_000) -> Path:
    """Parquet files of so many rows, in row groups of 1,000 as FineWeb2 has them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    for at in range(0, len(texts), rows):
        part = texts[at : at + rows]
        columns = {"id": [f"d{at + i}" for i in range(len(part))], "text": part, "language": ["eng_Latn"] * len(part)}
        pq.write_table(pa.table(columns), folder / f"{at // rows:05d}.parquet", row_group_size=1000)
    return folder


def cosines(found_ND: np.ndarray, expected_ND: np.ndarray) -> dict[str, float]:
    """Least and mean cosine of vectors with those they should be."""
    found = (found_ND.astype(np.float64) * expected_ND).sum(1)
    return {"min": round(float(found.min()), 6), "mean": round(float(found.mean()), 6)}


def agreement(encode: Any, model: Path, texts: list[str], lengths: list[int], device: str, few: int) -> dict[str, Any]:
    """Vectors in packs against those that documents have alone in transformers' own model."""
    from encoding_rivals import Plain, arrival

    order = np.argsort(lengths, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, AGREEING).astype(int)].tolist()
    packed_ND = encode(texts)[chosen]
    alone = [texts[i] for i in chosen]
    bf16_ND = Plain(model, "bfloat16", device).encode(alone, arrival(1))
    # The CPU's float32, for the shortest of them where the others would take minutes.
    exact_ND = Plain(model, "float32").encode(alone[:few], arrival(1))
    others = bf16_ND @ bf16_ND.T
    return {
        "tokens": [lengths[i] for i in chosen],
        "plain bfloat16": cosines(packed_ND, bf16_ND),
        "plain float32": cosines(packed_ND[:few], exact_ND),
        "plain bfloat16 with plain float32": cosines(bf16_ND[:few], exact_ND),
        "two documents, mean": round(float((others.sum() - AGREEING) / (AGREEING**2 - AGREEING)), 3),
    }


class Race:
    """Ways to encode the same documents on a CPU, timed.

    Attributes:
        texts, lengths: of the documents, whose tokens together are `tokens`. ways: those that take turns.
    """

    def __init__(self, results: Results, texts: list[str], lengths: list[int]) -> None:
        self.results, self.texts, self.lengths, self.tokens = results, texts, lengths, sum(lengths)
        self.ways: dict[str, Way] = {}

    def seconds(self, way: Way) -> float:
        """What a way takes for all documents."""
        return seconds(lambda: way(self.texts))

    def best(self, name: str, ways: dict[str, Way]) -> Way:
        """The quickest of some ways, each run once."""
        took: dict[str, float] = {}
        for label, way in ways.items():
            way([self.texts[0]])
            took[label] = self.seconds(way)
            self.results.put(name, {k: speed(self.tokens, [s])["tokens_per_s"] for k, s in took.items()})
        first = min(took, key=lambda label: took[label])
        self.results.put(f"{name}, best", first)
        return ways[first]

    def by_turns(self, repeat: int, once: str) -> dict[str, list[float]]:
        """Seconds of all ways, in rounds; that named `once`, which is slow, in the first alone."""
        took: dict[str, list[float]] = {name: [] for name in self.ways}
        for i in range(repeat):
            for name, way in self.ways.items():
                if i == 0 or name != once:
                    took[name].append(self.seconds(way))
                    self.results.put(name, speed(self.tokens, took[name]))
        return took


def in_packs(encoder: Any, budget: int) -> Way:
    """Our way with packs of so many tokens."""

    def encode(texts: list[str]) -> Any:
        encoder.budget = budget
        return encoder.encode(texts)

    return encode


def cpu_rows(results: Results, options: argparse.Namespace, shape: Any, work: Path) -> None:
    """All rows of a CPU; the other ways first, as ours sets the process' allocator, which helps them, too."""
    import torch
    from encoding_rivals import Plain, Writer, arrival, product_rate, random_heads, save_model, web_lengths

    model = work / "model"
    dtype = "bfloat16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "float32"
    save_model(shape, model)
    lengths = web_lengths(options.documents, shape, 0)
    race = Race(results, Writer().texts(lengths, 1), lengths)
    plain, spec = Plain(model, dtype), spec_of(model, shape, "bfloat16")
    if (found := [len(ids) for ids in plain.ids(race.texts)]) != lengths:
        raise SystemExit(f"tokens of the texts: {found[:9]}, expected {lengths[:9]}")
    results.put("documents", {"n": len(lengths), "tokens": race.tokens, "longest": max(lengths), "dtype": dtype})
    rated = sorted(BUDGETS)
    for budget in rated:
        results.put(f"product rate, before, {budget} tokens", product_rate(shape, budget, "cpu", dtype))
    race.ways["sorted_budget"] = race.best("sorted_budget, by budget", {str(b): plain.sorted(b) for b in BUDGETS})
    race.ways |= sentence_ways(race, model, shape, dtype)
    race.by_turns(options.repeat, "sentence_transformers float32" if dtype != "float32" else "")
    real = Real(options, plain)
    real.add(race.ways)
    padded: Way = lambda texts: plain.encode(texts, arrival(64))  # noqa: E731
    results.put("padded_64", speed(race.tokens, [race.seconds(padded)]))

    from jql.encoder.encoder import load_encoder

    ours: Any = load_encoder(spec, device="cpu")
    race.best("packed, by budget", {str(b): in_packs(ours, b) for b in BUDGETS})
    race.ways = {"packed": in_packs(ours, load_encoder(spec, device="cpu").budget)}  # type: ignore[attr-defined]
    with patch("jql.encoder.packed.has_last_layer", return_value=False):
        whole = load_encoder(spec, device="cpu")
    race.ways["packed, all of the last layer"] = whole.encode
    took = race.by_turns(options.repeat, "")
    for budget in rated:
        results.put(f"product rate, after, {budget} tokens", product_rate(shape, budget, "cpu", dtype))
    real.add({"packed": ours.encode})
    if real.row:
        results.put("real texts", real.row)
    results.put("agreement", agreement(ours.encode, model, race.texts, lengths, "cpu", AGREEING))
    annotator = save_annotator(work / "annotator", model, shape, "bfloat16", random_heads(shape.width))
    documents = write_documents(work / "documents", race.texts)
    results.put("stage", stage_row(annotator, documents, race.tokens, work, options.repeat))
    results.put("memory", memory_row(work / "one layer", shape))
    cpu_table(results, shape, lengths, statistics.median(took["packed"]))


def sentence_ways(race: Race, model: Path, shape: Any, dtype: str) -> dict[str, Way]:
    """SentenceTransformer.encode at its best batch size; in float32, its default, at that and those beside it."""
    from encoding_rivals import sentence_transformer

    ways: dict[str, Way] = {}
    sizes = BATCHES
    for kind in dict.fromkeys((dtype, "float32")):
        net = sentence_transformer(model, kind, shape)
        encoders: dict[str, Way] = {str(b): partial(net.encode, batch_size=b, show_progress_bar=False) for b in sizes}
        name = f"sentence_transformers {kind}"
        ways[name] = race.best(f"{name}, by batch", encoders)
        at = list(encoders.values()).index(ways[name])
        sizes = sizes[max(0, at - 1) : at + 2]
    return ways


class Real:
    """Speeds of ways, with the settings they have, on real texts of many languages."""

    def __init__(self, options: argparse.Namespace, plain: Any) -> None:
        from encoding_rivals import real_texts

        there = options.data is not None and (options.data / "web").is_dir()
        self.texts = real_texts(options.data, options.documents, 0) if there else []
        lengths = [len(ids) for ids in plain.ids(self.texts)] if there else []
        self.tokens = sum(lengths)
        self.row = {"n": len(lengths), "tokens": self.tokens, "longest": max(lengths)} if there else {}

    def add(self, ways: dict[str, Way]) -> None:
        """Run each once, if there are texts."""
        for name, way in ways.items() if self.texts else ():
            self.row[name] = speed(self.tokens, [seconds(lambda way=way: way(self.texts))])["tokens_per_s"]  # type: ignore[misc]
            print(name, self.row[name], file=sys.stderr, flush=True)


def stage_row(annotator: str, documents: Path, tokens: int, work: Path, repeat: int) -> dict[str, Any]:
    """Parquet in to scores out: with what the worker loads, and in its units alone."""
    from jql.pipeline import run_recipe
    from jql.recipe import make_recipe

    whole, units = [], []
    for i in range(repeat):
        folder = work / f"run{i}"
        recipe = {"output": str(folder), "engine": {"backend": "inline"}, "stages": ["annotate"]}
        recipe |= {"documents": {"path": str(documents)}, "annotate": {"annotator": annotator}}
        whole.append(seconds(lambda recipe=recipe: run_recipe(make_recipe(recipe))))  # type: ignore[misc]
        receipts = [json.loads(file.read_text()) for file in (folder / "annotate").glob("**/receipts/**/*.json")]
        units.append(sum(receipt["seconds"] for receipt in receipts))
    return {"in units": speed(tokens, units), "with loading": speed(tokens, whole)}


def memory_row(model: Path, shape: Any) -> dict[str, Any]:
    """Most memory while documents of the longest kind are encoded, one layer of true width, each in its own process."""
    from dataclasses import replace

    from encoding_rivals import save_model

    save_model(replace(shape, layers=1), model)
    row: dict[str, Any] = {"tokens": shape.longest}
    for name in ("packed 8", "packed 64", "padded 4", "padded 8"):
        command = [sys.executable, __file__, "--child", name, str(model), str(shape.longest)]
        row[name] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    each = (row["padded 8"]["peak_mb"] - row["padded 4"]["peak_mb"]) / 4
    for size in (64, 1000):
        row[f"padded {size}, computed"] = {"peak_mb": round(row["padded 8"]["peak_mb"] + each * (size - 8))}
    row["growth, packed 8 to 64"] = round(row["packed 64"]["peak_mb"] / row["packed 8"]["peak_mb"], 3)
    return row


def child(name: str, model: str, longest: int) -> None:
    """Print the memory a process has with a model, and its most while it encodes."""
    from dataclasses import replace

    from encoding_rivals import Plain, Shape, Writer, arrival

    from jql.encoder.device import Device
    from jql.encoder.encoder import load_encoder

    way, documents = name.split()
    config = json.loads((Path(model) / "config.json").read_text())
    texts = Writer().texts([longest] * int(documents), 0)
    if way == "packed":
        shape = replace(Shape(), longest=longest, width=config["hidden_size"])
        encode: Any = load_encoder(spec_of(Path(model), shape, "bfloat16"), device="cpu").encode
    else:
        plain = Plain(Path(model), Device("cpu").computes("bfloat16"))

        def encode(some: list[str]) -> Any:
            return plain.encode(some, arrival(1000))

    encode(texts[:1])
    Path("/proc/self/clear_refs").write_text("5")  # the most so far is forgotten
    memory = {"loaded_mb": status_mb("VmRSS"), "seconds": round(seconds(lambda: encode(texts)), 1)}
    print(json.dumps({**memory, "peak_mb": status_mb("VmHWM")}))


def status_mb(key: str) -> int:
    """A line of this process' status. Not ru_maxrss, which a process inherits from the one that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) // 1024


def put_shares(results: Results, shape: Any, lengths: list[int], took: float) -> float:
    """Operations against the rate of plain products, the highest of all that was measured; that of those done."""
    found = [max(row.values()) for name, row in results.rows.items() if name.startswith("product rate")]
    done, model = (shape.operations(lengths, skipped) / took / 1e12 for skipped in (True, False))
    row = {"rate": max(found), "operations done": round(done, 4), "operations of the whole model": round(model, 4)}
    row |= {"share done": round(done / max(found), 3), "share of the whole model": round(model / max(found), 3)}
    results.put("share", row)
    return float(row["share done"])


def cpu_table(results: Results, shape: Any, lengths: list[int], median_s: float) -> None:
    """What was aimed at, from the rows."""
    rows = results.rows

    def rate(name: str) -> float:
        return float(rows[name]["tokens_per_s"])

    for against, aim in (("padded_64", 10.0), (f"sentence_transformers {rows['documents']['dtype']}", 2.0)):
        results.aim("packed", against, round(rate("packed") / rate(against), 2), aim)
    results.aim("packed", "sorted_budget", round(rate("packed") / rate("sorted_budget"), 2), 1.2)
    results.aim("packed, operations done", "product rate", put_shares(results, shape, lengths, median_s), 0.6)
    # Token ids grow with the documents, what the model works in does not.
    flat = rows["memory"]["growth, packed 8 to 64"] < 1.1
    results.aim("packed, peak at 8 and 64 of the longest documents", "within a tenth", flat, True)
    stage = rows["stage"]["in units"]["tokens_per_s"] / rate("packed")
    results.put("stage against packed", round(stage, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="its web/ is drawn from for the rows of real texts")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--documents", type=int, help="64 on a CPU, 60,000 on a GPU")
    parser.add_argument("--repeat", type=int, default=2, help="runs of the quickest ways, by turns")
    parser.add_argument("--minutes", type=float, default=7.5, help="a GPU's rows begin nothing that would not fit")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/encoding.json")
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)  # all lines, in a minute, on a CPU
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], options.child[1], int(options.child[2]))
        return
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch looks
    import transformers
    from encoding_gpu import gpu_rows
    from encoding_rivals import TINY, Shape

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    options.documents = options.documents or (64 if options.device == "cpu" else 60_000)
    about = {
        "benchmark": "encoding",
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "load_before": round(os.getloadavg()[0], 1),
        "command": shlex.join(["python", "benchmarks/encoding.py", *sys.argv[1:]]),
    }
    results = Results(options.out, "tiny" if options.tiny else options.device, about)
    rows = cpu_rows if options.device == "cpu" else gpu_rows
    with tempfile.TemporaryDirectory() as work:
        rows(results, options, TINY if options.tiny else Shape(), Path(work))
    results.put("seconds", round(time.monotonic() - BEGUN))
    print(json.dumps(results.rows))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ["HF_HUB_OFFLINE"] = "1"
    main()
