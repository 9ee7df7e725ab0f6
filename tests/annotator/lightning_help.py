"""Checkpoints as Lightning's Trainer saves them, and hand-written ones that no trainer saves."""

import os
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch


class RegressionHead(torch.nn.Module):
    """Names and shapes of the published class; its checkpoint has layer1.weight, layer1.bias, layer2.weight, layer2.bias."""

    def __init__(self, dimensions: int, hidden: int):
        super().__init__()
        self.layer1 = torch.nn.Linear(dimensions, hidden)
        self.relu = torch.nn.ReLU()
        self.layer2 = torch.nn.Linear(hidden, 1)

    def forward(self, embeddings):
        return self.layer2(self.relu(self.layer1(embeddings)))


class Outer:
    """Hyper-parameters may be anything: a class in a class is pickled through getattr."""

    class Inner(dict):
        def __init__(self, **values):
            super().__init__(values)
            self.note = "state"


class Shell:
    """What a hostile file does when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def save(target, model: torch.nn.Module, dtype: torch.dtype = torch.float32, **more) -> None:
    """As Lightning's Trainer saves, with what training leaves in the file."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    model(torch.ones(1, model.layer1.in_features)).sum().backward()
    optimizer.step()
    model.to(dtype)
    checkpoint = {
        "epoch": 7,
        "global_step": 3416,
        "pytorch-lightning_version": "2.5.1",
        "state_dict": model.state_dict(),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 8}}}},
        "callbacks": {
            "EarlyStopping{'monitor': 'spearman'}": {"wait_count": 5, "best_score": torch.tensor(0.74), "patience": 5},
            "ModelCheckpoint": {"best_model_score": np.float64(0.74), "dirpath": Path("/runs"), "best_k_models": {}},
        },
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [{"last_epoch": 8, "_last_lr": [np.array([5e-4])]}],
        "hparams_name": "kwargs",
        "hyper_parameters": {
            "input_dim": 768,
            "learning_rate": 5e-4,
            "train_sets": Outer.Inner(gemma={Path("a"), Path("b")}),
            "odd": [torch.nn.ReLU(), torch.float32, torch.device("cpu"), len, Outer, OrderedDict(a=1), range(3), 1j],
        },
        **more,
    }
    torch.save(checkpoint, target)


def write(path: Path, pickled: bytes, entries: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, content in (entries or {}).items():
            archive.writestr(f"archive/{name}", content)
    return path


def tensor_pickle(offset: int, shape: tuple, strides: tuple, length: int, kind: str = "FloatStorage") -> bytes:
    """A pickle of {"state_dict": {"w": tensor}} written by hand."""

    def integers(values: tuple) -> bytes:
        return b"(" + b"".join(b"I%d\n" % value for value in values) + b"t"

    storage = b"(Vstorage\nctorch\n%s\nV0\nVcpu\nI%d\ntQ" % (kind.encode(), length)
    rebuilt = (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"I%d\n" % offset + integers(shape) + integers(strides)
    )
    return b"(dVstate_dict\n(dVw\n" + rebuilt + b"I00\nNtRss."
