"""Heuristic signals of a document as numbers, and what FineWeb2's thresholds would drop, as a reason.

The values are those that datatrove's GopherRepetitionFilter, FineWebQualityFilter and GopherQualityFilter compare; the
filters themselves only tell the first rule that fails. tests/crawl/test_signals.py holds the two against each other.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from jql.crawl.words import SPACELESS, split_words
from jql.paths import data_dir
from jql.schema import SIGNALS

# FineWeb2: paragraph rules and the share of characters in repeated lines are off, short lines are not looked at.
CHAR_DUP = 0.1
MIN_WORDS, MAX_WORDS = 50, 100_000
MAX_SYMBOLS = 0.1
MAX_BULLET_LINES = 0.9
MAX_ELLIPSIS_LINES = 0.3
MIN_STOP_WORDS = 2
SHORT_LINE = 30
# Equal n-grams begin alike. A power of two; with 8 or 32 more places are left to look at, in pages of a raw crawl.
_PREFIX = 16
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

_PARAGRAPH = re.compile(r"\n{2,}")


@dataclass(frozen=True)
class Thresholds:
    """One language's thresholds; see data/heuristics.csv. `top` and `dup` are n -> largest share of characters."""

    dup_line: float
    top: dict[int, float]
    dup: dict[int, float]
    line_punct: float
    newline_ratio: float
    min_word_length: float
    max_word_length: float
    alpha_words: float
    stop_words: frozenset[str]


@lru_cache(1)
def thresholds() -> dict[str, Thresholds]:
    """The thresholds of every language that has them."""
    found = {}
    with (data_dir() / "heuristics.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found[row["language"]] = Thresholds(
                dup_line=float(row["dup_line"]),
                top={n: float(row[f"top_{n}_gram"]) for n in (2, 3, 4)},
                dup={n: float(row[f"dup_{n}_gram"]) for n in range(5, 11)},
                line_punct=float(row["line_punct"]),
                newline_ratio=float(row["newline_ratio"]),
                min_word_length=float(row["min_word_length"]),
                max_word_length=float(row["max_word_length"]),
                alpha_words=float(row["alpha_words"]),
                stop_words=frozenset(json.loads(row["stop_words"])),
            )
    return found


@lru_cache(1)
def _signs() -> tuple[frozenset[str], frozenset[str]]:
    """Punctuation as datatrove has it, and what of it ends a sentence; loaded late, datatrove is slow to import."""
    from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION

    return frozenset(PUNCTUATION_SET), frozenset(TERMINAL_PUNCTUATION)


def _repeated(items: list[str]) -> tuple[int, int]:
    """How many items came before already, and their characters."""
    unique = set(items)
    if len(unique) == len(items):
        return 0, 0
    return len(items) - len(unique), sum(map(len, items)) - sum(map(len, unique))


def _occurs_twice(codes: np.ndarray) -> np.ndarray:
    """Whether each value is there more than once, bool (W,)."""
    order = np.argsort(codes)
    ranked = codes[order]
    same = ranked[1:] == ranked[:-1]
    twice = np.zeros(len(codes), bool)
    twice[order[1:][same]] = True
    twice[order[:-1][same]] = True
    return twice


def _top_grams(codes: np.ndarray, lengths: np.ndarray) -> tuple[int, int, int]:
    """Characters (with spaces between) in all occurrences of the most frequent 2-, 3- and 4-gram; in a tie the first.

    Args:
        codes: int64 (W,), one number per distinct word.
        lengths: int64 (W,), characters of each word.
    """

    def covered(first: np.ndarray, counts: np.ndarray, n: int) -> int:
        most = int(counts.max())
        start = int(first[counts == most].min())
        return (int(lengths[start : start + n].sum()) + n - 1) * most

    if len(codes) < 2:
        return 0, 0, 0
    size = int(codes.max()) + 1
    _, first, pairs, counts = np.unique(
        codes[:-1] * size + codes[1:], return_index=True, return_inverse=True, return_counts=True
    )
    found = [covered(first, counts, 2), 0, 0]
    again = counts[pairs] > 1
    for n, other, step in ((3, codes, size), (4, pairs, len(counts))):
        if len(codes) < n:
            break
        # Only n-grams whose pairs occur again can; all others come once, and then the first of the text is the answer.
        last = len(codes) - n + 1
        places = np.flatnonzero(again[:last] & again[n - 2 : n - 2 + last])
        if len(places):
            # Word or pair two places further on: together the n-gram, as one number below 2^63 up to a billion words.
            _, first, counts = np.unique(
                pairs[places] * step + other[places + 2], return_index=True, return_counts=True
            )
            first = places[first]
        if not len(places) or counts.max() == 1:
            first, counts = np.array([0]), np.array([1])
        found[n - 2] = covered(first, counts, n)
    return found[0], found[1], found[2]


def _repeated_grams(words: list[str], lengths: np.ndarray, sizes: Sequence[int]) -> list[int]:
    """Characters (without spaces) in n-grams that came before already and do not overlap, for each n of `sizes`.

    As datatrove counts them: left to right, n words are skipped after a repeated n-gram, and n-grams are compared
    without the spaces between their words. Only places whose next _PREFIX characters occur twice are looked at, about
    one in five; equal characters have equal hashes, and a collision costs a look, not a wrong value.

    Args:
        words: W words.
        lengths: int64 (W,), characters of each word.
        sizes: the n wanted.
    """
    shortest = min(sizes)
    if len(words) <= shortest:
        return [0] * len(sizes)
    joined = "".join(words)
    ends = lengths.cumsum()
    begins = ends - lengths
    hashes = np.zeros(len(joined) + _PREFIX, np.uint64)  # of 1, 2, 4 ... _PREFIX characters
    hashes[: len(joined)] = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    width = 1
    while width < _PREFIX:
        hashes[:-width] = hashes[:-width] * _MULTIPLIER + hashes[width:]
        width *= 2
    look = _occurs_twice(hashes[begins])[: len(words) - shortest + 1]
    look |= ends[shortest - 1 :] - begins[: len(look)] < _PREFIX
    places = np.flatnonzero(look).tolist()
    starts = [*begins.tolist(), len(joined)]
    found = []
    for n in sizes:
        seen: set[str] = set()
        chars, free, last = 0, 0, len(words) - n
        for i in places:
            if i < free:
                continue
            if i > last:
                break
            gram = joined[starts[i] : starts[i + n]]
            if gram in seen:
                chars += len(gram)
                free = i + n
            else:
                seen.add(gram)
        found.append(chars)
    return found


def signals(text: str, language: str) -> np.ndarray:
    """float64 (S,): the values named in schema.SIGNALS, in that order; all zero for a text without words, never NaN.

    Shares of words, lines or characters are in [0, 1]; hash_ratio, ellipsis_ratio and newline_ratio are signs per word,
    and overlapping n-grams can take top_n_gram above 1. mean_word_length is in characters.
    """
    words = split_words(text, language)
    if not words:
        return np.zeros(len(SIGNALS))
    punctuation, terminal = _signs()
    values = dict.fromkeys(SIGNALS, 0.0)
    n_words, n_chars, n_newlines = len(words), len(text), text.count("\n")

    distinct = Counter(words)
    proper = proper_chars = alphabetic = 0
    for word, times in distinct.items():
        if word.isalpha():  # no letter is punctuation
            proper += times
            proper_chars += times * len(word)
            alphabetic += times
        else:
            if not punctuation.issuperset(word):
                proper += times
                proper_chars += times * len(word)
            if any(map(str.isalpha, word)):
                alphabetic += times
    values["n_words"] = proper
    values["mean_word_length"] = proper_chars / proper if proper else 0.0
    values["hash_ratio"] = text.count("#") / n_words
    values["ellipsis_ratio"] = (text.count("...") + text.count("…")) / n_words
    values["alpha_words"] = alphabetic / n_words
    known = thresholds().get(language)
    values["stop_words"] = sum(word in distinct for word in known.stop_words) if known else 0
    values["newline_ratio"] = n_newlines / n_words

    split = text.splitlines()
    values["bullet_lines"] = sum(line.lstrip().startswith(("•", "-")) for line in split) / len(split)
    values["ellipsis_lines"] = sum(line.rstrip().endswith(("...", "…")) for line in split) / len(split)
    paragraphs = _PARAGRAPH.split(text.strip()) if "\n\n" in text else [text]
    count, chars = _repeated(paragraphs)
    values["dup_para"], values["dup_para_chars"] = count / len(paragraphs), chars / n_chars
    # As re.split(r"\n+", text): empty lines count at the ends only.
    lines = [line for line in text.split("\n") if line] + [""] * (text.startswith("\n") + text.endswith("\n"))
    count, chars = _repeated(lines)
    values["dup_line"], values["dup_line_chars"] = count / len(lines), chars / n_chars
    # Never empty: white space is the same for split_words and isspace, so where there are words there is such a line.
    filled = [line for line in lines if line and not line.isspace()]
    values["line_punct"] = sum(line[-1] in terminal for line in filled) / len(filled)
    values["short_lines"] = sum(len(line) <= SHORT_LINE for line in filled) / len(filled)
    values["char_dup"] = _repeated(filled)[1] / (n_chars - n_newlines)

    number = {word: i for i, word in enumerate(distinct)}
    codes = np.fromiter(map(number.__getitem__, words), np.int64, n_words)
    lengths = np.fromiter(map(len, words), np.int64, n_words)
    for n, chars in zip((2, 3, 4), _top_grams(codes, lengths), strict=True):
        values[f"top_{n}_gram"] = chars / n_chars
    sizes = range(5, 11)
    for n, chars in zip(sizes, _repeated_grams(words, lengths, sizes), strict=True):
        values[f"dup_{n}_gram"] = chars / n_chars
    return np.array([values[name] for name in SIGNALS])


@dataclass(frozen=True)
class Rule:
    """A limit on one signal: a document fails below it (`lower`) or above it; at the limit it passes."""

    reason: str
    signal: str
    limit: float
    lower: bool = False

    def fails(self, value: float) -> bool:
        """Whether a document with this value is dropped."""
        return value < self.limit if self.lower else value > self.limit


@lru_cache(512)
def rules(language: str) -> tuple[Rule, ...]:
    """FineWeb2's rules in the order they are asked, with datatrove's names; none for a language without thresholds."""
    limits = thresholds().get(language)
    if limits is None:
        return ()
    return (
        Rule("dup_line_frac", "dup_line", limits.dup_line),
        *(Rule(f"top_{n}_gram", f"top_{n}_gram", share) for n, share in limits.top.items()),
        *(Rule(f"duplicated_{n}_n_grams", f"dup_{n}_gram", share) for n, share in limits.dup.items()),
        Rule("line_punct_ratio", "line_punct", limits.line_punct, lower=True),
        Rule("char_dup_ratio", "char_dup", CHAR_DUP),
        Rule("list_ratio", "newline_ratio", limits.newline_ratio),
        Rule("gopher_short_doc", "n_words", MIN_WORDS, lower=True),
        Rule("gopher_long_doc", "n_words", MAX_WORDS),
        Rule("gopher_below_avg_threshold", "mean_word_length", limits.min_word_length, lower=True),
        Rule("gopher_above_avg_threshold", "mean_word_length", limits.max_word_length),
        Rule("gopher_too_many_hashes", "hash_ratio", MAX_SYMBOLS),
        Rule("gopher_too_many_ellipsis", "ellipsis_ratio", MAX_SYMBOLS),
        Rule("gopher_too_many_bullets", "bullet_lines", MAX_BULLET_LINES),
        Rule("gopher_too_many_end_ellipsis", "ellipsis_lines", MAX_ELLIPSIS_LINES),
        Rule("gopher_below_alpha_threshold", "alpha_words", limits.alpha_words, lower=True),
        Rule("gopher_enough_stop_words", "stop_words", MIN_STOP_WORDS, lower=True),
    )


def filter_reason(values: np.ndarray, language: str) -> str | None:
    """The first rule of FineWeb2's that a document fails (datatrove's name of it), or None.

    None as well for a language without thresholds, and for scripts without spaces, whose thresholds count words that
    only a dictionary can find. A text of white space is "empty", also where datatrove would first name its repeated
    empty lines.

    Args:
        values: float64 (S,), from `signals`; rounded to float32 a value at its limit can fall on the other side.
        language: code as in FineWeb2.
    """
    asked = rules(language)
    if not asked or language.partition("_")[2] in SPACELESS:
        return None
    if not values.any():
        return "empty"
    found = dict(zip(SIGNALS, values.tolist(), strict=True))
    return next((rule.reason for rule in asked if rule.fails(found[rule.signal])), None)
