"""Heads learn: a nonlinear target of two judges with scales of their own, members, n-grams, the same again by seed."""

import warnings
from dataclasses import fields, replace

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import WORDS

pytest.importorskip("torch")

from jql.agreement.metrics import spearman
from jql.annotator.heads import Heads
from jql.annotator.ngrams import BITS, ngrams
from jql.annotator.train_heads import HeadSettings, JudgedFeatures, fit_heads, fit_ngrams, mean_spearman

FAST = HeadSettings(hidden=48, learning_rate=5e-3, batch=64, epochs=30)
TINY = replace(FAST, hidden=8, epochs=3)


pytestmark = pytest.mark.usefixtures("one_thread")


def judged(n: int = 900, seed: int = 0, noise: float = 0.1) -> tuple[JudgedFeatures, np.ndarray]:
    """Features on odd scales; the target bends and crosses. Judge a uses points 2 to 3, judge b all of 0 to 5."""
    draw = np.random.default_rng(seed)
    plain = draw.normal(size=(n, 6))
    target = np.abs(plain[:, 0]) + plain[:, 1] * (plain[:, 2] > 0)
    target = (target - target.mean()) / target.std() + draw.normal(0, noise, n)
    judge = draw.choice([0, 1], n)
    labels = np.where(judge == 0, 2.5 + 0.2 * target, np.clip(2.5 + 1.2 * target, 0, 5))
    dense = (plain * [1, 100, 0.01, 1, 1, 1] + [0, 0, 5, 0, 9, 0]).astype(np.float32)
    languages = draw.choice(["deu_Latn", "fra_Latn"], n).astype(object)
    return JudgedFeatures(["a", "b"], dense, None, labels, judge, languages), target


def halves(made: JudgedFeatures, cut: int) -> tuple[JudgedFeatures, JudgedFeatures]:
    return made.take(np.arange(cut)), made.take(np.arange(cut, len(made.labels_N)))


def tensors(heads: Heads) -> list[np.ndarray]:
    return [getattr(heads, f.name) for f in fields(Heads) if f.name not in ("names", "combinations")]


def same(a: Heads, b: Heads) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))


def test_a_nonlinear_target_of_two_judges_is_learned_on_the_scale_of_each():
    made, target = judged()
    train, held = halves(made, 600)
    heads, epochs = fit_heads(train, held.take(np.arange(100)), FAST)
    test = held.take(np.arange(100, 300))
    points = heads.points(test.dense_ND, None)
    assert heads.names == ["a", "b"] and len(epochs) == 1 and 1 <= epochs[0] <= FAST.epochs
    for h in (0, 1):
        own = test.judge_N == h
        assert spearman(points[own, h], test.labels_N[own]) > 0.8
        assert spearman(points[:, h], target[700:]) > 0.8  # of the documents of the other judge as well
        assert points[own, h].mean() == pytest.approx(test.labels_N[own].mean(), abs=0.35)
    assert points[:, 0].std() < 0.5 * points[:, 1].std()


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": "adaptive", "epochs": 12},
        {"sampling": "balanced", "epochs": 8},
        {"dropout": 0.3, "epochs": 12},
        {"batch": 10_000, "epochs": 40},
    ],
    ids=str,
)
def test_every_setting_learns(change):
    train, held = halves(judged()[0], 600)
    heads, _ = fit_heads(train, held, replace(FAST, **change))
    assert mean_spearman(heads.points(held.dense_ND, None), held) > 0.5


def test_the_epoch_with_the_best_validation_is_kept():
    train, held = halves(judged(300)[0], 200)
    held = replace(held, labels_N=np.random.default_rng(1).permutation(held.labels_N))  # any epoch may be the best
    worse = 0
    for seed in range(4):
        settings = replace(FAST, epochs=5, seed=seed)  # too short to stop early
        heads, (length,) = fit_heads(train, held, settings)
        final, _ = fit_heads(train, None, settings)  # the same steps to the end
        best, last = (mean_spearman(h.points(held.dense_ND, None), held) for h in (heads, final))
        assert best >= last - 1e-6 and same(heads, final) == (length == 5)
        worse += best > last
    assert worse


def test_without_validation_members_are_trained_as_long_as_told():
    train, held = halves(judged(200)[0], 150)
    settings = replace(TINY, members=2)
    told, lengths = fit_heads(train, None, settings, [2, 4])
    assert lengths == [2, 4]
    assert fit_heads(train, None, settings)[1] == [3, 3]
    lines: list[str] = []
    fit_heads(train, held, settings, report=lines.append)
    assert [line.split(":")[0] for line in lines] == ["member 1 of 2", "member 2 of 2"]
    assert told.hidden_weight.shape == (16, 6)


def test_members_are_averaged():
    train, held = halves(judged(300)[0], 200)
    settings = replace(FAST, epochs=10)
    alone, (length,) = fit_heads(train, held, settings)
    both, lengths = fit_heads(train, held, replace(settings, members=2))
    k = settings.hidden
    assert lengths[0] == length and both.hidden_weight.shape == (2 * k, 6)
    assert np.array_equal(both.hidden_weight[:k], alone.hidden_weight)
    np.testing.assert_allclose(both.weight[:, :k] * 2, alone.weight, rtol=1e-6)
    assert not np.array_equal(both.hidden_weight[k:], alone.hidden_weight)
    second = replace(
        alone, hidden_weight=both.hidden_weight[k:], hidden_bias=both.hidden_bias[k:], weight=both.weight[:, k:] * 2
    )
    second = replace(second, bias=2 * both.bias - alone.bias)
    one, two = (h.points(held.dense_ND, None) for h in (alone, second))
    np.testing.assert_allclose(both.points(held.dense_ND, None), (one + two) / 2, rtol=1e-4, atol=1e-5)
    assert mean_spearman(two, held) > 0.3  # a network that has learned, not a leftover


def with_words(n: int = 300) -> JudgedFeatures:
    """Labels depend on words alone; the dense features say nothing."""
    draw = np.random.default_rng(4)
    texts = [" ".join(draw.choice(WORDS, 12)) for _ in range(n)]
    good = np.array([sum(t.count(w) for w in ("river", "energy", "school", "music")) for t in texts], float)
    judge = draw.choice([0, 1], n)
    labels = np.where(judge == 0, np.clip(good, 0, 5) * 0.5, np.clip(good, 0, 5))
    dense, languages = draw.normal(size=(n, 4)).astype(np.float32), np.array(["deu_Latn"] * n, object)
    return JudgedFeatures(["a", "b"], dense, ngrams(texts), labels, judge, languages)


def test_the_ngram_term_is_used_in_its_share():
    train, held = halves(with_words(), 200)
    without, _ = fit_heads(train, held, TINY)
    with_it, _ = fit_heads(train, held, replace(TINY, ngram_share=0.4))
    assert without.ngram_weight.shape == (0, 1)
    assert with_it.ngram_weight.shape == (2, 2**BITS) and with_it.ngram_weight.dtype == np.float16
    assert mean_spearman(with_it.points(held.dense_ND, held.ngrams_NV), held) > 0.5
    assert mean_spearman(without.points(held.dense_ND, held.ngrams_NV), held) < 0.4
    means = np.array([train.labels_N[train.judge_N == h].mean() for h in (0, 1)])
    ridge = held.ngrams_NV @ fit_ngrams(train, means, without, None)
    network = without.points(held.dense_ND, None)
    expected = 0.6 * network + 0.4 * (ridge[:, None] + means)
    np.testing.assert_allclose(with_it.points(held.dense_ND, held.ngrams_NV), expected, atol=2e-3)


def test_a_share_for_ngrams_that_are_not_there_changes_nothing():
    train, held = halves(judged(200)[0], 150)
    assert same(fit_heads(train, held, replace(TINY, ngram_share=0.4))[0], fit_heads(train, held, TINY)[0])


def test_the_same_seed_gives_the_same_heads():
    made = with_words(150)
    train, held = halves(made, 100)
    settings = replace(TINY, ngram_share=0.3, members=2, dropout=0.2, sampling="balanced", seed=3)
    first, lengths = fit_heads(train, held, settings)
    np.random.default_rng(9).random(5)
    import torch

    torch.rand(7)
    again, lengths_again = fit_heads(train, held, settings)
    assert same(first, again) and lengths == lengths_again
    assert not same(first, fit_heads(train, held, replace(settings, seed=4))[0])


def test_a_judge_without_documents_does_not_harm_the_others():
    made = judged(200)[0]
    one = made.take(np.flatnonzero(made.judge_N == 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        heads, _ = fit_heads(one, None, TINY)
    points = heads.points(made.dense_ND, None)
    assert np.isfinite(points).all()
    assert mean_spearman(points, one.take(np.arange(0))) == 0.0


def test_a_feature_that_never_varies_is_no_harm():
    made = judged(200)[0]
    made.dense_ND[:, 3] = 7
    train, held = halves(made, 150)
    heads, _ = fit_heads(train, held, TINY)
    assert np.isfinite(heads.points(held.dense_ND * 1000, None)).all()


def test_mean_spearman_is_the_mean_over_judges():
    made = judged(100)[0]
    points = np.stack([made.labels_N, -made.labels_N], axis=1)
    assert mean_spearman(points, made) == pytest.approx(0)
    assert mean_spearman(np.abs(points), made) == pytest.approx(1)
    assert mean_spearman(np.ones_like(points), made) == 0


def test_taking_documents_takes_their_ngrams():
    made = with_words(20)
    rows = np.array([3, 1])
    found = made.take(rows)
    assert isinstance(found.ngrams_NV, sp.csr_matrix) and (found.ngrams_NV != made.ngrams_NV[rows]).nnz == 0
    assert np.array_equal(found.dense_ND, made.dense_ND[rows])
