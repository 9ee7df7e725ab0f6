"""`jql import-heads`: published Lightning checkpoints to an annotator folder, executing nothing from them."""

from dataclasses import replace
from pathlib import Path

from jql import __version__
from jql.annotator.annotator import Annotator
from jql.annotator.card import GOLDEN
from jql.annotator.features import Features
from jql.annotator.heads import Heads
from jql.annotator.lightning import heads_of, read_state_dict
from jql.encoder.encoder import EncoderSpec, load_encoder
from jql.encoder.named import encoder_spec
from jql.errors import DataError, InputError, RecipeError


def import_heads(checkpoints: dict[str, Path], encoder: str, folder: Path, name: str, rubric: Path | None) -> Annotator:
    """An annotator folder of heads, side by side on the encoder they were trained on.

    Args:
        checkpoints: head name -> .ckpt file, Linear-ReLU-Linear each.
        encoder: name, folder or hub id; it is not downloaded unless it is here already and golden scores can be made.

    Raises:
        InputError: no such file. DataError: a file holds something else, or does not fit the encoder.
    """
    annotator = annotator_of(checkpoints, encoder, name)
    spec, golden = _pinned(annotator.spec)
    files = ", ".join(path.name for path in checkpoints.values())
    card = (
        f"# {name}\n\nHeads {', '.join(annotator.heads)} imported from {files}, on {spec.model}. How they were trained "
        "is for their authors to say.\n"
    )
    text = rubric.read_text(encoding="utf-8") if rubric else f"name: {name}\n"
    replace(annotator, spec=spec, golden=golden, card=card, rubric=text).save(folder)
    return Annotator.load(str(folder.absolute()))  # not one that comes with jql and has this name


def annotator_of(checkpoints: dict[str, Path], encoder: str, name: str) -> Annotator:
    """An annotator in memory: heads of checkpoints, side by side on the encoder they were trained on.

    Raises:
        RecipeError: no checkpoints. InputError: no such file. DataError: a file holds something else, or does not fit
            the encoder.
    """
    if not checkpoints:
        raise RecipeError("import-heads: no checkpoints; name at least one as NAME=FILE")
    layers = {head: heads_of(read_state_dict(file), str(file)) for head, file in checkpoints.items()}
    spec = encoder_spec(encoder)
    for head, (w1, *_) in layers.items():
        if w1.shape[1] != spec.dim:
            raise DataError(
                f"{checkpoints[head]}: head {head} reads {w1.shape[1]} dimensions, {encoder} has {spec.dim}; "
                "name the encoder it was trained on"
            )
    return Annotator(
        name=name,
        spec=spec,
        features=Features(chars=0, surface=False, ngrams=False),
        trained=Heads.side_by_side({head: (f.w1, f.b1, f.w2, f.b2) for head, f in layers.items()}),
        about={"jql": __version__, "imported": {head: str(path.name) for head, path in checkpoints.items()}},
    )


def _pinned(spec: EncoderSpec) -> tuple[EncoderSpec, tuple[str, ...]]:
    """The spec with the revision that is here, and texts to score; as it is and none if the encoder is not here."""
    try:
        return load_encoder(spec).spec, GOLDEN
    except InputError:
        return spec, ()
