"""Schedules by simulation: the factors that training sees, and the epoch at which it ends."""

import itertools
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.schedule import Adaptive, Cosine, Linear, Schedule, make_schedule


def simulate(schedule: Schedule, score: Callable[[int], float], most: int = 1000) -> list[float]:
    """Factors at the end of each epoch, while training is told the score of epochs 1, 2, ..."""
    factors = []
    for epoch in range(1, most):
        factors.append(schedule.factor(epoch))
        if schedule.epoch_done(score(epoch)):
            return factors
    raise AssertionError("it never stops")


def test_cosine_falls_from_one_to_zero():
    schedule = Cosine(20)
    assert [schedule.factor(e) for e in (0, 5, 10, 20, 25)] == pytest.approx(
        [1, 0.5 + math.sqrt(0.125), 0.5, 0, 0], abs=1e-12
    )
    values = [schedule.factor(e / 7) for e in range(140)]
    assert all(a > b for a, b in itertools.pairwise(values))


@pytest.mark.parametrize(("best", "epochs", "ends"), [(3, 20, 8), (1, 20, 6), (18, 20, 20), (2, 4, 4)])
def test_cosine_stops_after_its_patience_or_its_epochs(best, epochs, ends):
    assert len(simulate(Cosine(epochs), lambda e: 0.5 + 0.01 * min(e, best))) == ends


def test_cosine_waits_for_a_rise_of_at_least_a_thousandth():
    assert len(simulate(Cosine(100), lambda e: 0.0001 * e)) == 6
    assert len(simulate(Cosine(100), lambda e: 0.5 + 0.0009 * (e > 1))) == 6
    assert len(simulate(Cosine(30), lambda e: 0.0011 * e)) == 30


def test_adaptive_cools_down_from_the_first_epoch_without_a_best():
    schedule = Adaptive()
    factors = simulate(schedule, lambda e: min(e, 5) - 0.01 * max(0, e - 5))
    assert len(factors) == 13
    assert factors == pytest.approx([0.5, 1, 1, 1, 1, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7, 0])


def test_adaptive_warms_up_and_is_linear_in_between():
    schedule = Adaptive(warm=2, cool=4)
    assert [schedule.factor(e) for e in (0, 0.5, 1, 1.5, 2, 9)] == [0, 0.25, 0.5, 0.75, 1, 1]
    for score in (3, 4, 5, 5):  # an equal score is no new best
        assert not schedule.epoch_done(score)
    assert [schedule.factor(e) for e in (4, 4.5, 5, 6, 8, 9)] == [1, 0.875, 0.75, 0.5, 0, 0]


def test_a_new_best_in_the_cool_down_returns_the_factor_to_one():
    schedule = Adaptive()
    factors = simulate(schedule, lambda e: {9: 6}.get(e, min(e, 5)))
    # best 5, cooling from 6; best again in 9, cooling from 10, the last without a best is 9 + 8
    assert factors == pytest.approx(
        [0.5, 1, 1, 1, 1, 1, 6 / 7, 5 / 7, 4 / 7, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7, 0]
    )


def test_a_run_that_always_improves_goes_to_the_cap_without_decay():
    factors = simulate(Adaptive(epochs=60), lambda e: e)
    assert len(factors) == 60 and factors[1:] == [1] * 59
    assert len(simulate(Adaptive(), lambda e: e)) == 250


def test_with_patience_the_cool_down_begins_later():
    factors = simulate(Adaptive(patience=2), lambda e: min(e, 5))
    assert len(factors) == 5 + 2 + 7 + 1
    assert factors == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7, 0])


def test_a_loss_that_is_not_a_number_is_no_improvement():
    assert len(simulate(Adaptive(), lambda e: math.nan if e > 3 else e)) == 3 + 8
    assert len(simulate(Adaptive(), lambda e: math.nan)) == 8


@given(st.lists(st.integers(0, 9), min_size=260, max_size=260), st.integers(0, 3), st.integers(1, 8))
def test_adaptive_is_what_the_published_words_say(scores, patience, cool):
    """Read from the list of scores alone: improvements, the runs of epochs without one, the decay within such a run."""
    schedule = Adaptive(patience=patience, cool=cool)
    factors = simulate(schedule, lambda e: scores[e - 1])
    bests = [e for e in range(1, len(factors) + 1) if all(s < scores[e - 1] for s in scores[: e - 1])]
    for epoch, factor in enumerate(factors, 1):
        since = epoch - 1 - max([b for b in bests if b < epoch], default=0)  # failures before this epoch
        cooled = max(0, since - patience) / cool  # of this epoch's end, as its first step is one failure behind
        expected = 1 - cooled if since > patience else min(1, epoch / 2)
        assert factor == pytest.approx(expected)
    assert len(factors) == min(250, max(bests) + patience + cool + 1)


def test_linear_warms_up_and_falls_to_zero():
    schedule = Linear(5)
    assert [schedule.factor(e) for e in (0, 1, 2, 3.5, 5, 6)] == pytest.approx([0, 0.5, 1, 0.5, 0, 0])
    assert len(simulate(schedule, lambda e: -e)) == 5
    assert [Linear(1).factor(e) for e in (0, 0.25, 0.5, 0.75, 1)] == [0, 0.5, 1, 0.5, 0]


def test_a_run_that_never_improves_ends_after_the_first_cool_down():
    assert len(simulate(Adaptive(), lambda e: -e)) == 1 + 8
    assert len(simulate(Adaptive(epochs=4), lambda e: -e)) == 4


def test_schedules_by_name():
    assert make_schedule("cosine", 9) == Cosine(9)
    assert make_schedule("adaptive", 9) == Adaptive(9)
    assert make_schedule("linear", 9) == Linear(9)


@pytest.mark.parametrize("name", ["cosine", "linear", "adaptive"])
def test_a_factor_is_always_a_share(name):
    schedule = make_schedule(name, 40)
    scores = [math.sin(e) + e / 30 for e in range(40)]
    for epoch, score in enumerate(scores):
        assert all(0 <= schedule.factor(epoch + part / 5) <= 1 for part in range(5))
        if schedule.epoch_done(score):
            break
