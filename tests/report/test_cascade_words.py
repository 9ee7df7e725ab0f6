"""What a terminal says of a cascade: the promise, at which quantile, and which languages are scored whole."""

import pytest

from jql.report.cascade import cascade_words

CUT = {"threshold": 1.0, "saved": 0.2, "loss": 0.009, "loss_at_select": 0.0133, "sample": 10_000, "needed": 0}
WHOLE = {"threshold": None, "saved": 0.0, "loss": 0.0, "loss_at_select": 0.0133, "sample": 90, "needed": 700}


def told(languages, quantile=0.7):
    base = {"annotator": "edu", "before": "big", "loss": 0.01, "quantile": 0.6, "confidence": 0.95}
    return cascade_words({**base, "select_quantile": quantile, "languages": languages})


def test_the_promise_and_what_becomes_of_it_at_a_higher_quantile():
    text = told({"deu_Latn": CUT, "swe_Latn": {**CUT, "saved": 0.4}})
    assert text == (
        "cascade: edu holds back 20% to 40% (median 30%) of 2 languages from big; of what that would keep at quantile "
        "0.6, at most 1.0% is lost in a language (95% confidence each); at quantile 0.7 1.3%"
    )
    assert "quantile 0.6 0" not in told({"deu_Latn": CUT}, quantile=0.6)


@pytest.mark.parametrize("many", [1, 9])
def test_languages_scored_whole_are_named(many):
    text = told({f"x{i}": WHOLE for i in range(many)})
    assert text.startswith(
        "cascade: scored whole, as the sample cannot support the promise: x0 (90 documents drawn, about 700"
    )
    assert ("and 4 more, see summary.json" in text) == (many == 9)
