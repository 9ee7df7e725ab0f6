"""A recipe from its first stage to its last: the one place where stages meet."""

import json
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from jql import __version__
from jql.documents import Documents
from jql.engine import storage
from jql.engine.run import Run, StageRunner
from jql.errors import RecipeError
from jql.recipe import Recipe, dump_recipe
from jql.report.summary import Stages, summarize
from jql.select.cuts import Cuts


@dataclass(frozen=True)
class Result:
    """What a run made.

    Attributes:
        summary: as in summary.json. cuts: as in cuts.json, None if nothing was cut.
        export: folder of the data set, or None.
    """

    folder: str
    summary: dict[str, Any]
    cuts: dict[str, Any] | None
    export: str | None


def open_documents(recipe: Recipe, run: StageRunner, stages: Stages) -> Documents:
    """The documents the recipe works on: from its crawl, else from its folder.

    Raises:
        RecipeError: it names neither.
    """
    if "crawl" in recipe.stages:
        from jql.crawl.crawl import run_crawl

        stages.crawl = run_crawl(recipe, run)
        return Documents.of_stage(stages.crawl)
    if not recipe.documents.path:
        raise RecipeError("documents.path: nothing to work on; name a folder of documents or add the crawl stage")
    return Documents.of_path(recipe.documents.path, recipe.documents.unit_rows, recipe.documents.language)


def walk(recipe: Recipe, run: StageRunner, stages: Stages) -> tuple[Documents, Cuts | None]:
    """Take the recipe's stages up to the decisions, filling in `stages`; returns the documents and the cuts.

    Raises:
        RecipeError: a stage needs one that the recipe leaves out.
    """
    documents = open_documents(recipe, run, stages)
    cuts = None
    if "dedup" in recipe.stages:
        from jql.dedup.dedup import run_dedup

        stages.clusters = run_dedup(recipe, run, documents)
    if "annotate" in recipe.stages:
        from jql.annotator.annotate import run_annotate

        stages.scores = run_annotate(recipe, run, documents, stages.clusters)
    if "select" in recipe.stages:
        from jql.select.select import run_select

        stages.decisions, cuts = run_select(recipe, run, documents, stages.clusters, stages.scores)
    if "export" in recipe.stages:
        from jql.select.export import run_export

        if stages.decisions is None:
            raise RecipeError("stages: export needs decisions; add the select stage")
        stages.export = run_export(recipe, run, documents, stages.clusters, stages.scores, stages.decisions)
    return documents, cuts


def run_recipe(recipe: Recipe, console: Console | None = None) -> Result:
    """Run the recipe's stages; what was done before is kept, so the same call again continues.

    Raises:
        JqlError: see jql/errors.py; the run folder then holds what was committed.
    """
    stages = Stages()
    with Run(recipe.output, recipe.engine, console) as run:
        storage.put(storage.join(recipe.output, "recipe.yaml"), dump_recipe(recipe).encode())
        documents, found = walk(recipe, run, stages)
        summary: dict[str, Any] = {"name": recipe.name, "jql": __version__, **summarize(stages)}
        cuts = found.to_json() if found else None
        files = {"summary.json": summary} | ({"cuts.json": cuts} if cuts else {})
        for name, content in files.items():
            storage.put(storage.join(recipe.output, name), _json(content))
        export = _publish(recipe, documents, stages, summary, cuts) if stages.export is not None else None
        if export is not None:
            storage.put(storage.join(export, "summary.json"), _json(summary))
    return Result(recipe.output, summary, cuts, export)


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
        loaded = Annotator.load(recipe.annotate.annotator)
        annotator = f"{loaded.name}, revision {loaded.revision}, heads {', '.join(loaded.heads)}"
    manifest = {
        "name": recipe.name,
        "jql": __version__,
        "annotator": annotator,
        "inputs": documents.mark,
        "fingerprints": {name: stage.fingerprint for name, stage in vars(stages).items() if stage is not None},
        "recipe": recipe.model_dump(mode="json", by_alias=True),
        "cuts": cuts,
        "summary": summary,
        "export": files,
    }
    write_card(target, manifest)
    return target
