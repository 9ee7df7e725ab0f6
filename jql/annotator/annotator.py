"""An annotator: a folder with an encoder's spec and heads; loaded by name or path, scores texts.

annotator.json     encoder spec, heads, score range, training provenance
heads.safetensors  weight (H, D) and bias (H,)
rubric.yaml        what a score means
golden.jsonl       texts and the scores they must get
CARD.md            for people
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from jql.annotator.ngrams import NgramEncoder, NgramSpec
from jql.engine import storage
from jql.engine.fingerprint import digest_of, identify_file
from jql.engine.node_cache import once_per_node
from jql.errors import DataError, InputError
from jql.paths import annotators_dir

FILES = ("annotator.json", "heads.safetensors", "rubric.yaml", "golden.jsonl", "CARD.md")
GOLDEN_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Annotator:
    """An encoder and linear heads on it.

    Attributes:
        weight: float32 (H, D). bias: float32 (H,).
        revision: hash of the folder's content; part of the fingerprint of what it scores.
    """

    name: str
    spec: NgramSpec
    heads: list[str]
    weight: np.ndarray
    bias: np.ndarray
    revision: str

    @classmethod
    def load(cls, name: str) -> "Annotator":
        """The annotator of a name that comes with jql, or of a folder (local or remote).

        Raises:
            InputError: no such annotator, or a file of it is missing. DataError: it does not fit its encoder.
        """
        folder = find_annotator(name)
        missing = [f for f in FILES if not (folder / f).is_file()]
        if missing:
            raise InputError(f"{folder}: not a whole annotator, {', '.join(missing)} missing; copy the folder again")
        meta = json.loads((folder / "annotator.json").read_text(encoding="utf-8"))
        spec = NgramSpec.from_json(meta["encoder"], str(folder))
        try:
            tensors = load_file(folder / "heads.safetensors")
        except SafetensorError as error:
            raise DataError(f"{folder}/heads.safetensors: cannot be read ({error}); copy the folder again") from error
        expected = (len(meta["heads"]), spec.dim)
        found = tensors["weight"].shape if "weight" in tensors else None
        if found != expected:
            raise DataError(
                f"{folder}: heads of shape {found} do not fit the encoder, expected {expected} (heads, dimensions)"
            )
        return cls(meta["name"], spec, meta["heads"], tensors["weight"], tensors["bias"], revision(folder))

    def save(self, folder: Path, meta: dict[str, Any], rubric: str, golden: list[str], card: str) -> None:
        """Write the folder; `meta` is added to annotator.json, `golden` texts are stored with the scores they get."""
        folder.mkdir(parents=True, exist_ok=True)
        record = {"name": self.name, "encoder": self.spec.to_json(), "heads": self.heads, **meta}
        (folder / "annotator.json").write_text(
            json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        save_file({"weight": self.weight, "bias": self.bias}, folder / "heads.safetensors")
        (folder / "rubric.yaml").write_text(rubric, encoding="utf-8")
        scores = self.score(golden)
        with (folder / "golden.jsonl").open("w", encoding="utf-8") as file:
            for i, text in enumerate(golden):
                row = {"text": text, "scores": {h: round(float(scores[h][i]), 5) for h in self.heads}}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        (folder / "CARD.md").write_text(card, encoding="utf-8")

    def score(self, texts: list[str]) -> dict[str, np.ndarray]:
        """Head -> float32 (N,), in points of the rubric, not clipped to its range; finite for any text."""
        encoder = self._encoder()
        points = encoder.encode(texts) @ self.weight.T + self.bias
        return {head: points[:, i].astype(np.float32) for i, head in enumerate(self.heads)}

    def _encoder(self) -> NgramEncoder:
        if "_made" not in self.__dict__:
            object.__setattr__(self, "_made", NgramEncoder(self.spec))
        made: NgramEncoder = self.__dict__["_made"]
        return made


def revision(folder: Path) -> str:
    """SHA-256 (16 hex digits) of what decides the scores."""
    digest = hashlib.sha256()
    for name in ("annotator.json", "heads.safetensors"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:16]


def find_annotator(name: str) -> Path:
    """The local folder of an annotator; a remote one (s3://, https://) is fetched once per node.

    Raises:
        InputError: there is none of this name; lists those that come with jql.
    """
    shipped = annotators_dir() / name
    if "/" not in name and (shipped / "annotator.json").is_file():
        return shipped
    if not storage.is_local(name):
        return _fetch_once(name)
    if Path(name).is_dir():
        return Path(name)
    known = sorted(p.parent.name for p in annotators_dir().glob("*/annotator.json"))
    raise InputError(f"annotator {name!r}: no such folder, and not one that comes with jql ({', '.join(known)})")


def _fetch_once(address: str) -> Path:
    """A copy of a remote folder in this node's cache."""
    names = [name for name in storage.find(address) if name in FILES]
    if "annotator.json" not in names:
        raise InputError(f"annotator {address}: no annotator.json there; check the address")
    marks = [identify_file(storage.join(address, name)) for name in names]

    def fetch(folder: Path) -> None:
        for name in names:
            (folder / name).write_bytes(storage.read_bytes(storage.join(address, name)))

    return once_per_node(f"annotator-{digest_of(marks)}", fetch)
