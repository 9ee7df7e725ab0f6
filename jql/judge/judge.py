"""Judges: candidates ranked against human ratings, and those chosen labelling documents. `run_ranking`, `run_judge`."""

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from jql.agreement.figures import Settings
from jql.documents import Documents
from jql.documents.inputs import list_files
from jql.engine import storage
from jql.engine.fingerprint import digest_of
from jql.engine.run import StageRun, StageRunner
from jql.errors import DataError, RecipeError
from jql.judge.draw import run_draw
from jql.judge.judgments import run_judgments
from jql.judge.parse import invalid_share
from jql.judge.rank import rank
from jql.judge.rank_tables import rank_tables
from jql.judge.replies import TOLD, refusal, run_replies
from jql.recipe import Recipe
from jql.rubric import load_rubric
from jql.truth.originals import read_truth


@dataclass(frozen=True)
class Judged:
    """What one judge said: raw, and read."""

    replies: StageRun
    judgments: StageRun

    @cached_property
    def costs(self) -> dict[str, Any]:
        """Documents, answers by kind, tokens and seconds (None where not told), from the receipts."""
        sums: Counter[str] = Counter()
        told: dict[str, float | None] = dict.fromkeys(TOLD)
        kinds: Counter[str] = Counter()
        origins: Counter[str] = Counter()
        for receipt in self.judgments.receipts():
            kinds.update(receipt.stats["kinds"])
            origins.update(receipt.stats["origins"])
            sums.update({"documents": receipt.accepted, "scored": receipt.stats["scored"]})
        for receipt in self.replies.receipts():
            for name in TOLD:
                if receipt.stats[name] is not None:
                    told[name] = (told[name] or 0) + receipt.stats[name]
        folder = storage.join(self.judgments.folder, "data")
        return {**sums, **told, "kinds": dict(kinds), "origins": dict(origins), "judgments": folder}


def ask_judges(
    recipe: Recipe, run: StageRunner, step: str, names: list[str], documents: Documents
) -> dict[str, Judged]:
    """Judge -> its replies and judgments of the documents."""
    part, rubric = recipe.judge, load_rubric(recipe.judge.rubric)
    found = {}
    for name in names:
        replies = run_replies(run, step, name, part, rubric, documents, recipe.output)
        found[name] = Judged(replies, run_judgments(run, step, name, part, rubric, documents, replies))
    return found


def run_ranking(recipe: Recipe, run: StageRunner) -> dict[str, Any]:
    """Let every candidate judge the ground truth and rank them; RUN/rank.json holds what is returned."""
    part, rubric = recipe.judge, load_rubric(recipe.judge.rubric)
    if part.truth is None:
        raise RecipeError("judge.truth: ranking needs human ratings; name a TRUTH table")
    files = list_files(part.truth, (".parquet",))
    truth = pa.concat_tables([read_truth(file) for file in files])
    documents = Documents.of_files(files, recipe.documents.unit_rows, None)
    judged = ask_judges(recipe, run, "rank", list(part.judges), documents)
    families = {name: judge.family or name for name, judge in part.judges.items()}
    marks = {name: found.judgments.mark() for name, found in judged.items()}
    stamp = digest_of([documents.mark, marks, families, part.choose, part.max_invalid, recipe.seed, rubric.low])
    path = storage.join(recipe.output, "rank.json")

    def work() -> None:
        tables = {name: pa.concat_tables(found.judgments.tables()) for name, found in judged.items()}
        settings = Settings(low=rubric.low, high=rubric.high, seed=recipe.seed)
        result = rank(truth, tables, families, settings, part.choose, part.max_invalid)
        data = json.dumps({"stamp": stamp, **result}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        storage.put(path, data.encode())

    known = json.loads(storage.read_bytes(path)) if storage.exists(path) else {}
    run.make("rank", known.get("stamp") == stamp, work)
    ranking: dict[str, Any] = json.loads(storage.read_bytes(path))
    for table in rank_tables(ranking):
        run.console.print(table)
        run.console.print()
    return ranking


def chosen(recipe: Recipe, ranking: dict[str, Any] | None) -> list[str]:
    """The judges that label: those named, else those recommended, else all.

    Raises:
        DataError: ranking recommends none.
    """
    part = recipe.judge
    if part.use or ranking is None:
        return list(part.use or part.judges)
    names: list[str] = ranking["recommendation"]["judges"]
    if not names:
        raise DataError(
            f"{recipe.output}/rank.json: no judge is recommended; look at the reasons there, or name some in judge.use"
        )
    return names


def run_judge(
    recipe: Recipe, run: StageRunner, documents: Documents | None, ranking: dict[str, Any] | None
) -> dict[str, Judged]:
    """Judge -> what it says of the documents, or of about judge.per_language of them in each language.

    Raises:
        DataError: too many of a judge's answers cannot be read.
    """
    part = recipe.judge
    if part.documents:
        documents = Documents.of_path(part.documents, recipe.documents.unit_rows, recipe.documents.language)
    assert documents is not None, "the pipeline opens documents where judge.documents names none"
    if part.per_language:
        documents = run_draw(run, documents, part.per_language, recipe.seed)
    judged = ask_judges(recipe, run, "judge", chosen(recipe, ranking), documents)
    for name, found in judged.items():
        kinds = Counter(found.costs["kinds"])
        if kinds and invalid_share(kinds) > part.max_invalid:
            raise DataError(refusal(name, kinds, part.max_invalid))
    return judged
