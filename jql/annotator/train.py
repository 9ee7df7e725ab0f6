"""`jql train`: judgments to an annotator. Embeddings are computed once, on the engine; heads in this process.

Shapes: N judged documents, H judges.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console

from jql import __version__
from jql.agreement.evaluate import evaluate, leave_one_language_out
from jql.agreement.figures import Settings
from jql.agreement.tables import evaluation_table, language_table
from jql.annotator.annotator import Annotator
from jql.annotator.calibration import Calibration, fit_calibration
from jql.annotator.card import GOLDEN, training_card
from jql.annotator.features import Features
from jql.annotator.gather import embed_all, gather, judged_files
from jql.annotator.heads import Heads
from jql.annotator.judgments import Judgments, split_by_source, without_length
from jql.annotator.ngrams import ngrams
from jql.annotator.train_heads import HeadSettings, JudgedFeatures, fit_heads
from jql.annotator.translations import Translated, translated_documents, translated_features
from jql.documents import Documents
from jql.documents.inputs import input_mark, list_files
from jql.encoder.encoder import Encoder, load_encoder
from jql.encoder.named import encoder_spec
from jql.engine import storage
from jql.engine.fingerprint import digest_of
from jql.engine.run import Run, StageRun, StageRunner
from jql.errors import DataError, InputError, RecipeError
from jql.recipe import Recipe, Train, dump_recipe

VERSION = 1  # raised when the same judgments and settings make other heads


@dataclass(frozen=True)
class Trained:
    """What a training made: the annotator, where it lies, and its figures on the validation documents."""

    annotator: Annotator
    folder: str
    figures: dict[str, Any]


def features_of(part: Train) -> Features:
    """The features a recipe asks for."""
    return Features(chars=part.chars, surface=part.surface, ngrams=part.ngrams > 0)


def head_settings(part: Train, seed: int) -> HeadSettings:
    """How a recipe trains heads."""
    names = ("hidden", "learning_rate", "dropout", "batch", "epochs", "schedule", "members", "sampling")
    return HeadSettings(ngram_share=part.ngrams, seed=seed, **{name: getattr(part, name) for name in names})


def judged_features(judgments: Judgments, part: Train) -> JudgedFeatures:
    """What heads are trained on."""
    labels_N = judgments.labels_N
    if part.control_length:
        labels_N = without_length(labels_N, judgments.judge_N, judgments.chars_N)
    found = ngrams(judgments.texts) if part.ngrams else None
    return JudgedFeatures(
        judgments.judges, judgments.dense_ND, found, labels_N, judgments.judge_N, judgments.languages_N
    )


def fit(
    judgments: Judgments, recipe: Recipe, translated: Translated | None, console: Console
) -> tuple[Heads, np.ndarray, np.ndarray, JudgedFeatures]:
    """Final heads; which documents were validation, bool (N,); scores of all by heads that did not see validation."""
    part = recipe.train
    settings = head_settings(part, recipe.seed)
    judged = judged_features(judgments, part)
    held_N = split_by_source(judgments.sources_N, part.validation, recipe.seed)
    for h, judge in enumerate(judgments.judges):
        if (held_N & (judgments.judge_N == h)).sum() < 2 or (~held_N & (judgments.judge_N == h)).sum() < 2:
            raise RecipeError(
                f"train.validation: judge {judge} has too few source documents for a share {part.validation}"
            )
    train, validation = judged.take(np.flatnonzero(~held_N)), judged.take(np.flatnonzero(held_N))
    heads, epochs = fit_heads(train, validation, settings, translated=translated, report=console.print)
    heads = replace(heads, combinations=part.combine)
    points_NH = heads.points(judged.dense_ND, judged.ngrams_NV)
    if part.refit:
        heads = replace(fit_heads(judged, None, settings, epochs, translated)[0], combinations=part.combine)
    return heads, held_N, points_NH, judged


def validation_figures(
    judgments: Judgments, heads: Heads, held_N: np.ndarray, points_NH: np.ndarray, settings: Settings
) -> dict[str, Any]:
    """Judge -> its own head's and every combination's figures on its validation documents, where 50 or more."""
    found: dict[str, Any] = {}
    for h, judge in enumerate(judgments.judges):
        rows = np.flatnonzero(held_N & (judgments.judge_N == h))
        if len(rows) < 50 or len(set(judgments.labels_N[rows])) < 2:
            continue
        here = (judgments.labels_N[rows], judgments.languages_N[rows].tolist(), judgments.sources_N[rows].tolist())
        for name in (judge, *heads.combinations):
            scores = points_NH[rows, heads.all_names.index(name)]
            found[f"{name} on {judge}"] = evaluate(scores, *here, judgments.chars_N[rows].tolist(), settings)
    return found


def run_train(recipe: Recipe, leave_one_out: bool = False, console: Console | None = None) -> Trained:
    """Train on the files that the recipe's train part names, into RUN/annotator; the same call continues.

    Args:
        leave_one_out: also train once without each language and report how its judgments are met.

    Raises:
        JqlError: see jql/errors.py.
    """
    judged = judged_files(recipe)
    with Run(recipe.output, recipe.engine, console) as run:
        storage.put(storage.join(recipe.output, "recipe.yaml"), dump_recipe(recipe).encode())
        return train(recipe, run, judged, leave_one_out)


def train(recipe: Recipe, run: StageRunner, judged: dict[str, Documents], leave_one_out: bool = False) -> Trained:
    """Train on judged documents, by judge, within a run; what was trained of the same judgments and settings is kept.

    Raises:
        JqlError: see jql/errors.py.
    """
    part = recipe.train
    _check(part, list(judged))
    encoder = load_encoder(encoder_spec(part.encoder, part.long))
    embedded = embed_all(run, judged, encoder.spec, features_of(part))
    rubric = Path(part.rubric).read_text(encoding="utf-8") if part.rubric else f"name: {part.name}\n"
    parallel = input_mark(list_files(part.parallel)) if part.parallel else ""
    marks = {judge: (documents.mark, stage.mark()) for judge, (documents, stage) in embedded.items()}
    settings = part.model_dump(mode="json", exclude={"judges", "rubric", "parallel"})
    stamp = digest_of([VERSION, settings, recipe.seed, rubric, parallel, marks, leave_one_out])
    folder, path = storage.join(recipe.output, "annotator"), storage.join(recipe.output, "train.json")

    def work() -> None:
        figures = _train(recipe, run.console, encoder, embedded, rubric, folder, leave_one_out)
        # Last, so that a training that was broken off is no finished one.
        storage.put(
            path, (json.dumps({"stamp": stamp, "figures": figures}, indent=1, ensure_ascii=False) + "\n").encode()
        )

    known = json.loads(storage.read_bytes(path)) if storage.exists(path) else {}
    run.make("train/heads", known.get("stamp") == stamp, work)
    figures = json.loads(storage.read_bytes(path))["figures"]
    return Trained(Annotator.load(folder), folder, figures)


def _train(
    recipe: Recipe,
    console: Console,
    encoder: Encoder,
    embedded: dict[str, tuple[Documents, StageRun]],
    rubric: str,
    folder: str,
    leave_one_out: bool,
) -> dict[str, Any]:
    """Train, write the annotator into `folder`, and return the figures."""
    part, spec, translated = recipe.train, encoder.spec, None
    if part.parallel:
        pairs = translated_documents(Path(part.parallel), part.leave_out, recipe.seed)
        translated = translated_features(pairs, features_of(part), encoder)
    settings = Settings(low=part.low, high=part.high)
    judgments = gather(part, embedded, features_of(part), spec)
    for judge, reasons in judgments.dropped.items():
        for reason, count in reasons.items():
            console.print(f"judge {judge}: {count:,} rows left out, {reason}")
    heads, held_N, points_NH, judged = fit(judgments, recipe, translated, console)
    figures: dict[str, Any] = validation_figures(judgments, heads, held_N, points_NH, settings)
    for name, entry in figures.items():
        console.print(evaluation_table(entry, f"{part.name}, head {name}, validation"))
    if leave_one_out:
        for name, entry in _leave_one_out(judgments, judged, recipe, settings, console).items():
            figures[name] = entry
            console.print(language_table(entry, f"{part.name}, {name}"))
    calibration = Calibration()
    if part.calibrate:
        rows = np.flatnonzero(held_N)
        calibration = Calibration(_calibrations(judgments, heads, rows, points_NH))
    summary = _summary(part, judgments, held_N, figures, recipe.seed)
    if made_up := [judge for judge, origins in judgments.origins.items() if "synthetic" in origins]:
        console.print(f"origin: synthetic judgments of {', '.join(made_up)}; the figures show that it runs, no more")
    annotator = Annotator(
        name=part.name,
        spec=spec,
        features=features_of(part),
        trained=heads,
        calibration=calibration,
        about={"range": [part.low, part.high], "jql": __version__, "training": summary},
        rubric=rubric,
        card=training_card(part, summary, spec),
        golden=GOLDEN,
    )
    with TemporaryDirectory() as made:
        annotator.save(Path(made))
        for file in sorted(Path(made).iterdir()):
            storage.put(storage.join(folder, file.name), file.read_bytes())
    return figures


def _check(part: Train, judges: list[str]) -> None:
    for name, parts in part.combine.items():
        if unknown := sorted(set(parts) - set(judges)):
            raise RecipeError(f"train.combine.{name}: no judge {', '.join(unknown)}; there are {', '.join(judges)}")
        if name in judges:
            raise RecipeError(f"train.combine.{name}: a judge has this name; give the combination another")
    if part.parallel and not part.ngrams:
        raise RecipeError("train.parallel: shapes the n-gram term only; set train.ngrams, or leave it out")
    if not part.low < part.high:
        raise RecipeError(f"train.low: expected less than train.high, got {part.low:g} and {part.high:g}")
    if part.rubric and not Path(part.rubric).is_file():
        raise InputError(f"train.rubric: {part.rubric}: no such file")


def _calibrations(
    judgments: Judgments, heads: Heads, rows: np.ndarray, points_NH: np.ndarray
) -> dict[str, dict[str, list[list[float]]]]:
    """Head -> language -> knots, each judge's head on that judge's validation documents."""
    found = {}
    for h, judge in enumerate(judgments.judges):
        own = rows[judgments.judge_N[rows] == h]
        scores = points_NH[own, heads.all_names.index(judge)]
        found[judge] = fit_calibration(scores, judgments.labels_N[own], judgments.languages_N[own].tolist())
    return found


def _leave_one_out(
    judgments: Judgments, judged: JudgedFeatures, recipe: Recipe, settings: Settings, console: Console
) -> dict[str, dict[str, Any]]:
    """Judge -> figures of each language by heads that saw no document of it, of any judge."""
    plain = head_settings(recipe.train, recipe.seed)
    found = {}
    for h, judge in enumerate(judgments.judges):
        own = np.flatnonzero(judgments.judge_N == h)
        if len(set(judgments.languages_N[own].tolist())) < 2:
            continue

        def fit_and_score(train: np.ndarray, test: np.ndarray, own: np.ndarray = own, h: int = h) -> np.ndarray:
            left_out = set(judgments.languages_N[own[test]].tolist())
            sources = set(judgments.sources_N[own[test]].tolist())
            rows = np.array(
                [
                    i
                    for i, (language, source) in enumerate(zip(judgments.languages_N, judgments.sources_N, strict=True))
                    if language not in left_out and source not in sources
                ]
            )
            epochs = [plain.epochs] * plain.members
            heads, _ = fit_heads(judged.take(rows), None, plain, epochs)
            tested = judged.take(own[test])
            return heads.points(tested.dense_ND, tested.ngrams_NV)[:, h]

        here = (judgments.labels_N[own], judgments.languages_N[own].tolist(), judgments.sources_N[own].tolist())
        lengths = judgments.chars_N[own].tolist()
        try:
            found[f"{judge}, language left out"] = leave_one_language_out(*here, lengths, fit_and_score, settings)
        except DataError as error:
            console.print(f"judge {judge}: no figures without each language: {error}")
    return found


def _summary(
    part: Train, judgments: Judgments, held_N: np.ndarray, figures: dict[str, Any], seed: int
) -> dict[str, Any]:
    """What annotator.json keeps of the training."""
    counts = {
        judge: {
            "documents": int((judgments.judge_N == h).sum()),
            "validation": int((held_N & (judgments.judge_N == h)).sum()),
            "languages": len(set(judgments.languages_N[judgments.judge_N == h].tolist())),
            "left_out": judgments.dropped[judge],
            "origin": judgments.origins[judge],
        }
        for h, judge in enumerate(judgments.judges)
    }
    spearman = {
        name: entry["pooled"]["figures"]["spearman"]
        for name, entry in figures.items()
        if "spearman" in entry["pooled"]["figures"]
    }
    # Where files lie on one machine is nothing to publish.
    settings = {**part.model_dump(mode="json", exclude={"judges", "rubric"}), "parallel": bool(part.parallel)}
    return {"judges": counts, "settings": settings, "seed": seed, "spearman": spearman}
