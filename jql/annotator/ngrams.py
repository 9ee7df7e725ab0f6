"""The plain encoder: hashed character n-grams of the start of a text."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from jql.errors import DataError


@dataclass(frozen=True)
class NgramSpec:
    """What decides the features of a text; an annotator only fits the spec it was trained with."""

    kind: str = "char-ngrams"
    shortest: int = 2
    longest: int = 4
    dim: int = 1 << 18
    max_chars: int = 1500
    normalisation: str = "log-tf l2"

    def to_json(self) -> dict[str, Any]:
        """The spec as it stands in annotator.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, spec: dict[str, Any], where: str) -> "NgramSpec":
        """The spec of an annotator.

        Raises:
            DataError: another kind of encoder, or fields this version does not know.
        """
        if spec.get("kind") != cls.kind:
            found = f"was trained on the encoder {spec.get('kind')!r}, expected {cls.kind!r}"
            raise DataError(f"{where}: {found}; use the version of jql that made it")
        try:
            return cls(**spec)
        except TypeError as error:
            raise DataError(f"{where}: encoder spec not understood ({error})") from error


class NgramEncoder:
    """Texts to sparse rows."""

    def __init__(self, spec: NgramSpec) -> None:
        from sklearn.feature_extraction.text import HashingVectorizer

        self.spec = spec
        self._vectorizer = HashingVectorizer(
            analyzer="char_wb",
            ngram_range=(spec.shortest, spec.longest),
            n_features=spec.dim,
            norm=None,
            alternate_sign=False,
            dtype=np.float32,
        )

    def encode(self, texts: list[str]) -> sp.csr_matrix:
        """float32 sparse (N, D), rows of length 1, zero without n-grams; reads the first `max_chars` only."""
        clean = [t[: self.spec.max_chars].encode("utf-8", "ignore").decode() for t in texts]
        counts = self._vectorizer.transform(clean)
        counts.data = np.log1p(counts.data)
        norms = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
        return sp.diags(1 / np.maximum(norms, 1e-9)).dot(counts).tocsr().astype(np.float32)
