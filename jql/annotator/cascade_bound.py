"""A cheap annotator before a big one: the threshold on its scores, and a bound on the loss that holds as promised.

The first annotator scores every document of a language; only documents at or above a threshold go to the second.
Lost is what the second would keep and the first holds back. The second keeps by its cuts, each the quantile of one
head in this language, and a rule over heads; both are those of the whole language, of which only a random sample is
scored by both. Nothing is assumed of how the two annotators agree.

Why the bound holds. Let K be what the second would keep, decided by the true cuts: a region of scores, unknown but
fixed. Of the sample's documents in K, those below a fixed threshold are a binomial draw, and its probability is the
loss. So the Clopper-Pearson limit of (lost in K, gone on in K) would do, were K known. But for a share CUTS of the
doubt, each head's cut lies between two order statistics of the sample (binomial; any distribution, ties too). The
limit is taken wherever the cuts may lie, and the worst counts.

- One head: every place of the cut that the sample can tell apart is tried, so nothing is added to these statements.
- Several heads, rules `all`, `any`, `majority`: what they keep shrinks as cuts rise, so lost is counted at the lowest
  cuts and gone on at the highest. Valid, and a little conservative; the heads share the doubt equally.
- Several heads, `mean`: the true mean rank lies in a Dvoretzky-Kiefer-Wolfowitz band about the sample's; lost is
  counted at the upper and gone on at the lower edge. Valid, and the most conservative.

The loss never falls when the threshold rises, and neither does the bound. So the highest threshold whose bound is
within the tolerance may be taken without correction: it is too high only if the bound failed just above the highest
threshold that is right. The promise is the tolerance; `Bound.loss` is the limit at the threshold taken.

What this allows selection to do. Unscored documents may count as below every score: no cut and no rank then keeps
out a document that the second alone would keep, since a cut only falls, and a rank only rises, when other documents
move down. (A cut from a histogram may rise inside of its bin; it then holds 0.5 % of the documents at most.) The
promise is about one quantile; for several to choose from, take the lowest of their thresholds.

Shapes: N documents of the sample, all of one language; H heads; B documents in the band that the cuts decide; C places.

Source: Clopper and Pearson, 1934; Massart's constant for the Dvoretzky-Kiefer-Wolfowitz inequality, 1990; thresholds
without correction: Bates et al., Distribution-Free, Risk-Controlling Prediction Sets, 2021, theorem 1, and
Angelopoulos et al., Learn then Test, 2021, fixed sequence testing.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import betainc, betaincinv
from scipy.stats import binom, norm

from jql.errors import DataError, RecipeError

CUTS = 0.1
"""Share of the doubt (1 - confidence) spent on where the cuts lie; from .05 to .4 the threshold hardly moves."""


@dataclass(frozen=True)
class Bound:
    """The threshold of one language and what it may lose.

    Attributes:
        threshold: documents whose first score is at or above go on; None: refused, all go on.
        loss: limit of the lost share at the threshold; at most the tolerance. 0 where refused, as nothing is lost.
        sample: documents scored by both. kept: those that the second keeps by the sample's own cuts. lost: those of
            kept below the threshold.
        saved: share of the sample below the threshold.
        supports: the smallest tolerance that this sample could support, at the lowest threshold of use; in [0, 1].
        needed: about how many documents a sample needs to support the tolerance; 0 if this one does.
    """

    threshold: float | None
    loss: float
    sample: int
    kept: int
    lost: int
    saved: float
    supports: float
    needed: int

    def to_json(self) -> dict[str, Any]:
        """As it stands in the receipt."""
        return asdict(self)


@dataclass(frozen=True)
class _Places:
    """What the second may keep of the sample, over the places where its cuts may lie.

    Attributes:
        sure_N: kept at all places.
        band_B: the documents kept at some of them only, those kept at most places first.
        most_C, least_C: at a place, no more than the first `most` of the band are kept, and the first `least` are.
    """

    sure_N: np.ndarray
    band_B: np.ndarray
    most_C: np.ndarray
    least_C: np.ndarray


def bound_of(
    first_N: np.ndarray,
    second_NH: np.ndarray,
    quantile: float,
    rule: str,
    tolerance: float,
    confidence: float,
    slack: float = 0.0,
) -> Bound:
    """The highest threshold on the first score that loses at most `tolerance`, with `confidence`.

    Args:
        first_N: scores of a uniform random sample of one language; any finite numbers, only their order counts.
        second_NH: scores of the same documents by the heads that vote.
        quantile: share of the language that each head's cut drops, in [0, 1).
        rule: all, any, majority or mean, as in `jql.select.cuts`.
        tolerance: share that may be lost of what the second would keep, in (0, 1).
        confidence: in (0, 1); how often, over samples, the loss is at most the tolerance.
        slack: points of the second by which the cut that is made may lie from the exact quantile: a bin's width for
            cuts from histograms.

    Drawn without replacement the promise holds too: hypergeometric tails are the lighter ones as long as tolerance
    and 1 - confidence are at most one half (tried for all small languages, not proved).

    Raises:
        DataError: shapes that do not fit, or a score that is not finite.
        RecipeError: a share out of range, or an unknown rule.
    """
    first_N, second_NH = _checked(first_N, second_NH)
    _check_settings(quantile, rule, tolerance, confidence, slack)
    doubt = 1 - confidence
    alpha, sample = (1 - CUTS) * doubt, len(first_N)
    places = _places(second_NH, quantile, rule, CUTS * doubt, slack)
    sure, band_B = np.sort(first_N[places.sure_N]), first_N[places.band_B]
    steps = np.unique(np.concatenate((sure, band_B)))
    kept_N = kept_by(second_NH, quantile, rule)
    kept = int(kept_N.sum())

    def counts(threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Most lost and least gone on, int (C,)."""
        below = int(np.searchsorted(sure, threshold))
        below_B = np.concatenate(([0], np.cumsum(band_B < threshold)))
        on_C = places.least_C - below_B[places.least_C]
        return below + below_B[places.most_C], len(sure) - below + on_C

    def within(threshold: float) -> bool:
        lost_C, on_C = counts(threshold)
        # The limit is at most the tolerance iff so few lost are that unlikely at a loss of the tolerance.
        return bool(on_C.min() > 0 and (betainc(on_C, lost_C + 1, 1 - tolerance) <= alpha).all())

    supports = _limit(*counts(steps[0]), alpha) if len(steps) else 1.0
    if not len(steps) or not within(steps[0]):
        needed = _needed(sample, kept, int(places.sure_N.sum()), quantile, tolerance, doubt)
        return Bound(None, 0.0, sample, kept, 0, 0.0, supports, needed)
    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if within(steps[middle]) else (low, middle - 1)
    below_N = first_N < steps[low]
    return Bound(
        threshold=float(steps[low]),
        loss=_limit(*counts(steps[low]), alpha),
        sample=sample,
        kept=kept,
        lost=int((kept_N & below_N).sum()),
        saved=float(below_N.mean()),
        supports=supports,
        needed=0,
    )


def loss_at(loss: float, quantile: float, later: float, heads: int = 1) -> float | None:
    """Limit of the loss at a higher quantile than the threshold was made for, in [0, 1]; None for several heads.

    What is lost later is lost now, of fewer kept: P(lost later) / P(kept later) <= loss * P(kept now) / P(kept later),
    and one head keeps 1 - quantile, ties at a cut aside. How much several heads keep follows from no quantile (`all`
    may keep nothing later), so theirs has no limit beforehand.

    Raises:
        RecipeError: later is not in [quantile, 1).
    """
    if not 0 <= quantile <= later < 1:
        raise RecipeError(f"quantile: expected one in [{quantile}, 1), got {later}; the loss is known for higher ones")
    return min(1.0, loss * (1 - quantile) / (1 - later)) if heads == 1 else None


def kept_by(second_NH: np.ndarray, quantile: float, rule: str) -> np.ndarray:
    """Bool (N,): what the second keeps of these documents by their own exact cuts, ties at a cut kept."""
    if not len(second_NH):
        return np.zeros(0, bool)
    if rule == "mean" and second_NH.shape[1] > 1:
        return np.asarray(_mean_rank(second_NH, second_NH) > quantile)
    cuts_H = np.quantile(second_NH, quantile, axis=0, method="inverted_cdf")
    return _agree((second_NH >= cuts_H).sum(axis=1), second_NH.shape[1], rule)


def _agree(votes: np.ndarray, heads: int, rule: str) -> np.ndarray:
    least = {"all": heads, "any": 1, "majority": heads // 2 + 1, "mean": heads}[rule]  # mean: one head only
    return np.asarray(votes >= least)


def _mean_rank(scores_NH: np.ndarray, of_MH: np.ndarray) -> np.ndarray:
    """float64 (N,): mean over heads of the share of `of_MH` that is not above each score."""
    ranks = [
        np.searchsorted(column, scores, "right")
        for column, scores in zip(np.sort(of_MH, axis=0).T, scores_NH.T, strict=True)
    ]
    return np.asarray(np.mean(ranks, axis=0) / len(of_MH))


@lru_cache(maxsize=1024)
def _ranks(sample: int, quantile: float, doubt: float) -> tuple[int, int]:
    """Ranks, from 1, of two scores between which the quantile lies but with `doubt`; 0 and N + 1 for none.

    The score of rank k is above the quantile iff fewer than k of the sample are at or below it, and these are at
    least Binomial(N, quantile); likewise from the other side.
    """
    low, high = binom.ppf([doubt / 2, 1 - doubt / 2], sample, quantile)
    return int(max(low, 0)), int(high) + 1


def _places(second_NH: np.ndarray, quantile: float, rule: str, doubt: float, slack: float) -> _Places:
    sample, heads = second_NH.shape
    if rule == "mean" and heads > 1:
        margin = np.sqrt(np.log(2 * heads / doubt) / (2 * max(sample, 1)))
        sure_N = _mean_rank(second_NH - slack, second_NH) - margin > quantile
        may_N = _mean_rank(second_NH + slack, second_NH) + margin > quantile
    else:
        low, high = _ranks(sample, quantile, doubt / heads)
        ordered = np.vstack([np.full(heads, -np.inf), np.sort(second_NH, axis=0), np.full(heads, np.inf)])
        sure_N = _agree((second_NH >= ordered[high] + slack).sum(axis=1), heads, rule)
        may_N = _agree((second_NH >= ordered[low] - slack).sum(axis=1), heads, rule)
    band_B = np.flatnonzero(may_N & ~sure_N)
    if heads > 1:
        return _Places(sure_N, band_B, np.array([len(band_B)]), np.array([0]))
    band_B = band_B[np.argsort(-second_NH[band_B, 0], kind="stable")]
    ends_C = np.append(0, 1 + np.flatnonzero(np.diff(second_NH[band_B, 0], append=-np.inf)))  # ties stay together
    return _Places(sure_N, band_B, ends_C, ends_C)


def _limit(lost_C: np.ndarray, on_C: np.ndarray, alpha: float) -> float:
    """The highest Clopper-Pearson limit of all places; 1 where none goes on."""
    return float(betaincinv(lost_C + 1, on_C, 1 - alpha).max()) if on_C.min() > 0 else 1.0


def _needed(sample: int, kept: int, sure: int, quantile: float, tolerance: float, doubt: float) -> int:
    """About how many documents: of n, share * n less spread * sqrt(n) are kept wherever the cuts lie."""
    must = np.log((1 - CUTS) * doubt) / np.log1p(-tolerance)  # so many kept, none of them lost, support the tolerance
    share = kept / sample if kept else 1 - quantile
    guess = norm.isf(CUTS * doubt / 2) * np.sqrt(quantile * (1 - quantile))
    spread = (kept - sure) / np.sqrt(sample) if sure else guess
    needed = int(np.ceil(((spread + np.sqrt(spread**2 + 4 * share * must)) / (2 * share)) ** 2))
    return max(needed, sample + 1)


def _checked(first_N: np.ndarray, second_NH: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first_N, second_NH = np.asarray(first_N, np.float64), np.asarray(second_NH, np.float64)
    if first_N.ndim != 1 or second_NH.ndim != 2 or len(second_NH) != len(first_N) or not second_NH.shape[1]:
        shapes = f"got {first_N.shape} and {second_NH.shape}"
        raise DataError(f"cascade sample: expected first scores (N,) and second scores (N, H), {shapes}")
    for name, scores_NH in (("first", first_N[:, None]), ("second", second_NH)):
        bad = np.argwhere(~np.isfinite(scores_NH))
        if len(bad):
            row, head = bad[0]
            found = f"{name} score of document {row}, head {head}, is {scores_NH[row, head]}"
            many = f"{len(set(bad[:, 0]))} such documents"
            raise DataError(f"cascade sample: {found}, expected a finite number ({many}); leave out what is not scored")
    return first_N, second_NH


def _check_settings(quantile: float, rule: str, tolerance: float, confidence: float, slack: float) -> None:
    if rule not in ("all", "any", "majority", "mean"):
        raise RecipeError(f"rule: expected all, any, majority or mean, got {rule!r}")
    if not 0 <= quantile < 1:
        raise RecipeError(f"quantile: expected a share in [0, 1), got {quantile}; write 0.7")
    for name, share, hint in (("tolerance", tolerance, 0.01), ("confidence", confidence, 0.95)):
        if not 0 < share < 1:
            raise RecipeError(f"{name}: expected a share in (0, 1), got {share}; write {hint}")
    if not 0 <= slack < np.inf:
        raise RecipeError(f"slack: expected points of the second annotator, 0 or more, got {slack}; write 0")
