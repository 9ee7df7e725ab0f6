"""Encoders: what decides a text's embedding (the spec), where one is found, and which annotator it fits."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np

from jql.encoder.chunks import Long
from jql.engine import storage
from jql.engine.node_cache import fetched
from jql.errors import DataError, InputError

Kind = Literal["static", "sentence-transformers", "transformer"]
Pooling = Literal["mean", "cls", "last"]
Dtype = Literal["float32", "bfloat16", "float16"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "kind": get_args(Kind),
    "pooling": get_args(Pooling),
    "dtype": get_args(Dtype),
    "long": get_args(Long),
}
# What of a model folder decides the embeddings; cards, images and the state of a training do not.
_HASHED = {".safetensors", ".bin", ".json", ".txt", ".model", ".py"}


@dataclass(frozen=True)
class EncoderSpec:
    """What decides the embeddings; an annotator only fits the spec it was trained with.

    Attributes:
        model: a folder, local or remote (s3://), or a Hugging Face hub id.
        revision: the hub's commit, or `folder_revision` of a folder; "" is not pinned, and a loaded encoder's spec
            always has the one that was found.
        pooling: token vectors to one: their mean, the first ("cls"), or the last. Of kind "sentence-transformers" the
            model pools by itself, and this must say the same.
        max_tokens: most tokens the model reads at once, special ones included.
        dtype: of the weights; pooling and normalisation are float32 in any case.
        normalise: rows of length 1.
        prompt: stands before every text, and before every chunk of a long one. A prompt that the model's own files
            name is not used.
        dim: D of the embeddings.
        long: of a document over max_tokens, its start; three parts that are max_tokens together; or all of it.
        adapter: which of a checkpoint's LoRA adapters is merged into the weights (jina's tasks); "" for none.

    Raises:
        DataError: a field has a value that none of jql's encoders knows.
    """

    kind: Kind
    model: str
    revision: str
    pooling: Pooling
    max_tokens: int
    dtype: Dtype
    normalise: bool
    prompt: str
    dim: int
    long: Long
    adapter: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            choices = _CHOICES.get(field.name)
            if choices and value not in choices:
                raise DataError(f"encoder: {field.name}: expected one of {', '.join(choices)}, got {value!r}")
            if field.type is int and (type(value) is not int or value < 1):
                raise DataError(f"encoder: {field.name}: expected a whole number above 0, got {value!r}")
            if field.type in (bool, str) and type(value) is not field.type:
                raise DataError(f"encoder: {field.name}: expected a {field.type.__name__}, got {value!r}")

    def to_json(self) -> dict[str, Any]:
        """The spec as it stands in annotator.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, spec: dict[str, Any], where: str) -> "EncoderSpec":
        """The spec of an annotator.

        Args:
            where: the file or folder it stands in, for the message.

        Raises:
            DataError: fields this version does not know, or that are missing, or a value that is wrong.
        """
        known = {field.name for field in fields(cls)}
        needed = {field.name for field in fields(cls) if field.default is MISSING}
        if unknown := sorted(spec.keys() - known):
            raise DataError(f"{where}: encoder: unknown {', '.join(unknown)}; use the version of jql that made it")
        if missing := sorted(needed - spec.keys()):
            raise DataError(
                f"{where}: encoder: {', '.join(missing)} missing; copy the annotator again or add the field"
            )
        try:
            return cls(**spec)
        except DataError as error:
            raise DataError(f"{where}: {error}; copy the annotator again or correct the field") from error


class Encoder(Protocol):
    """Texts to vectors; what an annotator's heads are put on."""

    @property
    def spec(self) -> EncoderSpec:
        """What decides the embeddings, its revision filled in."""
        ...

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (N, D), rows in the order of the texts; finite for any text."""
        ...

    def stream(self, batches: Iterable[Sequence[str]]) -> Iterator[np.ndarray]:
        """float32 (N, D) of each batch, in their order; later ones may be drawn, in a thread, before it is yielded."""
        ...


_SNOWFLAKE = EncoderSpec(
    kind="transformer",
    model="Snowflake/snowflake-arctic-embed-m-v2.0",
    revision="",
    pooling="cls",
    max_tokens=8192,
    dtype="bfloat16",
    normalise=True,
    prompt="",  # the model has one for queries; what is judged are documents
    dim=768,
    long="truncate",
)

NAMED: dict[str, EncoderSpec] = {
    "snowflake-arctic-embed-m-v2.0": _SNOWFLAKE,
    "gte-multilingual-base": replace(_SNOWFLAKE, model="Alibaba-NLP/gte-multilingual-base"),
    # CC BY-NC: not for commercial use.
    "jina-embeddings-v3": replace(
        _SNOWFLAKE, model="jinaai/jina-embeddings-v3", pooling="mean", dim=1024, adapter="text-matching"
    ),
}
"""The three encoders of the JQL paper as it used them: bfloat16, whole context, text-matching vectors of jina."""


def named_spec(name: str) -> EncoderSpec:
    """The spec of an encoder that jql knows by name.

    Raises:
        InputError: there is none of this name; lists those there are.
    """
    if name not in NAMED:
        raise InputError(f"encoder {name!r}: expected one of {', '.join(NAMED)}, or write out its spec")
    return NAMED[name]


def load_encoder(spec: EncoderSpec, trust_remote_code: bool = False, device: str | None = None) -> Encoder:
    """The encoder of a spec.

    Args:
        device: "cpu", "cuda", "cuda:1"; None for the GPU where there is one. Static encoders stay on the CPU.
        trust_remote_code: let a checkpoint run Python code of its own. No part of the spec on purpose: an annotator's
            folder must not be able to ask for it.

    Raises:
        InputError: no such model, or it asks for remote code. DataError: it is not what the spec says.
    """
    if spec.kind == "static":
        from jql.encoder.static import StaticEncoder

        static: Encoder = StaticEncoder(spec)
        return static
    from jql.encoder.transformer import TransformerEncoder

    return TransformerEncoder(spec, trust_remote_code, device)


def refuse_other(annotator: EncoderSpec, encoder: EncoderSpec) -> None:
    """Scores mean something only on the encoder the heads were trained on.

    Args:
        annotator: as it was trained; without a revision it takes any.
        encoder: as it was loaded; of the same revision it may lie in another place.

    Raises:
        DataError: names every field that differs.
    """
    free = {"revision"} if not annotator.revision else {"model"} if annotator.revision == encoder.revision else set()
    trained, given = annotator.to_json(), encoder.to_json()
    differing = [n for n in trained if trained[n] != given[n] and n not in free]
    if differing:
        shown = "; ".join(f"{n}: trained with {trained[n]!r}, got {given[n]!r}" for n in differing)
        raise DataError(f"annotator and encoder do not fit: {shown}; load the annotator's own encoder or train anew")


def folder_revision(folder: Path) -> str:
    """SHA-256 (16 hex digits) of a model folder's weights, tokenizer and configuration, by name and content."""
    digest = hashlib.sha256()
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.suffix in _HASHED and p.is_file())
    for name in names:
        if name.startswith(".") or "/." in name:  # the hub client's book-keeping
            continue
        digest.update(f"{name}\0{(folder / name).stat().st_size}\0".encode())
        with (folder / name).open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()[:16]


def local_model(model: str) -> str:
    """The folder or hub id of a model; of a remote folder, the copy in this node's cache.

    Raises:
        InputError: there is nothing at the address.
    """
    if storage.is_local(model):
        return model
    names = storage.find(model)
    if not names:
        raise InputError(f"encoder {model}: nothing there; check the address")
    return str(fetched(model, names))


def pinned_revision(spec: EncoderSpec) -> str:
    """The content hash of the spec's folder; of a hub model, the spec's own revision.

    Raises:
        DataError: the folder is not the one the spec was made with.
    """
    folder = Path(spec.model)
    if not folder.is_dir():
        return spec.revision
    found = folder_revision(folder)
    if spec.revision not in ("", found):
        raise DataError(
            f"encoder {folder}: content has the hash {found}, expected {spec.revision}; copy the folder again, "
            "or train anew on this one"
        )
    return found


def clean_text(text: str) -> str:
    """The text without lone surrogates, which no tokenizer takes."""
    return text.encode("utf-8", "ignore").decode()
