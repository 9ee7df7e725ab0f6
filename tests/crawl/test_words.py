"""Words: what is kept whole, what is cut, in every script; the same with and without the short cuts; linear in time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.crawl.words import _CHARACTERS, SPACELESS, _pattern, split_words
from jql.languages import languages

EXAMPLES = [
    ("deu_Latn", "3.14 und 1.000,50 um 12:30", ["3.14", "und", "1.000,50", "um", "12:30"]),
    ("deu_Latn", "um 12:30h, am 1.2.2020", ["um", "12:30h", ",", "am", "1.2.2020"]),
    ("deu_Latn", "Preis: 5, 6 oder 7...", ["Preis", ":", "5", ",", "6", "oder", "7", "..."]),
    ("deu_Latn", "(Nord-Ost) - 1/2", ["(", "Nord-Ost", ")", "-", "1/2"]),
    ("deu_Latn", "Am 3. Mai 1945. (2.)", ["Am", "3.", "Mai", "1945.", "(", "2.", ")"]),
    ("eng_Latn", "On 3. May 1945.", ["On", "3", ".", "May", "1945", "."]),
    ("deu_Latn", "Vor- und -nachteile, f--g ---", ["Vor-", "und", "-nachteile", ",", "f", "--", "g", "---"]),
    ("deu_Latn", "nein.Doch a.b U.S.A", ["nein", ".", "Doch", "a.b", "U.S.A"]),
    ("deu_Latn", "|Name||1,5| | x", ["|Name||1,5|", "|", "x"]),
    (
        "eng_Latn",
        "(https://a.org/b?c=1). www.d.org, e@f.org",
        ["(", "https://a.org/b?c=1", ")", ".", "www.d.org", ",", "e@f.org"],
    ),
    ("deu_Latn", "ja ... nein..... gut…", ["ja", "...", "nein", ".....", "gut", "…"]),
    ("deu_Latn", "Wort\u00adende", ["Wort\u00adende"]),
    ("deu_Latn", "snake_case _kursiv_", ["snake_case", "_", "kursiv", "_"]),
    ("eng_Latn", "don't 'quoted' rock’n’roll", ["don't", "'", "quoted", "'", "rock’n’roll"]),
    ("fra_Latn", "L’eau qu'il boit, lorsqu'on", ["L’", "eau", "qu'", "il", "boit", ",", "lorsqu'", "on"]),
    ("fra_Latn", "Aujourd'hui peut-être 1'000", ["Aujourd'hui", "peut-être", "1'000"]),
    ("fra_Latn", "Saint-Denis-d'Oléron", ["Saint-Denis-d'", "Oléron"]),
    ("ita_Latn", "cinquant'anni dell'arte", ["cinquant'", "anni", "dell'", "arte"]),
    ("cat_Latn", "l'home il·lusionat", ["l'", "home", "il·lusionat"]),
    ("gle_Latn", "d'fhág an t-uisce", ["d'", "fhág", "an", "t-uisce"]),
    ("mlt_Latn", "Il-ktieb ta' Malta fil-belt", ["Il-", "ktieb", "ta'", "Malta", "fil-", "belt"]),
    ("mlt_Latn", "fl-1990 b'mod jista’ 12.5", ["fl-", "1990", "b'", "mod", "jista’", "12.5"]),
    ("mlt_Latn", 'l-"Unjoni" ta\'l-art', ["l-", '"', "Unjoni", '"', "ta'", "l-", "art"]),
    ("hye_Armn", "Ինչո՞ւ է։", ["Ինչո՞ւ", "է", "։"]),
    ("kat_Geor", "და, წელს", ["და", ",", "წელს"]),
    ("ell_Grek", "Καλημέρα, κόσμε; άνω· τελεία", ["Καλημέρα", ",", "κόσμε", ";", "άνω", "·", "τελεία"]),
    ("ukr_Cyrl", "п'ять пʼять «так»", ["п'ять", "пʼять", "«", "так", "»"]),
    ("bul_Cyrl", "и\u0300 да", ["и\u0300", "да"]),
    ("arb_Arab", "كَتَبَ، ١٢٫٥", ["كَتَبَ", "،", "١٢٫٥"]),
    ("cmn_Hani", "我在2020年用Python 3.14。", ["我", "在", "2020", "年", "用", "Python", "3.14", "。"]),
    ("cmn_Hani", "说Привет吧", ["说", "Привет", "吧"]),
    ("tha_Thai", "กินที่นี่ ๑๒", ["กิ", "น", "ที่", "นี่", "๑๒"]),
]


@pytest.mark.parametrize(("language", "text", "words"), EXAMPLES)
def test_examples(language: str, text: str, words: list[str]) -> None:
    """Numbers, elided articles, clitics, marks and signs."""
    assert split_words(text, language) == words


@pytest.mark.parametrize("text", ["", " ", "\n\t\u00a0\u2028\x1c\x85"])
def test_white_space_has_no_words(text: str) -> None:
    """No empty words either."""
    assert all(split_words(text, language) == [] for language in ("deu_Latn", "fra_Latn", "mlt_Latn", "cmn_Hani"))


@pytest.mark.parametrize("text", ["\ud800", "\x00", "\u200b", "\u0301", "\U0010ffff", "#", "'", "-", "."])
def test_any_character_is_a_word(text: str) -> None:
    """Nothing that is no white space gets lost."""
    assert all(split_words(text, language) == [text] for language in ("deu_Latn", "fra_Latn", "mlt_Latn", "cmn_Hani"))


def test_unknown_language_is_split_like_english() -> None:
    """A crawl meets languages that are not in the table."""
    assert split_words("l'eau, Nord-Ost", "xxx_Latn") == split_words("l'eau, Nord-Ost", "eng_Latn")


LETTERS = ("a", "Wort", "é", "и", "e\u0301", "\u0301", "我", "ก", "ำ", "1", "23", "²", "il-", "l'", "aujourd'hui")
SIGNS = (
    "'",
    "’",
    "-",
    ".",
    ",",
    ":",
    "...",
    "…",
    "·",
    "\u00ad",
    "՞",
    "_",
    "#",
    "(",
    "!",
    "\x00",
    "\ud800",
    "|",
    "@",
    "http://",
)
PIECES = st.sampled_from([*LETTERS, *SIGNS, " ", "\n", "\u00a0"])
TEXTS = st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=60)


@given(TEXTS, st.sampled_from(sorted(languages())))
def test_words_are_the_text_without_white_space(text: str, language: str) -> None:
    """No character is lost, doubled or moved."""
    assert "".join(split_words(text, language)) == "".join(text.split())


@given(TEXTS, st.sampled_from(sorted(languages())))
def test_short_cuts_change_nothing(text: str, language: str) -> None:
    """Plain pieces and `word,` skip the regular expression; it would say the same."""
    found = [word for piece in text.split() for word in _pattern(language).findall(piece)]
    assert split_words(text, language) == found


def test_scripts_without_spaces_go_by_character() -> None:
    """The table and the pattern agree on which they are."""
    assert {code for code in languages() if _pattern(code) is _CHARACTERS} == {"cmn_Hani", "tha_Thai"}
    assert {languages()[code].script for code in ("cmn_Hani", "tha_Thai")} <= SPACELESS


@pytest.mark.parametrize("language", ["deu_Latn", "fra_Latn", "mlt_Latn", "tha_Thai"])
@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "1",
        "'",
        "-",
        ".",
        "1.",
        "1,",
        "a'",
        "a-",
        "ab-'",
        "a1'",
        "(a",
        "\u0301",
        "a\u00ad",
        "il-",
        "ก",
        "·",
        "|",
        "a.",
        "1,1.",
        "http://",
        "www.",
        "@",
        "_",
    ],
)
def test_linear_without_white_space(language: str, unit: str) -> None:
    """Eight times the text takes far less than 64 times as long, which backtracking would make it."""

    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        started = time.thread_time()
        split_words(text, language)
        return time.thread_time() - started

    assert seconds(120_000) < 24 * seconds(15_000) + 0.1
