"""Translation invariance: figures worked out by hand, gaps with a reason, refusals that help."""

import numpy as np
import pytest
from agreement_help import FEW, rendered

from jql.agreement.invariance import translation_invariance
from jql.agreement.tables import invariance_table
from jql.errors import DataError


def test_invariance_by_hand():
    english = np.arange(30.0) / 10
    scores = {"eng_Latn": english, "deu_Latn": english + 0.5, "fra_Latn": -english, "ita_Latn": english - 0.1}
    found = translation_invariance(scores, settings=FEW)
    shifts = {code: entry["mean_shift"]["value"] for code, entry in found["languages"].items()}
    assert shifts == pytest.approx({"deu_Latn": 0.5, "fra_Latn": -2.9, "ita_Latn": -0.1})
    ranks = {code: entry["spearman"]["value"] for code, entry in found["languages"].items()}
    assert ranks == pytest.approx({"deu_Latn": 1, "fra_Latn": -1, "ita_Latn": 1})
    assert found["languages"]["deu_Latn"]["mean_shift"]["low"] == pytest.approx(0.5)  # the same in any resample
    assert found["mean"]["spearman"]["value"] == pytest.approx(1 / 3)
    assert found["mean"]["mean_shift"]["value"] == pytest.approx(-2.5 / 3)
    assert found["mean"]["absolute_shift"]["value"] == pytest.approx(3.5 / 3)
    assert found["worst"]["spearman"]["language"] == found["worst"]["mean_shift"]["language"] == "fra_Latn"
    assert found["mean"]["mean_shift"]["low"] < -2.5 / 3 < found["mean"]["mean_shift"]["high"]
    assert "0.500 [0.500, 0.500]" in rendered(invariance_table(found, "t"))


def test_invariance_of_constant_scores_has_a_reason():
    found = translation_invariance({"eng_Latn": np.arange(20.0), "deu_Latn": np.ones(20)}, settings=FEW)
    assert "all scores of the language" in found["languages"]["deu_Latn"]["spearman"]["reason"]
    assert found["mean"]["spearman"]["value"] is None and found["worst"]["spearman"] is None
    rendered(invariance_table(found, "t"))


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"deu_Latn": np.ones(30)}, "expected eng_Latn and at least one other language, found deu_Latn"),
        ({"eng_Latn": np.ones(30)}, "at least one other language, found eng_Latn"),
        ({"eng_Latn": np.ones(30), "deu_Latn": np.ones(29)}, r"scores of deu_Latn of shape \(29,\) for 30 documents"),
        ({"eng_Latn": np.ones(19), "deu_Latn": np.ones(19)}, "19 documents, expected at least 20; use more lines"),
        ({"eng_Latn": np.ones(30), "deu_Latn": np.full(30, np.nan)}, "30 of 30 scores of deu_Latn are not finite"),
    ],
)
def test_invariance_refuses_what_is_not_parallel(scores, message):
    with pytest.raises(DataError, match=message):
        translation_invariance(scores, settings=FEW)
