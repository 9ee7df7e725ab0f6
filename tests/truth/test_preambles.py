"""What a chat model says around a translation goes; what the document says stays."""

import pytest
from conftest import SHARED, needs_shared
from hypothesis import given
from hypothesis import strategies as st

from jql.truth.preamble_words import WORDS
from jql.truth.preambles import clean_answer, strip_preamble

TEXT = "Der var engang en by ved havet: den var lille.\n\n  - den havde en havn\n  - og et fyr"

ANNOUNCEMENTS = [
    "Here is the translation:",
    "Sure! Here's the Danish translation:",
    "**Translation:**",
    "## Translation:",
    "Translation (Danish):",
    "Danish translation:",
    "Translated text:",
    "The translation is as follows:",
    "Sure!\n\nHere is the text translated into Danish:",
    "Of course, I'd be happy to help.\n\nHere's the translation of the text into German:",
    "**Here is the Norwegian Bokmål version:**",
    "Certainly! Below is the translation into Danish:\n\n---",
    "Oversættelse:",
    "Selvfølgelig! Her er oversættelsen til dansk:",
    "Voici la traduction :",
    "Traduction en français :",
    "Hier ist die deutsche Übersetzung des Textes:",
    "Übersetzung ins Deutsche:",
    "Aquí tienes la traducción al español:",
    "Íme a magyar fordítás:",
    "İşte çeviri:",
    "Ево превода на српски:",
    "Þýðing á íslensku:",
    "إليك الترجمة:",
    "นี่คือคำแปลภาษาไทย:",
    "以下是中文翻译：",
    "<think>The user wants Danish.\n\nTranslation: easy.</think>",
    "It is a short text.\n</think>",
]
REMARKS = [
    "Note: I have kept the brand names in English.",
    "(Note: I have kept the line breaks.)",
    "*Note: This translation keeps the tone of the original.*",
    "---\n\nNote: The translation was shortened.",
    "---\nNote: the translation was shortened.",
    "Please note that some terms were left in English.",
    "**Hinweis:** Die Übersetzung behält die Absätze bei.",
    "Let me know if you would like any changes!",
    "I hope this helps!",
    "If you need a more formal translation, just ask.",
]
OWN = [
    "Summary: what we did\nand why",
    "The translation of poems has three stages:\n\n1. reading",
    "Translation techniques:\n- word for word",
    "Translation: the art of carrying words across",
    "Translators: Anna and Bo\n\nThe sea was calm.",
    "Here is a list of Danish cheeses:\n- danbo",
    "Here are the most translated books of all time:\n- one",
    "Evolucija prijevoda:\ntekst",
    "Her er menuen:\n- suppe",
    "Sure!\n\nWe went along.",
    "Note: prices exclude VAT.\n\nThe rest.",
    "The rest.\n\nNote: prices exclude VAT.",
    "Come in.\n\nFeel free to ask our staff.",
    "```\nprint()\n```\nruns\n```\nprint()\n```",
    '"Quoted" and "more"',
    "a < b and <think> is a tag</think>",
    "It opens with <think> and ends with\n</think>\nas any tag.",
    "Let me know if you can come.",
    "Translation:",
    "",
]


@pytest.mark.parametrize("announcement", ANNOUNCEMENTS)
@pytest.mark.parametrize("gap", ["\n", "\n\n", "\n \n\n"])
def test_an_announcement_goes(announcement, gap):
    assert strip_preamble(announcement + gap + TEXT) == TEXT


@pytest.mark.parametrize("remark", REMARKS)
def test_a_remark_at_the_end_goes(remark):
    assert strip_preamble(f"{TEXT}\n\n{remark}\n") == TEXT
    assert strip_preamble(f"Here is the translation:\n\n{TEXT}\n\n{remark}") == TEXT


@pytest.mark.parametrize("code", WORDS)
def test_every_language_has_its_words(code):
    noun = WORDS[code].translation.replace("(?:ال)?", "").split("|")[0]
    name = WORDS[code].own_name.replace("(?:ال)?", "").split("|")[0]
    for announcement in (f"{noun}:", f"{noun} ({name}):", f"{name} {noun}:"):
        assert strip_preamble(f"{announcement}\n\n{TEXT}") == TEXT


@pytest.mark.parametrize("text", OWN)
def test_what_a_document_says_itself_stays(text):
    assert strip_preamble(text) == text


def test_a_fence_and_rules_around_all_go():
    assert strip_preamble(f"```markdown\n{TEXT}\n```") == TEXT
    assert strip_preamble(f"Here is the translation:\n\n```\n{TEXT}\n```\n\nLet me know if it reads well.") == TEXT
    assert strip_preamble(f"Here is the translation:\n\n---\n\n{TEXT}\n\n---") == TEXT


def test_thinking_without_an_end_leaves_nothing():
    assert strip_preamble("<think>Let me see, the text") == ""


PLAIN = st.text(st.sampled_from("ab :\n\"'*-#()")).filter(lambda text: "```" not in text)


@given(PLAIN)
def test_text_without_such_lines_stays_as_it_is(text):
    assert strip_preamble(text) == text


@given(
    st.lists(st.sampled_from([*ANNOUNCEMENTS, *REMARKS, *OWN, TEXT, "```", "---", '"', ""]), max_size=6), st.booleans()
)
def test_what_is_stripped_once_is_stripped_for_good(parts, spaced):
    answer = ("\n\n" if spaced else "\n").join(parts)
    once = strip_preamble(answer)
    assert strip_preamble(once) == once
    cleaned = clean_answer(answer, "A text.")
    assert clean_answer(cleaned, "A text.") == cleaned


@given(st.lists(st.sampled_from([*OWN, TEXT, "word"]), min_size=1).map("\n".join))
def test_what_is_left_is_a_part_of_the_answer(text):
    assert strip_preamble(text) in text


def test_a_label_on_the_first_line_goes_if_the_original_has_no_colon_there():
    assert clean_answer("**Übersetzung:** Das Meer war ruhig.", "The sea was calm.") == "Das Meer war ruhig."
    assert clean_answer('Translation: "Das Meer war ruhig."', "The sea was calm.") == "Das Meer war ruhig."
    kept = "Übersetzung: die Kunst, Worte zu tragen"
    assert clean_answer(kept, "Translation: the art of carrying words") == kept


@pytest.mark.parametrize("quotes", ['""', "“”", "„“", "»«", "«»", "「」"])
def test_quotes_around_all_go_if_the_original_has_none(quotes):
    quoted = f"{quotes[0]}Das Meer war ruhig.{quotes[1]}"
    assert clean_answer(quoted, "The sea was calm.") == "Das Meer war ruhig."
    for original in (
        '"The sea was calm."',
        "'The sea's calm.'",
        '"The sea," she said, "was calm."',
        'The sea was "calm"',
    ):
        assert clean_answer(quoted, original) == quoted


def test_quotes_that_are_not_around_all_stay():
    text = "„Ruhig“, sagte sie, „war das Meer.“"
    assert clean_answer(text, "She said the sea was calm.") == text


@pytest.mark.parametrize(
    ("original", "translation"),
    [
        ("Here is the translation of the stone:\n\nHear us.", "Hier ist die Übersetzung des Steins:\n\nHört uns."),
        ("Buy now.\n\nNote: this translation is not binding.", "Kauf.\n\nHinweis: Diese Übersetzung gilt nicht."),
        ("```\nx = 1\n```", "```\nx = 1\n```"),
        ("Come in.\n\nLet me know if you come.", "Let me know if you come."),
    ],
)
def test_what_the_original_has_its_translation_may_have(original, translation):
    assert clean_answer(translation, original) == translation


def test_white_space_around_an_answer_goes():
    assert clean_answer(f"\n {TEXT}\n\n", "Once.") == TEXT


@needs_shared
def test_pages_stay_as_they_are():
    import pyarrow.parquet as pq

    pages = pq.read_table(SHARED / "web" / "dan_Latn.parquet").column("text").to_pylist()
    assert len(pages) > 100
    assert [page[:80] for page in pages if strip_preamble(page) != page] == []
