"""A recipe from its first stage to its last: the one place where stages meet."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from jql import __version__
from jql.documents import Documents
from jql.engine import storage
from jql.engine.prediction import Prediction, read_predictions
from jql.engine.run import Run, StageRunner
from jql.errors import DataError, InputError, RecipeError
from jql.recipe import STAGES, Recipe, StageName, dump_recipe, make_recipe, parse_yaml
from jql.report.cascade import cascade_words
from jql.report.summary import Stages, all_totals, summarize
from jql.report.timing import timing, worked
from jql.select.groups import groups_of

JUDGING = {"rank", "judge", "train"}
PROVING = {"tokenizer", "tokens", "pretrain", "sweep", "ablate"}


@dataclass(frozen=True)
class Result:
    """What a run made.

    Attributes:
        summary: as in summary.json. cuts: as in cuts.json, None if nothing was cut.
        export: folder of the data set, annotator: of what was trained, or None.
        tokenizer: folder or name of the tokenizer, pretrained, sweep, ablation: as in their JSON files, or None.
        worked: the stages that had units to do.
    """

    folder: str
    summary: dict[str, Any]
    cuts: dict[str, Any] | None
    export: str | None
    annotator: str | None = None
    tokenizer: str | None = None
    formats: dict[str, Any] | None = None
    pretrained: dict[str, Any] | None = None
    sweep: dict[str, Any] | None = None
    ablation: dict[str, Any] | None = None
    worked: frozenset[str] = frozenset()


def later_recipe(stage: StageName, folder: str, overrides: list[str] | None = None, **parts: dict[str, Any]) -> Recipe:
    """The recipe of a run folder up to a stage, which is added, with new settings for it.

    Raises:
        InputError: no run folder. RecipeError: a setting that cannot be.
    """
    path = storage.join(folder, "recipe.yaml")
    if not storage.exists(path):
        raise InputError(f"{folder}: no run folder (it has no recipe.yaml); run `jql annotate` or `jql run` first")
    data = parse_yaml(storage.read_bytes(path).decode(), path)
    data["output"] = folder
    wanted = {*data["stages"], stage} | ({"select"} if stage in ("export", "tokens") else set())
    if stage == "tokens" and not parts.get("tokenizer", data.get("tokenizer", {})).get("use"):
        wanted.add("tokenizer")
    data["stages"] = [s for s in STAGES if s in wanted and STAGES.index(s) <= STAGES.index(stage)]
    for name, settings in parts.items():
        data[name] = {**data.get(name, {}), **settings}
    return make_recipe(data, overrides, path)


def open_documents(recipe: Recipe, run: StageRunner, stages: Stages) -> Documents | None:
    """The documents the recipe works on: from its crawl, else from its folder; None where no stage needs any.

    Raises:
        RecipeError: it names neither.
    """
    if "crawl" in recipe.stages:
        from jql.crawl.crawl import run_crawl

        stages.crawl = run_crawl(recipe, run)
        return Documents.of_stage(stages.crawl)
    if recipe.documents.path:
        return Documents.of_path(recipe.documents.path, recipe.documents.unit_rows, recipe.documents.language)
    if set(recipe.stages) <= {"rank", "train"} or (recipe.judge.documents and set(recipe.stages) <= JUDGING):
        return None
    raise RecipeError("documents.path: nothing to work on; name a folder of documents or add the crawl stage")


def walk(recipe: Recipe, run: StageRunner, stages: Stages) -> Documents | None:
    """Take the recipe's stages, filling in `stages`; returns the documents.

    Raises:
        RecipeError: a stage needs one that the recipe leaves out.
    """
    check_proof(recipe)
    documents, recipe = walk_to_scores(recipe, run, stages)
    if documents is None:
        return None
    if "select" in recipe.stages:
        from jql.select.select import run_select

        stages.selected = run_select(recipe, run, documents, stages.clusters, stages.scores)
    if "export" in recipe.stages:
        from jql.select.export import run_export

        if stages.selected is None:
            raise RecipeError("stages: export needs decisions; add the select stage")
        decisions, cuts = stages.selected.decisions, stages.selected.cuts
        stages.export = run_export(recipe, run, documents, stages.clusters, stages.scores, decisions, cuts)
    if PROVING & set(recipe.stages):
        _prove(recipe, run, documents, stages)
    return documents


def check_proof(recipe: Recipe) -> None:
    """Refuse models and data sets that cannot be, before there is anything to train them on.

    Raises:
        RecipeError: naming the field.
    """
    if {"pretrain", "ablate"} & set(recipe.stages):
        from jql.pretrain.pretrain import model_config, train_config

        model_config(recipe.pretrain, vocab=1)
        train_config(recipe.pretrain).passes(recipe.pretrain.workers if "pretrain" in recipe.stages else 1)
    if "sweep" in recipe.stages:
        from jql.laboratory.run_sweep import check as check_sweep

        check_sweep(recipe)
    if "ablate" in recipe.stages:
        from jql.ablate.conditions import check

        check(recipe)


def _prove(recipe: Recipe, run: StageRunner, documents: Documents, stages: Stages) -> None:
    """Take the stages from the tokenizer to the comparison of data sets."""
    from jql.tokens.tokenizer import run_tokenizer

    # No data set of an ablation may have a tokenizer of its own: then it is trained on what none has chosen.
    kept = None if "ablate" in recipe.stages else stages.decisions
    stages.tokenizer = run_tokenizer(recipe, run, documents, stages.clusters, kept)
    if {"tokens", "pretrain", "sweep"} & set(recipe.stages):
        from jql.tokens.formats import run_formats
        from jql.tokens.tokenize import run_tokens

        stages.tokens = run_tokens(recipe, run, documents, stages.clusters, stages.decisions, stages.tokenizer)
        stages.formats = run_formats(recipe, run, stages.tokens, stages.tokenizer)
    if "pretrain" in recipe.stages:
        from jql.pretrain.pretrain import run_pretrain

        assert stages.tokens is not None
        stages.pretrained = run_pretrain(recipe, run, documents, stages.clusters, stages.tokens, stages.tokenizer)
    if "sweep" in recipe.stages:
        from jql.laboratory.run_sweep import run_sweep

        assert stages.tokens is not None
        stages.sweep = run_sweep(recipe, run, documents, stages.clusters, stages.tokens, stages.tokenizer)
    if "ablate" in recipe.stages:
        from jql.ablate.ablate import run_ablate

        stages.ablation = run_ablate(recipe, run, documents, stages.clusters, stages.scores, stages.tokenizer)


def walk_to_scores(recipe: Recipe, run: StageRunner, stages: Stages) -> tuple[Documents | None, Recipe]:
    """Take the stages up to the scores; returns the documents, and the recipe with what was trained filled in."""
    documents = open_documents(recipe, run, stages)
    if "dedup" in recipe.stages:
        from jql.dedup.dedup import run_dedup

        assert documents is not None
        stages.clusters = run_dedup(recipe, run, documents)
    if JUDGING & set(recipe.stages):
        recipe = _judge_and_train(recipe, run, stages, documents)
    if "annotate" in recipe.stages and documents is not None:
        from jql.annotator.annotate import run_annotate

        stages.scores, stages.cascade = run_annotate(recipe, run, documents, stages.clusters)
    return documents, recipe


def _judge_and_train(recipe: Recipe, run: StageRunner, stages: Stages, documents: Documents | None) -> Recipe:
    """Rank judges, let them label, train on the labels; the recipe with what was trained in the place of `trained`."""
    ranking = None
    if "rank" in recipe.stages:
        from jql.judge.judge import run_ranking

        ranking = run_ranking(recipe, run)
    if "judge" in recipe.stages:
        from jql.judge.judge import run_judge

        judged = run_judge(recipe, run, documents, ranking)
        stages.judgments = {name: found.judgments for name, found in judged.items()}
        stages.judges = {name: found.costs for name, found in judged.items()}
    if "train" in recipe.stages:
        from jql.annotator.gather import judged_files
        from jql.annotator.train import train

        if recipe.train.judges or not stages.judgments:
            labelled = judged_files(recipe)
        else:
            labelled = {name: Documents.of_stage(stage) for name, stage in stages.judgments.items()}
            recipe = _with_rubric(recipe)
        stages.annotator = train(recipe, run, labelled).folder
    if recipe.annotate.annotator == "trained" and stages.annotator:
        annotate = recipe.annotate.model_copy(update={"annotator": stages.annotator})
        recipe = recipe.model_copy(update={"annotate": annotate})
    return recipe


def _with_rubric(recipe: Recipe) -> Recipe:
    """The recipe with the rubric that was judged by, and its range, as that of the annotator."""
    from jql.rubric import load_rubric, rubric_path

    rubric = load_rubric(recipe.judge.rubric)
    known = {"rubric": rubric_path(recipe.judge.rubric), "low": float(rubric.low), "high": float(rubric.high)}
    new = {name: value for name, value in known.items() if name not in recipe.train.model_fields_set}
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=new)})


def run_recipe(recipe: Recipe, console: Console | None = None) -> Result:
    """Run the recipe's stages; what was done before is kept, so the same call again continues.

    Raises:
        JqlError: see jql/errors.py; the run folder then holds what was committed.
    """
    stages = Stages()
    with Run(recipe.output, recipe.engine, console) as run:
        predictions = _predictions(run)
        with _recorded(recipe):
            documents = walk(recipe, run, stages)
        sums = all_totals(stages, run.stages)
        found = summarize(stages, sums, groups_of(recipe.select))
        summary: dict[str, Any] = {"name": recipe.name, "jql": __version__, **found}
        summary["time"] = timing(run.stages, sums, predictions, recipe.engine)
        cuts = _save_selection(recipe, stages)
        files = {"summary.json": summary} | ({"cuts.json": cuts} if cuts else {})
        for name, content in files.items():
            storage.put(storage.join(recipe.output, name), _json(content))
        export = None
        if stages.export is not None and documents is not None:
            export = _publish(recipe, documents, stages, summary, cuts)
        if export is not None:
            storage.put(storage.join(export, "summary.json"), _json(summary))
        if stages.sweep is not None:
            _draw(recipe, stages.sweep, run.console)
    return Result(
        recipe.output,
        summary,
        cuts,
        export,
        stages.annotator,
        stages.tokenizer,
        stages.formats,
        stages.pretrained,
        stages.sweep,
        stages.ablation,
        worked(run.stages, sums),
    )


@contextmanager
def _recorded(recipe: Recipe) -> Iterator[None]:
    """Write the recipe into its run folder, for the next command; not one that asks for what cannot be."""
    path = storage.join(recipe.output, "recipe.yaml")
    before = storage.read_bytes(path) if storage.exists(path) else None
    storage.put(path, dump_recipe(recipe).encode())
    try:
        yield
    except RecipeError:
        if before is not None:
            storage.put(path, before)
        raise


def predict_recipe(recipe: Recipe, console: Console | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the recipe's cuts would keep, as in summary.json, and the cuts; decides nothing and writes no such file.

    Raises:
        RecipeError: the recipe has no scores, or asks for what cannot be. Others as of `run_recipe`.
    """
    from jql.select.select import look_ahead

    stages = Stages()
    with Run(recipe.output, recipe.engine, console) as run:
        documents, recipe = walk_to_scores(recipe, run, stages)
        if documents is None or stages.scores is None:
            raise RecipeError("--predict: needs scores; add the annotate stage")
        outlook, rules = look_ahead(recipe, run, documents, stages.clusters, stages.scores)
        assert rules.cuts is not None
        sums = all_totals(stages, run.stages)
        summary = summarize(stages, sums, groups_of(recipe.select))
        return {**summary, "prediction": outlook.predict(recipe.select, rules.cuts)}, rules.cuts.to_json()


def _save_selection(recipe: Recipe, stages: Stages) -> dict[str, Any] | None:
    """Leave the histograms and the sample in the run folder, for the report; returns the cuts."""
    selected = stages.selected
    if selected is None or selected.cuts is None or selected.outlook is None:
        return None
    selected.outlook.save(recipe.output, selected.outlook.kept(recipe.select, selected.cuts))
    return selected.cuts.to_json()


def _draw(recipe: Recipe, sweep: dict[str, Any], console: Console) -> None:
    """The picture of a sweep as a file of its own; models are not lost for want of it."""
    from jql.report.page import SWEEP_PAGE, write_sweep

    try:
        console.print(f"picture: {write_sweep(recipe.output, recipe.name, sweep)}", highlight=False)
    except RecipeError as error:
        console.print(f"[yellow]{SWEEP_PAGE}: not written ({error})[/]", highlight=False)


def _predictions(run: Run) -> dict[str, Prediction]:
    """The predictions of the run folder; no run is refused for them."""
    try:
        return read_predictions(run.folder)
    except DataError as error:
        run.console.print(f"[yellow]{error}[/]", highlight=False)
        return {}


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _publish(
    recipe: Recipe, documents: Documents, stages: Stages, summary: dict[str, Any], cuts: dict[str, Any] | None
) -> str:
    from jql.annotator.annotator import Annotator
    from jql.select.card import write_card
    from jql.select.export import publish

    assert stages.export is not None
    target = recipe.export.path or storage.join(recipe.output, "dataset")
    files = publish(stages.export, target)
    annotator = None
    if stages.scores is not None:
        loaded = Annotator.load(stages.annotator or recipe.annotate.annotator)
        annotator = f"{loaded.name}, revision {loaded.revision}, heads {', '.join(loaded.heads)}"
        judges = loaded.about.get("training", {}).get("judges", {})
        if made_up := [name for name, entry in judges.items() if "synthetic" in entry.get("origin", {})]:
            annotator += f"; **origin: synthetic** judgments of {', '.join(made_up)}"
        if stages.cascade:
            annotator += "; " + cascade_words(stages.cascade).replace("\n", "; ")
    manifest = {
        "name": recipe.name,
        "jql": __version__,
        "annotator": annotator,
        "inputs": documents.mark,
        "fingerprints": {name: stage.fingerprint for name, stage in stages.named().items()},
        "recipe": recipe.model_dump(mode="json", by_alias=True),
        "cuts": cuts,
        "summary": summary,
        "export": files,
    }
    write_card(target, manifest)
    return target
