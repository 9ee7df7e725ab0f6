"""The annotate stage with a transformer: parts and batches flow through packs, workers take GPUs where there are any."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from annotate_help import save_annotator

from jql.annotator.annotate import gpus_of
from jql.annotator.annotator import Annotator
from jql.engine.progress import console
from jql.pipeline import run_recipe
from jql.recipe import make_recipe

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = ["the", "sea", "rises", "twice", "a", "day", "because", "of", "light", "and", "river", "school"]


def texts(n, seed=0):
    draw = np.random.default_rng(seed)
    lengths = draw.lognormal(2.5, 1.2, n).astype(int).clip(1, 2000)
    return [" ".join(draw.choice(WORDS, length)) for length in lengths]


@pytest.fixture(scope="module")
def annotator(gte, tmp_path_factory):
    return save_annotator(gte, tmp_path_factory.mktemp("annotator") / "tiny")


@pytest.fixture
def documents(tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    found = [*texts(60), None, " "]
    rows = {"id": [f"d{i}" for i in range(62)], "text": found, "language": ["eng_Latn", "deu_Latn"] * 31}
    pq.write_table(pa.table(rows), folder / "a.parquet", row_group_size=9)
    return folder


def scores(run):
    return pa.concat_tables([pq.read_table(p) for p in sorted(run.glob("annotate/*/data/*/*.parquet"))])


@pytest.mark.parametrize(("part", "batch"), [(1, 3), (10, 4), (20, 500)])
def test_every_document_gets_its_own_score_whatever_it_is_packed_with(
    documents, annotator, tmp_path, monkeypatch, part, batch
):
    monkeypatch.setattr("jql.annotator.annotate.PART_ROWS", part)
    run_recipe(
        make_recipe(
            {
                "output": str(tmp_path / "run"),
                "engine": {"backend": "inline"},
                "stages": ["annotate"],
                "documents": {"path": str(documents), "unit_rows": 30},
                "annotate": {"annotator": annotator, "batch": batch},
            }
        ),
        console(quiet=True),
    )
    table = scores(tmp_path / "run")
    rows = pq.read_table(documents / "a.parquet").to_pylist()
    assert table.column("id").to_pylist() == [row["id"] for row in rows]
    assert table.column("reason").to_pylist() == [None] * 60 + ["text_null", "empty"]
    loaded = Annotator.load(annotator)
    for i in range(60):
        alone = loaded.score([rows[i]["text"]])
        for head in loaded.heads:
            assert table.column(head)[i].as_py() == pytest.approx(float(alone[head][0]), abs=1e-4)
    assert table.column("gemma").null_count == 2


def test_a_worker_takes_a_gpu_where_there_are_any(annotator, ray_address):
    def gpus(backend, wish=None, name=annotator):
        engine = {"backend": backend, "address": ray_address if backend == "ray" else None}
        made = make_recipe({"stages": ["annotate"], "engine": engine, "annotate": {"annotator": name, "gpus": wish}})
        return gpus_of(Annotator.load(name), made)

    assert gpus("inline") == gpus("ray") == 0  # the Ray of the tests has none
    assert gpus("ray", 0.5) == 0.5
    assert gpus("ray", 0.5, "edu") == 0
