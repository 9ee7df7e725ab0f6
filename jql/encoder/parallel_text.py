"""What the encoder in the box is trained on: translated pairs, parallel documents, and both halves of web pages.

Shapes: P pairs.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from jql.errors import InputError

SOURCES = {"ntrex": 3.0, "sib": 3.0, "udhr": 3.0, "tatoeba": 1.0, "gnome": 1.0, "eforms": 1.0, "omw": 1.0}
"""Sources and how often a pair of theirs is drawn; `scratch` (AGPL) and `osm` (GPL) are left out of shipped weights."""
CAPS = {"eforms": 500, "omw": 4000}
"""Most pairs of a language: procurement terms and dictionary words would outnumber sentences."""
HELD_OUT = 500
"""Last lines of NTREX, in no training: they measure retrieval here and translations elsewhere."""
DOCUMENT_LINES = 6
PAGE_BREAK = "\n..........\n"
"""What stands between the two halves of a page in the web sample."""


@dataclass
class ParallelText:
    """English and translations; `documents` are runs of NTREX lines joined."""

    english: list[str] = field(default_factory=list)
    translation: list[str] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    documents: list[tuple[str, str]] = field(default_factory=list)
    held_out: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


def parallel_files(folder: Path, leave_out: tuple[str, ...] = ()) -> list[Path]:
    """The Parquet files of parallel text, one a language and named by it, without the languages left out.

    Raises:
        InputError: there are none.
    """
    files = [file for file in sorted(folder.glob("*.parquet")) if file.stem not in leave_out]
    if not files:
        raise InputError(f"{folder}: no Parquet files, expected one a language with source, english, translation")
    return files


def read_lines(file: Path) -> dict[str, list[tuple[str, str]]]:
    """Source -> its pairs of English and translation, in the order of the file.

    Raises:
        InputError: the file cannot be read or has other columns.
    """
    try:
        rows = pq.read_table(file, columns=["source", "english", "translation"]).to_pylist()
    except (KeyError, ValueError, OSError) as error:
        raise InputError(f"{file}: expected the columns source, english, translation ({error})") from error
    found: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        found.setdefault(row["source"], []).append((row["english"], row["translation"]))
    return found


def read_parallel_text(folder: Path, seed: int = 0) -> ParallelText:
    """Pairs of every language's Parquet file (columns source, english, translation).

    Raises:
        InputError: no such files, or nothing in them to train on or to hold out.
    """
    found = ParallelText()
    for file in parallel_files(folder):
        by_source = {source: pairs for source, pairs in read_lines(file).items() if source in SOURCES}
        lines = by_source.get("ntrex", [])
        if lines:
            found.held_out[file.stem] = lines[-HELD_OUT:]
        by_source["ntrex"] = lines[:-HELD_OUT]
        draw = random.Random(seed)
        for source, pairs in by_source.items():
            kept = draw.sample(pairs, min(len(pairs), CAPS.get(source, len(pairs))))
            found.english += [english for english, _ in kept]
            found.translation += [translation for _, translation in kept]
            found.weight += [SOURCES[source]] * len(kept)
        found.documents += joined(by_source["ntrex"], DOCUMENT_LINES)
    if not found.english or not found.held_out:
        expected = f"of ntrex more than the {HELD_OUT} held out, or other sources of {', '.join(SOURCES)} beside"
        raise InputError(
            f"{folder}: {len(found.english)} pairs to train on, {len(found.held_out)} languages held out; "
            f"expected {expected}"
        )
    return found


def joined(pairs: list[tuple[str, str]], lines: int) -> list[tuple[str, str]]:
    """Every `lines` consecutive pairs as one."""
    runs = [pairs[at : at + lines] for at in range(0, len(pairs), lines)]
    return [(" ".join(e for e, _ in run), " ".join(t for _, t in run)) for run in runs]


def read_pages(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Language and page texts of every Parquet file, by name."""
    for file in sorted(folder.glob("*.parquet")):
        yield file.stem, pq.read_table(file, columns=["text"]).column(0).to_pylist()


def halves(pages: list[str], shortest: int = 100) -> list[tuple[str, str]]:
    """The two parts of each page that has two of at least `shortest` characters."""
    cut = [page.split(PAGE_BREAK) for page in pages]
    return [(parts[0], parts[1]) for parts in cut if len(parts) == 2 and min(map(len, parts)) >= shortest]
