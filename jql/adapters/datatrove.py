"""The published JQLAnnotator as a step of datatrove that runs on jql's encoders: its users change one import.

Source: names, arguments and metadata of JQLAnnotator and stats_adapter in JQL-AI/JQL-Annotation-Pipeline.
"""

import hashlib
import os
import pickle
import re
from collections import deque
from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.writers.disk_base import DiskWriter
from datatrove.utils.batching import batched
from datatrove.utils.logging import logger
from datatrove.utils.typeshelper import StatHints

from jql.adapters import why_no_score
from jql.annotator.annotator import Annotator
from jql.annotator.import_heads import annotator_of
from jql.encoder.encoder import pinned_revision
from jql.encoder.named import known_name
from jql.errors import InputError, RecipeError, one_line
from jql.languages import canonical_language

REPOSITORY = "Jackal-AI/JQL-Edu-Heads"
PUBLISHED_ENCODER = "Snowflake/snowflake-arctic-embed-m-v2.0"
PUBLISHED_HEADS = {
    f"Edu-JQL-{judge}-SF": f"checkpoints/edu-{judge.lower()}-snowflake-balanced.ckpt"
    for judge in ("Gemma", "Mistral", "Llama")
}
_DEVICE = re.compile(r"cpu|cuda|(?:cuda:)?\d+")


def stats_adapter(writer: DiskWriter, document: Document) -> dict[str, Any]:
    """A document without its text, for the `adapter` of a datatrove writer."""
    # datatrove's own adapter leaves out what is empty.
    kept: dict[str, Any] = writer._default_adapter(replace(document, text=""))
    return kept


class JQLAnnotator(PipelineStep):  # type: ignore[misc]  # datatrove has no types
    """Writes the score of every head into a document's metadata, as `score_<head>`: a float, in points of the rubric.

    A document without text keeps its place; its scores are NaN, of which no comparison is true, and it is counted under
    `no_score` with the reason. A text that is no string becomes "", which datatrove's writers can measure.

    Args:
        embedder_model_id: the encoder: one that was published with heads, a folder, or what jql knows by name.
        regression_head_checkpoints: name -> .ckpt file of a head. None: the three published ones, from the hub.
        batch_size: documents read at a time. The device's memory does not depend on it.
        device_overwrite: "cpu", "cuda", "cuda:0" or "0" for all ranks. None: the GPU of number rank modulo GPUs.
        stats_writer: gets every document after its scores; with `stats_adapter`, everything but the text.
        annotator: an annotator of jql (name, folder or hub id) in place of the encoder and the heads.

    Raises:
        RecipeError: arguments that cannot be.
    """

    name = "📊 Score"
    type = "🔢 - JQL-ANNOTATOR"

    def __init__(
        self,
        embedder_model_id: str = PUBLISHED_ENCODER,
        regression_head_checkpoints: dict[str, str] | None = None,
        batch_size: int = 1_000,
        device_overwrite: str | None = None,
        stats_writer: DiskWriter = None,
        *,
        annotator: str | None = None,
    ) -> None:
        super().__init__()
        heads = regression_head_checkpoints
        if annotator is not None and (heads is not None or embedder_model_id != PUBLISHED_ENCODER):
            raise RecipeError(
                f"annotator: {annotator!r} has an encoder and heads of its own; leave it out, or embedder_model_id and "
                "regression_head_checkpoints"
            )
        if heads is not None and not heads:
            raise RecipeError("regression_head_checkpoints: none in it; name one, or leave it out for those published")
        if heads is None and known_name(embedder_model_id) != known_name(PUBLISHED_ENCODER):
            raise RecipeError(
                f"regression_head_checkpoints: those published were trained on {PUBLISHED_ENCODER}, not on "
                f"{embedder_model_id}; name checkpoints of that encoder's heads"
            )
        if batch_size < 1:
            raise RecipeError(f"batch_size: expected a number of documents above 0, got {batch_size}")
        if device_overwrite is not None and not _DEVICE.fullmatch(str(device_overwrite)):
            raise RecipeError(
                f"device_overwrite: expected cpu, cuda, cuda:0 or a GPU's number, got {device_overwrite!r}; leave it "
                "out to spread the ranks over the GPUs"
            )
        self.embedder_model_id = embedder_model_id
        self.regression_head_checkpoints = heads
        self.batch_size = batch_size
        self.device_overwrite = device_overwrite
        self.stats_writer = stats_writer
        self.annotator = annotator

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """The documents in their order, each with its scores.

        They are read and tokenized ahead, in another thread. The time of this step is what it waits for scores.

        Raises:
            InputError: no such annotator, encoder, checkpoint or device. DataError: they do not fit each other.
        """
        annotator = _loaded(self._annotator(), self.device_overwrite, rank)
        names = [f"score_{head}" for head in annotator.heads]
        by_language = bool(annotator.calibration.knots)
        ahead: deque[list[Document]] = deque()

        def batches() -> Iterator[tuple[list[str], list[str] | None]]:
            for batch in batched(data or (), self.batch_size):
                ahead.append(batch)
                scored = [document for document in batch if not why_no_score(document.text)]
                languages = [_language(document) for document in scored] if by_language else None
                yield [document.text for document in scored], languages

        scores = annotator.stream(batches())
        with self.stats_writer or nullcontext() as writer, closing(scores):
            while True:
                with self.track_time("batch"):
                    points_NH = next(scores, None)
                if points_NH is None:
                    return
                rows = iter(points_NH.tolist())
                for document in ahead.popleft():
                    reason = why_no_score(document.text)
                    points = [float("nan")] * len(names) if reason else next(rows)
                    document.metadata |= zip(names, points, strict=True)
                    self._count(document, reason)
                    if writer:
                        writer.write(document, rank)
                    yield document

    def _annotator(self) -> Annotator:
        if self.annotator is not None:
            return Annotator.load(self.annotator)
        heads = self.regression_head_checkpoints
        files = {h: _fetch(f) for h, f in PUBLISHED_HEADS.items()} if heads is None else heads
        return annotator_of({h: Path(f) for h, f in files.items()}, self.embedder_model_id, "JQLAnnotator")

    def _count(self, document: Document, reason: str | None) -> None:
        self.stat_update(StatHints.total, StatHints.forwarded)
        if reason:
            self.stat_update("no_score", f"no_score_{reason}")
        if not isinstance(document.text, str):
            document.text = ""
        self.update_doc_stats(document)


_KEPT: dict[str, Annotator] = {}


def _loaded(annotator: Annotator, device: str | None, rank: int) -> Annotator:
    """The annotator with its encoder loaded: the one of an earlier rank, where this process ran one with the same."""
    spec = annotator.spec
    place, pinned = (None, "") if spec.kind == "static" else (_place(device, rank), pinned_revision(spec))
    content = [spec, pinned, annotator.features, annotator.trained, annotator.calibration]
    # Of its own process, since threads do not survive a fork; by content, as files may be written again meanwhile.
    key = hashlib.sha256(pickle.dumps([os.getpid(), place, *content])).hexdigest()
    if key not in _KEPT:
        _KEPT.clear()
        annotator.encoder(place)
        _KEPT[key] = annotator
    return _KEPT[key]


def _place(device: str | None, rank: int) -> str:
    """The name of a device as torch knows it."""
    if device is not None:
        return f"cuda:{device}" if str(device).isdigit() else device
    import torch

    if count := torch.cuda.device_count():
        return f"cuda:{rank % count}"
    logger.warning("No GPU on this machine: the CPU computes the scores")
    return "cpu"


def _language(document: Document) -> str:
    """The language of a document, where it stands in FineWeb's and in jql's metadata; und if it is not there."""
    code, script = document.metadata.get("language") or "und", document.metadata.get("language_script")
    return canonical_language(f"{code}_{script}" if script and "_" not in code else str(code))


def _fetch(file: str) -> str:
    """A file of the published heads in the hub's cache, downloaded now or before.

    Raises:
        InputError: it cannot be had.
    """
    from huggingface_hub import hf_hub_download

    try:
        return hf_hub_download(REPOSITORY, file)
    except Exception as error:  # the hub raises its own, httpx's and the system's errors
        raise InputError(
            f"{REPOSITORY}: {file} is not in the hub's cache and cannot be fetched ({one_line(error)[:160]}); fetch it "
            "where there is a network, or name local files as regression_head_checkpoints"
        ) from error
