"""Words of a text in any of our languages: white space first, then one regular expression for the pieces with signs."""

from functools import lru_cache

import regex

from jql.languages import languages

# Signs that stand inside a word and not between two: apostrophe, hyphens, Catalan l·l, soft hyphen and joiners, and the
# Armenian question, stress and exclamation marks, which are written over a vowel in the middle of the word.
_HYPHENS = r"\-‐‑֊"
_INNER = rf"{_HYPHENS}·\u00AD\u200C\u200D\u2060՛՜՞"
_WORD = r"[\p{L}\p{M}\p{N}]+"
_NUMBER = rf"(?<=\p{{N}})[.,:'’٫٬](?=\p{{N}}){_WORD}"
_SIGN = r"\.{2,}|\S"


def _words(inner: str) -> str:
    return rf"{_WORD}(?:{_NUMBER}|[{inner}](?=[\p{{L}}\p{{N}}]){_WORD})*"


_PLAIN = regex.compile(rf"{_words(_INNER + chr(39) + '’')}|{_SIGN}")
# French l'eau, Italian dell'arte, Irish d'fhág: the article ends with its apostrophe and is a word of its own.
_ELISION = regex.compile(
    rf"(?i:aujourd['’]hui)|{_words(_INNER)}(?:(?<=[\p{{L}}\p{{M}}])['’](?=[\p{{L}}\p{{N}}]))?|{_SIGN}"
)
# Maltese il-ktieb, fl-1990, ta' Malta, b'mod: clitics end with a hyphen or an apostrophe; no clitic has over five letters.
_MALTESE = regex.compile(
    rf"""[\p{{L}}\p{{M}}]{{1,5}}[{_HYPHENS}](?=[\p{{L}}\p{{N}}'"‘“])|"""
    rf"{_WORD}(?:(?<=[\p{{L}}\p{{M}}])['’]|(?:{_NUMBER})*)|{_SIGN}"
)
# Chinese, Japanese and Thai write no spaces; a character is the smallest unit that needs no dictionary.
_SPACELESS_LETTER = r"[[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]--\p{N}]"
_CHARACTERS = regex.compile(
    rf"(?V1){_SPACELESS_LETTER}\p{{M}}*|"
    rf"[[\p{{L}}\p{{M}}\p{{N}}]--{_SPACELESS_LETTER}]+(?:(?<=\p{{N}})[.,:](?=\p{{N}})\p{{N}}+)*|{_SIGN}"
)
SPACELESS = frozenset({"Hani", "Hans", "Hant", "Jpan", "Thai"})
# A piece like `word,` is most of what is left after the plain words; it needs no regular expression.
_ENDINGS = frozenset(".,:;!?)")


@lru_cache(512)
def _pattern(language: str) -> "regex.Pattern[str]":
    if language.partition("_")[2] in SPACELESS:
        return _CHARACTERS
    if language == "mlt_Latn":
        return _MALTESE
    known = languages().get(language)
    return _ELISION if known is not None and known.elision else _PLAIN


def split_words(text: str, language: str) -> list[str]:
    """Words, numbers and single signs of a text, in order; case is kept, white space is left out.

    A language that is not in the table is split like German. Linear in the length of the text, also without any space.
    """
    pattern = _pattern(language)
    find = pattern.findall
    if pattern is _CHARACTERS:
        return [word for piece in text.split() for word in find(piece)]
    words: list[str] = []
    add, extend = words.append, words.extend
    for piece in text.split():
        if piece.isalnum():
            add(piece)
        elif piece[-1] in _ENDINGS and piece[:-1].isalnum():
            extend((piece[:-1], piece[-1]))
        else:
            extend(find(piece))
    return words
