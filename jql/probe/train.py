"""Fine-tuning of a tagger: epochs on a schedule that is told the validation loss, and the best of them kept.

Shapes: N sentences, P words.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from jql.errors import DataError
from jql.probe.config import ProbeSettings
from jql.probe.model import Tagger
from jql.probe.subwords import NONE, Example, batches


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to.

    Attributes:
        factor: of the learning rate, at its end. train_loss, validation_loss: nats a word.
    """

    epoch: int
    factor: float
    train_loss: float
    validation_loss: float


@dataclass(frozen=True)
class Fitted:
    """A tagger's epochs, and which of them had the least validation loss; the tagger has the last one's weights.

    Attributes:
        best: its number, from 1. weights: those after it, on the CPU.
    """

    history: list[Epoch]
    best: int
    weights: dict[str, Tensor]


def fit(
    tagger: Tagger,
    train: Sequence[Example],
    validation: Sequence[Example],
    settings: ProbeSettings,
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> Fitted:
    """Fine-tune all weights.

    Raises:
        DataError: no epoch's validation loss is a number.
    """
    device = str(tagger.head.weight.device)
    matrices = [p for p in tagger.parameters() if p.ndim > 1]
    others = [p for p in tagger.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
    schedule, draw = settings.made_schedule(), np.random.default_rng(settings.seed)
    history: list[Epoch] = []
    best, weights = 0, {}
    least = math.inf
    stop = False
    while not stop:
        order_N, total, words = draw.permutation(len(train)), 0.0, 0
        steps = math.ceil(len(train) / settings.batch)
        tagger.train()
        for step, batch in enumerate(batches(train, settings.batch, tagger.pad, order_N.tolist())):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * schedule.factor(len(history) + step / steps)
            if not len(batch.labels):  # all of its words are unspelled
                continue
            batch = batch.to(device)
            loss = nn.functional.cross_entropy(tagger(batch), batch.labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total, words = total + float(loss.detach()) * len(batch.labels), words + len(batch.labels)
        epoch, found = len(history) + 1, mean_loss(tagger, validation, settings.batch)
        history.append(Epoch(epoch, schedule.factor(epoch), total / max(words, 1), found))
        report(history[-1])
        if found < least:
            least, best = found, epoch
            weights = {name: tensor.detach().cpu().clone() for name, tensor in tagger.state_dict().items()}
        stop = schedule.epoch_done(-found)
    if not best:
        raise DataError(f"the validation loss of {len(history)} epochs is no number; write a smaller --learning-rate")
    return Fitted(history, best, weights)


def mean_loss(tagger: Tagger, examples: Sequence[Example], batch: int) -> float:
    """Nats a word, of the words that have a token; not a number where there are none."""
    total, words = 0.0, 0
    tagger.eval()
    with torch.inference_mode():
        for part in batches(examples, batch, tagger.pad):
            part = part.to(str(tagger.head.weight.device))
            total += float(nn.functional.cross_entropy(tagger(part), part.labels, reduction="sum"))
            words += len(part.labels)
    return total / words if words else math.nan


def predict(tagger: Tagger, examples: Sequence[Example], batch: int) -> list[list[int]]:
    """The likeliest label of each word; 0, which is O, of a word without a token."""
    found = [[0] * len(example.places) for example in examples]
    tagger.eval()
    with torch.inference_mode():
        for number, part in enumerate(batches(examples, batch, tagger.pad)):
            chosen = iter(tagger(part.to(str(tagger.head.weight.device))).argmax(1).tolist())
            for at in range(number * batch, min((number + 1) * batch, len(examples))):
                for word, place in enumerate(examples[at].places):
                    if place != NONE:
                        found[at][word] = next(chosen)
    return found
