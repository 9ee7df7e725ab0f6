"""Sequences of any length put together into packs of a token budget: no padding, no sorting, nothing waits for long.

A pack is a list of sequences that are concatenated; attention keeps them apart.
"""

from typing import Generic, TypeVar

import numpy as np

OPEN = 8
"""Packs that are filled at a time: of web texts, 690 tokens on average, packs of 64k are then 99.9 % full."""
TOKENS_A_SLOT = 32
"""A pack has room for one sequence for so many of its tokens, so that arrays of starts have a fixed size."""

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
        fitting = [i for i, (used, keys) in enumerate(self._packs) if self._has_room(used, keys, tokens)]
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

    def _has_room(self, used: int, keys: list[Key], tokens: int) -> bool:
        return used + tokens <= self.budget and len(keys) < slots(self.budget)


def slots(tokens: int) -> int:
    """Most sequences of a pack of so many tokens."""
    return max(1, tokens // TOKENS_A_SLOT)


def starts_of(lengths: list[int]) -> np.ndarray:
    """int32 (N + 1,): where each sequence of a pack starts, and where the last one ends."""
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)


def positions_of(lengths: list[int], first: int = 0) -> np.ndarray:
    """int64 (T,): the place of each token in its own sequence, counted from `first`."""
    starts = starts_of(lengths)
    places: np.ndarray = np.arange(starts[-1], dtype=np.int64) - np.repeat(starts[:-1], lengths) + first
    return places


def fill(lengths: list[int], tokens: int, longest: int) -> list[int]:
    """Lengths of a pack that is filled up to a fixed shape: so many tokens, the last ones in filler sequences.

    Args:
        lengths: of the sequences, at most `slots(tokens)`.
        longest: most tokens of a filler sequence.

    Returns:
        A list whose length and sum depend on `tokens` and `longest` alone; some of its sequences are empty.

    Raises:
        ValueError: they do not fit.
    """
    left = tokens - sum(lengths)
    if left < 0 or len(lengths) > slots(tokens):
        raise ValueError(f"{len(lengths)} sequences of {sum(lengths)} tokens do not fit into a pack of {tokens}")
    whole, rest = divmod(left, longest)
    empty = slots(tokens) - len(lengths) + tokens // longest - whole
    return [*lengths, *[longest] * whole, rest, *[0] * empty]
