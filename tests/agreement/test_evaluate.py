"""Evaluation: the right documents in the right figures, honest gaps, and pairs that see small differences."""

import json

import numpy as np
import pytest
from agreement_help import FEW, rendered, sample
from hypothesis import given, settings
from hypothesis import strategies as st

from jql.agreement import metrics
from jql.agreement.evaluate import compare, evaluate, leave_one_language_out
from jql.agreement.figures import FIGURES, Settings
from jql.agreement.tables import comparison_table
from jql.errors import DataError


def test_each_figure_is_of_its_own_documents():
    scores, judged = sample()
    labels, _, _, lengths = judged
    result = evaluate(scores, *judged, FEW)
    for group, part in [("pooled", slice(0, 135)), ("deu_Latn", slice(0, 60)), ("fra_Latn", slice(60, 100))]:
        entry = result["pooled"] if group == "pooled" else result["languages"][group]
        s, y, z = scores[part], labels[part], lengths[part]
        values = {name: figure["value"] for name, figure in entry["figures"].items()}
        assert values == {
            "spearman": metrics.spearman(s, y),
            "spearman_given_length": metrics.partial_spearman(s, y, z.astype(float)),
            "spearman_of_length": metrics.spearman(z, y),
            "kendall": metrics.kendall(s, y),
            "mae": metrics.mae(s, y),
            "calibration_error": metrics.calibration_error(s, y, 0, 5),
            "precision_top_10": metrics.precision_at_top(s, y, 0.1),
            "precision_top_30": metrics.precision_at_top(s, y, 0.3),
        }
        assert entry["documents"] == entry["sources"] == len(s)
        assert sum(row["documents"] for row in entry["reliability"]) == len(s)
        for figure in entry["figures"].values():
            assert figure["low"] < figure["high"] and figure["undefined"] == 0


def test_the_macro_mean_counts_each_large_language_once_and_names_the_others():
    scores, judged = sample()
    result = evaluate(scores, *judged, FEW)
    assert result["macro"]["languages"] == ["deu_Latn", "fra_Latn"]
    for name in FIGURES:
        values = [entry["figures"][name]["value"] for entry in result["languages"].values()]
        assert result["macro"]["figures"][name]["value"] == pytest.approx(np.mean(values))
    assert result["languages_left_out"] == {
        "mlt_Latn": "10 labelled documents, 20 are needed",
        "dan_Latn": "all 25 labels are 2",
    }
    smaller = evaluate(scores, *judged, Settings(resamples=100, min_documents=10))
    assert smaller["macro"]["languages"] == ["deu_Latn", "fra_Latn", "mlt_Latn"]


@settings(max_examples=15)
@given(st.randoms(use_true_random=False))
def test_the_order_of_documents_changes_nothing(random):
    scores, judged = sample()
    order = list(range(len(scores)))
    random.shuffle(order)
    mixed = [[column[i] for i in order] for column in (scores, *judged)]
    a, b = evaluate(scores, *judged, FEW), evaluate(*mixed, FEW)
    for group in ("pooled", "macro"):
        for name in FIGURES:
            for key in ("value", "low", "high"):
                assert a[group]["figures"][name][key] == pytest.approx(b[group]["figures"][name][key])


def test_documents_without_a_label_are_counted_and_change_nothing():
    scores, judged = sample()
    rest = ([None, np.nan], ["deu_Latn"] * 2, [1, 2], [9, 9])
    more = [[*column, *two] for column, two in zip(judged, rest, strict=True)]
    result = evaluate([*scores, 0.1, 0.2], *more, FEW)
    assert result.pop("left_out") == {"no label": 2}
    expected = evaluate(scores, *judged, FEW)
    assert expected.pop("left_out") == {"no label": 0}
    assert result == expected


def test_constant_scores_have_no_rank_correlation_and_leave_no_macro_mean():
    scores, judged = sample()
    scores[:60] = 1.0
    result = evaluate(scores, *judged, FEW)
    german = result["languages"]["deu_Latn"]
    assert german["figures"]["spearman"] == {"value": None, "reason": "all scores are the same"}
    assert german["figures"]["mae"]["value"] > 0 and german["tied_share"] == 1 and german["distinct_scores"] == 1
    assert result["macro"]["figures"]["kendall"] == {"value": None, "reason": "not defined in deu_Latn"}
    assert result["macro"]["figures"]["mae"]["low"] is not None
    assert "NaN" not in json.dumps(result) and "Infinity" not in json.dumps(result)


def test_an_annotator_that_reads_only_the_length_is_seen_through():
    generator = np.random.default_rng(1)
    lengths = generator.integers(100, 5000, 400)
    labels = np.clip(np.round(lengths / 1000 + generator.normal(0, 0.7, 400)), 0, 5)
    scores = lengths / 1000 + generator.normal(0, 0.3, 400)
    figures = evaluate(scores, labels, ["deu_Latn"] * 400, range(400), lengths, FEW)["pooled"]["figures"]
    assert figures["spearman"]["value"] > 0.8 and figures["spearman_of_length"]["value"] > 0.8
    assert figures["spearman_given_length"]["low"] < 0 < figures["spearman_given_length"]["high"]


def test_translations_of_one_document_are_one_piece_of_evidence():
    scores, (labels, languages, sources, lengths) = sample()
    many = [np.tile(column, 4) for column in (scores, labels, languages, sources, lengths)]
    alone, copied = evaluate(scores, labels, languages, sources, lengths, FEW), evaluate(*many, FEW)
    assert copied["pooled"]["documents"] == 540 and copied["pooled"]["sources"] == 135
    a, b = alone["pooled"]["figures"]["spearman"], copied["pooled"]["figures"]["spearman"]
    assert (b["low"], b["high"]) == pytest.approx((a["low"], a["high"]))


def test_a_language_of_one_source_has_a_figure_and_no_interval():
    scores, (labels, languages, sources, lengths) = sample()
    sources = [0] * 60 + sources[60:]
    german = evaluate(scores, labels, languages, sources, lengths, FEW)["languages"]["deu_Latn"]
    spearman = german["figures"]["spearman"]
    assert spearman["value"] is not None and spearman["low"] is None
    assert spearman["reason"] == "one source document, an interval needs 2"


def test_comparison_is_paired_and_antisymmetric():
    good, judged = sample(noise=0.5)
    bad = good + np.random.default_rng(9).normal(0, 1.5, 135)
    ab, ba = compare(good, bad, *judged, FEW), compare(bad, good, *judged, FEW)
    singles = [evaluate(s, *judged, FEW) for s in (good, bad)]
    for group in ("pooled", "macro"):
        for name, entry in ab[group].items():
            values = [single[group]["figures"][name]["value"] for single in singles]
            assert (entry["a"], entry["b"], entry["difference"]) == (*values, values[0] - values[1])
            assert entry["low"] == pytest.approx(-ba[group][name]["high"])
        assert ab[group]["spearman"]["a_higher"] == 1 and ab[group]["spearman"]["low"] > 0
        assert ab[group]["mae"]["a_higher"] == 0 and ab[group]["mae"]["better"] == "lower"
    assert set(ab["languages"]) == {"deu_Latn", "fra_Latn"} and "spearman_of_length" not in ab["pooled"]


def test_an_annotator_does_not_differ_from_itself():
    scores, judged = sample()
    for group in (result := compare(scores, scores, *judged, FEW))["pooled"], result["macro"]:
        for entry in group.values():
            assert entry["difference"] == entry["low"] == entry["high"] == entry["a_higher"] == 0


def test_pairing_sees_a_difference_that_two_intervals_hide():
    scores, judged = sample(noise=2.0)
    shifted = scores + np.where(judged[0] > 2.5, 0.3, 0.0)  # a little better on the same documents
    found = compare(shifted, scores, *judged, FEW)["pooled"]["spearman"]
    alone = [evaluate(s, *judged, FEW)["pooled"]["figures"]["spearman"] for s in (shifted, scores)]
    assert found["low"] > 0 and alone[0]["low"] < alone[1]["high"]


def test_comparison_with_constant_scores_has_no_difference_but_a_reason():
    scores, judged = sample()
    found = compare(scores, np.ones(135), *judged, FEW)
    assert found["pooled"]["spearman"]["difference"] is None
    assert found["pooled"]["spearman"]["reason"] == "all scores are the same"
    assert found["macro"]["spearman"]["reason"] == "not defined in deu_Latn, fra_Latn"
    assert "all scores" not in rendered(comparison_table(found, "a", "b"))


def test_a_language_held_out_is_not_trained_on_nor_are_its_translations():
    _, (labels, languages, _, lengths) = sample()
    sources = [*range(60), *range(40), *range(100, 135)]  # the French are translations of the first 40 German ones
    calls = {}

    def fit_and_score(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        calls[languages[test[0]]] = (train.tolist(), test.tolist())
        return np.full(len(test), labels[train].mean()) + test / 1000

    labels_with_gap = [None, *labels[1:]]
    result = leave_one_language_out(labels_with_gap, languages, sources, lengths, fit_and_score, FEW)
    assert calls["deu_Latn"] == ([60, *range(100, 135)], list(range(1, 60)))
    assert calls["fra_Latn"] == ([*range(40, 60), *range(100, 135)], list(range(60, 100)))
    assert set(calls) == set(result["languages"]) == {"deu_Latn", "fra_Latn"}
    assert set(result["languages_left_out"]) == {"mlt_Latn", "dan_Latn"} and result["left_out"] == {"no label": 1}
    expected = labels[calls["fra_Latn"][0]].mean() + np.arange(60, 100) / 1000
    assert result["languages"]["fra_Latn"]["figures"]["mae"]["value"] == metrics.mae(expected, labels[60:100])


def test_leaving_out_refuses_what_cannot_be_held_out():
    labels = np.arange(60) % 6
    judged = (labels, ["deu_Latn"] * 60, range(60), np.ones(60))
    with pytest.raises(DataError, match="deu_Latn: no document of another language and source to train on"):
        leave_one_language_out(*judged, lambda train, test: test, FEW)
    with pytest.raises(DataError, match="no language has 61 labels that differ"):
        leave_one_language_out(*judged, lambda train, test: test, Settings(min_documents=61))
    _, two = sample()
    with pytest.raises(DataError, match=r"scores of deu_Latn of shape \(0,\) for 60 documents"):
        leave_one_language_out(*two, lambda train, test: test[:0], FEW)
