"""How often our filter_reason is FineWeb2's own, on a folder of <code>.parquet files (columns text, filter_reason).

    python benchmarks/heuristics_agreement.py FOLDER

Prints one JSON line. FineWeb2 cut words with spaCy; ours are one regular expression (jql/crawl/words.py). Its reasons
that no rule of ours has (word lists, language score, ...) count as disagreement and are listed by name.

`fitted`: rows may have been labelled with other limits than those FineWeb2 has published since. So the limits are also
fitted to the labels, rule by rule, each on the documents that reached it; what then disagrees is words, not limits. It
is fitted and measured on the same rows, so it flatters a little.

The speed of datatrove's three filters is measured with our words too, so that it says what the filters cost and not
spaCy; they stop at the first rule that fails, where `signals` computes every value.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from jql.crawl.reference import reference_reason
from jql.crawl.signals import Rule, filter_reason, rules, signals, thresholds
from jql.crawl.words import split_words
from jql.schema import SIGNALS

KEPT = "kept"


def seconds(work: Callable[[str], object], texts: list[str], rounds: int = 3) -> float:
    """CPU time of the fastest of some rounds over all texts."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        for text in texts:
            work(text)
        best = min(best, time.process_time() - started)
    return best


def fitted_limit(rule: Rule, values: np.ndarray, failed: np.ndarray) -> float:
    """The limit on `values` (N,) that tells `failed`, bool (N,), with the fewest errors; of equals, the nearest."""
    if not failed.any():
        return rule.limit
    seen = np.unique(values)
    cuts = np.array([rule.limit, *((seen[1:] + seen[:-1]) / 2)])
    errors = [int(((values < cut if rule.lower else values > cut) != failed).sum()) for cut in cuts]
    best = cuts[np.array(errors) == min(errors)]
    return float(best[np.abs(best - rule.limit).argmin()])


def fit(language: str, values: np.ndarray, theirs: list[str]) -> tuple[tuple[Rule, ...], list[str]]:
    """Rules with limits fitted to FineWeb2's reasons, and what they say of each document.

    Args:
        language: code as in FineWeb2.
        values: float64 (N, S), the signals of each document.
        theirs: FineWeb2's reasons, or KEPT.
    """
    reached = np.ones(len(theirs), bool)
    reasons = np.array(theirs)
    fitted = []
    for rule in rules(language):
        column = values[reached, SIGNALS.index(rule.signal)]
        fitted.append(replace(rule, limit=fitted_limit(rule, column, reasons[reached] == rule.reason)))
        reached &= reasons != rule.reason
    ours = [
        next((rule.reason for rule in fitted if rule.fails(row[SIGNALS.index(rule.signal)])), KEPT)
        for row in values.tolist()
    ]
    return tuple(fitted), ours


def agreement(theirs: list[str], ours: list[str]) -> dict[str, Any]:
    """Shares of documents with the same decision and the same reason, and the table of reasons."""
    counts: dict[str, Counter[str]] = {}
    for their, our in zip(theirs, ours, strict=True):
        counts.setdefault(their, Counter())[our] += 1
    pairs = list(zip(theirs, ours, strict=True))
    return {
        "same_decision": round(sum((their == KEPT) == (our == KEPT) for their, our in pairs) / len(pairs), 4),
        "same_reason": round(sum(their == our for their, our in pairs) / len(pairs), 4),
        "dropped_theirs": sum(their != KEPT for their in theirs),
        "dropped_ours": sum(our != KEPT for our in ours),
        "theirs_to_ours": {their: dict(found.most_common()) for their, found in sorted(counts.items())},
    }


def measure(path: Path) -> dict[str, Any]:
    """Agreement and speed on one language's file."""
    language = path.stem
    table = pq.read_table(path, columns=["text", "filter_reason"])
    texts: list[str] = table["text"].to_pylist()
    theirs = [reason or KEPT for reason in table["filter_reason"].to_pylist()]
    values = np.array([signals(text, language) for text in texts])
    ours = [filter_reason(row, language) or KEPT for row in values]
    limits, fitted = fit(language, values, theirs)
    reference = partial(reference_reason, language=language)
    took = {
        "split_words": seconds(lambda text: split_words(text, language), texts),
        "signals_and_reason": seconds(lambda text: filter_reason(signals(text, language), language), texts),
        "datatrove_three_filters": seconds(reference, texts),
    }
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    same = sum((reference(text) or KEPT) == our for text, our in zip(texts, ours, strict=True))
    return {
        "documents": len(texts),
        "megabytes": round(megabytes, 3),
        **agreement(theirs, ours),
        "same_reason_as_datatrove_with_our_words": round(same / len(texts), 4),
        "fitted": {
            **agreement(theirs, fitted),
            "limits": {
                new.reason: {"published": old.limit, "fitted": round(new.limit, 3)}
                for old, new in zip(rules(language), limits, strict=True)
                if old != new
            },
        },
        "docs_per_s": {name: round(len(texts) / second) for name, second in took.items()},
        "mb_per_s": {name: round(megabytes / second, 2) for name, second in took.items()},
        "seconds": took,
    }


def machine() -> str:
    """Processor, cores and Python, in words."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def means(results: list[dict[str, Any]], documents: list[int]) -> dict[str, float]:
    """Agreement over all documents from that of each language."""
    return {
        name: round(float(np.average([result[name] for result in results], weights=documents)), 4)
        for name in ("same_decision", "same_reason")
    }


def main() -> None:
    """Measure every file of the folder that has thresholds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    found = {path.stem: measure(path) for path in sorted(folder.glob("*.parquet")) if path.stem in thresholds()}
    if not found:
        sys.exit(f"{folder}: expected files named like deu_Latn.parquet, found none of a language with thresholds")
    sizes = [result["documents"] for result in found.values()]
    documents = sum(sizes)
    megabytes = sum(result["megabytes"] for result in found.values())
    spent = Counter[str]()
    for result in found.values():
        spent.update(result.pop("seconds"))
    record = {
        "benchmark": "heuristics_agreement",
        "machine": machine(),
        "documents": documents,
        **means(list(found.values()), sizes),
        "fitted": means([result["fitted"] for result in found.values()], sizes),
        "docs_per_s": {name: round(documents / second) for name, second in spent.items()},
        "mb_per_s": {name: round(megabytes / second, 2) for name, second in spent.items()},
        "languages": found,
    }
    print(json.dumps(record, ensure_ascii=False))


if __name__ == "__main__":
    main()
