"""The order of an export: a key for each row, and buckets, which are ranges of the order of language and key.

Letters: N rows, K drawn keys.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from jql.documents import document_name
from jql.select.reasons import encode

ONE = 0x3F800000  # the bits of 1.0 as float32; floats from 0 on are in the order of their bits


def copy_keys(names_N: np.ndarray, copies_N: np.ndarray) -> np.ndarray:
    """uint64 (N,): a hash of a document's hash and the number of its copy, the document's own for copy 0.

    Source: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
    """
    mixed_N = names_N + copies_N.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed_N = (mixed_N ^ (mixed_N >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed_N = (mixed_N ^ (mixed_N >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.where(copies_N == 0, names_N, mixed_N ^ (mixed_N >> np.uint64(31)))


def rank_keys(rank_N: np.ndarray, keys_N: np.ndarray) -> np.ndarray:
    """uint64 (N,): ascending by rank from the highest, then by key; documents without a rank are last.

    Args:
        rank_N: float32 in [0, 1], NaN for none. Equal ranks, and only those, are told apart by the key's first 34 bits.
    """
    below_N = np.where(np.isnan(rank_N), ONE + 1, ONE - np.nan_to_num(rank_N).view(np.int32)).astype(np.uint64)
    return (below_N << np.uint64(34)) | (keys_N >> np.uint64(30))


@dataclass(frozen=True)
class Order:
    """What decides a row's key."""

    order: Literal["shuffled", "sorted"]
    seed: int

    def keys(self, ids: list[str], rank_N: np.ndarray, copies_N: np.ndarray) -> np.ndarray:
        """uint64 (N,): the keys of copies of documents."""
        seed = self.seed if self.order == "shuffled" else 0
        names_N = np.array([document_name(id, seed) for id in ids], np.uint64)
        keys_N = copy_keys(names_N, copies_N)
        return keys_N if self.order == "shuffled" else rank_keys(rank_N, keys_N)


@dataclass(frozen=True)
class Buckets:
    """Ranges of the order of language and key. Small languages share one.

    Attributes:
        first: language -> the bucket that its first row is in.
        bounds: language -> uint64, the keys that its further buckets begin with.
        number: of all buckets. width: how many share a table of the exchange.
    """

    first: dict[str, int]
    bounds: dict[str, np.ndarray]
    number: int
    width: int

    @classmethod
    def make(cls, bounds: dict[str, np.ndarray], counts: dict[str, int], size: int) -> "Buckets":
        """Buckets in the order of the languages; consecutive ones without bounds share one of about `size` rows."""
        first: dict[str, int] = {}
        number, room = -1, 0
        for language in sorted(bounds):
            alone = len(bounds[language]) > 0
            if alone or room < counts[language]:
                number, room = number + 1, size
            first[language] = number
            number += len(bounds[language])
            room = 0 if alone else room - counts[language]
        # As many tables as buckets in each: whoever reads a bucket reads the footers of its tables.
        return cls(first, bounds, number + 1, max(1, int(np.ceil(np.sqrt(number + 1)))))

    def of(self, names: list[str], codes_N: np.ndarray, keys_N: np.ndarray) -> np.ndarray:
        """int64 (N,): the bucket of each row; codes are places in `names`."""
        found = np.zeros(len(codes_N), np.int64)
        for code in np.unique(codes_N):
            ours = codes_N == code
            name = names[code]
            found[ours] = self.first[name] + np.searchsorted(self.bounds[name], keys_N[ours], side="right")
        return found

    def table(self, bucket: int) -> str:
        """The table of the exchange that a bucket is in."""
        return f"{bucket // self.width:05d}"


def uniform_bounds(buckets: int) -> np.ndarray:
    """uint64: the keys that divide all of them into equal ranges."""
    return np.array([(i << 64) // buckets for i in range(1, buckets)], np.uint64)


def sampled_bounds(drawn: pa.Table, buckets: dict[str, int]) -> dict[str, np.ndarray]:
    """Language -> uint64, the quantiles of its drawn keys that divide it into so many buckets.

    Args:
        drawn: language and key.
    """
    names, codes = encode(drawn.column("language"))
    found = {language: np.empty(0, np.uint64) for language in buckets}
    for code, name in enumerate(names):
        keys_K = np.sort(drawn.column("key").to_numpy()[codes == code])
        places = np.arange(1, buckets[name]) * len(keys_K) // buckets[name]
        found[name] = np.unique(keys_K[places])
    return found


def files_of(counts: dict[str, dict[int, int]], rows: int, least: int) -> Iterator[list[dict[str, Any]]]:
    """The files of all languages in units of at least `least` rows; each file with its ranges of rows in buckets.

    Args:
        counts: language -> bucket -> rows. rows: of each file but the last of its language, at least `least`.
    """
    unit: list[dict[str, Any]] = []
    held = 0
    for language, by_bucket in sorted(counts.items()):
        total = sum(by_bucket.values())
        for low in range(0, total, rows):
            ranges, start = [], 0
            for bucket, n in sorted(by_bucket.items()):
                a, b = max(low - start, 0), min(low + rows - start, n)
                ranges += [[bucket, a, b]] if a < b else []
                start += n
            unit.append({"language": language, "ranges": ranges})
            held += min(rows, total - low)
            if held >= least:
                yield unit
                unit, held = [], 0
    if unit:
        yield unit
