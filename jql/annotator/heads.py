"""Heads: features of a text to points of the rubric, all heads at once, in numpy.

A two-layer network reads the dense features (embedding, surface); a linear term reads the character n-grams. The
published heads, Linear-ReLU-Linear each for itself, are the same network with their hidden units side by side.

Shapes: N texts, D dense features, K hidden units, H trained heads, V n-gram features.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from jql.errors import DataError, RecipeError

if TYPE_CHECKING:
    import scipy.sparse as sp

CLIP = 5.0  # standardised features beyond are cut off: a page of 3,000 dollar signs is not 40 times a page of 75


@dataclass(frozen=True)
class Heads:
    """Weights, float32 unless said.

    Attributes:
        names: the trained heads.
        mean: (D,) and scale: (D,) standardise the dense features.
        hidden_weight: (K, D). hidden_bias: (K,).
        weight: (H, K). bias: (H,).
        ngram_weight: (H, V) float16 added to the heads, or (0, V) for none.
        combinations: other heads, each a weighted sum of trained ones.
    """

    names: list[str]
    mean: np.ndarray
    scale: np.ndarray
    hidden_weight: np.ndarray
    hidden_bias: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    ngram_weight: np.ndarray
    combinations: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def all_names(self) -> list[str]:
        """Combinations first, then the trained heads."""
        return [*self.combinations, *self.names]

    def points(self, dense_ND: np.ndarray, ngrams_NV: "sp.csr_matrix | None") -> np.ndarray:
        """float32 (N, all heads), in the order of `all_names`.

        Summed in float64: the last bits then do not depend on which texts are scored together, nor do scores tie.
        """
        standard_ND = np.clip((dense_ND.astype(np.float64) - self.mean) / self.scale, -CLIP, CLIP)
        hidden_NK = np.maximum(standard_ND @ self.hidden_weight.T.astype(np.float64) + self.hidden_bias, 0)
        points_NH = hidden_NK @ self.weight.T.astype(np.float64) + self.bias
        if ngrams_NV is not None and len(self.ngram_weight):
            points_NH += ngrams_NV @ self.ngram_weight.T.astype(np.float64)
        mixed = [points_NH @ [parts.get(name, 0.0) for name in self.names] for parts in self.combinations.values()]
        return np.column_stack([*mixed, points_NH]).astype(np.float32)

    def save(self, file: Path) -> None:
        """Write the tensors; names and combinations are the folder's to keep."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("names", "combinations")}
        # Not save_file, which lets nobody but the owner read the file.
        file.write_bytes(save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}))

    @classmethod
    def load(cls, file: Path, names: list[str], combinations: dict[str, dict[str, float]], dense: int) -> "Heads":
        """The heads of a folder.

        Args:
            dense: D of its features.

        Raises:
            DataError: not readable, a tensor missing, or shapes that do not fit each other, the names or D.
        """
        try:
            tensors = load_file(file)
        except (SafetensorError, OSError) as error:
            raise DataError(f"{file}: cannot be read ({error}); copy the folder again") from error
        expected = [f.name for f in fields(cls) if f.name not in ("names", "combinations")]
        if missing := [name for name in expected if name not in tensors]:
            raise DataError(f"{file}: no tensor {', '.join(missing)}; use the version of jql that made it")
        hidden = tensors["hidden_weight"].shape[0]
        shapes = {
            "mean": (dense,),
            "scale": (dense,),
            "hidden_weight": (hidden, dense),
            "hidden_bias": (hidden,),
            "weight": (len(names), hidden),
            "bias": (len(names),),
            "ngram_weight": (len(tensors["ngram_weight"]) and len(names), *tensors["ngram_weight"].shape[1:]),
        }
        for name, shape in shapes.items():
            if tensors[name].shape != shape:
                raise DataError(
                    f"{file}: {name} of shape {tensors[name].shape} does not fit the encoder and the heads, expected "
                    f"{shape}; copy the folder again"
                )
            if not np.isfinite(tensors[name]).all():
                raise DataError(f"{file}: {name} has values that are not finite; train again")
        return cls(names=names, combinations=combinations, **{name: tensors[name] for name in expected})

    @classmethod
    def side_by_side(cls, layers: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]) -> "Heads":
        """Heads that share nothing: their hidden units one after the other, zero weights between strangers.

        Args:
            layers: name -> weight (K, D), bias (K,), weight (1, K), bias (1,).
        """
        first = next(iter(layers.values()))[0]
        dense, width = first.shape[1], sum(w.shape[0] for w, *_ in layers.values())
        weight, at = np.zeros((len(layers), width), np.float32), 0
        for row, (w1, _, w2, _) in enumerate(layers.values()):
            weight[row, at : at + w1.shape[0]] = w2[0]
            at += w1.shape[0]
        return cls(
            names=list(layers),
            mean=np.zeros(dense, np.float32),
            scale=np.ones(dense, np.float32),
            hidden_weight=np.concatenate([w1 for w1, *_ in layers.values()]).astype(np.float32),
            hidden_bias=np.concatenate([b1 for _, b1, *_ in layers.values()]).astype(np.float32),
            weight=weight,
            bias=np.concatenate([b2 for *_, b2 in layers.values()]).astype(np.float32),
            ngram_weight=np.zeros((0, 1), np.float16),
        )


def choose_heads(wanted: Iterable[str], known: list[str], key: str) -> list[str]:
    """The heads that vote: those wanted, or all.

    Args:
        key: where they were asked for, for the message.

    Raises:
        RecipeError: a head the annotator does not have.
    """
    heads = list(wanted) or known
    if unknown := [head for head in heads if head not in known]:
        raise RecipeError(f"{key}: the annotator has no head {unknown[0]!r}; it has {', '.join(known)}")
    return heads
