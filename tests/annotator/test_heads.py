"""Heads in numpy: the same points as torch, heads side by side, combinations, what is written and what is refused."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from safetensors.numpy import load_file, save_file

from jql.annotator.heads import CLIP, Heads
from jql.errors import DataError

torch = pytest.importorskip("torch")

N, D, K, V = 40, 12, 9, 64
NAMES = ["llama", "web"]


def make(seed: int = 0, ngrams: bool = True, combinations=None) -> Heads:
    draw = np.random.default_rng(seed)

    def normal(*shape):
        return draw.normal(size=shape).astype(np.float32)

    return Heads(
        names=NAMES,
        mean=normal(D),
        scale=np.abs(normal(D)) + np.float32(0.5),
        hidden_weight=normal(K, D),
        hidden_bias=normal(K),
        weight=normal(2, K),
        bias=normal(2),
        ngram_weight=normal(2, V).astype(np.float16) if ngrams else np.zeros((0, 1), np.float16),
        combinations=combinations or {},
    )


def features(seed: int = 1):
    draw = np.random.default_rng(seed)
    sparse = sp.random(N, V, 0.2, format="csr", dtype=np.float32, random_state=np.random.RandomState(seed))
    return draw.normal(size=(N, D)).astype(np.float32) * 3, sparse


def by_torch(heads: Heads, dense: np.ndarray) -> np.ndarray:
    net = torch.nn.Sequential(torch.nn.Linear(D, K), torch.nn.ReLU(), torch.nn.Linear(K, 2)).double()
    parts = (heads.hidden_weight, heads.hidden_bias, heads.weight, heads.bias)
    with torch.inference_mode():
        for parameter, value in zip(net.parameters(), parts, strict=True):
            parameter.copy_(torch.from_numpy(value))
        standard = (torch.from_numpy(dense).double() - torch.from_numpy(heads.mean)) / torch.from_numpy(heads.scale)
        return net(standard.clamp(-CLIP, CLIP)).numpy()


def test_points_are_those_of_the_torch_network():
    heads, (dense, sparse) = make(), features()
    plain = by_torch(heads, dense)
    found = heads.points(dense, None)
    assert found.dtype == np.float32 and found.shape == (N, 2)
    np.testing.assert_allclose(found, plain, rtol=1e-6, atol=1e-6)
    ngram = np.array([[float(sum(row.multiply(w).toarray().ravel())) for w in heads.ngram_weight] for row in sparse])
    np.testing.assert_allclose(heads.points(dense, sparse), plain + ngram, rtol=1e-5, atol=1e-5)
    assert np.array_equal(make(ngrams=False).points(dense, sparse), make(ngrams=False).points(dense, None))


def test_a_combination_is_a_weighted_sum_and_comes_first():
    mixed = make(combinations={"edu": {"web": 0.25, "llama": 0.5}, "only": {"web": 2.0}})
    dense, sparse = features()
    assert mixed.all_names == ["edu", "only", "llama", "web"]
    edu, only, llama, web = mixed.points(dense, sparse).T
    np.testing.assert_allclose(edu, 0.5 * llama + 0.25 * web, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(only, 2 * web, rtol=1e-5, atol=1e-5)
    assert np.array_equal(mixed.points(dense, sparse)[:, 2:], make().points(dense, sparse))


def test_points_do_not_depend_on_the_batch():
    heads, (dense, sparse) = make(), features()
    whole = heads.points(dense, sparse)
    assert np.array_equal(np.vstack([heads.points(dense[i : i + 1], sparse[i]) for i in range(N)]), whole)
    assert heads.points(dense[:0], sparse[:0]).shape == (0, 2)


def test_a_feature_far_out_counts_no_more_than_one_at_the_clip():
    heads, (dense, _) = make(), features()
    far, edge = dense.copy(), dense.copy()
    far[:, 3], edge[:, 3] = 1e9, heads.mean[3] + CLIP * heads.scale[3] * 1.001
    np.testing.assert_array_equal(heads.points(far, None), heads.points(edge, None))


def test_heads_side_by_side_are_the_separate_networks():
    draw = np.random.default_rng(5)
    layers = {
        name: tuple(draw.normal(size=s).astype(np.float32) for s in ((k, D), (k,), (1, k), (1,)))
        for name, k in (("a", 4), ("b", 7), ("c", 1))
    }
    together = Heads.side_by_side(layers)
    dense = draw.uniform(-1, 1, size=(N, D)).astype(np.float32)
    found = together.points(dense, None)
    assert together.names == ["a", "b", "c"] and together.hidden_weight.shape == (12, D)
    for column, (w1, b1, w2, b2) in zip(found.T, layers.values(), strict=True):
        own = np.maximum(dense.astype(np.float64) @ w1.T + b1, 0) @ w2[0].astype(np.float64) + b2
        np.testing.assert_allclose(column, own, rtol=1e-6, atol=1e-6)
    alone = Heads.side_by_side({"b": layers["b"]})
    np.testing.assert_allclose(alone.points(dense, None)[:, 0], found[:, 1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("ngrams", [True, False])
def test_saving_and_loading_is_identity(tmp_path, ngrams):
    heads = make(ngrams=ngrams, combinations={"edu": {"web": 1.0}})
    heads.save(tmp_path / "h")
    again = Heads.load(tmp_path / "h", heads.names, heads.combinations, D)
    for field in fields(Heads):
        a, b = getattr(heads, field.name), getattr(again, field.name)
        assert np.array_equal(a, b) and getattr(a, "dtype", None) == getattr(b, "dtype", None)
    assert np.array_equal(again.points(*features()), heads.points(*features()))
    (tmp_path / "plain").touch()
    assert (tmp_path / "h").stat().st_mode == (tmp_path / "plain").stat().st_mode  # others may read it as well


def test_weights_that_are_a_view_are_saved_as_they_are(tmp_path):
    heads = make()
    turned = replace(heads, hidden_weight=np.asfortranarray(heads.hidden_weight), weight=heads.weight[::-1])
    turned.save(tmp_path / "h")
    again = Heads.load(tmp_path / "h", NAMES, {}, D)
    assert np.array_equal(again.hidden_weight, heads.hidden_weight) and np.array_equal(again.weight, turned.weight)


TENSORS = [f.name for f in fields(Heads) if f.name not in ("names", "combinations")]


@pytest.fixture
def file(tmp_path) -> Path:
    make().save(tmp_path / "heads.safetensors")
    return tmp_path / "heads.safetensors"


def change(file: Path, **tensors) -> None:
    save_file({name: np.ascontiguousarray(t) for name, t in (load_file(file) | tensors).items()}, file)


@pytest.mark.parametrize("name", TENSORS)
def test_a_missing_tensor_is_named(file, name):
    save_file({n: t for n, t in load_file(file).items() if n != name}, file)
    with pytest.raises(DataError, match=rf"heads.safetensors: no tensor {name}; use the version of jql that made it"):
        Heads.load(file, NAMES, {}, D)


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_of_another_shape_is_refused(file, name):
    change(file, **{name: load_file(file)[name][:-1]})
    with pytest.raises(DataError, match=r"of shape \(.*\) does not fit the encoder and the heads, expected .*copy the"):
        Heads.load(file, NAMES, {}, D)


def test_other_features_and_other_names_are_refused(file):
    with pytest.raises(DataError, match=rf"mean of shape \({D},\) does not fit .*, expected \({D + 1},\)"):
        Heads.load(file, NAMES, {}, D + 1)
    with pytest.raises(DataError, match=rf"weight of shape \(2, {K}\) does not fit .*, expected \(3, {K}\)"):
        Heads.load(file, [*NAMES, "more"], {}, D)


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(file, name, value):
    tensor = load_file(file)[name].copy()
    tensor.flat[1] = value
    change(file, **{name: tensor})
    with pytest.raises(DataError, match=rf"heads.safetensors: {name} has values that are not finite; train again"):
        Heads.load(file, NAMES, {}, D)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 500])
def test_garbage_is_refused(file, content):
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"heads.safetensors: cannot be read \(.*\); copy the folder again"):
        Heads.load(file, NAMES, {}, D)


def test_half_a_file_and_none_are_refused(file):
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(DataError, match="cannot be read"):
        Heads.load(file, NAMES, {}, D)
    with pytest.raises(DataError, match="cannot be read"):
        Heads.load(file.parent / "none", NAMES, {}, D)
