import json
import math
from collections import Counter
from itertools import pairwise

import pytest
from conftest import SHARED, needs_shared
from hypothesis import given
from hypothesis import strategies as st

from jql.errors import DataError, RecipeError
from jql.judge.parse import KINDS, LOW_MASS, Parsed, answer_of, count_kinds, expected_score, invalid_share, parse_reply
from jql.rubric import Rubric, load_rubric, make_rubric

EDU = load_rubric("educational")
STYLE = load_rubric("style")
LLAMA = "<|start_header_id|>assistant<|end_header_id|>\n\n"
plain = st.text(st.characters(exclude_categories=("Nd",), exclude_characters="<"))


def read(text: str | None, finish: str | None = "stop", rubric: Rubric = EDU) -> float | str:
    found = parse_reply(text, finish, rubric)
    assert (found.score is None) == (found.kind != "ok") and found.kind in KINDS
    return found.kind if found.score is None else found.score


@given(plain, st.integers(0, 5), plain)
def test_the_line_asked_for_is_read_in_any_text(before: str, score: int, after: str) -> None:
    assert read(f"{before}\nEducational score: {score}\n{after}") == score


@given(plain, st.integers(1, 5), plain)
def test_and_so_is_that_of_another_rubric(before: str, score: int, after: str) -> None:
    assert read(f"{before}\nStyle rating: {score}\n{after}", rubric=STYLE) == score


@given(st.text(), st.sampled_from(["stop", "length", "content_filter", None, ""]))
def test_any_text_is_read_as_something(text: str, finish: str | None) -> None:
    read(text, finish)


WORDS = (
    "score rating of is : - = not award give it this text points out 5 2 0 7 2.5 or to one zero , . ( ) / % ** total"
)


@given(
    st.lists(
        st.sampled_from([*WORDS.split(), "\n", "educational", "at most", "<think>", "</think>", LLAMA]), max_size=30
    )
)
def test_any_words_about_scores_are_read_as_something(words: list[str]) -> None:
    found = parse_reply(" ".join(words), "stop", EDU)
    assert found.kind in KINDS and (found.score in range(6) if found.kind == "ok" else found.score is None)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Educational score: 3", 3),
        ("educational Score: 3.", 3),
        ("**Educational score:** 2", 2),
        ("**Educational score: 2**", 2),
        ('"Educational score": "2"', 2),
        ("Educational score: <4>", 4),
        ("Educational score: 4/5", 4),
        ("Educational score: 4 out of 5 points", 4),
        ("Educational score: 2.0", 2),
        ("Educational score:\n\n1", 1),
        ("Educational score: 1\n- 1 point for the facts", 1),
        ("Educational score: 1, but on a second look\nEducational score: 2", 2),
        ("The text scores 4 points.\nEducational score: 3", 3),
        (LLAMA + "A recipe.\n\nEducational score: 1<|eot_id|>", 1),
        ("<|im_start|>assistant\nEducational score: 1<|im_end|>", 1),
        ("<start_of_turn>model\nEducational score: 1<end_of_turn>", 1),
        (LLAMA + "Educational score: 1" + LLAMA + "Educational score: 2", 2),
        ("<think>Educational score: 5? No, a shop.</think>Educational score: 0", 0),
        ("Educational score: 5? No, a shop.</think>Educational score: 0", 0),
    ],
)
def test_asked_for(text: str, score: float) -> None:
    assert read(text) == score


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("On the additive 5-point scale, a score of 0 is given, because the page sells shoes.", 0),
        ("Based on the 5-point scoring system, the page scores 0 points.", 0),
        ("The score is: 0", 0),
        ("The score for this page is therefore 3.", 3),
        ("The score that I would give to this lesson is **'4'**, for its exercises.", 4),
        ("I would award 1 point to this page.", 1),
        ("I would rate this lesson a 4 out of 5.", 4),
        ("I'd score it a 2.", 2),
        ("I would rate it as a 1-point score.", 1),
        ("Justified, with a score of 2 out of a possible 5.", 2),
        ("Score: 3 points", 3),
        ("Score-3", 3),
        ("I give the text a total of 2 points. It earns 1 point for its facts and another point for order.", 2),
        ("It gets a score of 2. It earns 1 point for its facts and another point for its order.", 2),
        ("My score is zero.", 0),
        ("It scores zero out of 5.", 0),
        ("Only one point will be granted.", 1),
        ("It does not teach much, so a score of 1 is fair.", 1),
        ('{"score": 3, "why": "clear"}', 3),
    ],
)
def test_other_words(text: str, score: float) -> None:
    assert read(text) == score
    assert read(text, "length") == score


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (None, "empty"),
        ("", "empty"),
        (" \n" + LLAMA, "empty"),
        ("<think>It might get a score of 3, but", "empty"),
        ("A page about shoes.", "no_score"),
        ("I would give it a low score.", "no_score"),
        ("On the 5-point scale this is hard. The rubric goes from 0 to 5.", "no_score"),
        ("Educational score: none", "no_score"),
        ("Educational score: <number>", "no_score"),
        ("I would not give this text a score of 5.", "no_score"),
        ("With exercises it could receive 3 points.", "no_score"),
        ("A score of 40% in the quiz is a pass, says the page.", "no_score"),
        ("Educational score: 7", "out_of_range"),
        ("Educational score: -1", "out_of_range"),
        ("Educational score: 3/10", "out_of_range"),
        ("Educational score: 3%", "out_of_range"),
        ("I would give it a score of 8.", "out_of_range"),
        ("I would give it a score of 4 out of 10.", "out_of_range"),
        ("Educational score: " + "9" * 5000, "out_of_range"),
        ("Educational score: 2.5", "between"),
        ("Educational score: 2,5", "between"),
        ("It has a score of 1.5 points.", "between"),
        ("Educational score: 2-3", "ambiguous"),
        ("Educational score: 2 or 3", "ambiguous"),
        ("Educational score: 2 – 3", "ambiguous"),
        ("Educational score: **2 (lowered to 0)**", "ambiguous"),
        ("Educational score: 2 at most", "ambiguous"),
        ("I would give it a score of 1 to 3.", "ambiguous"),
        ("I would give it a score of 2. Its order is poor, so it has a score of 1.", "ambiguous"),
        ("The page scores 0 or 1 point.", "ambiguous"),
        ("I can give it at most 1 point.", "ambiguous"),
        ("It earns 1 point for its facts. It earns a second point for its order.", "ambiguous"),
        ("I cannot rate a page that I do not have.", "refusal"),
        ("Please provide the extract, and I will gladly help.", "refusal"),
        ("There is no text provided.", "refusal"),
        ("You haven't included the page.", "refusal"),
    ],
)
def test_no_score(text: str | None, kind: str) -> None:
    assert read(text) == kind


def test_why_it_ended_matters_only_without_a_score() -> None:
    assert read("The page explains", "length") == "cut_off"
    assert read("", "length") == "cut_off" and read("<think>Well,", "length") == "cut_off"
    assert read("", "content_filter") == "refusal"
    assert read("Educational score: 9", "length") == "out_of_range"


def test_patterns_are_tried_in_order() -> None:
    base = {"name": "n", "task": "t", "scale": {-2: "a", -1: "b", 0: "c"}, "prompt": "{document}"}
    found = make_rubric({**base, "patterns": [r"A=(\S+)", r"B=(\S+)"]})
    assert read("B=0 A=-2 A=-1", rubric=found) == -1
    assert read("A=x B=-2", rubric=found) == -2  # what is no number does not count
    assert read("A=nan", rubric=found) == "out_of_range"
    assert read("A=1", rubric=found) == "out_of_range"
    either = make_rubric({**base, "patterns": [r"A(-\d)?"]})
    assert read("A", rubric=either) == "no_score"


def test_only_the_answer_is_left() -> None:
    assert answer_of("<|im_start|>user\nHow?<|im_end|>\n<|im_start|>assistant\nSo.<|im_end|>") == "So."
    assert answer_of("a < b and |c|") == "a < b and |c|"


# Expected score


def test_expected_score_by_hand() -> None:
    third = math.log(0.3)
    labels = [("2", third), (" 2", third), ("▁3", math.log(0.2)), ("Ġ4\n", math.log(0.1)), ("The", math.log(0.1))]
    found = expected_score(labels, EDU)
    assert found.kind == "ok" and found.mass == pytest.approx(0.9)
    # Labels 2, 3, 4 with 6/9, 2/9, 1/9: mean 22/9, variance (6 * 16 + 2 * 25 + 196) / 729 = 38/81.
    assert found.score == pytest.approx(22 / 9) and found.spread == pytest.approx(math.sqrt(38 / 81))


def test_what_is_no_label() -> None:
    none = expected_score(
        [("The", -0.1), ("7", -1.0), ("", -2.0), ("12", -3.0), ("3", -math.inf), ("2", math.nan)], EDU
    )
    assert (none.score, none.spread, none.mass, none.kind) == (None, None, 0.0, "no_labels")
    assert expected_score([], EDU).kind == "no_labels"
    low = expected_score([("The", math.log(0.6)), ("2", math.log(0.4))], EDU)
    assert (low.score, low.spread, low.kind) == (None, None, "low_mass") and low.mass == pytest.approx(0.4)
    assert expected_score([("2", -800.0)], EDU).kind == "low_mass"
    assert expected_score([("2", -9999.0), ("3", -0.01)], EDU).score == pytest.approx(3)


def test_expected_score_needs_labels() -> None:
    with pytest.raises(RecipeError, match="label_prompt"):
        expected_score([("2", -0.1)], make_rubric({**EDU.model_dump(mode="json"), "label_prompt": None}))


@given(st.lists(st.tuples(st.sampled_from(["0", "1", " 2", "3", "4", "▁5", "5"]), st.floats(0.001, 1)), min_size=1))
def test_expected_score_is_on_the_scale_and_knows_no_constant(weights: list[tuple[str, float]]) -> None:
    total = sum(weight for _, weight in weights)
    whole = expected_score([(label, math.log(weight / total)) for label, weight in weights], EDU)
    assert whole.score is not None and 0 <= whole.score <= 5 and 0 <= (whole.spread or 0) <= 2.5 + 1e-9
    assert whole.mass == pytest.approx(1) and whole.mass <= 1
    half = expected_score([(label, math.log(0.6 * weight / total)) for label, weight in weights], EDU)
    assert half.mass == pytest.approx(0.6) and half.score == pytest.approx(whole.score)
    assert half.spread == pytest.approx(whole.spread, abs=1e-6)
    less = expected_score([(label, math.log(0.4 * weight / total)) for label, weight in weights], EDU)
    assert less.kind == "low_mass" and less.mass < LOW_MASS


@given(st.lists(st.floats(0.01, 1), min_size=6, max_size=6))
def test_more_weight_on_the_top_raises_the_expected_score(weights: list[float]) -> None:
    def score(values: list[float]) -> float:
        found = expected_score([(str(i), math.log(v / sum(values))) for i, v in enumerate(values)], EDU).score
        assert found is not None
        return found

    rising = [score([*weights[:5], weights[5] * factor]) for factor in (1, 2, 4)]
    assert all(a < b for a, b in pairwise(rising))


# Counts


def test_counts() -> None:
    kinds = ["ok", "no_score", "ok", "timeout", "empty", "ok"]
    assert list(count_kinds(kinds).items()) == [("ok", 3), ("empty", 1), ("no_score", 1), ("timeout", 1)]
    assert invalid_share(count_kinds(kinds)) == pytest.approx(0.5) == invalid_share(Counter(kinds))
    assert invalid_share({"ok": 2}) == 0 and invalid_share({"empty": 2}) == 1
    with pytest.raises(DataError, match="answers: found none, expected at least one"):
        invalid_share({})


# Real replies


@needs_shared
def test_five_thousand_replies() -> None:
    import pyarrow.parquet as pq

    rows = pq.read_table(SHARED / "judged" / "multi26.parquet", columns=["scores", "replies"]).to_pylist()
    pairs = [pair for row in rows for pair in zip(row["scores"], row["replies"], strict=True)]
    found = [(stored, parse_reply(reply, None, EDU)) for stored, reply in pairs]
    assert len(found) == 5000
    assert all(parsed == Parsed(stored, "ok") for stored, parsed in found if stored is not None)
    kinds = count_kinds(parsed.kind for _, parsed in found)
    assert kinds["ok"] >= 4900 and invalid_share(kinds) < 0.02, json.dumps(kinds)

    # The line taken away, what a reply says in its own words agrees with it.
    blind = [
        (s, parse_reply(r.replace(f"Educational score: {s:.0f}", ""), None, EDU)) for s, r in pairs if s is not None
    ]
    read_blind = [(s, parsed.score) for s, parsed in blind if parsed.score is not None]
    assert len(read_blind) > 1000 and sum(s == score for s, score in read_blind) / len(read_blind) > 0.98
