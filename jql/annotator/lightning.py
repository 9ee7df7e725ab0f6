"""The head in a PyTorch-Lightning checkpoint (.ckpt), read without torch and without running anything in it.

torch.save writes a zip: <name>/data.pkl pickles the checkpoint, <name>/data/0, 1, ... are the storages of its tensors.

Shape letters: D embedding, H hidden units.
"""

import math
import zipfile
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jql.annotator.inert_pickle import AGAIN, Tensor, unpickle
from jql.errors import DataError, InputError, JqlError

STORAGE_LIMIT = 1 << 30  # bytes of all tensors together; a published head has 3 MB
PICKLE_LIMIT = 1 << 24  # bytes; a published checkpoint pickles to a few kB
DTYPES = {  # bfloat16 is the upper half of a float32 and unknown to numpy: read as bits
    "torch.DoubleStorage": "f8",
    "torch.FloatStorage": "f4",
    "torch.HalfStorage": "f2",
    "torch.BFloat16Storage": "u2",
}


class HeadLayers(NamedTuple):
    """Linear(D, H), ReLU, Linear(H, 1), as torch keeps them: w1 (H, D), b1 (H,), w2 (1, H), b2 (1,); float32."""

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray


def heads_of(tensors: Mapping[str, np.ndarray], where: str) -> HeadLayers:
    """The two Linear layers of a head, whatever their names and order; the published ones are layer1 and layer2.

    Args:
        where: the checkpoint, for the message.

    Raises:
        DataError: other tensors than two layers that fit each other (a further one would change the scores), or a
            weight that is not finite.
    """
    stems = [name.removesuffix("weight") for name in tensors if name.endswith("weight")]
    for pair in permutations(stems, 2) if len(tensors) == 4 else ():
        names = [stem + part for stem in pair for part in ("weight", "bias")]
        if set(names) != set(tensors):
            continue
        layers = HeadLayers(*(tensors[name] for name in names))
        hidden = layers.w1.shape[:1]
        if layers.w1.ndim == 2 and [tensor.shape for tensor in layers[1:]] == [hidden, (1, *hidden), (1,)]:
            if not all(np.isfinite(tensor).all() for tensor in layers):
                raise DataError(f"{where}: the head has weights that are not finite; {AGAIN}")
            return layers
    found = ", ".join(f"{name} {tensor.shape}" for name, tensor in tensors.items()) or "no tensor"
    raise DataError(
        f"{where}: expected the weights and biases of Linear(D, H), ReLU, Linear(H, 1) and nothing else, "
        f"found {found}; name the checkpoint of a two-layer regression head"
    )


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Name -> tensor of a checkpoint's state_dict, float32 and contiguous; from float16, bfloat16, float32, float64.

    Raises:
        InputError: no such file. DataError: damaged, no checkpoint, no floats, or larger than a head can be.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; name the .ckpt file of a head")
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(_Archive(archive, str(path)))
    except JqlError:
        raise
    except Exception as error:  # zipfile raises whatever a damaged header leads it to
        raise DataError(
            f"{path}: cannot be read as a checkpoint, the zip that torch.save writes since 1.6 ({error}); {AGAIN} "
            "(a Git LFS pointer must be pulled, an older file saved again)"
        ) from error


class _Archive:
    """The entries of a checkpoint; hands out each with its size checked before it is read."""

    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        self.archive, self.where = archive, where
        pickles = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise DataError(f"{where}: {len(pickles)} data.pkl in it, expected one; name a file made by torch.save")
        # The prefix is the file's name when it was saved, "archive" in old files and in those saved to a buffer.
        self.prefix = pickles[0].removesuffix("data.pkl")
        byteorder = f"{self.prefix}byteorder"
        self.byteorder = ">" if byteorder in archive.namelist() and self.read("byteorder", 16) == b"big" else "<"

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of an entry.

        Raises:
            DataError: there is none, or it is larger than `limit` bytes.
        """
        try:
            info = self.archive.getinfo(self.prefix + name)
        except KeyError as error:
            raise DataError(f"{self.where}: {name} is missing; {AGAIN}") from error
        if info.file_size > limit:
            raise DataError(
                f"{self.where}: {name} has {info.file_size} bytes unpacked, expected at most {limit}; "
                "this is not the checkpoint of a head, name another"
            )
        with self.archive.open(info) as file:
            return file.read(info.file_size)  # a size: without one zipfile may unpack 2 GB before it looks


def _read(archive: _Archive) -> dict[str, np.ndarray]:
    where = archive.where
    checkpoint = unpickle(archive.read("data.pkl", PICKLE_LIMIT), where)
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not state:
        keys = ", ".join(key[:40] for key in checkpoint if isinstance(key, str)) if isinstance(checkpoint, dict) else ""
        raise DataError(
            f"{where}: no state_dict in it, found {keys or type(checkpoint).__name__}; "
            "name a checkpoint that Lightning's Trainer saved"
        )
    storages: dict[str, bytes] = {}
    left = STORAGE_LIMIT
    arrays = {}
    for name, tensor in state.items():
        label = f"{where}: tensor {name[:80] if isinstance(name, str) else type(name).__name__}"
        kind = tensor.storage.type_name if isinstance(tensor, Tensor) else getattr(tensor, "name", type(tensor))
        if not isinstance(name, str) or not isinstance(tensor, Tensor) or kind not in DTYPES:
            raise DataError(
                f"{label}: is of {kind}, expected one of {', '.join(DTYPES)}; save the head's weights alone, in float32"
            )
        dtype = np.dtype(archive.byteorder + DTYPES[kind])
        _check_place(tensor, left, label)
        left -= 4 * math.prod(tensor.shape)
        key, length = tensor.storage.key, tensor.storage.length
        if key not in storages:
            storages[key] = archive.read(f"data/{key}", left)
            left -= len(storages[key])
        if len(storages[key]) < length * dtype.itemsize:
            raise DataError(
                f"{label}: storage {key} has {len(storages[key])} bytes, expected {length} of {dtype.itemsize}; {AGAIN}"
            )
        arrays[name] = _array(tensor, storages[key], dtype)
    return arrays


def _check_place(tensor: Tensor, limit: int, label: str) -> None:
    """Raise a DataError if a tensor reaches beyond its storage, where numpy would read on, or needs > `limit` bytes."""
    shape, strides, storage = tensor.shape, tensor.strides, tensor.storage
    integers = [tensor.offset, *shape, *strides]
    if len(shape) != len(strides) or len(shape) > 32 or not all(type(n) is int and n >= 0 for n in integers):
        raise DataError(f"{label}: has a shape, strides or an offset that no tensor has; {AGAIN}")
    if max(4 * math.prod(shape), *shape, storage.length) > limit:
        raise DataError(
            f"{label}: shape {shape} in a storage of {storage.length} values, expected at most {STORAGE_LIMIT} bytes "
            "in all; this is not the checkpoint of a head, name another"
        )
    last = tensor.offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if 0 not in shape and last >= storage.length:
        raise DataError(f"{label}: reaches to value {last} of a storage of {storage.length}; {AGAIN}")


def _array(tensor: Tensor, stored: bytes, dtype: np.dtype[Any]) -> np.ndarray:
    """Float32 array of a tensor that fits its storage; `dtype` is that of the bytes, or uint16 for bfloat16."""
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, np.float32)
    values = np.frombuffer(stored, dtype, tensor.storage.length)[tensor.offset :]
    steps = [stride * dtype.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(values, tensor.shape, steps, writeable=False)
    if dtype.kind == "u":
        bits = np.array(view, np.uint32, order="C")
        bits <<= 16
        return bits.view(np.float32)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, as in torch
        return np.array(view, np.float32, order="C")
