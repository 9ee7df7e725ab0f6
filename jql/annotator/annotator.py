"""An annotator: a folder with an encoder's spec and heads; loaded by name or path, scores texts.

annotator.json     encoder spec, features, heads, score range, training provenance, metrics
heads.safetensors  the heads' weights
rubric.yaml        what a score means
golden.jsonl       texts and the scores they must get
CARD.md            for people
"""

import hashlib
import json
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jql.annotator.calibration import Calibration
from jql.annotator.features import Features
from jql.annotator.heads import Heads
from jql.encoder.encoder import Encoder, EncoderSpec, load_encoder, refuse_other
from jql.engine import storage
from jql.engine.node_cache import fetched
from jql.errors import DataError, InputError
from jql.paths import annotators_dir

FILES = ("annotator.json", "heads.safetensors", "rubric.yaml", "golden.jsonl", "CARD.md")
GOLDEN_TOLERANCE = 1e-3
"""Points by which a machine may differ on static encoders; those in bfloat16 state their own in annotator.json."""
BATCH = 256


@dataclass(frozen=True)
class Annotator:
    """An encoder, features and heads on them.

    Attributes:
        about: what else annotator.json says: range, training, metrics.
        golden: texts whose scores are written down, so that another machine can be checked.
        revision: hash of the folder's content; part of the fingerprint of what it scores. "" if it was not loaded.
    """

    name: str
    spec: EncoderSpec
    features: Features
    trained: Heads
    calibration: Calibration = field(default_factory=Calibration)
    about: dict[str, Any] = field(default_factory=dict)
    rubric: str = ""
    card: str = ""
    golden: tuple[str, ...] = ()
    revision: str = ""

    @property
    def heads(self) -> list[str]:
        """Names of the scores it gives."""
        return self.trained.all_names

    @classmethod
    def load(cls, name: str) -> "Annotator":
        """The annotator of a name that comes with jql, of a folder (local or remote), or of a hub id (owner/name).

        Raises:
            InputError: no such annotator, or a file of it is missing. DataError: it does not fit its encoder.
        """
        folder = find_annotator(name)
        missing = [f for f in FILES if not (folder / f).is_file()]
        if missing:
            raise InputError(f"{folder}: not a whole annotator, {', '.join(missing)} missing; copy the folder again")
        where = str(folder)
        try:
            meta = json.loads((folder / "annotator.json").read_text(encoding="utf-8"))
            known = [meta.pop(key) for key in ("name", "encoder", "features", "heads", "combinations", "calibration")]
        except (ValueError, KeyError, AttributeError) as error:
            found = f"not understood ({type(error).__name__}: {error})"
            raise DataError(f"{folder}/annotator.json: {found}; use the version of jql that made it") from error
        title, encoder, features, heads, combinations, calibration = known
        spec = EncoderSpec.from_json(encoder, where)
        seen = Features.from_json(features, where)
        trained = Heads.load(folder / "heads.safetensors", heads, combinations, seen.dense(spec))
        return cls(
            name=title,
            spec=spec,
            features=seen,
            trained=trained,
            calibration=Calibration.from_json(calibration),
            about=meta,
            rubric=(folder / "rubric.yaml").read_text(encoding="utf-8"),
            card=(folder / "CARD.md").read_text(encoding="utf-8"),
            golden=tuple(json.loads(line)["text"] for line in (folder / "golden.jsonl").open(encoding="utf-8")),
            revision=revision(folder),
        )

    def save(self, folder: Path) -> None:
        """Write the folder; the golden texts are stored with the scores they get."""
        folder.mkdir(parents=True, exist_ok=True)
        record = {
            "name": self.name,
            "encoder": self.spec.to_json(),
            "features": self.features.to_json(),
            "heads": self.trained.names,
            "combinations": self.trained.combinations,
            "calibration": self.calibration.to_json(),
            **self.about,
        }
        text = json.dumps(record, indent=1, ensure_ascii=False)
        (folder / "annotator.json").write_text(text + "\n", encoding="utf-8")
        self.trained.save(folder / "heads.safetensors")
        (folder / "rubric.yaml").write_text(self.rubric, encoding="utf-8")
        (folder / "CARD.md").write_text(self.card, encoding="utf-8")
        scores = self.score(self.golden) if self.golden else {}  # none: the encoder need not be here
        with (folder / "golden.jsonl").open("w", encoding="utf-8") as file:
            for i, text in enumerate(self.golden):
                row = {"text": text, "scores": {h: round(float(scores[h][i]), 5) for h in self.heads}}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def push_to_hub(self, repo_id: str, private: bool = True, token: str | None = None) -> str:
        """Upload it to the Hugging Face hub; returns the commit's address."""
        from tempfile import TemporaryDirectory

        from jql.annotator.hub import push_folder

        with TemporaryDirectory() as made:
            self.save(Path(made))
            return push_folder(Path(made), repo_id, private, token)

    def score(
        self, texts: Sequence[str], languages: Sequence[str] | None = None, batch: int = BATCH
    ) -> dict[str, np.ndarray]:
        """Head -> float32 (N,), in points of the rubric, not clipped to its range; finite for any text.

        Args:
            languages: of the texts, for an annotator that is calibrated by language; without, its scores are raw.
        """
        cuts = range(0, len(texts), batch)
        parts = ((texts[at : at + batch], None if languages is None else languages[at : at + batch]) for at in cuts)
        found = list(self.stream(parts))
        points_NH = np.concatenate(found) if found else np.zeros((0, len(self.heads)), np.float32)
        return {head: points_NH[:, i].copy() for i, head in enumerate(self.heads)}

    def stream(
        self, batches: Iterable[tuple[Sequence[str], Sequence[str] | None]]
    ) -> Generator[np.ndarray, None, None]:
        """float32 (N, H) of each batch of texts and their languages (see `score`), in the order of the batches.

        On a transformer, later batches are drawn and tokenized in a thread while the encoder works.
        """
        languages: deque[Sequence[str] | None] = deque()

        def texts() -> Iterator[Sequence[str]]:
            for found, codes in batches:
                languages.append(codes)
                yield found

        for dense_ND, ngrams_NV in self.features.stream(texts(), self.encoder()):
            points_NH, codes = self.trained.points(dense_ND, ngrams_NV), languages.popleft()
            yield points_NH if codes is None else self.calibration.apply(points_NH, codes, self.heads)

    def encoder(self, device: str | None = None) -> Encoder:
        """Its encoder, loaded once, on the device that was first asked for (None: the GPU where there is one).

        Raises:
            InputError, DataError: it is not here, or is another than the heads were trained on.
        """
        if "_loaded" not in self.__dict__:
            found = load_encoder(self.spec, device=device)
            refuse_other(self.spec, found.spec)
            object.__setattr__(self, "_loaded", found)
        loaded: Encoder = self.__dict__["_loaded"]
        return loaded


def revision(folder: Path) -> str:
    """SHA-256 (16 hex digits) of what decides the scores."""
    digest = hashlib.sha256()
    for name in ("annotator.json", "heads.safetensors"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:16]


def find_annotator(name: str) -> Path:
    """The local folder of an annotator; a remote one (s3://, https://, the hub) is fetched once per node.

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
    if name.count("/") == 1 and not name.startswith((".", "/")):
        from jql.annotator.hub import fetch_annotator

        return fetch_annotator(name)
    known = sorted(p.parent.name for p in annotators_dir().glob("*/annotator.json"))
    raise InputError(f"annotator {name!r}: no such folder, and not one that comes with jql ({', '.join(known)})")


def _fetch_once(address: str) -> Path:
    """A copy of a remote folder in this node's cache."""
    names = [name for name in storage.find(address) if name in FILES]
    if "annotator.json" not in names:
        raise InputError(f"annotator {address}: no annotator.json there; check the address")
    return fetched(address, names)
