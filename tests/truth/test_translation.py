"""What is asked, and which answers pass for a translation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from translated import TEXTS, text, truth_rows

from jql.crawl.language import load_identifier
from jql.languages import languages
from jql.truth.translation import (
    SAME,
    SURE_CHARS,
    Checked,
    check_answer,
    identity_of,
    length_bounds,
    messages_of,
    translator_of,
)

CODES = st.sampled_from(sorted(languages()))


@pytest.fixture(scope="module")
def identify():
    return load_identifier("default").identify


@pytest.fixture(scope="module")
def check(identify):
    def run(answer, target="deu_Latn", source="eng_Latn", original=None, finish="stop"):
        return check_answer(answer, finish, original or text(source, 1), source, target, identify)

    return run


def test_the_texts_of_these_tests_are_in_their_languages(identify):
    for code in TEXTS:
        found, confidence = identify(text(code, 1))
        assert (found, confidence > 0.9) == (code, True)


def test_a_document_is_sent_as_it_is_with_the_language_in_words():
    document = "A {strange} text:\n\n  with lines"
    system, user = messages_of(document, "srp_Cyrl")
    assert (system["role"], user["role"]) == ("system", "user")
    assert "Serbian (Cyrillic)" in system["content"]
    assert user["content"] == f"Translate this document into Serbian (Cyrillic):\n\n{document}"


@pytest.mark.parametrize("target", [code for code in TEXTS if code != "eng_Latn"])
def test_a_translation_passes_with_its_line_breaks(check, target):
    assert check(f"Here is the translation:\n\n{text(target, 1)}\n", target) == Checked(text(target, 1))


@pytest.mark.parametrize("source", [code for code in TEXTS if code != "eng_Latn"])
def test_a_translation_into_english_passes(check, source):
    assert check(text("eng_Latn", 1), "eng_Latn", source) == Checked(text("eng_Latn", 1))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (text("fra_Latn", 1), "wrong_language"),
        (text("ell_Grek", 1), "wrong_language"),
        (
            "I am sorry, but I cannot help with the translation of a text like this one, as it is about a storm at sea.",
            "wrong_language",
        ),
        (
            "I am sorry, but I cannot help with that. It is a text about a storm, and I do not know it.",
            "wrong_language",
        ),
        (text("eng_Latn", 1), "unchanged"),
        ("  " + text("eng_Latn", 1).replace("\n", " \n"), "unchanged"),
        ("", "empty"),
        (" \n", "empty"),
        ("<think>What could it be", "empty"),
        ("Der alte Hafen wurde wieder aufgebaut.", "too_short"),
        ("\n".join([text("deu_Latn", 1)] * 4), "too_long"),
    ],
)
def test_an_answer_that_is_no_translation_has_a_reason(check, answer, reason):
    assert check(answer) == Checked(None, reason)


def test_an_answer_that_did_not_end_by_itself_is_none(check):
    assert check(text("deu_Latn", 1), finish="length") == Checked(None, "cut_off")
    assert check(text("deu_Latn", 1), finish="content_filter") == Checked(None, "filtered")
    assert check(text("deu_Latn", 1), finish=None) == Checked(text("deu_Latn", 1))


def test_a_short_text_passes_in_any_language_of_the_script_but_english(check):
    assert check("Guten Morgen!", original="Good morning!") == Checked("Guten Morgen!", note=None)
    assert check("Hej hej", original="Hello there") == Checked("Hej hej", note="short")
    assert check("I cannot do that, I am sorry", original="Good morning to all") == Checked(None, "wrong_language")
    assert check("Καλημέρα", original="Good morning!") == Checked(None, "wrong_language")
    assert check("12:30", original="12.30 pm") == Checked("12:30", note="short")


def test_bosnian_croatian_and_serbian_pass_for_each_other_in_latin_letters(check):
    serbian = (
        "Stara luka je obnovljena posle oluje prošle zime. Ribari su platili polovinu, a opština je dala ostatak. Danas je "
        "brod prvi put isplovio, a uvek ima ljudi koji na to gledaju sa lepog mesta pored reke, dok deca trče svuda."
    )
    assert check(serbian, "srp_Latn") == Checked(serbian)
    assert check(serbian, "hrv_Latn") == Checked(serbian, note="close")
    assert check(serbian, "srp_Cyrl") == Checked(None, "wrong_language")
    assert set(SAME) == {"bos_Latn", "hrv_Latn", "srp_Latn"}


def test_bounds_by_hand():
    assert length_bounds(1000, "eng_Latn", "fra_Latn") == (400.0, 2500.0)
    assert length_bounds(900, "eng_Latn", "cmn_Hani") == pytest.approx((120.0, 2250.0))
    assert length_bounds(300, "cmn_Hani", "eng_Latn") == pytest.approx((120.0, 2250.0))
    assert length_bounds(10, "eng_Latn", "fra_Latn") == (0.0, 250.0)


@given(st.integers(0, 100_000), CODES, CODES)
def test_a_text_as_long_as_the_original_is_within_bounds(chars, source, target):
    shortest, longest = length_bounds(chars, source, target)
    assert shortest <= chars <= longest
    assert longest >= SURE_CHARS


@given(st.integers(SURE_CHARS, 100_000), CODES, CODES)
def test_bounds_there_and_back_agree(chars, source, target):
    shortest, longest = length_bounds(chars, source, target)
    back_shortest, back_longest = length_bounds(chars, target, source)
    assert shortest * back_longest == pytest.approx(chars**2)
    assert longest * back_shortest == pytest.approx(chars**2)


def test_scores_do_not_decide_what_is_translated_but_texts_do():
    rows = truth_rows()
    same = identity_of(rows)
    rows[0]["score"], rows[0]["raters"] = 5.0, ["cy"]
    assert identity_of(rows) == same
    rows[0]["text"] += "."
    assert identity_of(rows) != same


def test_the_translator_is_the_model_with_its_revision():
    assert translator_of("tiny", "") == "tiny"
    assert translator_of("tiny", "2025-01") == "tiny@2025-01"
