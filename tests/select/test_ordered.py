"""Exports over a whole language: the order and the files do not depend on how the documents came, or on who worked."""

import hashlib
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from export_help import CODES, export, make_documents, rows_of
from hypothesis import given
from hypothesis import strategies as st

from jql.documents import document_name
from jql.select.keys import Buckets, copy_keys, files_of, rank_keys, uniform_bounds


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    return make_documents(tmp_path_factory.mktemp("documents") / "in")


@pytest.fixture(scope="module")
def mirrored(documents, tmp_path_factory):
    """The same documents, last ones first, in one file."""
    folder = tmp_path_factory.mktemp("mirrored")
    table = pq.ParquetDataset(sorted(documents.glob("*.parquet"))).read()
    pq.write_table(table.take(list(range(table.num_rows))[::-1]), folder / "z.parquet", row_group_size=11)
    return folder


def sums(dataset):
    return {p.relative_to(dataset): hashlib.sha256(p.read_bytes()).digest() for p in dataset.glob("*/*/*.parquet")}


def ids(dataset, code):
    return [row["id"] for row in rows_of(dataset, language=code)]


@pytest.mark.parametrize("order", ["shuffled", "sorted"])
def test_the_order_is_not_that_of_the_input(documents, mirrored, tmp_path, order):
    plain = export(documents, tmp_path / "plain")
    one = export(documents, tmp_path / "one", order=order, file_documents=7)
    two = export(mirrored, tmp_path / "two", order=order, file_documents=7)
    for code in CODES:
        assert ids(one, code) == ids(two, code) != ids(plain, code)
        by_id = {row["id"]: row for row in rows_of(plain, language=code)}
        assert {row["id"]: row for row in rows_of(one, language=code)} == by_id
        rows = [pq.read_metadata(p).num_rows for p in sorted(one.glob(f"data/{code}/*"))]
        assert set(rows[:-1]) == {7} and 0 < rows[-1] <= 7


def test_two_workers_write_what_one_writes(documents, tmp_path, ray_address):
    wish = {"order": "sorted", "file_documents": 9, "removed": True, "repeat": True}
    one = export(documents, tmp_path / "one", **wish)
    two = export(documents, tmp_path / "two", engine={"address": ray_address, "workers": 2}, **wish)
    assert sums(one) == sums(two)


def test_the_seed_and_the_ids_alone_decide_a_shuffle(documents, tmp_path):
    shuffled = export(documents, tmp_path / "run", order="shuffled", seed=3, file_documents=5)
    for code in CODES:
        assert ids(shuffled, code) == sorted(ids(shuffled, code), key=lambda id: document_name(id, 3))
    again = export(documents, tmp_path / "again", order="shuffled", seed=4, file_documents=5)
    assert ids(again, CODES[0]) != ids(shuffled, CODES[0])


def test_sorted_is_best_first_and_equal_ones_by_the_hash_of_their_id(documents, tmp_path):
    out = export(documents, tmp_path / "run", kept=10, order="sorted", file_documents=5)
    for code in CODES:
        rows = rows_of(out, language=code)
        assert len({row["rank"] for row in rows}) < len(rows) > 20  # there are ties
        assert all(
            (-a["rank"], document_name(a["id"])) < (-b["rank"], document_name(b["id"])) for a, b in pairwise(rows)
        )


def test_copies_of_a_document_lie_apart_in_a_shuffle(documents, tmp_path):
    out = export(documents, tmp_path / "run", kept=10, order="shuffled", repeat=True)
    near = sum(a == b for code in CODES for a, b in pairwise(ids(out, code)))
    assert near < 25  # of 160 further copies; in input order, all of them


def test_nothing_kept_is_an_export_too(documents, tmp_path):
    for order in ("shuffled", "sorted"):
        assert rows_of(export(documents, tmp_path / order, kept=0, order=order)) == []


ranks = st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 0.5, 1.0, float("nan")]))


@given(st.lists(st.tuples(ranks, st.integers(0, 2**64 - 1)), min_size=1))
def test_keys_are_in_the_order_of_ranks_and_then_of_names(pairs):
    rank = np.array([r for r, _ in pairs], np.float32)
    name = np.array([n for _, n in pairs], np.uint64)
    found = np.lexsort((name, rank_keys(rank, name)))
    worst = np.where(np.isnan(rank), np.inf, -rank)
    assert found.tolist() == np.lexsort((name, worst)).tolist()


def test_copies_have_keys_of_their_own():
    names = np.arange(1000, dtype=np.uint64)
    keys = [copy_keys(names, np.full(1000, copy)) for copy in range(10)]
    assert (keys[0] == names).all() and len(np.unique(np.concatenate(keys))) == 10_000


languages = st.dictionaries(st.sampled_from(["aaa", "bbb", "ccc", "ddd"]), st.integers(1, 60), min_size=1)


@given(languages, st.integers(1, 20), st.integers(0, 5))
def test_buckets_are_ranges_of_the_order_and_files_cut_it_exactly(counts, rows, seed):
    size = max(1, rows - seed)
    bounds = {name: uniform_bounds(max(1, round(n / size))) for name, n in counts.items()}
    buckets = Buckets.make(bounds, counts, size)
    names = sorted(counts)
    codes = np.repeat(np.arange(len(names)), [counts[name] for name in names])
    keys = np.random.default_rng(seed).integers(0, 2**64, len(codes), np.uint64)
    order = np.lexsort((keys, codes))
    found = buckets.of(names, codes, keys)[order]
    assert (np.diff(found) >= 0).all() and found.min() >= 0 and found.max() < buckets.number
    held = {
        n: dict(zip(*np.unique(found[codes[order] == c], return_counts=True), strict=True)) for c, n in enumerate(names)
    }
    units = list(files_of(held, rows, size))
    files = [file for unit in units for file in unit]
    starts = {
        (name, bucket): sum(m for b, m in held[name].items() if b < bucket) for name in names for bucket in held[name]
    }
    taken = [
        (f["language"], starts[f["language"], b] + i) for f in files for b, lo, hi in f["ranges"] for i in range(lo, hi)
    ]
    assert taken == [(name, i) for name in names for i in range(counts[name])]
    sizes = [(f["language"], sum(hi - lo for _, lo, hi in f["ranges"])) for f in files]
    for name in names:
        of_it = [n for language, n in sizes if language == name]
        assert set(of_it[:-1]) <= {rows} and 0 < of_it[-1] <= rows
    for unit in units:
        assert len({file["language"] for file in unit}) == len(unit)  # a table has the name of its language


def test_small_languages_share_buckets():
    counts = {"aaa": 3, "bbb": 4, "ccc": 25, "ddd": 2, "eee": 9}
    bounds = {name: uniform_bounds(max(1, round(n / 10))) for name, n in counts.items()}
    found = Buckets.make(bounds, counts, 10)
    assert found.first == {"aaa": 0, "bbb": 0, "ccc": 1, "ddd": 3, "eee": 4} and found.number == 5
