"""Ranking: the order that is known comes out, on the same documents, with every document and answer accounted for."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rank_help import FEW, LANGUAGES, change, make_judge, make_truth, rendered, without

from jql.agreement import metrics
from jql.agreement.aggregate import aggregate
from jql.agreement.evaluate import compare, evaluate
from jql.agreement.figures import Settings
from jql.errors import DataError, RecipeError
from jql.judge.human import rating_matrix
from jql.judge.pairs import NO_DIFFERENCE, in_words, paired_differences, simultaneous
from jql.judge.rank import confusion, macro_f1, origin_line, rank
from jql.judge.rank_tables import rank_tables

TRUTH = make_truth()
JUDGES = {
    name: make_judge(TRUTH, noise, seed=i)
    for i, (name, noise) in enumerate([("good", 0.5), ("fair", 1.5), ("poor", 4)])
}


@pytest.fixture(scope="module")
def result() -> dict:
    return rank(TRUTH, JUDGES, {}, FEW)


def spearman(entry: dict, where: str = "common") -> dict:
    return entry[where]["macro"]["figures"]["spearman"] if where == "common" else entry[where]["macro"]


def columns(table: pa.Table) -> tuple:
    lengths = [len(text) for text in table["text"].to_pylist()]
    return *(table[name].to_pylist() for name in ("score", "language", "source")), lengths


def test_the_order_that_is_known_comes_out(result):
    assert list(result["judges"]) == ["good", "fair", "poor"]
    assert result["common"]["documents"] == 120 and result["common"]["sources"] == 60
    assert result["recommendation"]["judges"] == ["good", "fair", "poor"]
    assert result["recommendation"]["first_share"] == 1
    words = [pair["macro_spearman"]["words"] for pair in result["pairs"]]
    assert words == ["good is higher", "good is higher", "fair is higher"]


def test_figures_are_those_of_an_evaluation_of_all_figures(result):
    for judge, table in JUDGES.items():
        expected = evaluate(table["score"].to_pylist(), *columns(TRUTH), FEW)
        for group in ("pooled", "macro"):
            for name in ("spearman", "mae", "calibration_error"):
                assert result["judges"][judge]["common"][group]["figures"][name] == expected[group]["figures"][name]
        assert spearman(result["judges"][judge], "own") == expected["macro"]["figures"]["spearman"]


def test_a_paired_difference_is_that_of_the_two_figures_and_of_a_comparison(result):
    for pair in result["pairs"]:
        a, b = pair["judges"]
        entry = pair["macro_spearman"]
        assert entry["difference"] == spearman(result["judges"][a])["value"] - spearman(result["judges"][b])["value"]
        scores = [JUDGES[judge]["score"].to_pylist() for judge in (a, b)]
        expected = compare(*scores, *columns(TRUTH), FEW)["macro"]["spearman"]
        assert {key: entry[key] for key in ("difference", "low", "high", "a_higher", "undefined")} == {
            key: expected[key] for key in ("difference", "low", "high", "a_higher", "undefined")
        }
        assert entry["together"]["low"] < entry["difference"] < entry["together"]["high"]


def test_agreement_of_two_judges_is_the_mean_over_languages(result):
    pair = result["pairs"][0]
    scores = [np.array(JUDGES[judge]["score"].to_pylist()) for judge in pair["judges"]]
    languages = np.array(TRUTH["language"].to_pylist())
    values = [metrics.spearman(*(s[languages == language] for s in scores)) for language in LANGUAGES]
    assert pair["agreement"]["value"] == pytest.approx(np.mean(values))
    assert pair["agreement"]["low"] < pair["agreement"]["value"] < pair["agreement"]["high"]


def test_a_judge_that_is_the_truth_has_all_right():
    entry = rank(TRUTH, {"truth": make_judge(TRUTH, 0.0)}, {}, FEW)["judges"]["truth"]["common"]
    figures = entry["pooled"]["figures"]
    assert spearman({"common": entry})["value"] == pytest.approx(1) and entry["macro_f1"] == 1
    assert figures["mean_shift"]["value"] == figures["calibration_error"]["value"] == figures["mae"]["value"] == 0
    assert np.array_equal(entry["confusion"], np.diag(np.diag(entry["confusion"])))


def test_a_judge_that_gives_a_point_too_much_ranks_as_well_and_the_offset_shows():
    judges = {"high": make_judge(TRUTH, 1.0, offset=1.0), "level": make_judge(TRUTH, 1.0)}
    result = rank(TRUTH, judges, {}, FEW)
    high, level = (result["judges"][judge]["common"] for judge in ("high", "level"))
    assert high["macro"]["figures"]["spearman"] == level["macro"]["figures"]["spearman"]
    shift = high["pooled"]["figures"]["mean_shift"]
    assert shift["value"] == pytest.approx(level["pooled"]["figures"]["mean_shift"]["value"] + 1)
    assert 0.5 < shift["low"] < shift["high"] < 1.5
    assert high["macro_f1"] < level["macro_f1"]
    assert high["pooled"]["figures"]["calibration_error"]["value"] > 0.8
    assert result["pairs"][0]["macro_spearman"]["words"] == NO_DIFFERENCE


@settings(max_examples=5)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_and_judges_changes_nothing(result, random):
    def mixed(table: pa.Table) -> pa.Table:
        order = list(range(len(table)))
        random.shuffle(order)
        return table.take(pa.array(order))

    again = rank(mixed(TRUTH), {judge: mixed(JUDGES[judge]) for judge in ("poor", "good", "fair")}, {}, FEW)
    assert again == result


def test_what_does_not_match_is_counted_by_reason():
    judge = make_judge(TRUTH, 0.5).to_pylist()
    judge[0] |= {"score": None, "reason": "refused", "kinds": ["refused"] * 3}
    judge[1] |= {"score": None, "reason": None}
    judge[2] |= {"score": float("nan")}
    judge[3] |= {"id": "unknown"}
    judge[5] |= {"text": "Lesson 2 in other words"}
    truth = change(TRUTH, 4, score=None)
    result = rank(truth, {"odd": pa.Table.from_pylist(judge, JUDGES["good"].schema), **JUDGES}, {}, FEW)
    assert result["truth"] == {"documents": 120, "with_score": 119, "sources": 60, "origin": {"human": 119}}
    matched = result["judges"]["odd"]["matched"]
    assert matched == {
        "judgments": 120,
        "unknown_id": 1,
        "truth_without_score": 1,
        "invalid": {"no reason given": 1, "not finite": 1, "refused": 1},
        "not_judged": 1,
        "valid": 115,
        "other_text": 1,
    }
    assert result["common"]["documents"] == 115 and result["common"]["lost"] == 4
    assert result["judges"]["good"]["own"]["documents"] == 119
    kinds = result["judges"]["odd"]["invalid"]
    assert kinds["kinds"]["refused"] == {"count": 3, "share": 3 / (118 * 3)}
    assert kinds["answers"]["invalid"] == 3 / (118 * 3) and kinds["documents"]["count"] == 118
    text = rendered(rank_tables(result))
    assert "odd: 1 judgments are of another text" in text and "4 of 119 documents have no valid score of some" in text


def test_a_judge_with_many_invalid_answers_is_set_apart_and_changes_nothing_for_the_others(result):
    bad = make_judge(TRUTH, 0.1, invalid=0.5)
    found = rank(TRUTH, {"bad": bad, **JUDGES}, {}, FEW)
    assert list(found["judges"]) == ["good", "fair", "poor", "bad"]
    for judge, entry in result["judges"].items():
        assert found["judges"][judge] == entry
    assert found["pairs"] == result["pairs"] and found["common"] == result["common"]
    entry = found["judges"]["bad"]
    n = bad["score"].null_count
    assert entry["set_apart"] == f"{n} of 120 documents have no valid score ({n} invalid, 0 not judged), more than 10%"
    assert entry["common"] is None and entry["own"]["documents"] == 120 - n
    assert spearman(entry, "own")["value"] > 0.9
    assert found["recommendation"]["why_not"]["bad"]["why"] == "refused"
    assert "set apart, on its own documents" in rendered(rank_tables(found))


def test_a_judge_that_was_not_asked_about_a_quarter_is_set_apart_and_nothing_that_nobody_was_asked_about_counts():
    short = JUDGES["good"].slice(0, 90)
    found = rank(TRUTH, {"short": short, "fair": JUDGES["fair"]}, {}, FEW)
    assert "30 of 120 documents have no valid score (0 invalid, 30 not judged)" in found["judges"]["short"]["set_apart"]
    both = rank(TRUTH, {"short": short, "fair": JUDGES["fair"].slice(0, 90)}, {}, FEW)
    assert both["common"]["documents"] == both["common"]["asked"] == 90
    assert both["judges"]["short"]["set_apart"] is None and both["judges"]["short"]["matched"]["not_judged"] == 30


def test_a_judge_whose_answers_often_fail_but_never_all_three_is_ranked_and_not_recommended():
    rows = JUDGES["good"].to_pylist()
    for row in rows[:60]:
        row |= {"kinds": ["ok", "ok", "no_score"], "scores": [row["score"], row["score"], None]}
    found = rank(TRUTH, {**JUDGES, "good": pa.Table.from_pylist(rows, JUDGES["good"].schema)}, {}, FEW)
    assert next(iter(found["judges"])) == "good" and found["common"]["documents"] == 120
    assert found["recommendation"]["judges"] == ["fair", "poor"]
    reason = found["recommendation"]["why_not"]["good"]["words"]
    assert reason == "16.7% of its answers could not be read, more than 10%"
    assert rank(TRUTH, JUDGES, {}, FEW, max_invalid=0.2)["recommendation"]["judges"][0] == "good"


def test_one_judge_has_no_pairs():
    found = rank(TRUTH, {"good": JUDGES["good"]}, {"good": "g"}, FEW)
    assert found["pairs"] == [] and found["recommendation"]["judges"] == ["good"]
    assert "pairs of judges" not in rendered(rank_tables(found))


def test_costs_are_means_over_the_documents():
    half = change(change(JUDGES["good"], 0, tokens_in=None, seconds=3.0), 1, tokens_in=1990)
    means = rank(TRUTH, {"good": half}, {}, FEW)["judges"]["good"]["means"]
    assert means == {"tokens_in": pytest.approx(810), "tokens_out": 100, "seconds": 1.5125, "spread": 0}
    untold = JUDGES["good"].set_column(
        JUDGES["good"].column_names.index("tokens_in"), "tokens_in", pa.nulls(120, pa.int64())
    )
    assert rank(TRUTH, {"good": untold}, {}, FEW)["judges"]["good"]["means"]["tokens_in"] is None


def test_a_judge_that_is_the_same_everywhere_in_a_language_has_no_figure_and_is_not_chosen():
    rows = JUDGES["good"].to_pylist()
    for row in rows:
        row["score"] = 2.0 if row["language"] == "deu_Latn" else row["score"]
    found = rank(TRUTH, {**JUDGES, "flat": pa.Table.from_pylist(rows, JUDGES["good"].schema)}, {}, FEW)
    assert list(found["judges"])[-1] == "flat"
    assert spearman(found["judges"]["flat"]) == {"value": None, "reason": "not defined in deu_Latn"}
    assert found["recommendation"]["why_not"]["flat"]["why"] == "no figure"
    pair = next(pair for pair in found["pairs"] if pair["judges"] == ["good", "flat"])
    assert pair["macro_spearman"]["words"] == "flat: no figure" and pair["agreement"]["value"] is None
    assert "deu_Latn" in found["human"]["judges"]["flat"]["reason"]
    assert "NaN" not in json.dumps(found) and "flat: no figure" in rendered(rank_tables(found))


BAD_JUDGE = make_judge(TRUTH, 0.5, invalid=1.0)


@pytest.mark.parametrize(
    ("truth", "judges", "message"),
    [
        (TRUTH, {}, "judges: found none to rank; name at least one"),
        (TRUTH.slice(0, 49), JUDGES, "truth: found 49 labelled documents, and 0 without a label; expected at least 50"),
        (change(TRUTH, 3, score=7.0), JUDGES, "truth: 1 labels outside of 0 to 5, the first is 7 in row 3"),
        (change(TRUTH, 3, ratings=[1.0, 7.0, 1.0]), JUDGES, "truth: 1 ratings outside of 0 to 5, the first is 7"),
        (change(TRUTH, 3, raters=["a", "a", "b"]), JUDGES, "truth: document d001.fra_Latn has 3 ratings of 3 raters, 2"),
        (change(TRUTH, 3, ratings=[1.0]), JUDGES, "d001.fra_Latn has 1 ratings of 3 raters"),
        (change(TRUTH, 1, id="d000.deu_Latn"), JUDGES, "truth: 1 ids occur more than once, the first is d000.deu_Latn"),
        (TRUTH.drop_columns(["raters"]), JUDGES, "truth: no column raters among id, source"),
        (
            pa.Table.from_pylist([row | {"score": 2.0} for row in TRUTH.to_pylist()], TRUTH.schema),
            JUDGES,
            "truth: all 120 labels are 2, so nothing can be ranked",
        ),
        (TRUTH, {"mute": BAD_JUDGE}, "no judge is left to rank: mute: 120 of 120 documents have no valid score"),
        (TRUTH, {"twin": change(JUDGES["good"], 1, id="d000.deu_Latn")}, "judge twin: 1 ids occur more than once"),
        (TRUTH, {"thin": JUDGES["good"].drop_columns(["kinds"])}, "judge thin: no column kinds among id"),
        (TRUTH, {"far": make_judge(make_truth(60, ("xyz_Latn",)), 1.0)}, "judges far: no judgment has an id of the truth"),
        (TRUTH, {"short": JUDGES["good"].slice(0, 45)}, "documents with truth and a valid score of every judge: found 45"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_and_says_what_to_do(truth, judges, message):
    with pytest.raises(DataError, match=message):
        rank(truth, judges, {}, FEW)


def test_bad_settings_are_refused():
    with pytest.raises(RecipeError, match=r"max_invalid: expected a share in \[0, 1\), got 1; write 0.1"):
        rank(TRUTH, JUDGES, {}, FEW, max_invalid=1)
    with pytest.raises(RecipeError, match="choose: expected at least 1"):
        rank(TRUTH, JUDGES, {}, FEW, choose=0)
    with pytest.raises(RecipeError, match=r"figures: expected some of spearman, .*, got pearson"):
        Settings(figures=("pearson",))
    with pytest.raises(DataError, match="no language has 100 labels that differ; rate more of a language"):
        rank(TRUTH, JUDGES, {}, without(FEW, min_documents=100))


def test_a_mute_judge_among_others_is_set_apart_with_the_reason_why_it_has_no_figure_of_its_own():
    empty = JUDGES["good"].slice(0, 0)
    found = rank(TRUTH, {"mute": BAD_JUDGE, "absent": empty, **JUDGES}, {}, FEW)
    assert "0 labelled documents" in found["judges"]["mute"]["own"]["reason"]
    assert found["judges"]["mute"]["own"]["reason"].startswith("judge mute: ")
    assert "(0 invalid, 120 not judged)" in found["judges"]["absent"]["set_apart"]
    assert found["judges"]["absent"]["invalid"]["answers"] == {"count": 0, "invalid": None}
    assert rendered(rank_tables(found)).count("no: refused") == 2


def test_confusion_counts_points_with_halves_up_and_outside_at_the_ends():
    labels, scores = np.array([0.0, 0.0, 0.5, 2.0, 2.0]), np.array([-1.0, 1.2, 1.4, 1.5, 9.0])
    assert confusion(scores, labels, 0, 2).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 2]]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40))
def test_macro_f1_is_that_of_scikit_learn(pairs):
    from sklearn.metrics import f1_score

    labels, scores = (np.array(values, float) for values in zip(*pairs, strict=True))
    expected = f1_score(labels.astype(int), scores.astype(int), average="macro", zero_division=0)
    assert macro_f1(confusion(scores, labels, 0, 5)) == pytest.approx(expected)


def test_intervals_for_all_pairs_together_are_those_of_one_pair_or_wider():
    draws = np.random.default_rng(0).normal(0, [[1.0], [2.0], [3.0]], (3, 4000))
    alone = simultaneous(np.zeros(1), draws[:1])
    assert alone[0] == pytest.approx([-1.96, 1.96], abs=0.12)
    together = simultaneous(np.zeros(3), draws)
    assert together[:, 1] == pytest.approx([2.39, 4.78, 7.16], abs=0.25)  # Sidak: the normal quantile at .95^(1/3)
    copies = simultaneous(np.zeros(3), np.repeat(draws[:1], 3, axis=0))
    assert copies == pytest.approx(np.repeat(alone, 3, axis=0))
    assert simultaneous(np.zeros(2), np.stack([draws[0], np.zeros(4000)]))[1].tolist() == [0, 0]


def test_a_difference_in_words():
    together = {"together": {"low": -0.1, "high": 0.3}}
    assert in_words("a", "b", {"difference": 0.1, "low": 0.0, "high": 0.2, **together}) == NO_DIFFERENCE
    narrow = {"difference": 0.1, "low": 0.05, "high": 0.2}
    assert in_words("a", "b", {**narrow, **together}) == "a is higher, but not with all pairs in view"
    assert in_words("a", "b", {**narrow, "together": {"low": 0.01, "high": 0.3}}) == "a is higher"
    below = {"difference": -0.1, "low": -0.2, "high": -0.05, "together": {"low": -0.3, "high": -0.01}}
    assert in_words("a", "b", below) == "b is higher"
    missing = paired_differences({"a": 0.1, "b": None}, {"a": np.ones(9), "b": np.full(9, np.nan)})["a", "b"]
    assert missing["words"] == "b: no figure" and missing["together"] is None


def test_a_judge_is_compared_with_the_same_raters_as_a_rater_is(result):
    raters, ratings = rating_matrix(TRUTH)
    assert raters == ["rater 0", "rater 1", "rater 2"] and not np.isnan(ratings).any()
    scores, languages = np.array(JUDGES["fair"]["score"].to_pylist()), np.array(TRUTH["language"].to_pylist())
    of_rater, of_judge = [], []
    for r in range(3):
        rest = np.array([aggregate(column) for column in np.delete(ratings, r, axis=0).T.tolist()])
        for language in LANGUAGES:
            here = languages == language
            of_rater.append(metrics.spearman(ratings[r, here], rest[here]))
            of_judge.append(metrics.spearman(scores[here], rest[here]))
    human = result["human"]
    assert human["over"] == "macro" and human["rule"] == "majority" and human["documents"] == 120
    assert human["rater"]["value"] == pytest.approx(np.mean(of_rater))
    fair = human["judges"]["fair"]
    assert fair["value"] == pytest.approx(np.mean(of_judge))
    assert fair["less_rater"]["value"] == pytest.approx(fair["value"] - human["rater"]["value"])
    assert fair["less_rater"]["low"] < fair["less_rater"]["value"] < fair["less_rater"]["high"]
    assert human["ceiling"]["documents"] == 60  # the French ratings are those of the German originals
    assert human["ceiling"]["mean"]["value"] == pytest.approx(human["rater"]["value"])
    assert human["judges"]["poor"]["words"] == "lower than a rater"


def test_where_raters_take_turns_all_ratings_make_one_figure():
    many = make_truth(60, raters=40)
    human = rank(many, {"good": make_judge(many, 0.5)}, {}, FEW)["human"]
    assert human["over"] == "pooled" and human["rater"]["value"] == pytest.approx(human["ceiling"]["pooled"]["value"])
    assert human["judges"]["good"]["less_rater"] is not None and human["raters_left_out"]
    assert all("20 are needed" in reason for reason in human["raters_left_out"].values())


def test_documents_with_one_rating_have_no_ceiling_and_say_so():
    rows = [row | {"raters": row["raters"][:1], "ratings": row["ratings"][:1]} for row in TRUTH.to_pylist()]
    found = rank(pa.Table.from_pylist(rows, TRUTH.schema), JUDGES, {}, FEW)
    assert found["human"]["reason"] == "no document has ratings of two raters" and "rater" not in found["human"]
    assert found["human"]["reason"] in rendered(rank_tables(found))


def test_origin_is_told_wherever_it_is_not_people_and_models(result):
    assert result["origin"] is None and "origin" not in rendered(rank_tables(result))
    assert origin_line({"human": 9}, {"a": {"model": 9}, "b": {"synthetic": 9}}) == (
        "origin: truth human 9 documents; judges a: model; b: synthetic"
    )
    assert origin_line({"model": 9}, {"a": {"model": 9}}) == "origin: truth model 9 documents; judges a: model"
    truth = make_truth(origin="synthetic")
    judges = {name: make_judge(truth, 1.0, seed=i, origin="synthetic") for i, name in enumerate(("alpha", "beta"))}
    found = rank(truth, judges, {}, FEW)
    line = "origin: truth synthetic 120 documents; judges alpha, beta: synthetic"
    assert found["origin"] == line
    tables = rank_tables(found)
    assert len(tables) == 6
    for table in tables:
        assert " ".join(rendered([table]).split()).count(line) == 1


def test_tables_fit_120_columns_and_show_every_judge_language_and_number():
    truth = make_truth(60, ("deu_Latn", "fra_Latn", "fin_Latn"))
    names = [f"a-rather-long-model-name-{n}[b]-instruct" for n in range(8)]
    judges = {name: make_judge(truth, 0.5 + n / 4, seed=n, invalid=0.02) for n, name in enumerate(names)}
    found = rank(truth, judges, {name: f"family {n // 2}" for n, name in enumerate(names)}, FEW)
    text = rendered(rank_tables(found))
    assert all(len(line.rstrip()) <= 120 for line in text.splitlines()) and "…" not in text
    for entry in found["judges"].values():
        figure = spearman(entry)
        assert f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]" in text
        assert f"macro-F1 {entry['common']['macro_f1']:.3f}" in text
    assert text.count("fin_Latn") == 2 and text.count("800+100") == 8
    for pair in found["pairs"]:
        entry = pair["macro_spearman"]
        assert f"{entry['difference']:+.3f} [{entry['low']:+.3f}, {entry['high']:+.3f}]" in text
    joined = "".join(text.split())
    assert all(name in joined for name in names) and "no:family" in joined
