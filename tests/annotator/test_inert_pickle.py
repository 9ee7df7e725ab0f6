"""Pickles that are damaged or hostile: nothing in them runs, and each is read or refused."""

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning_help import RegressionHead, Shell, save, tensor_pickle, write

from jql.annotator import inert_pickle
from jql.annotator.lightning import heads_of, read_state_dict
from jql.errors import DataError


@pytest.fixture
def head() -> RegressionHead:
    torch.manual_seed(0)
    return RegressionHead(768, 1000)


def test_a_hostile_hyper_parameter_does_nothing(tmp_path, head):
    marker = tmp_path / "created"
    save(tmp_path / "head.ckpt", head, hyper_parameters={"train_sets": Shell(marker)})
    torch.load(tmp_path / "head.ckpt", weights_only=False)
    assert marker.exists(), "the file is not hostile after all"
    marker.unlink()
    assert heads_of(read_state_dict(tmp_path / "head.ckpt"), "here").w1.shape == (1000, 768)
    assert not marker.exists()


def test_a_hostile_tensor_is_refused_and_does_nothing(tmp_path):
    marker = tmp_path / "created"
    torch.save({"state_dict": {"layer1.weight": Shell(marker)}}, tmp_path / "head.ckpt")
    with pytest.raises(DataError, match=r"layer1\.weight: is of posix\.system"):
        read_state_dict(tmp_path / "head.ckpt")
    assert not marker.exists()


@pytest.mark.parametrize(
    "target",
    ["torch._utils\n_rebuild_tensor_v2", "torch._utils\n_rebuild_parameter", "collections\nOrderedDict", "os\nsystem"],
)
def test_a_pickle_cannot_change_the_classes_that_read_it(tmp_path, target):
    """BUILD sets attributes of whatever object it is given, a class of ours included."""
    names = b"(dV__new__\nNsVname\nNsV__setstate__\nNs"
    pickled = b"c" + target.encode() + b"\n(" + names + names + b"tb0" + tensor_pickle(0, (1,), (1,), 1)
    path = write(tmp_path / "x.ckpt", pickled, {"data/0": np.float32(2).tobytes()})
    before = {made: dict(vars(made)) for made in (*inert_pickle.KNOWN.values(), inert_pickle._Unread)}
    assert read_state_dict(path)["w"].tolist() == [2]
    assert all(dict(vars(made)) == content for made, content in before.items())


@pytest.mark.parametrize(
    ("pickled", "reason"),
    [
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "LONG_BINPUT"),
        (b"Np2000000000\n.", "PUT"),
        (b"\x80\x05\x97.", "buffer"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0fx.", "expected"),
        (b"\x80\x02.", "stack"),
        (b"", "exhausted"),
        (b"".join(b"cm\nn%d\n0" % i for i in range(inert_pickle.NAMES_LIMIT + 1)) + b"N.", "names"),
        (b"V\x00storage\nQ.", "unpack"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(NNNNtR.", "without storage"),
    ],
)
def test_pickles_that_no_torch_writes_are_refused(tmp_path, pickled, reason):
    with pytest.raises(DataError, match=f"damaged or hostile.*{reason}.*download"):
        read_state_dict(write(tmp_path / "x.ckpt", pickled))


def small_pickle() -> bytes:
    buffer = io.BytesIO()
    save(buffer, RegressionHead(3, 2))
    with zipfile.ZipFile(buffer) as archive:
        return archive.read("archive/data.pkl")


@given(data=st.data(), pickled=st.just(small_pickle()))
@settings(max_examples=300)
def test_damaged_pickles_are_refused_or_read(data, pickled):
    """Past the zip's checksums, where any opcode may become any other."""
    damaged = bytearray(pickled)
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=8)):
        damaged[place] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        storages = {f"data/{i}": bytes(64) for i in range(20)}
        try:
            tensors = read_state_dict(write(Path(folder) / "x.ckpt", bytes(damaged), storages))
        except DataError:
            return
    assert all(isinstance(name, str) and tensor.dtype == np.float32 for name, tensor in tensors.items())
