"""Fixed-bin histograms: merging is exact in any tree, cuts are off by a stated share at most, ranks follow the scores."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jql.annotator.histogram import BINS, LOWEST, MEASURES, RANK_ERROR, Bins, Histograms, rank_error, rank_table
from jql.engine import storage
from jql.errors import DataError
from jql.schema import COUNT

HEADS, NAMES = ["edu", "web"], ["deu_Latn", "mlt_Latn", "tha_Thai"]
RUBRICS = [(0, 5), (0, 10), (0, 100), (-1, 1), (0, 1), (1, 5), (-3.5, 12.25)]
shares = st.one_of(st.just(0.0), st.sampled_from([0.1, 0.25, 0.5, 0.6, 0.7, 0.99]), st.floats(0, 0.9999))


@st.composite
def points(draw, most=300):
    """Scores of one rubric, in float32, and its bins: continuous, in points, on the edges of bins, in heaps."""
    low, high = draw(st.sampled_from(RUBRICS))
    bins, reach = Bins.over(low, high), high - low
    value = st.one_of(
        st.floats(low - reach, high + reach, width=32),
        st.sampled_from([low + reach * i / 8 for i in range(9)]),
        st.integers(-2, BINS + 2).map(bins.edge),
    )
    heaps = st.lists(st.tuples(value, st.sampled_from([1, 1, 1, 2, 50])), min_size=1, max_size=most)
    return bins, np.array([v for v, many in draw(heaps) for _ in range(many)], np.float32)


def counts(bins, scores):
    return np.bincount(bins.of(scores), minlength=BINS)


@st.composite
def documents(draw):
    """Scores, languages and sizes of documents."""
    rng, n = np.random.default_rng(draw(st.integers(0, 2**32))), draw(st.integers(0, 60))
    scores = rng.choice([rng.normal(2, 3), 0.5, 9.0, -7.0], (n, 2)) + rng.integers(0, 3, (n, 2)) / 7
    sizes = np.stack([np.ones(n, np.int64), rng.integers(0, 2**40, n), rng.integers(0, 2**33, n)])
    return scores.astype(np.float32), rng.integers(0, len(NAMES), n), sizes


def counted(scores, codes, sizes, rows=slice(None)):
    made = Histograms(HEADS, Bins())
    made.add(scores[rows], codes[rows], NAMES, sizes[:, rows])
    return made


@given(documents(), st.integers(1, 7), st.integers(2, 4), st.randoms())
def test_any_split_into_units_merged_in_any_tree_gives_the_same_table(found, units, at_a_time, random):
    scores, codes, sizes = found
    of = np.array([random.randrange(units) for _ in codes], np.int64)
    tables = [counted(scores, codes, sizes, np.flatnonzero(of == unit)).to_table() for unit in range(units)]
    while len(tables) > 1:
        random.shuffle(tables)
        total = Histograms(HEADS, Bins())
        for table in tables[:at_a_time]:
            total.merge(table)
        tables = [*tables[at_a_time:], total.to_table()]
    whole = counted(scores, codes, sizes)
    assert tables[0].equals(whole.to_table()) and tables[0].schema == COUNT
    for code, name in enumerate(NAMES):
        sums = sizes[:, codes == code].sum(axis=1).tolist()
        assert whole.totals(name) == dict(zip(MEASURES, sums, strict=True))


@given(documents())
def test_a_table_says_what_a_histogram_holds_and_nothing_more(found):
    made = counted(*found)
    table = made.to_table()
    again = Histograms.of_table(table, HEADS, Bins())
    assert again.counts.keys() == made.counts.keys()
    assert all(np.array_equal(again.counts[name], made.counts[name]) for name in made.counts)
    rows = list(zip(*(table.column(name).to_pylist() for name in ("language", "head", "bin")), strict=True))
    assert rows == sorted(set(rows)) and (not rows or min(table.column("documents").to_pylist()) > 0)


@pytest.mark.parametrize("words", [(), ("language", "head")])
def test_a_file_of_many_row_groups_in_any_order_is_read_as_it_was_written(tmp_path, words):
    rng = np.random.default_rng(0)
    made = counted(rng.normal(2, 1, (500, 2)), rng.integers(0, 3, 500), rng.integers(1, 9, (3, 500)))
    table = made.to_table()
    pq.write_table(table.take(rng.permutation(table.num_rows)), tmp_path / "a.parquet", row_group_size=100)
    read = Histograms.of_table(storage.read_table(str(tmp_path / "a.parquet"), words=words), HEADS, Bins())
    assert read.to_table().equals(table)


def test_counts_of_no_documents():
    table = Histograms(HEADS, Bins()).to_table()
    assert table.num_rows == 0 and table.schema == COUNT
    for empty in (table, pa.concat_tables([table, table]), COUNT.empty_table()):
        assert not Histograms.of_table(empty, HEADS, Bins()).counts
    assert Histograms(HEADS, Bins()).totals("deu_Latn") == {"documents": 0, "bytes": 0, "tokens": 0}


@pytest.mark.parametrize("heads", [["edu"], ["edu", "web", "law"], ["edu", "law"]])
def test_counts_of_other_heads_are_refused(heads):
    table = counted(np.ones((1, 2)), np.zeros(1, int), np.ones((3, 1), int)).to_table()
    with pytest.raises(DataError, match=rf"counts of the heads edu, web, expected {', '.join(heads)}"):
        Histograms(heads, Bins()).merge(table)


@given(documents())
def test_languages_that_share_a_cut_are_counted_together(found):
    made = counted(*found)
    both = made.only(["web"], {"group": NAMES[:2]})
    for name in NAMES[2:]:
        assert both.totals(name) == made.totals(name)
    together = [made.counts[name][:, 1:] for name in NAMES[:2] if name in made.counts]
    assert np.array_equal(both.counts.get("group", 0), sum(together)) and not both.counts.keys() & set(NAMES[:2])


@given(points(), shares)
@example((Bins.over(-1, 1), np.full(9, 0.375, np.float32)), 0.7)  # the edge of its bin is an ulp above, as 0.375 + 1.8
@example((Bins(), np.full(9, -1e-20, np.float32)), 0.7)  # is 2.175 / 0.001; and -1e-20 + 2 is 2
@example((Bins.over(0, 100), np.array([-39.95], np.float32)), 0.0)  # a hair below the edge that it is written like
def test_a_cut_is_off_by_the_stated_share_or_by_the_ties_of_its_bin(found, share):
    bins, scores = found
    cut, counts_B, target = bins.quantile(counts(bins, scores), share), counts(bins, scores), share * len(scores)
    below, stated = int((scores.astype(np.float64) < cut).sum()), max(1, RANK_ERROR * len(scores))
    # The order statistic, which lies in the same bin; as float64, which bins are in.
    nominal = float(np.sort(scores)[max(0, int(np.ceil(target)) - 1)])
    held = int(counts_B[bins.of(np.array([nominal]))[0]])
    assert abs(below - target) <= max(stated, held)
    if held <= stated:
        assert abs(below - target) <= stated
    if share == 0:
        assert below == 0
    if bins.edge(1) <= nominal < bins.edge(BINS):
        assert abs(cut - nominal) <= bins.width * (1 + 1e-6)
    elif nominal < bins.start:
        assert cut == LOWEST


@given(points(), shares, shares)
def test_a_higher_share_never_gives_a_lower_cut(found, a, b):
    bins, scores = found
    found = counts(bins, scores)
    assert bins.quantile(found, min(a, b)) <= bins.quantile(found, max(a, b))


@given(st.sampled_from(RUBRICS), st.floats(-1e6, 1e6, width=32), st.integers(2, 500), shares)
def test_of_equal_scores_every_one_is_at_or_above_the_cut(rubric, value, many, share):
    bins, scores = Bins.over(*rubric), np.full(many, value, np.float32)
    cut = bins.quantile(counts(bins, scores), share)
    assert (scores >= cut).all() and (cut == LOWEST or bins.of(np.array([cut]))[0] == bins.of(scores)[0])
    assert rank_error(counts(bins, scores), int(bins.of(scores)[0])) == 1.0


@pytest.mark.parametrize(("heap", "divided"), [(49, True), (50, True), (51, False), (5000, False)])
def test_a_bin_that_holds_more_than_the_stated_share_is_not_divided(heap, divided):
    bins, counts_B = Bins(), np.zeros(BINS, np.int64)
    counts_B[[1000, 2000, 3000]] = 5000 - heap // 2, heap, 5000 - (heap - heap // 2)
    cut = bins.quantile(counts_B, 0.5)
    assert (cut != bins.edge(2000)) == divided and bins.edge(2000) <= cut < bins.edge(2001)
    assert rank_error(counts_B, 2000) == heap / 10_000


def test_one_score_and_none():
    bins = Bins()
    assert bins.quantile(counts(bins, np.array([1.0], np.float32)), 0.25) == bins.edge(1200.25)
    assert np.isnan(bins.quantile(np.zeros(BINS, np.int64), 0.7))
    assert rank_error(np.zeros(BINS, np.int64), 7) == 0


@pytest.mark.parametrize("rubric", RUBRICS)
def test_bins_cover_a_rubric_with_room_on_both_sides(rubric):
    low, high = rubric
    bins, inside = Bins.over(low, high), np.linspace(low, high, 1001)
    assert bins.edge(0) == pytest.approx(low - 0.4 * (high - low))
    assert bins.edge(BINS) == pytest.approx(high + 0.6 * (high - low))
    places = bins.of(inside)
    assert places.min() > 0.19 * BINS and places.max() < 0.71 * BINS and (np.diff(places) >= 0).all()
    outside = np.array([-np.inf, LOWEST, bins.edge(0) - 1, bins.edge(BINS) + 1, -LOWEST, np.inf])
    assert bins.of(outside).tolist() == [0, 0, 0, BINS - 1, BINS - 1, BINS - 1]
    assert Bins.over(0, 5) == Bins()


@given(points())
def test_a_score_is_not_below_the_edge_of_its_bin_and_below_the_next(found):
    bins, scores = found
    places, scores = bins.of(scores), scores.astype(np.float64)
    assert ((scores >= bins.start + places * bins.width) | (places == 0)).all()
    assert ((scores < bins.start + (places + 1) * bins.width) | (places == BINS - 1)).all()


def test_scores_below_the_first_bin_are_kept_where_the_cut_is_in_it():
    scores = np.array([-9, -3, -3, 1], np.float32)
    assert (scores >= Bins().quantile(counts(Bins(), scores), 0.5)).all()


@given(points())
def test_ranks_are_shares_that_follow_the_scores_and_average_one_half(found):
    bins, scores = found
    table = rank_table(np.stack([counts(bins, scores), np.zeros(BINS, np.int64)]))
    assert table.shape == (2, BINS) and (np.diff(table[0]) >= 0).all() and not table[1].any()
    assert table.min() >= 0 and table.max() <= 1
    assert table[0][bins.of(scores)].mean() == pytest.approx(0.5)


def test_the_cut_of_a_million_scores_is_right_to_a_ten_thousandth_of_them():
    scores = np.random.default_rng(0).normal(1.5, 0.8, 1_000_000).astype(np.float32)
    found = counts(Bins(), scores)
    for share in (0.0, 0.1, 0.6, 0.7, 0.99):
        assert abs((scores < Bins().quantile(found, share)).mean() - share) < 1e-4
