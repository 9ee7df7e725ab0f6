"""The bootstrap: counts stand for copies, sources are drawn whole, and copies of a document are no new evidence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.agreement import bootstrap, metrics
from jql.agreement.bootstrap import interval, paired, resampled_counts
from jql.errors import DataError, RecipeError

# Score, label, length and how often the document occurs in each of two resamples.
rows = st.lists(
    st.tuples(st.integers(-2, 14), st.integers(0, 5), st.integers(1, 8), st.integers(0, 3), st.integers(0, 3)),
    min_size=2,
    max_size=40,
).map(lambda rows: np.array(rows, float).T)


def agree(found: float, expected: float | None) -> bool:
    return bool(np.isnan(found)) if expected is None else found == pytest.approx(expected, abs=1e-9)


@given(rows, st.sampled_from([0.1, 0.3, 0.55]))
def test_a_figure_of_counts_is_the_plain_figure_of_the_copies(sample, share):
    scores, labels, lengths, counts = sample[0] / 3, sample[1], sample[2], sample[3:]
    found = {
        "spearman": bootstrap.spearman(scores, labels, counts),
        "partial": bootstrap.partial_spearman(scores, labels, lengths, counts),
        "kendall": bootstrap.kendall(scores, labels, counts),
        "mae": bootstrap.mean_difference(scores, labels, counts, absolute=True),
        "shift": bootstrap.mean_difference(scores, labels, counts, absolute=False),
        "calibration": bootstrap.calibration_error(scores, labels, 0, 5, counts),
        "top": bootstrap.precision_at_top(scores, labels, share, counts),
    }
    for r in range(2):
        copies = np.repeat(np.arange(len(scores)), counts[r].astype(int))
        if not len(copies):
            assert all(np.isnan(values[r]) for values in found.values())
            continue
        s, y, z = scores[copies], labels[copies], lengths[copies]
        assert agree(found["spearman"][r], metrics.spearman(s, y))
        assert agree(found["partial"][r], metrics.partial_spearman(s, y, z))
        assert agree(found["kendall"][r], metrics.kendall(s, y))
        assert agree(found["mae"][r], metrics.mae(s, y))
        assert agree(found["shift"][r], metrics.mean_shift(s, y))
        assert agree(found["calibration"][r], metrics.calibration_error(s, y, 0, 5))
        assert agree(found["top"][r], metrics.precision_at_top(s, y, share))


def test_kendall_in_column_blocks_is_the_same(monkeypatch):
    generator = np.random.default_rng(0)
    scores, labels = generator.normal(size=200), generator.integers(0, 6, 200).astype(float)
    counts = generator.integers(0, 4, (5, 200)).astype(float)
    whole = bootstrap.kendall(scores, labels, counts)
    monkeypatch.setattr(bootstrap, "MEMORY", 200 * 7)
    assert np.array_equal(bootstrap.kendall(scores, labels, counts), whole)


@given(st.integers(2, 40), st.integers(0, 3), st.integers(1, 500))
def test_one_document_a_source_is_the_ordinary_bootstrap_whatever_the_memory(n, seed, memory):
    counts = np.concatenate(list(resampled_counts(np.arange(n), 100, seed, memory)))
    drawn = np.random.default_rng(seed).integers(n, size=(100, n))  # the textbook: n draws of n documents
    assert np.array_equal(counts, [np.bincount(row, minlength=n) for row in drawn])


@given(st.lists(st.sampled_from("abcdefg"), min_size=2, max_size=40).filter(lambda s: len(set(s)) > 1))
def test_a_source_is_drawn_with_all_its_documents(names):
    sources = np.array(names)
    counts = np.concatenate(list(resampled_counts(sources, 100, 0)))
    for name in set(names):
        assert (counts[:, sources == name] == counts[:, [names.index(name)]]).all()
    firsts = [names.index(name) for name in sorted(set(names))]
    assert (counts[:, firsts].sum(axis=1) == len(firsts)).all()


def test_what_is_drawn_goes_with_the_source_and_not_with_the_row():
    sources = np.array(list("cabbage"))
    order = np.array([3, 0, 6, 2, 5, 1, 4])
    whole, mixed = (np.concatenate(list(resampled_counts(s, 100, 5))) for s in (sources, sources[order]))
    assert np.array_equal(mixed, whole[:, order])


def spread(scores: np.ndarray, labels: np.ndarray, sources: np.ndarray) -> float:
    def figures(counts: np.ndarray) -> dict[str, np.ndarray]:
        return {"spearman": bootstrap.spearman(scores, labels, counts)}

    found = interval(bootstrap.bootstrap(figures, sources, resamples=1000, seed=1)["spearman"])
    return float(found["high"] - found["low"])


def test_ten_translations_of_each_document_do_not_narrow_the_interval():
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 6, 80).astype(float)
    scores = labels + generator.normal(0, 2, 80)
    alone = spread(scores, labels, np.arange(80))
    copied = [np.tile(v, 10) for v in (scores, labels, np.arange(80))]
    assert spread(*copied) == pytest.approx(alone)
    as_if_new = spread(copied[0], copied[1], np.arange(800))
    assert as_if_new < alone / 2.5  # about the square root of 10: what is promised when sources are ignored


def test_the_interval_of_a_mean_is_what_theory_says():
    generator = np.random.default_rng(0)
    values = generator.normal(1.0, 2.0, 400)

    def figures(counts: np.ndarray) -> dict[str, np.ndarray]:
        return {"shift": bootstrap.mean_difference(values, np.zeros(400), counts, absolute=False)}

    found = interval(bootstrap.bootstrap(figures, np.arange(400), resamples=4000, seed=0)["shift"])
    error = values.std() / 20
    assert found["low"] == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert found["high"] == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)
    assert found["undefined"] == 0


def test_the_same_seed_gives_the_same_and_another_does_not():
    def figures(counts: np.ndarray) -> dict[str, np.ndarray]:
        return {"first": counts[:, 0]}

    a, b, c = (bootstrap.bootstrap(figures, np.arange(9), resamples=100, seed=s)["first"] for s in (1, 1, 2))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_resamples_without_the_figure_are_left_out_and_counted():
    values = np.append(np.arange(101) / 100, [np.nan] * 99)
    found = interval(values)
    assert (found["low"], found["high"]) == pytest.approx((0.025, 0.975))
    assert found["undefined"] == pytest.approx(99 / 200)
    none = interval(np.append(np.zeros(99), [np.nan] * 101))
    assert none["low"] is None and none["high"] is None and none["reason"] == "not defined in most resamples"


def test_paired_differences_by_hand():
    b = np.random.default_rng(0).normal(size=100)
    found = paired(b + np.append(np.full(75, 1.0), np.full(25, 0.0)), b)
    assert found["a_higher"] == 0.75 and found["low"] == pytest.approx(0) and found["high"] == pytest.approx(1)
    assert paired(np.full(100, np.nan), b)["a_higher"] is None


def test_too_few_sources_or_resamples_are_refused():
    with pytest.raises(DataError, match="found 1 source, expected at least 2"):
        list(resampled_counts(np.zeros(50), 1000, 0))
    with pytest.raises(RecipeError, match="expected at least 100, got 99; write 1000"):
        list(resampled_counts(np.arange(50), 99, 0))
