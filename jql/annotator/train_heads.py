"""Training of heads on features that are computed already: one network for all judges, one output for each.

Shapes: N judged documents, D dense features, H judges, K hidden units, V n-gram features.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from jql.agreement.metrics import spearman
from jql.annotator.heads import CLIP, Heads
from jql.annotator.sampling import Sampling, draw_epoch, sampling_weights
from jql.annotator.translations import Translated
from jql.schedule import ScheduleName, make_schedule

if TYPE_CHECKING:
    import scipy.sparse as sp

TRANSLATED = 0.3
"""Weight of a translated document beside a judged one; 0.1 left half of the effect, judgments were met alike."""
RIDGE = 0.5
"""Penalty of the n-gram term; 0.5 and 1 gave the same within 0.01 Spearman."""


@dataclass(frozen=True)
class HeadSettings:
    """How heads are trained; the defaults are the published ones (768 -> 1000 -> 1 on a large encoder)."""

    hidden: int = 1000
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    dropout: float = 0.0
    batch: int = 1024
    epochs: int = 20
    schedule: ScheduleName = "cosine"
    members: int = 1
    ngram_share: float = 0.0
    sampling: Sampling = "natural"
    seed: int = 0


@dataclass(frozen=True)
class JudgedFeatures:
    """Judged documents as heads are trained on them.

    Attributes:
        dense_ND: float32. ngrams_NV: sparse, or None. labels_N: points. judge_N: int, index into judges.
    """

    judges: list[str]
    dense_ND: np.ndarray
    ngrams_NV: "sp.csr_matrix | None"
    labels_N: np.ndarray
    judge_N: np.ndarray
    languages_N: np.ndarray

    def take(self, rows: np.ndarray) -> "JudgedFeatures":
        """These documents only."""
        ngrams = self.ngrams_NV[rows] if self.ngrams_NV is not None else None
        return JudgedFeatures(
            self.judges, self.dense_ND[rows], ngrams, self.labels_N[rows], self.judge_N[rows], self.languages_N[rows]
        )


def fit_heads(
    train: JudgedFeatures,
    validation: JudgedFeatures | None,
    settings: HeadSettings,
    epochs: list[int] | None = None,
    translated: Translated | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> tuple[Heads, list[int]]:
    """Heads of all judges, and the epochs each member was trained for.

    Every member keeps its weights of the epoch with the best validation Spearman (mean over judges). Without
    validation it is trained for `epochs` on the schedule cut to that length.
    """
    mean_D = train.dense_ND.mean(0, dtype=np.float64)
    scale_D = np.maximum(train.dense_ND.std(0, dtype=np.float64), 1e-6)
    labels_of = [train.labels_N[train.judge_N == h] for h in range(len(train.judges))]
    # Without the one language of a judge (leave one out) it has no documents; the head is then of no use but finite.
    means_H = np.array([own.mean() if len(own) else train.labels_N.mean() for own in labels_of])

    def standard(judged: JudgedFeatures) -> np.ndarray:
        clipped: np.ndarray = np.clip((judged.dense_ND - mean_D) / scale_D, -CLIP, CLIP).astype(np.float32)
        return clipped

    members, lengths = [], []
    for member in range(settings.members):
        last = epochs[member] if epochs else None
        found, length = _fit_network(standard(train), train, standard, validation, settings, means_H, member, last)
        members.append(found)
        lengths.append(length)
        report(f"member {member + 1} of {settings.members}: {length} epochs")
    network = Heads(
        names=list(train.judges),
        mean=mean_D.astype(np.float32),
        scale=scale_D.astype(np.float32),
        hidden_weight=np.concatenate([m[0] for m in members]).astype(np.float32),
        hidden_bias=np.concatenate([m[1] for m in members]).astype(np.float32),
        weight=(np.concatenate([m[2] for m in members], axis=1) / len(members)).astype(np.float32),
        bias=np.mean([m[3] for m in members], 0).astype(np.float32),
        ngram_weight=np.zeros((0, 1), np.float16),
    )
    share = settings.ngram_share
    if not share or train.ngrams_NV is None:
        return network, lengths
    weight_V = fit_ngrams(train, means_H, network, translated)
    heads = replace(
        network,
        weight=(network.weight * (1 - share)).astype(np.float32),
        bias=(network.bias * (1 - share) + share * means_H).astype(np.float32),
        ngram_weight=np.repeat((share * weight_V).astype(np.float16)[None], len(train.judges), axis=0),
    )
    return heads, lengths


def fit_ngrams(train: JudgedFeatures, means_H: np.ndarray, network: Heads, translated: Translated | None) -> np.ndarray:
    """float64 (V,): ridge of labels less their judge's mean on n-grams, all judges together.

    Both sides of translated documents join with a weight of TRANSLATED, labelled by what the network says of the
    English side, mean of its heads: else a language's spelling decides over the same document in another.
    """
    import scipy.sparse as sp
    from sklearn.linear_model import Ridge

    ridge = Ridge(alpha=RIDGE, solver="sparse_cg", fit_intercept=False, tol=1e-5)
    rows, target = train.ngrams_NV, train.labels_N - means_H[train.judge_N]
    weights = np.ones(len(target))
    if translated is not None:
        said_E = network.points(translated.dense_ED, None).mean(1, dtype=np.float64)
        said_E -= said_E[translated.english_P].mean()
        said = np.concatenate((said_E, said_E[translated.english_P]))
        rows = sp.vstack([rows, translated.english_EV, translated.translation_PV]).tocsr()
        target, weights = np.concatenate((target, said)), np.concatenate((weights, np.full(len(said), TRANSLATED)))
    weight_V: np.ndarray = ridge.fit(rows, target, sample_weight=weights).coef_
    return weight_V


Layers = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _fit_network(
    standard_ND: np.ndarray,
    train: JudgedFeatures,
    standard: Callable[[JudgedFeatures], np.ndarray],
    validation: JudgedFeatures | None,
    settings: HeadSettings,
    means_H: np.ndarray,
    member: int,
    last: int | None,
) -> tuple[Layers, int]:
    import torch
    from torch import nn

    torch.manual_seed(settings.seed + member)
    draw = np.random.default_rng([settings.seed, member])
    net = nn.Sequential(
        nn.Dropout(settings.dropout / 2),
        first := nn.Linear(standard_ND.shape[1], settings.hidden),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        second := nn.Linear(settings.hidden, len(train.judges)),
    )
    second.bias.data[:] = torch.from_numpy(means_H)
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    features, labels = torch.from_numpy(standard_ND), torch.from_numpy(train.labels_N.astype(np.float32))
    judges = torch.from_numpy(train.judge_N.astype(np.int64))
    groups = np.array([f"{j}/{language}" for j, language in zip(train.judge_N, train.languages_N, strict=True)])
    weights = sampling_weights(train.labels_N, groups, settings.sampling)
    # Without validation there is nothing to adapt to.
    name: ScheduleName = settings.schedule if validation else "cosine"
    schedule = make_schedule(name, last or settings.epochs)
    held = torch.from_numpy(standard(validation)) if validation else None
    batch = min(settings.batch, len(labels))
    best: tuple[float, int, Layers] | None = None
    epoch = 0
    while True:
        rows = draw_epoch(weights, draw)
        steps = max(1, len(rows) // batch)
        net.train()
        for step in range(steps):
            chosen = torch.from_numpy(rows[step * batch : (step + 1) * batch])
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * schedule.factor(epoch + step / steps)
            own = net(features[chosen]).gather(1, judges[chosen][:, None])[:, 0]
            loss = ((own - labels[chosen]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        epoch += 1
        net.eval()
        w1, b1, w2, b2 = (t.detach().numpy().copy() for t in (first.weight, first.bias, second.weight, second.bias))
        layers: Layers = (w1, b1, w2, b2)
        if validation is None or held is None:
            if epoch >= (last or settings.epochs):
                return layers, epoch
            continue
        with torch.inference_mode():
            score = mean_spearman(net(held).numpy(), validation)
        if best is None or score > best[0]:
            best = (score, epoch, layers)
        if schedule.epoch_done(score):
            return best[2], best[1]


def mean_spearman(points_NH: np.ndarray, judged: JudgedFeatures) -> float:
    """Mean over judges of the Spearman of each judge's head with its labels; judges without a figure count 0."""
    own = [points_NH[judged.judge_N == h, h] for h in range(len(judged.judges))]
    figures = [spearman(p, judged.labels_N[judged.judge_N == h]) if len(p) > 1 else None for h, p in enumerate(own)]
    return float(np.mean([figure or 0.0 for figure in figures]))
