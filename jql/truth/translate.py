"""Ground truth through a language model into other languages, a stage of the engine for each of them.

A language added later, or scores aggregated anew, ask for nothing that was answered before.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from jql.engine import storage
from jql.engine.receipt import committed
from jql.engine.run import Run, StageRun
from jql.errors import DataError, RecipeError
from jql.languages import check_language
from jql.llm.endpoint import Endpoint, Sampling, probe
from jql.recipe import Engine
from jql.schema import TRUTH
from jql.truth.originals import Originals, read_originals
from jql.truth.translate_stage import NOT_ASKED, ORIGINAL, translate_stage, translate_units
from jql.truth.translation import INSTRUCTION, SYSTEM, USER, identity_of, translator_of

TIMEOUT_S = 600.0  # 4,096 tokens at 7 a second, which a busy server gives to each of many requests
MANY_DROPPED = 0.2


@dataclass(frozen=True)
class Counts:
    """How one language went.

    Attributes:
        asked: documents for which the model was asked. not_asked, dropped: reason -> documents.
        notes: short and close -> translations that were kept though their language was not told for sure.
    """

    language: str
    asked: int
    kept: int
    not_asked: dict[str, int]
    dropped: dict[str, int]
    notes: dict[str, int]
    tokens_in: int
    tokens_out: int
    seconds: float

    def words(self) -> str:
        """Reasons of drops with their counts."""
        return ", ".join(f"{reason} {count:,}" for reason, count in self.dropped.items()) or "none"


def run_translate(
    truth: str,
    out: str,
    *,
    to: list[str],
    endpoint: str,
    model: str,
    key: str = "OPENAI_API_KEY",
    revision: str = "",
    max_tokens: int = 4096,
    temperature: float = 0.0,
    concurrency: int = 32,
    engine: Engine | None = None,
    budget_tokens: int | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Translate the originals of ground truth; `out`/truth.parquet holds them and their translations.

    Args:
        truth: Parquet file or folder of TRUTH; translations in it are left out. out: run folder, for resuming too.
        to: language codes. endpoint: base URL of a chat endpoint. key: environment variable that holds its key.
        concurrency: requests under way at a time, for each worker.
        budget_tokens: where to stop, counted over all runs in `out`.

    Returns:
        What `out`/translate.json holds: settings, left_out (rows of `truth`), and languages (code -> Counts).

    Raises:
        RecipeError: an unknown language, an option out of range. InputError: see `read_originals`.
        StopError: the endpoint cannot be used, or the budget is spent. DataError: a language of which nothing survived.
    """
    codes = _check_options(to, max_tokens, temperature, concurrency)
    target = Endpoint(endpoint, model, key, timeout_s=TIMEOUT_S, concurrency=concurrency)
    sampling = Sampling(1, temperature, 1.0, max_tokens)
    translator = translator_of(model, revision)
    _refuse_inside(truth, out)
    originals = read_originals(truth)
    _refuse_originals(truth, originals, codes)
    with Run(out, engine or Engine(), console) as run:
        table = pa.Table.from_pylist(originals.rows, TRUTH).select(ORIGINAL.names)
        storage.write_table(out, "originals.parquet", ORIGINAL, [table])
        settings = {
            "originals": storage.join(out, "originals.parquet"),
            "endpoint": asdict(target),
            "sampling": asdict(sampling),
            "translator": translator,
            "spent": storage.join(out, "spent"),
            "budget_tokens": budget_tokens,
        }
        config = {"model": model, "revision": revision, "instruction": INSTRUCTION, **asdict(sampling)}
        identity = identity_of(originals.rows)
        stages = [translate_stage(code, config, identity, settings) for code in codes]
        units = list(translate_units(truth, originals.rows))
        if any(len(committed(run.stage_folder(stage))) < len(units) for stage in stages):
            # One small request tells at once what a worker would find out after minutes of trying again.
            probe(replace(target, retries=1))
        counts, runs = [], []
        for stage, code in zip(stages, codes, strict=True):
            runs.append(run.run(stage, lambda: iter(units)))
            counts.append(_count(code, runs[-1], len(originals.rows)))
            if not any(count.kept for count in counts):
                break  # it is not the language, so the others are not paid for
        result = {
            "truth": truth,
            "endpoint": str(target),
            "revision": revision,
            "instruction": {"version": INSTRUCTION, "system": SYSTEM, "user": USER},
            "sampling": asdict(sampling),
            "originals": len(originals.rows),
            "origin": originals.origins(),
            "left_out": dict(originals.left_out),
            "languages": {count.language: asdict(count) for count in counts},
        }
        data = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        storage.put(storage.join(out, "translate.json"), data.encode())
        run.console.print(translate_table(counts, originals, translator))
        for count in counts:
            if 0 < count.kept < (1 - MANY_DROPPED) * count.asked:
                share = f"{count.asked - count.kept:,} of {count.asked:,} translations were dropped"
                run.console.print(f"[yellow]{count.language}: {share} ({count.words()})[/]", highlight=False)
        _refuse_nothing(counts, runs)
        storage.write_table(out, "truth.parquet", TRUTH, merged(originals.rows, runs))
    return result


def merged(originals: list[dict[str, Any]], runs: list[StageRun]) -> Iterator[pa.Table]:
    """TRUTH: the originals, then a table for each language with what they say of score and raters."""
    yield pa.Table.from_pylist(originals, TRUTH)
    by_source = {row["source"]: row for row in originals}
    for stage in runs:
        rows = [row for table in stage.tables() for row in table.to_pylist()]
        yield pa.Table.from_pylist([{**by_source[row["source"]], **row} for row in rows], TRUTH)


def translate_table(counts: list[Counts], originals: Originals, translator: str) -> Table:
    """How it went, for a terminal: a row a language; below, origin of the truth and what was left out of it."""
    left = ", ".join(f"{reason} {count:,}" for reason, count in originals.left_out.items()) or "nothing"
    origins = ", ".join(f"{name} {count:,}" for name, count in originals.origins().items())
    lines = [f"{len(originals.rows):,} originals, origin: {origins}; left out: {left}"]
    for note, means in {"short": "too short to tell their language", "close": "taken for a close language"}.items():
        kept = {count.language: count.notes[note] for count in counts if count.notes.get(note)}
        if kept:
            lines.append(f"kept though {means}: {', '.join(f'{code} {n:,}' for code, n in kept.items())}")
    title = f"Ground truth translated by {translator}"
    table = Table(title=title, title_justify="left", caption="\n".join(lines), caption_justify="left")
    for name in ("language", "not asked", "asked", "kept", "dropped", "tokens in", "tokens out"):
        table.add_column(name, justify="left" if name in ("language", "dropped") else "right")
    for c in counts:
        numbers = [f"{n:,}" for n in (sum(c.not_asked.values()), c.asked, c.kept)]
        table.add_row(c.language, *numbers, c.words(), f"{c.tokens_in:,}", f"{c.tokens_out:,}")
    return table


def _check_options(to: list[str], max_tokens: int, temperature: float, concurrency: int) -> list[str]:
    if not to:
        raise RecipeError("to: expected one or more language codes, got none")
    for name, value in {"max_tokens": max_tokens, "concurrency": concurrency}.items():
        if value < 1:
            raise RecipeError(f"{name}: expected 1 or more, got {value}")
    if not 0 <= temperature <= 2:
        raise RecipeError(f"temperature: expected 0 to 2, got {temperature}")
    return [check_language(code) for code in dict.fromkeys(to)]


def _refuse_inside(truth: str, out: str) -> None:
    """Refuse to read what is written."""
    read, folder = (os.path.abspath(p) if storage.is_local(p) else p.rstrip("/") for p in (truth, out))
    if read == f"{folder}/truth.parquet" or f"{folder}/".startswith(f"{read}/"):
        raise RecipeError(f"{truth}: {out} is written there; name the ground truth before translation, or another out")


def _refuse_originals(truth: str, originals: Originals, codes: list[str]) -> None:
    known = {row["language"] for row in originals.rows}
    for code in codes:
        if known == {code}:
            raise RecipeError(f"{truth}: all {len(originals.rows):,} originals are in {code}; leave it out of to")
    ids = {row["id"] for row in originals.rows}
    taken = [f"{row['source']}/{code}" for row in originals.rows for code in codes]
    if clash := ids.intersection(taken):
        raise RecipeError(f"{truth}: document {min(clash)!r} has the id of a translation; give it another")


def _count(code: str, stage: StageRun, documents: int) -> Counts:
    drops: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    seconds = 0.0
    for receipt in stage.receipts():
        drops.update(receipt.drops)
        notes.update(receipt.stats["notes"])
        sums.update({"read": receipt.rows_in, "kept": receipt.accepted})
        sums.update({name: receipt.stats[name] for name in ("tokens_in", "tokens_out")})
        seconds += receipt.stats["seconds"]
    if documents > sums["read"]:
        drops["unit_missing"] = documents - sums["read"]
    not_asked = {reason: drops.pop(reason) for reason in NOT_ASKED if reason in drops}
    return Counts(
        language=code,
        asked=documents - sum(not_asked.values()),
        kept=sums["kept"],
        not_asked=not_asked,
        dropped=dict(drops.most_common()),
        notes=dict(notes),
        tokens_in=sums["tokens_in"],
        tokens_out=sums["tokens_out"],
        seconds=round(seconds, 1),
    )


def _refuse_nothing(counts: list[Counts], runs: list[StageRun]) -> None:
    lost = [
        f"{count.language} ({count.words()}; replies in {storage.join(stage.folder, 'data', 'replies')})"
        for count, stage in zip(counts, runs, strict=True)
        if not count.kept
    ]
    if lost:
        raise DataError(
            f"no translation survived: {', '.join(lost)}; look at the replies, then take another model or leave the "
            "language out"
        )
