"""How well a language identifier does on a folder of <code>.parquet files (columns text, language, lang_correct).

    python benchmarks/language_id.py WEB_FOLDER [--parallel FOLDER] [--identifier default]

Prints one JSON line. The labels of HPLT pages are another identifier's, without Serbian in Latin letters: more than
half of the pages labelled bos_Latn are Serbian (web_words_by_label). `--parallel` adds close languages on professional
translations (NTREX: column source is "ntrex", column translation), whose labels are certain; six sentences make one
text, every second text is left out, as the words in jql/crawl/close_languages.py were looked over against it.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from jql.crawl.close_languages import MARKER_PATTERNS
from jql.crawl.language import LanguageIdentifier, load_identifier

CLOSE = (
    *("bos_Latn", "hrv_Latn", "srp_Latn", "srp_Cyrl", "nob_Latn", "nno_Latn", "dan_Latn"),
    *("glg_Latn", "por_Latn", "als_Latn", "mlt_Latn", "ces_Latn", "slk_Latn", "mkd_Cyrl", "bul_Cyrl"),
)
SHORT = 60  # characters of a short text


def web_texts(folder: Path) -> list[tuple[str, str]]:
    """(language, text) of every row that nobody marked as being in another language."""
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.parquet")):
        rows += pq.read_table(path, columns=["language", "text", "lang_correct"]).to_pylist()
    return [(row["language"], row["text"]) for row in rows if row["lang_correct"] != 0]


def translated_texts(folder: Path) -> list[tuple[str, str]]:
    """(language, text) of six translated sentences each, for the close languages the folder has."""
    texts: list[tuple[str, str]] = []
    for code in CLOSE:
        path = folder / f"{code}.parquet"
        rows = pq.read_table(path).to_pylist() if path.is_file() else []
        lines = [row["translation"] for row in rows if row["source"] == "ntrex"]
        groups = [" ".join(lines[i : i + 6]) for i in range(0, len(lines) - 5, 6)]
        texts += [(code, group) for group in groups[1::2]]
    return texts


def measure(identifier: LanguageIdentifier, texts: list[tuple[str, str]]) -> dict[str, Any]:
    """Accuracy per language and its mean, the answers given for the close languages, documents a second."""
    start = time.process_time()
    answers = [identifier.identify(text)[0] for _, text in texts]
    seconds = time.process_time() - start
    by_language: dict[str, Counter[str]] = {}
    for (language, _), answer in zip(texts, answers, strict=True):
        by_language.setdefault(language, Counter())[answer] += 1
    accuracy = {code: round(counts[code] / counts.total(), 4) for code, counts in by_language.items()}
    return {
        "documents": len(texts),
        "macro_accuracy": round(sum(accuracy.values()) / len(accuracy), 4),
        "accuracy": accuracy,
        "answers": {code: dict(by_language[code].most_common(6)) for code in CLOSE if code in by_language},
        "documents_per_second": round(len(texts) / seconds),
    }


def yat(texts: list[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Texts labelled Bosnian, Croatian or Serbian with more ekavian (Serbian) than ijekavian words, or fewer."""
    ekavian, ijekavian = MARKER_PATTERNS[0][1], MARKER_PATTERNS[1][1]
    counts = {code: {"ekavian": 0, "ijekavian": 0, "neither": 0} for code in ("bos_Latn", "hrv_Latn", "srp_Latn")}
    for code, text in texts:
        if code in counts:
            e, ije = len(ekavian.findall(text.lower())), len(ijekavian.findall(text.lower()))
            counts[code]["ekavian" if e > ije else "ijekavian" if ije > e else "neither"] += 1
    return counts


def machine() -> str:
    """Processor, cores and Python, in words."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("web", type=Path, help="folder of <code>.parquet")
    parser.add_argument("--parallel", type=Path, help="folder of <code>.parquet with source and translation")
    parser.add_argument("--identifier", default="default")
    options = parser.parse_args()
    identifier = load_identifier(options.identifier)
    texts = web_texts(options.web)
    if not texts:
        sys.exit(f"{options.web}: no <code>.parquet with rows in it; expected columns text, language, lang_correct")
    figures = {
        "benchmark": "language_id",
        "identifier": options.identifier,
        "machine": machine(),
        "web": measure(identifier, texts),
        "web_words_by_label": yat(texts),
        f"web_{SHORT}_characters": measure(identifier, [(code, text[:SHORT]) for code, text in texts]),
    }
    if options.parallel:
        figures["translations"] = measure(identifier, translated_texts(options.parallel))
    print(json.dumps(figures, ensure_ascii=False))


if __name__ == "__main__":
    main()
