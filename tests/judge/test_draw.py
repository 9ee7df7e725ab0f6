"""Which documents are judged: as many of each language, the same whatever the order, each decided on its own."""

import io
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from jql.documents import Documents, read_documents
from jql.engine.run import Run
from jql.judge.draw import drawn, run_draw, shares
from jql.recipe import Engine


def test_a_language_with_few_documents_gives_all_of_them():
    assert shares({"deu_Latn": 10, "fra_Latn": 40, "swe_Latn": 0}, 20) == {"deu_Latn": 1.0, "fra_Latn": 0.5}


@given(st.permutations([f"document-{i}" for i in range(30)]), st.integers(0, 2**40))
def test_order_does_not_matter_and_more_documents_only_add(ids, seed):
    codes = ["deu_Latn"] * len(ids)
    half = dict(zip(ids, drawn(ids, codes, {"deu_Latn": 0.5}, seed), strict=True))
    again = dict(zip(sorted(ids), drawn(sorted(ids), codes, {"deu_Latn": 0.5}, seed), strict=True))
    assert half == again
    more = dict(zip(ids, drawn(ids, codes, {"deu_Latn": 0.8}, seed), strict=True))
    assert all(more[i] for i in ids if half[i])
    assert not drawn(ids, ["fra_Latn"] * len(ids), {"deu_Latn": 1.0}, seed).any()


def test_the_draw_on_the_engine(tmp_path):
    rows = {
        "id": [f"d{i}" for i in range(3000)],
        "text": ["a text"] * 2999 + [None],
        "language": ["deu_Latn"] * 2000 + ["fra_Latn"] * 960 + ["swe_Latn"] * 40,
        "source": ["s"] * 5 + [None] * 2995,
    }
    pq.write_table(pa.table(rows), tmp_path / "in.parquet", row_group_size=500)
    documents = Documents.of_path(str(tmp_path / "in.parquet"), 500, None)
    counts = []
    for folder, seed in (("a", 7), ("b", 7), ("c", 8)):
        with Run(str(tmp_path / folder), Engine(backend="inline"), Console(file=io.StringIO())) as run:
            found = run_draw(run, documents, 400, seed)
            tables = [read_documents(unit, ["text", "source"]) for unit in found.units()]
            counts.append(sorted(i for table in tables for i in table.column("id").to_pylist()))
            by_language = Counter(c for table in tables for c in table.column("language").to_pylist())
            sources = {s for table in tables for s in table.column("source").to_pylist()}
    assert counts[0] == counts[1] != counts[2]
    # 400 wanted of each: a binomial draw of 2,000 has a standard deviation of 18, of 960 one of 15.
    assert abs(by_language["deu_Latn"] - 400) < 90 and abs(by_language["fra_Latn"] - 400) < 75
    assert by_language["swe_Latn"] == 39  # all but the one without a text
    assert None not in sources
