"""Lightning checkpoints: the head as torch computes it, and files that are damaged or something else."""

import io
import subprocess
import sys
import tempfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning_help import RegressionHead, save, tensor_pickle, write

from jql.annotator.lightning import heads_of, read_state_dict
from jql.errors import DataError, InputError


@pytest.fixture
def head() -> RegressionHead:
    torch.manual_seed(0)
    return RegressionHead(768, 1000)


@pytest.mark.parametrize("dimensions", [768, 1024])
def test_the_published_layout_scores_as_torch_does(tmp_path, dimensions):
    torch.manual_seed(1)
    model = RegressionHead(dimensions, 1000)
    save(tmp_path / "edu-gemma-snowflake-balanced.ckpt", model)
    tensors = read_state_dict(tmp_path / "edu-gemma-snowflake-balanced.ckpt")
    assert list(tensors) == ["layer1.weight", "layer1.bias", "layer2.weight", "layer2.bias"]
    w1, b1, w2, b2 = heads_of(tensors, "here")
    assert (w1.shape, b1.shape, w2.shape, b2.shape) == ((1000, dimensions), (1000,), (1, 1000), (1,))
    embeddings = torch.nn.functional.normalize(torch.randn(64, dimensions))
    with torch.no_grad():
        expected = model(embeddings).numpy()
    ours = np.maximum(embeddings.numpy() @ w1.T + b1, 0) @ w2.T + b2
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_every_float_type_becomes_float32(tmp_path, head, dtype):
    save(tmp_path / "head.ckpt", head, dtype)
    tensors = read_state_dict(tmp_path / "head.ckpt")
    for name, tensor in head.state_dict().items():
        assert tensors[name].dtype == np.float32
        assert np.array_equal(tensors[name], tensor.float().numpy())


def test_a_file_saved_to_a_buffer_has_the_archive_prefix(tmp_path, head):
    buffer = io.BytesIO()
    save(buffer, head)
    assert "archive/data.pkl" in zipfile.ZipFile(buffer).namelist()
    (tmp_path / "old.ckpt").write_bytes(buffer.getvalue())
    assert np.array_equal(read_state_dict(tmp_path / "old.ckpt")["layer2.bias"], head.layer2.bias.detach().numpy())


def test_parameters_are_tensors_too(tmp_path, head):
    torch.save({"state_dict": dict(head.named_parameters())}, tmp_path / "head.ckpt")
    assert heads_of(read_state_dict(tmp_path / "head.ckpt"), "here").w1.shape == (1000, 768)


def test_neither_torch_nor_lightning_is_loaded(tmp_path, head):
    save(tmp_path / "head.ckpt", head)
    code = (
        "import sys; from pathlib import Path; from jql.annotator.lightning import *;"
        "heads_of(read_state_dict(Path(sys.argv[1])), 'here');"
        "print(sorted({'torch', 'lightning', 'pytorch_lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "head.ckpt"], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@given(data=st.data())
@settings(max_examples=150)
def test_any_shape_strides_and_offset_read_as_in_torch(data):
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16]))
    shape = data.draw(st.lists(st.integers(0, 5), max_size=4))
    strides = data.draw(st.lists(st.integers(0, 7), min_size=len(shape), max_size=len(shape)))
    offset = data.draw(st.integers(0, 9))
    length = offset + sum(max(n - 1, 0) * s for n, s in zip(shape, strides, strict=True)) + 1
    base = torch.tensor(np.random.default_rng(length).normal(0, 1e3, length)).to(dtype)
    views = {"a": base.as_strided(shape, strides, offset), "b": base}
    with tempfile.TemporaryDirectory() as folder:
        torch.save({"state_dict": OrderedDict(views)}, Path(folder) / "x.ckpt")
        arrays = read_state_dict(Path(folder) / "x.ckpt")
    for name, view in views.items():
        assert arrays[name].shape == tuple(view.shape) and arrays[name].flags.c_contiguous
        assert np.array_equal(arrays[name], view.float().numpy())


@given(
    offset=st.integers(-3, 12),
    dims=st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 6)), max_size=3),
    length=st.integers(0, 12),
    stored=st.integers(0, 12),
)
@settings(max_examples=200)
def test_a_tensor_never_reaches_beyond_its_storage(offset, dims, length, stored):
    shape, strides = tuple(n for n, _ in dims), tuple(s for _, s in dims)
    content = np.arange(stored, dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        pickled = tensor_pickle(offset, shape, strides, length)
        path = write(Path(folder) / "x.ckpt", pickled, {"data/0": content.tobytes()})
        try:
            array = read_state_dict(path)["w"]
        except DataError:
            return
    assert offset >= 0 and all(s >= 0 for s in strides)
    for index in np.ndindex(*shape):
        place = offset + sum(i * s for i, s in zip(index, strides, strict=True))
        assert place < min(length, stored) and array[index] == content[place]


def test_big_endian_storages_are_turned(tmp_path):
    content = np.array([1.5, -2, 3e10], ">f4").tobytes()
    path = write(tmp_path / "x.ckpt", tensor_pickle(0, (3,), (1,), 3), {"data/0": content, "byteorder": b"big"})
    assert read_state_dict(path)["w"].tolist() == [1.5, -2, np.float32(3e10)]


@pytest.mark.parametrize(
    ("pickled", "reason"),
    [
        (b"(dVepoch\nI1\ns.", "no state_dict in it, found epoch; name a checkpoint"),
        (b"(dVstate_dict\n(ds.", "no state_dict"),
        (b"I1\n.", "no state_dict in it, found int"),
        (b"(dVstate_dict\n(dVw\nctorch\nFloatStorage\nss.", r"w: is of torch\.FloatStorage, expected one of"),
        (tensor_pickle(0, (2,), (1,), 2, "LongStorage"), r"w: is of torch\.LongStorage, expected one of"),
        (tensor_pickle(0, (2,), (1,), 2), r"data/0 is missing"),
        (tensor_pickle(0, (2,), (1, 1), 2), "that no tensor has"),
        (tensor_pickle(-1, (2,), (1,), 2), "that no tensor has"),
        (tensor_pickle(0, (2,), (3,), 3), "reaches to value 3 of a storage of 3"),
        (tensor_pickle(0, (1 << 20, 1 << 20), (0, 0), 1), "expected at most 1073741824 bytes"),
        (tensor_pickle(0, (1,), (1,), 1 << 40), "expected at most 1073741824 bytes"),
    ],
)
def test_checkpoints_without_a_head_are_refused(tmp_path, pickled, reason):
    with pytest.raises(DataError, match=reason):
        read_state_dict(write(tmp_path / "x.ckpt", pickled))


def test_short_storages_are_refused(tmp_path):
    path = write(tmp_path / "x.ckpt", tensor_pickle(0, (3,), (1,), 3), {"data/0": bytes(11)})
    with pytest.raises(DataError, match=r"storage 0 has 11 bytes, expected 3 of 4; download the checkpoint again"):
        read_state_dict(path)


@pytest.mark.parametrize("entry", ["archive/data/0", "archive/data.pkl"])
def test_zip_bombs_are_refused_before_they_are_unpacked(tmp_path, entry):
    path = tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        if entry != "archive/data.pkl":
            archive.writestr("archive/data.pkl", tensor_pickle(0, (1,), (1,), 1))
        with archive.open(entry, "w", force_zip64=True) as file:
            for _ in range(1025 if entry == "archive/data/0" else 17):
                file.write(bytes(1 << 20))
    assert path.stat().st_size < 10 << 20
    with pytest.raises(DataError, match="bytes unpacked, expected at most"):
        read_state_dict(path)


def test_truncated_files_are_refused(tmp_path):
    save(tmp_path / "head.ckpt", RegressionHead(8, 4))
    whole = (tmp_path / "head.ckpt").read_bytes()
    for length in [0, 1, 100, len(whole) // 2, len(whole) - 1]:
        (tmp_path / "cut.ckpt").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"cut\.ckpt: cannot be read.*download the checkpoint again"):
            read_state_dict(tmp_path / "cut.ckpt")


@given(data=st.data())
@settings(max_examples=150)
def test_damaged_files_are_refused_or_read(data):
    buffer = io.BytesIO()
    save(buffer, RegressionHead(3, 2))
    damaged = bytearray(buffer.getvalue())
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=5)):
        damaged[place] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x.ckpt").write_bytes(damaged)
        try:
            tensors = read_state_dict(Path(folder) / "x.ckpt")
        except DataError:
            return
    assert all(isinstance(name, str) and tensor.dtype == np.float32 for name, tensor in tensors.items())


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"no such file; name the \.ckpt"):
        read_state_dict(tmp_path / "none.ckpt")
    pointer = tmp_path / "pointer.ckpt"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError, match="Git LFS pointer must be pulled"):
        read_state_dict(pointer)
    torch.save({"state_dict": {}}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    with pytest.raises(DataError, match=r"since 1\.6"):
        read_state_dict(tmp_path / "old.ckpt")
    with zipfile.ZipFile(tmp_path / "other.ckpt", "w") as archive:
        archive.writestr("readme.txt", "no pickle")
    with pytest.raises(DataError, match=r"0 data\.pkl in it, expected one"):
        read_state_dict(tmp_path / "other.ckpt")


def layers(first: str, second: str, dimensions: int = 3, hidden: int = 2) -> dict[str, np.ndarray]:
    return {
        f"{first}.weight": np.ones((hidden, dimensions), np.float32),
        f"{first}.bias": np.ones(hidden, np.float32),
        f"{second}.weight": np.ones((1, hidden), np.float32),
        f"{second}.bias": np.ones(1, np.float32),
    }


@pytest.mark.parametrize(
    "names",
    [
        ("layer1", "layer2"),
        ("regression_head.0", "regression_head.2"),
        ("model.regression_head.0", "model.regression_head.2"),
        ("net.0", "net.2"),
        ("fc1", "fc2"),
        ("zz", "aa"),
        ("_orig_mod.layer1", "_orig_mod.layer2"),
    ],
)
@pytest.mark.parametrize("shape", [(3, 2), (3, 1), (1, 3), (1, 1)])
@pytest.mark.parametrize("turned", [False, True])
def test_layers_are_found_by_shape_under_any_name(names, shape, turned):
    tensors = layers(*names, *shape)
    if turned and shape != (1, 1):  # where both layers are (1, 1) only their order tells them apart
        tensors = dict(reversed(tensors.items()))
    found = heads_of(tensors, "here")
    assert found.w1 is tensors[f"{names[0]}.weight"] and found.b2 is tensors[f"{names[1]}.bias"]


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"layer.weight": np.ones((1, 3), np.float32), "layer.bias": np.ones(1, np.float32)},
        layers("a", "b") | layers("b", "c", 2, 2),
        layers("a", "b") | {"norm.running_mean": np.ones(3, np.float32)},
        {name: tensor for name, tensor in layers("a", "b").items() if name != "a.bias"},
        layers("a", "b") | {"b.weight": np.ones((2, 2), np.float32)},
        layers("a", "b") | {"b.weight": np.ones((1, 3), np.float32)},
        layers("a", "b") | {"a.weight": np.ones((2, 3, 1), np.float32)},
        layers("a", "b") | {"a.bias": np.ones((2, 1), np.float32)},
    ],
)
def test_more_or_fewer_layers_are_refused_with_what_was_found(tensors):
    listed = ".*".join(f"{name} \\({', '.join(map(str, t.shape))},?\\)" for name, t in tensors.items()) or "no tensor"
    with pytest.raises(DataError, match=f"head.ckpt: expected the weights.*found {listed}; name the checkpoint"):
        heads_of(tensors, "head.ckpt")


def test_weights_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="not finite; download"):
        heads_of(layers("a", "b") | {"b.bias": np.array([np.nan], np.float32)}, "head.ckpt")
