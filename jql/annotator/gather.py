"""Judged documents of all judges, embedded on the engine and read back together.

Shapes: N judged documents, D dense features.
"""

from collections import Counter
from typing import Any

import numpy as np

from jql.annotator.embed import run_embed
from jql.annotator.features import Features
from jql.annotator.judgments import Judgments, check_labels, check_languages
from jql.documents import Documents, read_documents
from jql.documents.inputs import list_files
from jql.encoder.encoder import EncoderSpec
from jql.engine import storage
from jql.engine.run import StageRun, StageRunner
from jql.errors import InputError, RecipeError
from jql.recipe import Recipe, Train


def judged_files(recipe: Recipe) -> dict[str, Documents]:
    """Judge -> the judged documents in the files that train.judges names.

    Raises:
        RecipeError: no judge. InputError: no files, or none that can be read.
    """
    part = recipe.train
    if not part.judges:
        raise RecipeError("train.judges: none; name each judge with the files of its judgments")
    found = {}
    for judge, paths in part.judges.items():
        files = [file for path in paths for file in list_files(path)]
        if not files:
            raise InputError(f"train.judges.{judge}: no files; name at least one")
        found[judge] = Documents.of_files(files, recipe.documents.unit_rows, None)
    return found


def embed_all(
    run: StageRunner, judged: dict[str, Documents], spec: EncoderSpec, features: Features
) -> dict[str, tuple[Documents, StageRun]]:
    """Judge -> its documents and their embeddings."""
    return {j: (documents, run_embed(run, j, documents, spec, features)) for j, documents in judged.items()}


def gather(
    part: Train, embedded: dict[str, tuple[Documents, StageRun]], features: Features, spec: EncoderSpec
) -> Judgments:
    """All judgments with their dense features, checked; rows without a label or text are counted and left out.

    Raises:
        DataError: labels that cannot be trained on.
    """
    columns: dict[str, list[Any]] = {name: [] for name in ("judge", "label", "language", "source", "chars")}
    dense: list[np.ndarray] = []
    texts: list[str] = []
    dropped: dict[str, dict[str, int]] = {}
    origins: dict[str, dict[str, int]] = {}
    for j, (judge, (documents, stage)) in enumerate(embedded.items()):
        dropped[judge], made = {}, Counter[str]()
        start = len(columns["label"])
        paths_of = {receipt.unit: stage.path(receipt) for receipt in stage.receipts()}
        for unit in documents.units():
            if unit.index not in paths_of:
                continue
            table = storage.read_table(paths_of[unit.index])
            reasons, languages = table.column("reason").to_pylist(), table.column("language").to_pylist()
            reasons = [
                r or ("left_out" if c in part.leave_out else None) for r, c in zip(reasons, languages, strict=True)
            ]
            kept = np.flatnonzero([reason is None for reason in reasons])
            for reason in filter(None, reasons):
                dropped[judge][reason] = dropped[judge].get(reason, 0) + 1
            flat = table.column("features").combine_chunks().take(kept).flatten().to_numpy()
            dense.append(flat.reshape(len(kept), features.dense(spec)))
            for name in ("label", "language", "source", "chars"):
                columns[name] += table.column(name).take(kept).to_pylist()
            columns["judge"] += [j] * len(kept)
            found = read_documents(unit, ["text", "origin"]).take(kept)
            texts += [features.read(text) if part.ngrams else "" for text in found.column("text").to_pylist()]
            made.update(origin or "unknown" for origin in found.column("origin").to_pylist())
        origins[judge] = dict(sorted(made.items()))
        labels, missing = columns["label"][start:], dropped[judge].get("no_label", 0)
        check_labels(judge, labels, part.low, part.high, missing)
    languages_N = np.array(columns["language"], object)
    check_languages(languages_N, part.one_language)
    return Judgments(
        judges=list(embedded),
        judge_N=np.array(columns["judge"]),
        labels_N=np.array(columns["label"], np.float64),
        languages_N=languages_N,
        sources_N=np.array(columns["source"], object),
        chars_N=np.array(columns["chars"]),
        dense_ND=np.concatenate(dense),
        texts=texts,
        dropped=dropped,
        origins=origins,
    )
