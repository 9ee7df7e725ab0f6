"""Two workers, each with a part of the vocabulary that is not half of it, against one process that has it whole."""

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from laboratory_help import TIED, TINY, Uneven, training
from torch import distributed as dist
from torch import multiprocessing

from jql.laboratory.config import Variant
from jql.laboratory.coupled_adam import CoupledAdam
from jql.laboratory.factory import hooks_of
from jql.laboratory.vocabulary import mean_row, rows_here, whole
from jql.laboratory.watch import Watch
from jql.pretrain.log import read_steps
from jql.pretrain.model import Decoder
from jql.pretrain.state import load_decoder
from jql.pretrain.train import Trainer
from jql.pretrain.world import World

close = torch.testing.assert_close
TOKENS = np.arange(48).reshape(4, 12) % 33
ALL = Variant(centering=True, mu_loss=10.0, z_loss=0.01, coupled=True, norm="dyisru")
RUNS = {
    "all": (TINY, ALL),
    "coupled": (TINY, Variant(coupled=True, soft_cap=5.0)),
    "tied": (TIED, Variant(coupled=True)),
}


def made(name: str, folder: Path | None, workers: int) -> Trainer:
    model, variant = RUNS[name]
    hooks = [*hooks_of(variant, model.tied, TOKENS), Watch(3)]
    config = training(micro_batch=4 // workers, checkpoint_every=3, keep=0, weight_decay=0.1)
    return Trainer(Decoder(model), config, Uneven(), folder, hooks, World.here("cpu"))


def work(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        for name in RUNS:
            trainer = made(name, folder / name, 2)
            trainer.run()
            matrix = trainer.model.head.weight
            assert len(rows_here(matrix)) == (17, 16)[rank]
            close(mean_row(matrix), whole(matrix).mean(0), rtol=1e-5, atol=1e-9)
            parts = rows_here(matrix).mean(0)
            dist.all_reduce(parts)
            assert name == "all" or (parts / 2 - mean_row(matrix)).abs().max() > 1e-6  # the mean of means is another
            state = trainer.optimizer.state[matrix]
            assert state["exp_avg_sq"].shape == (16,) and len(rows_here(state["exp_avg"])) == len(rows_here(matrix))
    finally:
        dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore:coupled with")
@pytest.mark.usefixtures("one_thread")
def test_two_workers_do_what_one_process_does(tmp_path: Path):
    multiprocessing.spawn(work, (tmp_path,), nprocs=2)
    for name in RUNS:
        alone = made(name, None, 1)
        expected, found = alone.run(), read_steps(tmp_path / name / "log.jsonl")
        assert [bool(step.figures.get("condition")) for step in found] == [False, False, True] * 2
        for one, two in zip(expected, found, strict=True):
            assert (two.loss, two.gradient_norm) == pytest.approx((one.loss, one.gradient_norm), rel=1e-5)
            assert two.figures.get("extra", 0) == pytest.approx(one.figures.get("extra", 0), rel=1e-4)
            for figure in ("mean_length", "isotropy", "condition"):
                assert two.figures.get(figure, 0) == pytest.approx(one.figures.get(figure, 0), rel=1e-3, abs=1e-7)
        # One process goes on from what two have kept.
        shutil.rmtree(tmp_path / name / "checkpoints" / "step-00000006")
        on = made(name, tmp_path / name, 1)
        on.run()
        for a, b in zip(alone.model.parameters(), on.model.parameters(), strict=True):
            close(a, b, rtol=1e-4, atol=1e-6)
    assert mean_row(load_decoder(tmp_path / "all", hooks_of(ALL, False, TOKENS)).head.weight).norm() < 1e-8


def test_a_second_moment_of_one_row_is_kept_and_given_back():
    hook = CoupledAdam()
    trainer = Trainer(Decoder(TINY), training(steps=2), Uneven(), hooks=[hook])
    trainer.run()
    kept = trainer.state()["optimizer"]["state"]
    sizes = sorted(tuple(slot["exp_avg_sq"].shape) for slot in kept.values())
    assert sizes.count((16,)) == 6  # of the output matrix, and of five norms
