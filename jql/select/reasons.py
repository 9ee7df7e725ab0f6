"""Why rows are dropped, as codes: reasons of whole columns are merged without a Python object a row.

Shapes: N rows, R reasons.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

PASSES = -1


@dataclass
class Reasons:
    """The first reason that was found for each row.

    Attributes:
        codes: int16 (N,), the place of the reason in `names`; PASSES where there is none.
        names: the R reasons that were found so far.
    """

    codes: np.ndarray
    names: list[str] = field(default_factory=list)

    @classmethod
    def none(cls, rows: int) -> "Reasons":
        """Rows that all pass."""
        return cls(np.full(rows, PASSES, np.int16))

    @property
    def passes(self) -> np.ndarray:
        """Bool (N,): rows without a reason."""
        return np.asarray(self.codes == PASSES)

    def drop(self, rows: np.ndarray, reason: str) -> None:
        """Give a reason to rows, bool (N,) or their places; those that have one keep it."""
        chosen = rows
        if rows.dtype != bool:
            chosen = np.zeros(len(self.codes), bool)
            chosen[rows] = True
        # From PASSES to the reason: a sum takes 0.2 ms for 1 M rows, assigning where a mask says so 7 ms.
        self.codes += (chosen & self.passes) * np.int16(self._code(reason) - PASSES)

    def add(self, column: pa.ChunkedArray | pa.Array, prefix: str = "") -> None:
        """Take the reasons of a column, null for none, where a row has none yet."""
        words, places = encode(column)
        codes = np.array([*(self._code(prefix + word) for word in words), PASSES], np.int16)  # place -1 is the last
        self.codes = np.where(self.passes, codes[places], self.codes)

    def to_arrow(self) -> pa.DictionaryArray:
        """The reasons as words of a dictionary, null for none."""
        places = pa.array(self.codes, pa.int32(), mask=self.passes)
        return pa.DictionaryArray.from_arrays(places, pa.array(self.names, pa.string()))

    def to_list(self) -> list[str | None]:
        """The reasons, None for none."""
        found: list[str | None] = self.to_arrow().to_pylist()
        return found

    def by_group(self, groups_N: np.ndarray, names: Sequence[str]) -> dict[str, dict[str, int]]:
        """Group -> reason -> rows, `kept` for those that pass; sorted, without zeros.

        Args:
            groups_N: int (N,), the place of each row's group in `names`.
        """
        width = len(self.names) + 1
        joint = np.bincount(groups_N * width + self.codes + 1, minlength=width * len(names)).reshape(-1, width)
        words = ["kept", *self.names]
        counted = {
            name: {word: int(count) for word, count in sorted(zip(words, row, strict=True)) if count}
            for name, row in zip(names, joint, strict=True)
        }
        return {name: counts for name, counts in sorted(counted.items()) if counts}

    def _code(self, reason: str) -> int:
        if reason not in self.names:
            self.names.append(reason)
        return self.names.index(reason)


def encode(column: pa.ChunkedArray | pa.Array) -> tuple[list[str], np.ndarray]:
    """The different words of a column, and int64 (N,) the place of each row's word; -1 for null."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = whole.dictionary_encode()
    places = encoded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    return encoded.dictionary.to_pylist(), places
