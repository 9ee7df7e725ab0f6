"""Agreement as a result: every figure has a value with an interval, or none with a reason."""

import json
import time

import numpy as np
import pytest
from conftest import SHARED, needs_shared
from sklearn.metrics import cohen_kappa_score

from jql.agreement.figures import Settings
from jql.agreement.rater_figures import FIGURES, each_rater, rated_languages, rater_agreement
from jql.agreement.raters import alpha, given
from jql.errors import DataError, RecipeError

NAN = np.nan
FEW = Settings(resamples=100)
PAIRS = ("kappa_quadratic", "kappa_linear", "kappa_unweighted")


def noisy(raters=3, documents=60, seed=0, noise=1.0):
    generator = np.random.default_rng(seed)
    quality = generator.uniform(0, 5, documents)
    return np.clip(np.round(quality + generator.normal(0, noise, (raters, documents))), 0, 5)


def values(result):
    return {name: entry["value"] for name, entry in result["figures"].items()}


def reasons(result):
    return {entry.get("reason") for entry in result["figures"].values()}


def test_every_figure_has_its_interval():
    found = rater_agreement(noisy(), Settings(resamples=300))
    assert set(found["figures"]) == set(FIGURES)
    for entry in found["figures"].values():
        assert entry["low"] < entry["value"] < entry["high"] and entry["undefined"] == 0
    assert [pair["raters"] for pair in found["pairs"]] == [[0, 1], [0, 2], [1, 2]] and not found["pairs_left_out"]
    assert (found["raters"], found["documents"], found["rated_twice"], found["ratings"]) == (3, 60, 60, 180)


def test_kappas_are_those_of_scikit_learn_and_their_mean():
    ratings = noisy()
    found = rater_agreement(ratings, FEW)
    for name, weights in zip(PAIRS, ("quadratic", "linear", None), strict=True):
        pairs = [(0, 1), (0, 2), (1, 2)]
        whole = ratings.astype(int)
        expected = [cohen_kappa_score(whole[a], whole[b], labels=range(6), weights=weights) for a, b in pairs]
        assert [pair[name]["value"] for pair in found["pairs"]] == pytest.approx(expected)
        assert found["figures"][name]["value"] == pytest.approx(np.mean(expected))


def test_raters_who_are_alike_agree_fully():
    found = values(rater_agreement(np.tile(noisy(1), (3, 1)), FEW))
    perfect = {**dict.fromkeys(FIGURES, 1.0), "deviation": 0.0}
    assert found == pytest.approx(perfect)


def test_independent_raters_agree_by_chance():
    found = values(rater_agreement(np.random.default_rng(0).integers(0, 6, (3, 3000)).astype(float), FEW))
    for name in ("alpha_ordinal", "alpha_interval", *PAIRS, "fleiss_kappa"):
        assert abs(found[name]) < 0.04
    assert found["raw_agreement"] == pytest.approx(1 / 6, abs=0.02)


def test_one_label_only_leaves_the_coefficients_undefined_and_the_shares_at_1():
    found = rater_agreement(np.full((3, 10), 2.0), FEW)
    chance = ("alpha_ordinal", "alpha_interval", "fleiss_kappa", *PAIRS)
    assert all(found["figures"][name]["value"] is None for name in chance)
    assert found["figures"]["alpha_ordinal"]["reason"] == "all ratings are 2, so agreement by chance is 1"
    assert found["figures"]["kappa_linear"]["reason"].startswith("no pair of raters has 5 documents")
    assert found["figures"]["raw_agreement"]["value"] == 1
    assert found["pairs_left_out"][0]["reason"] == "both gave 2 to all 10, so agreement by chance is 1"


def test_what_cannot_be_said_is_none_with_a_reason():
    lone = rater_agreement(np.array([[0.0, 1, 2], [NAN] * 3]), FEW)
    assert reasons(lone) == {"found 1 rater with ratings, expected at least 2"} and lone["raters"] == 1
    apart = rater_agreement(np.array([[0, 1, NAN, NAN], [NAN, NAN, 2, 3]]), FEW)
    assert reasons(apart) == {"no document was rated by two raters"} and apart["documents"] == 4
    nothing = rater_agreement(np.full((2, 3), NAN), FEW)
    assert reasons(nothing) == {"found 0 raters with ratings, expected at least 2"}
    assert set(values(lone).values()) | set(values(apart).values()) | set(values(nothing).values()) == {None}
    assert json.dumps([lone, apart, nothing], allow_nan=False)


def test_one_document_has_values_and_no_interval():
    found = rater_agreement(np.array([[1.0], [2.0], [2.0]]), FEW)
    assert found["figures"]["raw_agreement"]["value"] == pytest.approx(1 / 3)
    assert found["figures"]["raw_agreement"]["low"] is None
    assert found["figures"]["raw_agreement"]["reason"] == "one source document, an interval needs 2"
    assert found["figures"]["kappa_linear"]["value"] is None


def test_pairs_with_few_documents_in_common_are_left_out():
    ratings = noisy(3, 20)
    ratings[2, 4:] = NAN
    found = rater_agreement(ratings, FEW)
    assert [pair["raters"] for pair in found["pairs"]] == [[0, 1]] and found["pairs"][0]["documents"] == 20
    assert found["pairs_left_out"] == [
        {"raters": [a, 2], "reason": "4 documents in common, 5 are needed"} for a in (0, 1)
    ]
    assert found["figures"]["kappa_linear"]["value"] == found["pairs"][0]["kappa_linear"]["value"]


def test_documents_rated_once_change_nothing():
    ratings = noisy(3, 30)
    more = np.full((3, 10), NAN)
    more[1] = 5
    found, wider = rater_agreement(ratings, FEW), rater_agreement(np.hstack([ratings, more]), FEW)
    assert found["figures"] == wider["figures"] and found["pairs"] == wider["pairs"]
    assert (wider["documents"], wider["rated_twice"]) == (40, 30)


def test_the_order_of_documents_is_no_matter_where_they_have_names():
    ratings, names = noisy(3, 30), [f"d{i:02}" for i in range(30)]
    order = np.random.default_rng(1).permutation(30)
    found = rater_agreement(ratings, FEW, names)
    moved = rater_agreement(ratings[::-1, order], FEW, [names[i] for i in order])
    for name, entry in found["figures"].items():
        assert moved["figures"][name] == pytest.approx(entry, abs=1e-9)


def test_translations_of_a_document_do_not_narrow_the_interval():
    ratings = noisy(3, 40)
    alone = rater_agreement(ratings, FEW, range(40))["figures"]["raw_agreement"]
    copied = rater_agreement(np.tile(ratings, 4), FEW, [*range(40)] * 4)["figures"]["raw_agreement"]
    assert (copied["low"], copied["high"]) == pytest.approx((alone["low"], alone["high"]))


def test_resamples_without_a_figure_are_counted():
    ratings = np.zeros((2, 6))
    ratings[0, 0] = 5  # a resample without this document has one label only
    found = rater_agreement(ratings, Settings(resamples=2000))["figures"]["alpha_interval"]
    assert found["undefined"] == pytest.approx((5 / 6) ** 6, abs=0.04)


def test_half_points_and_the_seed():
    ratings = noisy() / 2
    found = rater_agreement(ratings, FEW)
    held = given(ratings)
    assert found["figures"]["alpha_ordinal"]["value"] == alpha(held[1], held[0], "ordinal")
    again, other = rater_agreement(ratings, FEW), rater_agreement(ratings, Settings(resamples=100, seed=1))
    assert found == again and values(found) == values(other)
    assert found["figures"]["alpha_ordinal"]["low"] != other["figures"]["alpha_ordinal"]["low"]


def test_a_thousand_resamples_of_the_size_of_the_published_set_take_a_moment():
    started = time.perf_counter()
    rater_agreement(noisy(3, 511), Settings(resamples=1000))
    assert time.perf_counter() - started < 5  # 0.15 s where it was written; the machine is shared


def test_bad_input_is_refused():
    with pytest.raises(DataError, match="outside of 0 to 5"):
        rater_agreement([[0, 1], [6, 1]])
    with pytest.raises(RecipeError, match="expected at least 100, got 99"):
        rater_agreement(noisy(), Settings(resamples=99))


def test_languages_need_documents_that_were_rated_twice():
    ratings = noisy(2, 60)
    ratings[1, 50:] = NAN
    languages = ["deu_Latn"] * 25 + ["fra_Latn"] * 20 + ["dan_Latn"] * 15
    groups, left_out = rated_languages(ratings, languages, 20)
    assert {code: len(rows) for code, rows in groups.items()} == {"deu_Latn": 25, "fra_Latn": 20}
    assert left_out == {"dan_Latn": "5 documents rated twice, 20 are needed"}


def test_a_mild_rater_has_an_offset_and_ranks_as_before():
    ratings = np.tile(noisy(1, 40) / 2, (3, 1))
    ratings[1] += 1
    mild, plain = each_rater(ratings, FEW)[1], each_rater(ratings, FEW)[0]
    assert mild["offset"]["value"] == 1 and plain["offset"]["value"] == -0.5
    assert mild["spearman"]["value"] == pytest.approx(1) and mild["kappa_quadratic"]["value"] < 1
    assert (mild["ratings"], mild["common"]) == (40, 40)


def test_a_rater_is_measured_only_where_others_rated():
    ratings = np.array([[0.0] * 6 + [5] * 4, [0, 1, 2, 3, 4, 5] + [NAN] * 4, [NAN] * 10])
    first, second, third = each_rater(ratings, FEW)
    assert (first["ratings"], first["common"]) == (10, 6)
    assert first["offset"]["value"] == -2.5 and second["offset"]["value"] == 2.5
    assert first["spearman"] == {"value": None, "reason": "the rater is 0 in all 6 documents"}
    assert second["spearman"] == {"value": None, "reason": "the mean of the others is 0 in all 6 documents"}
    assert third["offset"] == {"value": None, "reason": "0 documents in common with others, 5 are needed"}


@needs_shared
@pytest.mark.parametrize(("file", "lowest", "highest"), [("educational_60x3", 0.4, 0.75), ("educational_38x8", 0.9, 1)])
def test_real_ratings_are_in_the_range_that_is_known(file, lowest, highest):
    import pyarrow.parquet as pq

    table = pq.read_table(SHARED / "ratings" / f"{file}.parquet", columns=["scores"])
    found = rater_agreement(np.array(table.column("scores").to_pylist(), float).T)["figures"]
    assert lowest < found["alpha_ordinal"]["value"] < highest
    for entry in found.values():
        assert entry["low"] <= entry["value"] <= entry["high"]
    assert found["kappa_unweighted"]["value"] < found["kappa_linear"]["value"] < found["kappa_quadratic"]["value"]
    assert found["unanimous"]["value"] <= found["majority"]["value"]
