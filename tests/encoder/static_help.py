"""A made-up corpus: English word by word in three languages that are ciphers of it, each in a script of its own."""

from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jql.encoder.encoder import EncoderSpec
from jql.encoder.parallel_text import HELD_OUT
from jql.encoder.static import save_static, static_spec
from jql.encoder.vocabulary import train_vocabulary

_WORDS = """\
river stone light energy number school history music market garden island winter bridge engine paper forest
lake house door window bread water salt sugar horse sheep cow bird fish snake king queen farmer doctor teacher child
mother father sister brother red green blue white black small large old young fast slow north south east west road
train ship wheel fire cloud rain snow wind moon star field hill sand gold iron glass cloth letter story song"""
WORDS = _WORDS.split()
ALPHABETS = {"aaa_Latn": "bdfgklmnprstvzaeiou", "bbb_Grek": "βγδζθκλμνπρστφχαειοω", "ccc_Cyrl": "бвгджзклмнпрстаеиоу"}
HARD = [
    "",
    " ",
    "a",
    "\x00",
    "\ud800",
    "\ud800 lone",
    "🙂🙃🚀👩‍👩‍👧",
    "x" * 1_000_000,
    "Мир und 世界 و ไทย 12",
    "\n\t\r" * 99,
]


def english_lines(count: int, seed: int = 0, words: int = 8) -> list[str]:
    """Sentences of distinct words, drawn evenly."""
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, words, replace=False)) for _ in range(count)]


@cache
def _dictionary(language: str) -> dict[str, str]:
    draw, letters = np.random.default_rng(ord(language[0])), list(ALPHABETS[language])
    return {word: "".join(draw.choice(letters, 6)) for word in WORDS}


def in_cipher(language: str, line: str) -> str:
    """The line in a made-up language, word for word."""
    return " ".join(_dictionary(language)[word] for word in line.split())


def write_pairs(folder: Path, language: str, rows: list[tuple[str, str, str]]) -> None:
    """A language's Parquet file of (source, english, translation)."""
    folder.mkdir(exist_ok=True)
    columns = zip(*rows, strict=True)
    table = dict(zip(("source", "english", "translation"), map(list, columns), strict=True))
    pq.write_table(pa.table(table), folder / f"{language}.parquet")


def write_corpus(folder: Path, trained: int = 400) -> Path:
    """The ciphers' files: as many lines of NTREX to train on, and the held-out ones after them."""
    english = english_lines(trained + HELD_OUT)
    for language in ALPHABETS:
        write_pairs(folder, language, [("ntrex", line, in_cipher(language, line)) for line in english])
    return folder


def small_encoder(folder: Path, dim: int = 24, seed: int = 0) -> tuple[EncoderSpec, np.ndarray]:
    """A static encoder of random vectors over a real tokenizer; its spec and the vectors (V, D)."""
    lines = english_lines(200)
    signs = [" ".join("0123456789.,:;!?()-'")] * 20
    tokenizer = train_vocabulary([*lines, *(in_cipher("ccc_Cyrl", line) for line in lines), *signs], 400)
    shape = (tokenizer.get_vocab_size(), dim)
    vectors = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    save_static(folder, tokenizer, vectors)
    return static_spec(str(folder)), vectors
