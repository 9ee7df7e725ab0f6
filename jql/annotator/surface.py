"""Surface features of a text: what can be seen of its form without reading it. Language-neutral counts and shares.

Shapes: N texts, S features, C characters of all texts, L lines, W words.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from jql.annotator.reading import code_points

SIGNS = '.,!?:;"()[]-–|/•*…%€$@#'
"""Each sign's share of the characters is a feature: advertisements, lists and prose differ in them."""
NAMES: tuple[str, ...] = (
    "log_chars",
    "log_words_a_line",
    "log_chars_a_line",
    "letters",
    "capitals",
    "digits",
    "lines_ended",
    "distinct_words",
    "word_length",
    "lines",
    "links",
    "capitalised",
    "numbers",
    "years",
    *(f"sign_{sign}" for sign in SIGNS),
)
_KNOWN = 0x30000  # code points above are rare ideographs and private use: no letters, digits or spaces to us
_ENDS = np.array([ord(c) for c in ".!?:;。！？؟"], np.uint32)


@cache
def _class(test: Callable[[str], bool]) -> np.ndarray:
    """Bool (_KNOWN,): which code points pass."""
    return np.array([test(chr(c)) for c in range(_KNOWN)])


def _in(test: Callable[[str], bool], points_C: np.ndarray) -> np.ndarray:
    found: np.ndarray = _class(test)[np.minimum(points_C, _KNOWN - 1)]
    return found


def is_space(points_C: np.ndarray) -> np.ndarray:
    """Bool (C,): which code points are white space."""
    return _in(str.isspace, points_C)


def surface(texts: Sequence[str]) -> np.ndarray:
    """float32 (N, S) in the order of NAMES: logarithms, shares of characters, words or lines; finite for any text.

    `distinct_words` is divided by words ** 0.8, as it grows slower than them, `lines` by the root of the characters.
    """
    if not texts:
        return np.zeros((0, len(NAMES)), np.float32)
    points_C, starts_N = code_points(texts)
    space_C = is_space(points_C)
    digit_C = _in(str.isdigit, points_C)
    upper_C = _in(str.isupper, points_C)

    def a_text(mask_C: np.ndarray) -> np.ndarray:
        return np.add.reduceat(mask_C.astype(np.int64), starts_N)

    chars_N = np.maximum(1, np.array([len(text) for text in texts]))
    # A text begins after a line end, so a word begins where a space comes before.
    starts_W = np.flatnonzero(~space_C & np.concatenate(([True], space_C[:-1])))
    text_W = np.searchsorted(starts_N, starts_W, side="right") - 1
    n = len(texts)
    length_W = np.add.reduceat((~space_C).astype(np.int64), starts_W) if len(starts_W) else np.zeros(0, np.int64)
    digits_W = np.add.reduceat(digit_C.astype(np.int64), starts_W) if len(starts_W) else np.zeros(0, np.int64)
    number_W = digits_W == length_W
    year_W = number_W & (length_W == 4) & np.isin(points_C[starts_W], (ord("1"), ord("2")))
    words_N = np.maximum(1, np.bincount(text_W, minlength=n))

    starts_L = np.concatenate(([0], np.flatnonzero(points_C == ord("\n"))[:-1] + 1))
    last_L = np.maximum.reduceat(np.where(space_C, -1, np.arange(len(points_C))), starts_L)
    text_L = np.searchsorted(starts_N, starts_L, side="right") - 1
    filled_L = last_L >= 0
    ended_L = filled_L & np.isin(points_C[np.maximum(last_L, 0)], _ENDS)
    lines_N = np.maximum(1, np.bincount(text_L[filled_L], minlength=n))

    letters_N = a_text(_in(str.isalpha, points_C))
    columns = [
        np.log(chars_N),
        np.log(words_N / lines_N),
        np.log(chars_N / lines_N),
        letters_N / chars_N,
        a_text(upper_C) / np.maximum(1, letters_N),
        a_text(digit_C) / chars_N,
        np.bincount(text_L[ended_L], minlength=n) / lines_N,
        np.array([len(set(text.lower().split())) for text in texts]) / words_N**0.8,
        np.bincount(text_W, weights=length_W, minlength=n) / words_N,
        lines_N / np.sqrt(chars_N),
        np.array([text.count("http") for text in texts]) / lines_N,
        np.bincount(text_W[upper_C[starts_W]], minlength=n) / words_N,
        np.bincount(text_W[number_W], minlength=n) / words_N,
        np.bincount(text_W[year_W], minlength=n) / words_N,
        *(np.array([text.count(sign) for text in texts]) / chars_N for sign in SIGNS),
    ]
    return np.stack(columns, axis=1).astype(np.float32)
