"""Annotate in Ray Data's map_batches and by itself: the scores are the annotator's own, row for row."""

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import ROOT

from jql import Annotator
from jql.adapters.ray_data import Annotate
from jql.annotator.annotator import BATCH
from jql.errors import InputError

WORDS = ["river", "energy", "number", "school", "history", "buy now", "the", "of", "why", "42"]
DRAW = np.random.default_rng(3)
TEXTS = [" ".join(DRAW.choice(WORDS, size)) for size in DRAW.integers(1, 200, 2 * BATCH + 40)]
HOLES = {0: None, 17: "", 18: " \n", BATCH: None}
WITH_HOLES = [HOLES.get(i, text) for i, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    """Head -> float32 (N,), NaN where there is no text."""
    scores = Annotator.load("edu").score(TEXTS)
    return {
        head: np.where(np.isin(np.arange(len(TEXTS)), list(HOLES)), np.float32(np.nan), s) for head, s in scores.items()
    }


def test_the_lines_of_the_documentation_add_the_scores_to_every_row(ray_address, expected):
    import ray

    lines = re.findall("```python\n(.*?)```", (ROOT / "docs/elsewhere.md").read_text(), re.DOTALL)[1]
    call = lines[lines.index("scored = documents.map_batches(") : lines.index("scored.write_parquet(")]
    rows = [{"id": i, "text": text} for i, text in enumerate(WITH_HOLES)]
    # Not read from files: each kind of task starts processes of its own, which takes 20 s on two busy cores.
    names = {"ray": ray, "Annotate": Annotate, "documents": ray.data.from_items(rows, override_num_blocks=3)}
    exec(call.replace("size=2", "size=1"), names)
    found = pd.DataFrame(names["scored"].take_all()).sort_values("id", ignore_index=True)  # Ray Data keeps no order
    assert found["id"].tolist() == list(range(len(TEXTS))) and found["text"].tolist()[1:17] == TEXTS[1:17]
    assert list(found.columns) == ["id", "text", *(f"score_{head}" for head in expected)]
    for head, scores in expected.items():
        np.testing.assert_allclose(found[f"score_{head}"].to_numpy(np.float32), scores, atol=1e-5)


def test_a_batch_of_arrays_and_an_arrow_table_get_the_same(expected):
    annotate = Annotate(prefix="")
    arrays = annotate({"id": np.arange(len(TEXTS)), "text": np.array(WITH_HOLES, object), "edu": np.zeros(len(TEXTS))})
    table = annotate(pa.table({"edu": np.zeros(len(TEXTS)), "text": WITH_HOLES}))
    assert list(arrays) == ["id", "text", "edu", "web", "llama3", "llama31"]
    assert table.column_names == ["edu", "text", "web", "llama3", "llama31"]
    for head, scores in expected.items():
        assert arrays[head].dtype == np.float32 and table.schema.field(head).type == pa.float32()
        np.testing.assert_allclose(arrays[head], scores, atol=1e-5)
        np.testing.assert_array_equal(table.column(head).to_numpy(), arrays[head])
        assert table.column(head).null_count == len(HOLES)
    empty = annotate({"text": np.array([], object)})
    assert empty["edu"].shape == (0,) and annotate(pa.table({"text": pa.array([], pa.string())})).num_columns == 5


def test_a_calibrated_annotator_reads_the_language_column(tmp_path):
    import dataclasses

    from jql.annotator.calibration import Calibration

    knots = {"edu": {"deu_Latn": [[0.0, 1.0], [5.0, 6.0]]}}
    dataclasses.replace(Annotator.load("edu"), calibration=Calibration(knots)).save(tmp_path)
    batch = {"text": np.array(TEXTS[:3], object), "code": np.array(["de", "fra_Latn", None], object)}
    mapped, raw = (Annotate(str(tmp_path), language=name)(batch)["score_edu"] for name in ("code", None))
    np.testing.assert_allclose(mapped - raw, [5, 0, 0], atol=1e-5)


def test_what_cannot_be_is_refused():
    annotate = Annotate(text="page", language="code")
    with pytest.raises(
        InputError, match="Annotate: no column code, found page, id; name the columns as text= and lang"
    ):
        annotate({"page": np.array(["a"], object), "id": np.array([1])})
    with pytest.raises(InputError, match="Annotate: no column page, code, found text"):
        annotate(pa.table({"text": ["a"]}))
    with pytest.raises(
        InputError, match="expected a batch of arrays or an Arrow table, got DataFrame; call map_batches"
    ):
        annotate(pd.DataFrame({"page": ["a"]}))
    with pytest.raises(InputError, match="annotator 'nobody': no such folder"):
        Annotate("nobody")
