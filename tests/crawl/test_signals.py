"""Signals by hand, and the reason to drop a document against datatrove's own filters with the same words and limits."""

import time
from random import Random

import numpy as np
import pytest
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION
from hypothesis import assume, event, given
from hypothesis import strategies as st

from jql.crawl.reference import reference_reason
from jql.crawl.signals import filter_reason, signals, thresholds
from jql.crawl.words import SPACELESS, split_words
from jql.languages import languages
from jql.schema import SIGNALS


def signal(name: str, text: str, language: str = "deu_Latn") -> float:
    """One value by its name."""
    return float(signals(text, language)[SIGNALS.index(name)])


BY_HAND = [
    ("n_words", "Ein Hund , und noch ...", 4),
    ("mean_word_length", "ab abcd !", 3),
    ("mean_word_length", "! ?", 0),
    ("hash_ratio", "# a b c", 1 / 4),
    ("ellipsis_ratio", "a ... b …", 2 / 4),
    ("ellipsis_ratio", "......", 2 / 1),  # one sign, but it holds three dots twice
    ("bullet_lines", "- a\n • b\nc\nd-", 2 / 4),
    ("ellipsis_lines", "a...\nb… \nc", 2 / 3),
    ("alpha_words", "a 1 , b2", 2 / 4),
    ("stop_words", "der und und Hund Der", 2),
    ("dup_para", "a b\n\nc\n\n\na b\n", 1 / 3),
    ("dup_para_chars", "a b\n\nc\n\na b", 3 / 11),
    ("dup_line", "ab\nc\n\nab", 1 / 3),
    ("dup_line", "\na\n", 1 / 3),  # an empty line before and one after
    ("dup_line_chars", "ab\nc\n\nab", 2 / 8),
    ("top_2_gram", "a b a b c", 2 * 3 / 9),
    ("top_2_gram", "a bb ccc", 4 / 8),  # a tie: the first
    ("top_2_gram", "a", 0),
    ("top_3_gram", "a b c a b c", 2 * 5 / 11),
    ("top_3_gram", "a b a b ccc", 5 / 11),  # its pairs come twice, but no 3-gram does
    ("top_4_gram", "a b c d a b c d", 2 * 7 / 15),
    ("top_4_gram", "x a b c y a b c", 7 / 15),
    ("dup_5_gram", "a b c d e a b c d e", 5 / 19),
    ("dup_5_gram", "a a a a a a a a a a", 5 / 19),  # after the repeated one too few words are left
    ("dup_5_gram", "ab c d e f a bc d e f", 6 / 21),  # compared without spaces, as datatrove does
    ("dup_6_gram", "a b c d e f a b c d e f", 6 / 23),
    ("dup_7_gram", "a b c d e f g a b c d e f g", 7 / 27),
    ("dup_8_gram", "a b c d e f g h a b c d e f g h", 8 / 31),
    ("dup_9_gram", "a b c d e f g h i a b c d e f g h i", 9 / 35),
    ("dup_10_gram", "a b c d e f g h i j a b c d e f g h i j", 10 / 39),
    ("dup_10_gram", "a b c d e f g h i a b c d e f g h i", 0),
    ("line_punct", "a.\nb\nc!\n \n\nd. ", 2 / 4),
    ("short_lines", "a" * 30 + "\n" + "a" * 31, 1 / 2),
    ("char_dup", "ab\ncd\nab", 2 / 6),
    ("newline_ratio", "a\nb\nc d", 2 / 4),
]


@pytest.mark.parametrize(("name", "text", "value"), BY_HAND)
def test_by_hand(name: str, text: str, value: float) -> None:
    """Counted on paper."""
    assert signal(name, text) == value


def test_every_signal_is_counted_by_hand() -> None:
    """A new signal needs an example."""
    assert {name for name, _, _ in BY_HAND} == set(SIGNALS)


@pytest.mark.parametrize("text", ["", " ", "\n", "\n\n\n", " \n\t\n \u00a0", "\x1c"])
def test_white_space_is_empty(text: str) -> None:
    """All zero and the reason says so, in every language with limits."""
    values = signals(text, "deu_Latn")
    assert values.shape == (len(SIGNALS),)
    assert not values.any()
    assert {filter_reason(values, code) for code in thresholds() if code not in ("cmn_Hani", "tha_Thai")} == {"empty"}


@pytest.mark.parametrize(
    "text", ["a", "-", ".", "…", "#", "?!", "* * *", "\ud800", "a\ud800b \udfff", "\x00", "\x00 a\x00", "\n."]
)
@pytest.mark.parametrize("language", ["deu_Latn", "fra_Latn", "mlt_Latn", "cmn_Hani", "xxx_Xxxx"])
def test_odd_texts_have_finite_values(text: str, language: str) -> None:
    """One character, signs only, lone surrogates, NUL bytes."""
    values = signals(text, language)
    assert values.dtype == np.float64
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    limited = language in thresholds() and language != "cmn_Hani"
    assert (filter_reason(values, language) is not None) == limited


@pytest.mark.parametrize(
    "unit", ["a", "'", "-", "\n", "a\n", "...\n", " a", "\u00ad", "a b c d e f g h i j ", "\ud800"]
)
def test_a_long_odd_page_takes_no_minutes(unit: str) -> None:
    """Half a megabyte of one thing takes half a second, not the minutes of a quadratic step."""
    text = unit * (500_000 // len(unit))
    started = time.perf_counter()
    signals(text, "deu_Latn")
    assert time.perf_counter() - started < 8


def test_table_of_thresholds() -> None:
    """All languages that jql knows, and numbers that datatrove would not take for "off" (0) or for nonsense."""
    found = thresholds()
    assert set(found) == set(languages())
    assert len(found) == 42
    for limits in found.values():
        shares = [limits.dup_line, limits.alpha_words, *limits.top.values(), *limits.dup.values()]
        assert all(0 < share < 1 for share in shares)
        assert list(limits.top) == [2, 3, 4]
        assert list(limits.dup) == [5, 6, 7, 8, 9, 10]
        assert sorted(limits.top.values(), reverse=True) == list(limits.top.values())
        assert sorted(limits.dup.values(), reverse=True) == list(limits.dup.values())
        assert limits.line_punct == -1 or 0 <= limits.line_punct < 1
        assert 0 < limits.newline_ratio < 1
        assert 0 <= limits.min_word_length < limits.max_word_length <= 30
        assert len(limits.stop_words) >= 8


def test_stop_words_are_words() -> None:
    """A stop word that our words never are would only ever drop documents. Known: abbreviations keep no full stop."""
    lost = {
        (code, word)
        for code, limits in thresholds().items()
        if code.partition("_")[2] not in SPACELESS
        for word in limits.stop_words
        if word not in split_words(f"x {word} malta", code) + split_words(f"x {word}malta", code)
    }
    assert lost == {("bul_Cyrl", "г."), ("fin_Latn", "s.")}


VOCABULARY = {
    "deu_Latn": "der die und in von Hund Brücke läuft gestern zwölf Apfelbäume Donaudampfschifffahrt geht's 3,5 1.000",
    "eng_Latn": "the be to of and that have with river don't seventeen quietly bread well-known 12:30 2.5 a I",
    "fra_Latn": "de la l'eau d'une et à en qu'il peut-être rivière aujourd'hui cheval 1.000,50 mange lentement",
    "ita_Latn": "di che è dell'acqua un'ora la per cavallo lentamente ponte vecchio 7 incomprensibilissimamente",
    "mlt_Latn": "il-ktieb ta' fil-belt u li b'mod qattus mill-iskola jiekol tal-baħar 1990",
    "bul_Cyrl": "на и в от за се река куче хляб върви бавно 2020 най-добър г.",
    "ell_Grek": "του και το της από ποτάμι σκύλος ψωμί αργά απ' 15 καλημέρα",
    "kat_Geor": "და წელს იყო რომ მდინარე ძაღლი პური ნელა 33",
    "hye_Armn": "է և են որ գետ շուն հաց ինչո՞ւ դանդաղ 8",
    "arb_Arab": "في من على إلى أن نهر كلب خبز ببطء ١٢ كَتَبَ",
    "srp_Latn": "i je da u se na reka pas hleb polako 5 najbolji",
    "tur_Latn": "ve bir bu ile için nehir köpek ekmek yavaşça İstanbul'da 4",
}
SIGNS = (",", ".", "-", "#", "##", "...", "…", "(", "!", "•", "42", "_", "x" * 40)
ENDS = st.sampled_from([".", ".", ".", "!", "?", "", "...", "…", " ", ",", ";", "։", "؟"])
STARTS = st.sampled_from(["", "", "", "", "- ", "• ", "# ", "  ", "\u00a0"])
BREAKS = st.sampled_from(["\n", "\n", "\n\n", "\n\n\n", "\r\n", "\n \n", "\u2028"])


@st.composite
def pages(draw: st.DrawFn) -> tuple[str, str]:
    """(text, language): sentences of real and invented words and signs, some again and again; 1 to 300 words."""
    language = draw(st.sampled_from(sorted(VOCABULARY)))
    real = VOCABULARY[language].split()
    letters = sorted({letter for word in real for letter in word if letter.isalpha()})
    chance = Random(draw(st.integers(0, 2**32)))
    invented, signs = draw(st.sampled_from([0.0, 0.6, 0.9])), draw(st.sampled_from([0.0, 0.0, 0.1, 0.3]))
    longest = draw(st.sampled_from([2, 9, 30]))

    def token() -> str:
        if chance.random() < signs:
            return chance.choice(SIGNS)
        if chance.random() < invented:
            return "".join(chance.choices(letters, k=chance.randint(1, longest)))
        return chance.choice(real)

    sizes = st.integers(1, draw(st.sampled_from([3, 30])))
    sentences = [
        draw(STARTS) + " ".join(token() for _ in range(draw(sizes))) + draw(ENDS)
        for _ in range(draw(st.integers(1, 12)))
    ]
    again = draw(st.lists(st.sampled_from(sentences), max_size=draw(st.sampled_from([0, 0, 2, 8]))))
    between = draw(st.sampled_from([None, " "]))
    parts = [part + (between or draw(BREAKS)) for part in draw(st.permutations(sentences + again))]
    return "".join(parts), language


@given(pages())
def test_reason_is_that_of_datatrove(page: tuple[str, str]) -> None:
    """Generated pages of twelve languages; the first rule that fails is the same, exactly, at any threshold."""
    text, language = page
    expected = reference_reason(text, language)
    event(str(expected))
    assert filter_reason(signals(text, language), language) == expected


@given(st.text(max_size=80), st.sampled_from(sorted(VOCABULARY)))
def test_reason_of_any_characters(text: str, language: str) -> None:
    """Arbitrary Unicode. A lone sign among white space has no value but zero and counts as empty, so it is left out."""
    values = signals(text, language)
    assume(values.any())
    assert filter_reason(values, language) == reference_reason(text, language)


PROSE = (
    "The river was quiet that morning, and an old man had walked slowly across it with his dog. "
    "He likes to be there early, when nobody else is awake yet. Seventeen boats lay along this wall; two of them "
    "came here after last year's flood, and children climb inside for playing captain until someone calls. "
    "Bread smells good behind every open door."
)
RARE = [f"{a}eri{b}" for a in "abcdefgh" for b in "klmnopqr"]


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (None, PROSE),
        ("dup_line_frac", f"{PROSE}\n" + "Read more.\n" * 4),
        ("top_2_gram", PROSE + " red apple," * 20),
        ("top_3_gram", " ".join(f"{w} yellow and green" for w in RARE[:3]) + " " + PROSE[:170] + "."),
        ("duplicated_5_n_grams", f"{PROSE} {PROSE}"),
        ("line_punct_ratio", PROSE + "\nHome\nNews\nSport\nWeather\nContact\nImprint\nJobs\nShop\nLogin"),
        ("list_ratio", PROSE + "\n" + "\n".join(f"{word}." for word in RARE)),
        ("gopher_short_doc", PROSE[:150] + "."),
        ("gopher_below_avg_threshold", " ".join(f"{a}{b}" for a in "abcdefgh" for b in "klmnopqr") + "."),
        ("gopher_above_avg_threshold", " ".join(word * 3 for word in RARE) + "."),
        ("gopher_too_many_hashes", " ".join(f"#{word}" for word in PROSE.split())),
        (
            "gopher_too_many_ellipsis",
            "".join(f"{word} … " if i % 4 == 0 else f"{word} " for i, word in enumerate(RARE)) + ".",
        ),
        ("gopher_too_many_bullets", "- " + PROSE),
        ("gopher_too_many_end_ellipsis", PROSE + ".."),
        ("gopher_below_alpha_threshold", PROSE + " " + " ".join(str(n) for n in range(100, 130)) + "."),
        ("gopher_enough_stop_words", " ".join(RARE) + "."),
    ],
)
def test_one_page_for_every_reason(reason: str | None, text: str) -> None:
    """The reason that was meant, ours and datatrove's."""
    assert reference_reason(text, "eng_Latn") == reason
    assert filter_reason(signals(text, "eng_Latn"), "eng_Latn") == reason


def test_a_value_at_its_limit_is_within() -> None:
    """6 hashes among 60 words and signs are 0.1, which is allowed; rounded to float32 it is above."""
    text = " ".join(["# the # of", *RARE[:20], "# and #", *RARE[20:40], "# #", *RARE[40:49]]) + " be."
    assert (text.count("#"), len(split_words(text, "eng_Latn"))) == (6, 60)
    values = signals(text, "eng_Latn")
    assert reference_reason(text, "eng_Latn") is None
    assert filter_reason(values, "eng_Latn") is None
    assert filter_reason(values.astype(np.float32), "eng_Latn") == "gopher_too_many_hashes"


def test_no_reason_without_limits_or_spaces() -> None:
    """Unknown languages, and scripts whose limits count words of a dictionary."""
    assert filter_reason(signals("x", "xxx_Latn"), "xxx_Latn") is None
    assert filter_reason(signals("我", "cmn_Hani"), "cmn_Hani") is None


def test_definitions_of_punctuation_fit_the_short_cuts() -> None:
    """Words of letters are taken for words without a look, and a line is judged by its last character."""
    assert not any(character.isalpha() for character in PUNCTUATION_SET)
    assert {len(character) for character in TERMINAL_PUNCTUATION} == {1}
    assert not any(character.isspace() for character in TERMINAL_PUNCTUATION)
