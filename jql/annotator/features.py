"""What the heads see of a text: its embedding, its surface, its character n-grams.

Shapes: N texts, D dense features.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from jql.annotator import surface
from jql.annotator.ngrams import BITS, LONGEST, SHORTEST, ngrams
from jql.annotator.reading import window
from jql.encoder.encoder import Encoder, EncoderSpec
from jql.errors import DataError

if TYPE_CHECKING:
    import scipy.sparse as sp


@dataclass(frozen=True)
class Features:
    """Which features, beside the embedding.

    Attributes:
        chars: most characters read, in thirds of the start, the centre and the end; 0 leaves it to the encoder.
        surface: append the surface features to the embedding.
        ngrams: hashed character n-grams for a linear term.
    """

    chars: int = 3000
    surface: bool = True
    ngrams: bool = True

    def to_json(self) -> dict[str, Any]:
        """As it stands in annotator.json, with what this version means by it."""
        spelt: dict[str, Any] = {"surface_names": list(surface.NAMES) if self.surface else []}
        if self.ngrams:
            spelt["ngram_hash"] = [SHORTEST, LONGEST, BITS]
        return {**asdict(self), **spelt}

    @classmethod
    def from_json(cls, record: dict[str, Any], where: str) -> "Features":
        """The features of an annotator.

        Raises:
            DataError: they are not those that this version computes.
        """
        names = {f.name for f in fields(cls)}
        found = cls(**{name: value for name, value in record.items() if name in names})
        if found.to_json() != record:
            raise DataError(f"{where}: features {record} are not those of this version; use the one that made it")
        return found

    def dense(self, spec: EncoderSpec) -> int:
        """D."""
        return spec.dim + (len(surface.NAMES) if self.surface else 0)

    def read(self, text: str) -> str:
        """The part of a text that is read; all of it where that is left to the encoder."""
        return window(text, self.chars) if self.chars else text

    def of(self, texts: Sequence[str], encoder: Encoder) -> tuple[np.ndarray, "sp.csr_matrix | None"]:
        """Dense features, float32 (N, D), and n-grams, sparse (N, V) or None."""
        return next(self.stream([texts], encoder))

    def stream(
        self, batches: Iterable[Sequence[str]], encoder: Encoder
    ) -> Iterator[tuple[np.ndarray, "sp.csr_matrix | None"]]:
        """The features of each batch, in their order; later batches may be drawn before they are yielded."""
        beside: deque[tuple[np.ndarray | None, sp.csr_matrix | None]] = deque()

        def read() -> Iterator[list[str]]:
            for texts in batches:
                seen = [self.read(text) for text in texts]
                beside.append((surface.surface(seen) if self.surface else None, ngrams(seen) if self.ngrams else None))
                yield seen

        for vectors_ND in encoder.stream(read()):
            surface_NF, ngrams_NV = beside.popleft()
            yield vectors_ND if surface_NF is None else np.hstack([vectors_ND, surface_NF]), ngrams_NV
