"""A recipe from its first stage to its last: the one place where stages meet."""

import json
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from jql import __version__
from jql.documents import Documents
from jql.engine import storage
from jql.engine.prediction import Prediction, read_predictions
from jql.engine.run import Run, StageRunner
from jql.errors import DataError, RecipeError
from jql.recipe import Recipe, dump_recipe
from jql.report.cascade import cascade_words
from jql.report.summary import Stages, all_totals, summarize
from jql.report.timing import timing, worked
from jql.select.cuts import Cuts

JUDGING = {"rank", "judge", "train"}


@dataclass(frozen=True)
class Result:
    """What a run made.

    Attributes:
        summary: as in summary.json. cuts: as in cuts.json, None if nothing was cut.
        export: folder of the data set, annotator: of what was trained, or None.
        worked: the stages that had units to do.
    """

    folder: str
    summary: dict[str, Any]
    cuts: dict[str, Any] | None
    export: str | None
    annotator: str | None = None
    worked: frozenset[str] = frozenset()


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


def walk(recipe: Recipe, run: StageRunner, stages: Stages) -> tuple[Documents | None, Cuts | None]:
    """Take the recipe's stages up to the decisions, filling in `stages`; returns the documents and the cuts.

    Raises:
        RecipeError: a stage needs one that the recipe leaves out.
    """
    documents = open_documents(recipe, run, stages)
    cuts = None
    if "dedup" in recipe.stages:
        from jql.dedup.dedup import run_dedup

        assert documents is not None
        stages.clusters = run_dedup(recipe, run, documents)
    if JUDGING & set(recipe.stages):
        recipe = _judge_and_train(recipe, run, stages, documents)
    if documents is None:
        return None, None
    if "annotate" in recipe.stages:
        from jql.annotator.annotate import run_annotate

        stages.scores, stages.cascade = run_annotate(recipe, run, documents, stages.clusters)
    if "select" in recipe.stages:
        from jql.select.select import run_select

        stages.decisions, cuts = run_select(recipe, run, documents, stages.clusters, stages.scores)
    if "export" in recipe.stages:
        from jql.select.export import run_export

        if stages.decisions is None:
            raise RecipeError("stages: export needs decisions; add the select stage")
        stages.export = run_export(recipe, run, documents, stages.clusters, stages.scores, stages.decisions)
    return documents, cuts


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
        storage.put(storage.join(recipe.output, "recipe.yaml"), dump_recipe(recipe).encode())
        documents, found = walk(recipe, run, stages)
        sums = all_totals(stages, run.stages)
        summary: dict[str, Any] = {"name": recipe.name, "jql": __version__, **summarize(stages, sums)}
        summary["time"] = timing(run.stages, sums, predictions, recipe.engine)
        cuts = found.to_json() if found else None
        files = {"summary.json": summary} | ({"cuts.json": cuts} if cuts else {})
        for name, content in files.items():
            storage.put(storage.join(recipe.output, name), _json(content))
        export = None
        if stages.export is not None and documents is not None:
            export = _publish(recipe, documents, stages, summary, cuts)
        if export is not None:
            storage.put(storage.join(export, "summary.json"), _json(summary))
    return Result(recipe.output, summary, cuts, export, stages.annotator, worked(run.stages, sums))


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
