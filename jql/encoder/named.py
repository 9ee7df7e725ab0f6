"""The spec of an encoder that a recipe names: in the box, of the paper, or a sentence-transformers model."""

from dataclasses import replace
from pathlib import Path

from jql.encoder.chunks import Long
from jql.encoder.encoder import NAMED, EncoderSpec, local_model
from jql.encoder.static import MODULE, shipped_encoders, static_spec
from jql.errors import InputError


def encoder_spec(name: str, long: Long = "truncate") -> EncoderSpec:
    """The spec of an encoder by name, folder or hub id.

    Raises:
        InputError: there is none.
    """
    name = known_name(name)
    if name in NAMED:
        return replace(NAMED[name], long=long)
    shipped = shipped_encoders()
    if name in shipped or _is_static(Path(local_model(name))):
        return static_spec(name, long)
    if "/" not in name and not Path(name).is_dir():
        raise InputError(
            f"encoder {name!r}: not one that jql knows ({', '.join([*shipped, *NAMED])}), no folder and no hub id"
        )
    return _sentence_spec(name, long)


def known_name(encoder: str) -> str:
    """The name of an encoder of the paper that is given by its hub id; any other as it is."""
    return next((name for name, spec in NAMED.items() if spec.model == encoder), encoder)


def _is_static(folder: Path) -> bool:
    file = folder / "modules.json"
    return file.is_file() and f".{MODULE}" in file.read_text(encoding="utf-8")


def _sentence_spec(name: str, long: Long) -> EncoderSpec:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    try:
        model = SentenceTransformer(local_model(name), device="cpu")
    except (OSError, ValueError) as error:
        raise InputError(f"encoder {name}: cannot be loaded as a sentence-transformers model ({error})") from error
    modes = [str(module.pooling_mode) for module in model if isinstance(module, Pooling)]
    pooling = {"lasttoken": "last"}.get(modes[0], modes[0]) if modes else "mean"
    return EncoderSpec(
        kind="sentence-transformers",
        model=name,
        revision="",
        pooling="cls" if pooling == "cls" else "last" if pooling == "last" else "mean",
        max_tokens=model.max_seq_length or 512,
        dtype="float32",
        normalise=True,
        prompt="",
        dim=int(model.get_sentence_embedding_dimension() or 0),
        long=long,
    )
