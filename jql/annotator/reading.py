"""Which part of a document is read: a window of bounded length, so that nothing depends on how long the rest is."""

from collections.abc import Sequence

import numpy as np


def window(text: str, chars: int) -> str:
    """The text if it has at most `chars` characters, else thirds of that from its start, centre and end, one a line.

    Lone surrogates, which no tokenizer takes, are left out and NUL becomes a space.
    """
    if len(text) > chars:
        third = chars // 3
        centre = (len(text) - third) // 2
        text = "\n".join((text[:third], text[centre : centre + third], text[len(text) - third :]))
    return text.encode("utf-8", "ignore").decode().replace("\x00", " ")


def code_points(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Code points of all texts, a line end after each, uint32 (C,), and where each text begins, int64 (N,)."""
    points_C = np.frombuffer("".join(f"{text}\n" for text in texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    lengths_N = np.array([len(text) + 1 for text in texts], np.int64)
    return points_C, np.cumsum(lengths_N) - lengths_N
