"""Sequences of any length put together into packs of a token budget: no padding, no sorting, nothing waits for long.

A pack is a list of sequences that are concatenated; attention keeps them apart.
"""

from typing import Generic, TypeVar

import numpy as np

OPEN = 8
"""Packs that are filled at a time: of web texts, 690 tokens on average, packs of 64k are then 99.9 % full."""
Key = TypeVar("Key")


class Packer(Generic[Key]):
    """Puts sequences into packs as they come; a pack leaves when no open one has room for the next sequence."""

    def __init__(self, budget: int, open_packs: int = OPEN) -> None:
        """`budget`: most tokens of a pack; a longer sequence goes alone."""
        self.budget, self.open_packs = budget, open_packs
        self._packs: list[tuple[int, list[Key]]] = []

    def add(self, key: Key, tokens: int) -> list[Key] | None:
        """Take a sequence in; the fullest pack, if it had to leave to make room."""
        if tokens >= self.budget:
            return [key]
        fitting = [i for i, (used, _) in enumerate(self._packs) if used + tokens <= self.budget]
        if fitting:  # best fit
            best = max(fitting, key=lambda i: self._packs[i][0])
            used, keys = self._packs[best]
            keys.append(key)
            self._packs[best] = (used + tokens, keys)
            return None
        left = None
        if len(self._packs) == self.open_packs:
            fullest = max(range(len(self._packs)), key=lambda i: self._packs[i][0])
            left = self._packs.pop(fullest)[1]
        self._packs.append((tokens, [key]))
        return left

    def flush(self) -> list[list[Key]]:
        """The packs that are open, which are closed by this."""
        packs = [keys for _, keys in self._packs]
        self._packs = []
        return packs


def starts_of(lengths: list[int]) -> np.ndarray:
    """int32 (N + 1,): where each sequence of a pack starts, and where the last one ends."""
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)


def positions_of(lengths: list[int], first: int = 0) -> np.ndarray:
    """int64 (T,): the place of each token in its own sequence, counted from `first`."""
    starts = starts_of(lengths)
    places: np.ndarray = np.arange(starts[-1], dtype=np.int64) - np.repeat(starts[:-1], lengths) + first
    return places


def fill(lengths: list[int], tokens: int, longest: int) -> list[int]:
    """Lengths of a pack that is filled up to so many tokens: the last sequences are filler, the very last may be empty.

    Args:
        longest: most tokens of a filler sequence.

    Raises:
        ValueError: they do not fit.
    """
    left = tokens - sum(lengths)
    if left < 0:
        raise ValueError(f"{len(lengths)} sequences of {sum(lengths)} tokens do not fit into a pack of {tokens}")
    whole, rest = divmod(left, longest)
    return [*lengths, *[longest] * whole, rest]
