"""Labels, settings and arrays that allow no figures are refused, and say what to do."""

import numpy as np
import pytest
from agreement_help import FEW, sample

from jql.agreement.evaluate import compare, evaluate
from jql.agreement.figures import Settings, labelled
from jql.errors import DataError, RecipeError


def change(column: int, row: int, value: object):
    def apply(columns: list[list]) -> None:
        columns[column][row] = value

    return apply


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change(1, 3, 7.0), r"1 labels outside of 0 to 5, the first is 7 in row 3; correct them or give the range"),
        (change(1, 3, np.inf), r"1 labels outside of 0 to 5"),
        (change(0, 4, np.nan), r"1 of 135 scores are not finite, the first in row 4 is nan; leave these documents out"),
        (change(4, 5, np.inf), r"1 of 135 lengths are not finite"),
        (lambda c: c[1].pop(), r"134 labels, 135 languages, 135 sources, 135 lengths; give one entry"),
        (lambda c: c[0].pop(), r"scores of shape \(134,\) for 135 documents"),
        (lambda c: c.__setitem__(1, [2.0] * 135), r"all 135 labels are 2, so nothing can be ranked; judge documents"),
        (lambda c: c.__setitem__(1, [None] * 86 + c[1][86:]), r"found 49 labelled documents, and 86 without a label"),
        (lambda c: c.__setitem__(3, [0] * 135), r"found 1 source, expected at least 2"),
    ],
)
def test_bad_input_is_refused_and_says_what_to_do(spoil, message):
    scores, judged = sample()
    columns = [list(column) for column in (scores, *judged)]
    spoil(columns)
    with pytest.raises(DataError, match=message):
        evaluate(*columns, FEW)
    with pytest.raises(DataError, match=message.replace("scores", "scores_a")):
        compare(columns[0], [1.0] * 135, *columns[1:], FEW)


def test_bad_settings_are_refused():
    with pytest.raises(RecipeError, match="expected low < high, got 5 and 0; write 0 and 5"):
        Settings(low=5, high=0)
    with pytest.raises(RecipeError, match="write 1000"):
        evaluate(sample()[0], *sample()[1], Settings(resamples=10))


def test_another_range_of_the_rubric():
    labels = np.arange(60) % 10 + 1.0
    judged, rows = labelled(labels, ["deu_Latn"] * 60, range(60), np.ones(60), Settings(low=1, high=10))
    assert len(rows) == 60 and (judged.low, judged.high) == (1, 10)
