"""Words of a text in any of our languages: white space first, then one regular expression for the pieces with signs.

FineWeb2's limits were derived with spaCy's words, so where taste is free we cut as most of its languages do: addresses,
`snake_case`, `1/2`, `-word`, `word-` and the cells of a table (`|a||b|`) stay whole, `word.Next` and `a--b` do not.
Unlike spaCy, compounds keep their hyphens in every language, and there are no lists of abbreviations.
"""

from functools import lru_cache

import regex

from jql.languages import languages

_ALNUM = r"[\p{L}\p{N}]"
_WORD = r"[\p{L}\p{M}\p{N}|]+"
_HYPHENS = r"\-‐‑֊"
# Signs that stand inside a word, not between two: Catalan l·l, soft hyphen and joiners, and the Armenian question,
# stress and exclamation marks, which are written over a vowel in the middle of the word.
_INNER = r"·\u00AD\u200C\u200D\u2060՛՜՞@_"
_NUMBER = rf"(?<=\p{{N}})[.,:/'’٫٬](?=\p{{N}}){_WORD}"
_POINT = rf"\.(?={_ALNUM})(?!(?<=\p{{Ll}}\.)\p{{Lu}}){_WORD}"
_ADDRESS = r"""(?i:https?://|www\.)[^\s<>"'()|]*[^\s<>"'()|.,:;!?]"""
_SIGN = r"\.{2,}|-{2,}|\S"


def _words(inner: str) -> str:
    return rf"{_WORD}(?:{_NUMBER}|{_POINT}|[{inner}](?={_ALNUM}){_WORD})*"


def _compile(start: str, inner: str, end: str) -> "regex.Pattern[str]":
    return regex.compile(rf"{_ADDRESS}|{start}{_words(inner)}(?:{end})?|{_SIGN}")


_LEADING = rf"(?:(?<![\p{{L}}\p{{M}}\p{{N}}|\-])-(?={_ALNUM}))?"
_TRAILING = rf"-(?!{_ALNUM}|-)"
# German 3. Oktober, Hungarian 1945. január: a number with its full stop is one word.
_ORDINAL = rf"\p{{N}}++(?:[.,]\p{{N}}++)*+\.(?!{_ALNUM}|\.)|"
# French l'eau, Italian dell'arte, Irish d'fhág: the article ends with its apostrophe and is a word of its own.
_ELIDED = rf"(?<=[\p{{L}}\p{{M}}])['’](?={_ALNUM})"
# Maltese il-ktieb, fl-1990, ta' Malta: clitics end with a hyphen or an apostrophe; none has over five letters.
_CLITIC = rf"""[\p{{L}}\p{{M}}]{{1,5}}[{_HYPHENS}](?=[\p{{L}}\p{{N}}'"‘“])|"""

_PLAIN = _compile(_LEADING, f"{_INNER}{_HYPHENS}'’", _TRAILING)
_ORDINALS = _compile(_ORDINAL + _LEADING, f"{_INNER}{_HYPHENS}'’", _TRAILING)
_ELISION = _compile(rf"(?i:aujourd['’]hui)|{_LEADING}", _INNER + _HYPHENS, f"{_ELIDED}|{_TRAILING}")
_MALTESE = _compile(_CLITIC, _INNER, r"(?<=[\p{L}\p{M}])['’]")
# Chinese, Japanese and Thai write no spaces; a character is the smallest unit that needs no dictionary.
_SPACELESS_LETTER = r"[[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]--\p{N}]"
_CHARACTERS = regex.compile(
    rf"(?V1){_SPACELESS_LETTER}\p{{M}}*|"
    rf"[[\p{{L}}\p{{M}}\p{{N}}]--{_SPACELESS_LETTER}]+(?:(?<=\p{{N}})[.,:](?=\p{{N}})\p{{N}}+)*|{_SIGN}"
)
SPACELESS = frozenset({"Hani", "Hans", "Hant", "Jpan", "Thai"})
ORDINAL_LANGUAGES = frozenset(
    {
        *("deu_Latn", "nob_Latn", "nno_Latn", "hun_Latn", "slv_Latn", "tur_Latn"),
        *("bos_Latn", "srp_Latn", "srp_Cyrl"),
    }
)
# A piece like `word,` is most of what is left after the plain words; it needs no regular expression.
_ENDINGS = frozenset(".,:;!?)")


@lru_cache(512)
def _pattern(language: str) -> "regex.Pattern[str]":
    if language.partition("_")[2] in SPACELESS:
        return _CHARACTERS
    if language == "mlt_Latn":
        return _MALTESE
    if language in ORDINAL_LANGUAGES:
        return _ORDINALS
    known = languages().get(language)
    return _ELISION if known is not None and known.elision else _PLAIN


def split_words(text: str, language: str) -> list[str]:
    """Words, numbers and signs of a text, in order; case is kept, white space is left out, nothing else is.

    A language that is not in the table is split like English. Linear in the length of the text, also without any space.
    """
    pattern = _pattern(language)
    find = pattern.findall
    if pattern is _CHARACTERS:
        return [word for piece in text.split() for word in find(piece)]
    ordinals = pattern is _ORDINALS
    words: list[str] = []
    add, extend = words.append, words.extend
    for piece in text.split():
        if piece.isalnum():
            add(piece)
        elif piece[-1] in _ENDINGS and piece[:-1].isalnum() and not (ordinals and piece[-2].isnumeric()):
            extend((piece[:-1], piece[-1]))
        else:
            extend(find(piece))
    return words
