"""The joint sample: whole clusters, each language at its rate, with all that is known of a document."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl_handed import handed
from crawl_made import make
from hypothesis import given
from hypothesis import strategies as st

from jql.errors import IncompleteError
from jql.select.sample import domain_of, drawn

COUNTS = {"deu_Latn": 300, "swe_Latn": 200}


@given(st.integers(-3, 2**40), st.floats(0, 1), st.floats(0, 1), st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_a_higher_rate_draws_the_same_and_more(seed, a, b, names):
    names = np.array(names, np.uint64)
    low, high = (drawn(names, seed, np.full(len(names), rate)) for rate in sorted((a, b)))
    assert (low <= high).all()
    assert drawn(names, seed, np.ones(len(names))).all() and not drawn(names, seed, np.zeros(len(names))).any()


def test_neighbouring_names_are_drawn_evenly_and_by_the_seed():
    names = np.arange(100_000, dtype=np.uint64)  # the names of clusters are minima, so not spread over all numbers
    found = [drawn(names, seed, np.full(100_000, 0.1)) for seed in range(3)]
    for chosen in found:
        assert abs(chosen.sum() - 10_000) < 4 * np.sqrt(9000)
    assert abs((found[0] & found[1]).sum() - 1000) < 4 * np.sqrt(990)


@pytest.fixture(scope="module")
def crawl():
    return make(COUNTS, seed=6, copies=0.4, largest=20, held=0.2, lost=0.05, filtered=0.2)


@pytest.mark.parametrize("by", ["annotator", "both", "heuristics"])
def test_a_sample_of_all_holds_what_is_known_of_each_document(crawl, tmp_path, by):
    with handed(tmp_path, crawl) as given:
        found = given.select(by=by, quantile=0.5).outlook.sample
    expected = crawl.sample(by).append_column("rate", pa.array(np.ones(len(crawl))))
    for name in set(found.column_names) - {"unit", "row", "domain"}:
        assert found.column(name).to_pylist() == expected.column(name).to_pylist(), name
    thirds = np.array_split(np.arange(len(crawl)), 3)
    assert found.column("unit").to_pylist() == [u for u, rows in enumerate(thirds) for _ in rows]
    assert found.column("row").to_pylist() == [place for rows in thirds for place in range(len(rows))]


def test_a_part_is_of_whole_clusters_and_says_its_rate(crawl, tmp_path):
    with handed(tmp_path, crawl) as given:
        found = given.select(sample=60, quantile=0.5).outlook
    table, rows = found.sample, {}
    for code in COUNTS:
        counted = int((crawl.counted & crawl.rows_of(code)).sum())
        ours = table.filter(pa.compute.equal(table.column("language"), code))
        assert set(ours.column("rate").to_pylist()) == {60 / counted}
        clusters = set(ours.column("cluster").to_pylist())
        assert 40 <= len(clusters) * counted / len(set(crawl.cluster[crawl.rows_of(code)])) <= 80
        rows[code] = sorted(ours.column("id").to_pylist())
        assert rows[code] == sorted(
            id
            for id, cluster, own in zip(crawl.ids, crawl.cluster, crawl.rows_of(code), strict=True)
            if own and int(cluster) in clusters
        )
    other = replace_order(crawl)
    with handed(tmp_path / "other", other, units=2) as given:
        again = given.select(sample=60, quantile=0.5).outlook.sample
    assert sorted(again.column("id").to_pylist()) == sorted(rows["deu_Latn"] + rows["swe_Latn"])


def replace_order(crawl):
    """The same documents the other way round."""
    lists = {name: getattr(crawl, name)[::-1] for name in ("ids", "languages", "why", "filtered", "dates")}
    arrays = {name: getattr(crawl, name)[::-1].copy() for name in ("cluster", "size", "first", "points", "confidence")}
    return replace(crawl, **lists, **arrays, sizes=crawl.sizes[:, ::-1].copy())


def test_documents_without_text_or_cluster_are_drawn_by_their_ids(crawl, tmp_path):
    with handed(tmp_path, crawl, units=1) as given:
        path = tmp_path / "made" / "clusters" / "0.parquet"
        file = next((tmp_path / "run" / "given" / "clusters").glob("*/data/**/*.parquet"))
        table = pq.read_table(path)
        gone = np.arange(len(crawl)) < 10
        for name in ("cluster", "cluster_size", "representative"):
            column = pa.compute.if_else(
                pa.array(gone), pa.nulls(len(crawl), table.schema.field(name).type), table.column(name)
            )
            table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)
        pq.write_table(table, file)
        found = given.select(quantile=0.5).outlook.sample.slice(0, 10)
    assert len(set(found.column("cluster").to_pylist())) == 10
    assert found.column("cluster_size").to_pylist() == [1] * 10
    assert found.column("representative").to_pylist() == [False] * 10


@pytest.mark.parametrize("voting", [[], ["edu"]])
def test_scores_that_lack_a_head_are_named(crawl, tmp_path, voting):
    with handed(tmp_path, crawl, units=1) as given:
        file = next(iter(given.scores.receipts()))
        path = given.scores.path(file)
        pq.write_table(pq.read_table(path).drop_columns(["web"]), path)
        with pytest.raises(
            IncompleteError, match=r"parquet: made by another annotator, or broken; .*no column web; there are id"
        ):
            given.select(quantile=0.5, heads=voting)
    assert not (tmp_path / "run" / "select" / "decisions").exists()


def test_domains_of_addresses_as_the_web_writes_them():
    assert domain_of("https://www.example.org/a?b") == "example.org"
    assert domain_of("http://a.example:80/") == "a.example"
    assert domain_of("no address") is None and domain_of("") is None and domain_of(None) is None
    assert domain_of("http://[broken/") is None
