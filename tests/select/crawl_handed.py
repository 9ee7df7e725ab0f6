"""A made crawl as the stages of a run: the engine is the real one, the scores and clusters are the test's."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from crawl_made import Made, wish

from jql.annotator.counts import COUNTS
from jql.documents import Documents
from jql.engine.plan import Unit
from jql.engine.progress import console
from jql.engine.run import Run, StageRun
from jql.engine.stage import Guard, Output, Stage
from jql.recipe import Engine, Recipe, make_recipe
from jql.schema import CLUSTER, COUNT, score_schema
from jql.select.select import Selected, run_select


class HandOn:
    """Writes the tables that the test has prepared, as a stage of the run."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        table = pq.read_table(self.folder / f"{unit.index}.parquet")
        languages = Counter(pq.read_table(unit.payload["path"], columns=["language"]).column(0).to_pylist())
        output = Output.of(table, table.num_rows, languages=dict(languages), documents=dict(languages), ids_again=0)
        output.stats["representatives"] = dict(languages)
        if (counts := self.folder / f"counts-{unit.index}.parquet").exists():
            output.tables[COUNTS] = (COUNT, [pq.read_table(counts)])
        return output


@dataclass
class Handed:
    """A run that has come to the select stage."""

    recipe: Recipe
    run: Run
    documents: Documents
    clusters: StageRun | None
    scores: StageRun | None

    def select(self, **settings) -> Selected:
        part = self.recipe.model_copy(update={"select": wish(**settings)})
        return run_select(part, self.run, self.documents, self.clusters, self.scores)


@contextmanager
def handed(folder: Path, made: Made, units: int = 3, clusters: bool = True, scores: bool = True) -> Iterator[Handed]:
    """The made crawl in a run folder; with `clusters` or `scores` as those stages would leave them."""
    parts = np.array_split(np.arange(len(made)), units)
    for name in ("documents", "scores", "clusters"):
        (folder / "made" / name).mkdir(parents=True, exist_ok=True)
    for u, rows in enumerate(parts):
        _write(folder / "made", made, u, rows)
    recipe = make_recipe({"output": str(folder / "run"), "engine": {"backend": "inline"}})
    documents = Documents.of_path(str(folder / "made" / "documents"), 1_000_000, None)
    with Run(recipe.output, Engine(backend="inline"), console(quiet=True)) as run:
        given = {}
        for name, wanted in (("scores", scores), ("clusters", clusters)):
            settings = {"folder": str(folder / "made" / name)}
            stage = Stage(f"given/{name}", 1, settings, {}, HandOn, settings, "aligned")
            given[name] = run.run(stage, documents.units) if wanted else None
        yield Handed(recipe, run, documents, given["clusters"], given["scores"])


def _write(folder: Path, made: Made, unit: int, rows: np.ndarray) -> None:
    def of(values):
        return [values[row] for row in rows]

    lengths = made.sizes[1, rows].tolist()
    languages = of(made.languages)
    documents = {
        "id": of(made.ids),
        "text": [("the miller built a wheel below the dam " * (n // 39 + 1))[:n] for n in lengths],
        "language": languages,
        "language_score": pa.array(made.confidence[rows]),
        "date": pa.array(of(made.dates), pa.string()),
        "filter_reason": pa.array(of(made.filtered), pa.string()),
        "minhash_cluster_size": made.size[rows],
    }
    pq.write_table(pa.table(documents), folder / "documents" / f"{unit}.parquet")
    scores = {"id": of(made.ids), "language": languages, "reason": pa.array(of(made.why), pa.string())}
    scores |= {"bytes": made.sizes[1, rows], "tokens": made.sizes[2, rows]}
    for h, head in enumerate(made.heads):
        points = made.points[rows, h]
        scores[head] = pa.array(points, mask=np.array([why is not None for why in of(made.why)], bool))
    pq.write_table(pa.table(scores, schema=score_schema(made.heads)), folder / "scores" / f"{unit}.parquet")
    pq.write_table(made.histograms_of(rows).to_table(), folder / "scores" / f"counts-{unit}.parquet")
    clusters = {"id": of(made.ids), "cluster": made.cluster[rows], "cluster_size": made.size[rows]}
    clusters["representative"] = made.first[rows]
    pq.write_table(pa.table(clusters, schema=CLUSTER), folder / "clusters" / f"{unit}.parquet")


def decisions(selected: Selected) -> pa.Table:
    """The DECISION rows of all units."""
    return pa.concat_tables(selected.decisions.tables(), promote_options="default").unify_dictionaries()
