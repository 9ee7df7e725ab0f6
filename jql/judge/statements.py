"""Scores that a reply states in its own words, in English, which is the language of the prompt.

What these patterns are worth was measured on the replies that they were made on: 5,000 of Llama-3.1-70B to a prompt
that asks for a last line `Educational score: <number>`. 664 replies lack it, and 595 of these are read here; of 269 of
them read by eye, none was read wrong. Of 1,043 replies that are read here once their line is taken away, 99.1 % say the
same as the line; in the others the points of a part are read, or the reply contradicts itself.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Statement:
    """A number given as a score.

    Attributes:
        exact: False for a range or a bound ("2 or 3", "at most 2").
        top: what it is out of (5 in "2/5"); None where the reply does not say.
    """

    value: float
    exact: bool
    top: float | None


_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_QUOTE = r"[\"'“”‘’*_`]*"
_OPEN = rf"[ \t]*{_QUOTE}"
_RANGE = r"[ \t]*(?:or|to|through|-|–|—|~)[ \t]*\d"
_NUMBER = (
    rf"(?<!out of )(?<![\w.,])(?P<number>-?\d+(?:[.,]\d+)?(?={_RANGE}|(?!\w|%|[.,]\d|-(?!points? score\b)[a-z]))"
    rf"|(?:{'|'.join(_WORDS)})(?={_QUOTE}(?:\s+points?\b|\s+out of\b|[.,;:!)\n]|$)))"
)
_SCORE = rf"\b(?:score|rating)s?{_QUOTE}"
_ABOUT = r"[^.;:\n\d]{0,60}?"  # the document or the reason, within a clause
_GIVE = r"\b(?:award|giv|gave|grant|assign|allocat|receiv|earn|merit|deserv|get|garner|justif|warrant|accumulat)\w*\b"
_RATE = r"\b(?:scor|rat)(?:e|es|ed|ing)\b"
_OUT_OF = rf"{_QUOTE}(?:[ \t]+points?)?[ \t]*(?:/[ \t]*|out of )(?:an? |the )?(?:total of |possible |maximum )*"
_TO_HERE = r"\s+(?:(?!(?:and|so|but|thus|hence|therefore)\b)\w+\s+){0,8}\W*$"  # within a clause, up to the number


def _compiled(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)


# "Score: 2", "the score for this text is **2**", "a total score of 2", "a total of 2 points", "rate it 2 out of 5".
_STATED = _compiled(
    rf"{_SCORE}\s*(?:[:=][ \t]*|-(?=\d)){_QUOTE}{_NUMBER}",
    rf"{_SCORE}{_ABOUT}\b(?:is|was|be)(?: therefore| thus| only| just| assessed as)*:?{_OPEN}{_NUMBER}",
    rf"{_SCORE}\s+(?:of|as|at|with)(?: only| just)?:?{_OPEN}{_NUMBER}",
    rf"(?<!out of a )\btotal of{_OPEN}{_NUMBER}",
    rf"(?:{_GIVE}|{_RATE}){_ABOUT}\s{_OPEN}{_NUMBER}(?={_OUT_OF}\d)",
)
# "award this text 2 points", "rate it a 2", "one point is granted".
_GIVEN = _compiled(
    rf"(?:{_GIVE}|{_RATE}){_ABOUT}\s{_OPEN}{_NUMBER}(?={_QUOTE}(?:{_RANGE}|\s+points?\b|-point score\b))",
    rf"{_RATE}{_ABOUT}\b(?:an?|as|at|it|with|scores|scored){_OPEN}{_NUMBER}",
    rf"{_NUMBER}\s+points?\s+(?:is|are|was|were|has been|have been|will be)\s+(?:awarded|granted|given|assigned)",
)
_POINTS = re.compile(
    rf"(?:{_NUMBER}|\b(?:another|additional|further|extra|first|second|third|fourth))\s+points?\b", re.I
)
_DENIED = re.compile(
    rf"(?:\b(?:not|cannot|never|could|might|may|instead of|rather)|n['’]t){_TO_HERE}|criterion\s+$", re.I
)
_BOUND = re.compile(rf"\b(?:at most|at least|(?:more|higher|less|lower|fewer) than|up to|above|below){_TO_HERE}", re.I)
_BOUND_AFTER = re.compile(
    rf"{_QUOTE}(?:[ \t]+points?)?(?:{_RANGE}|[ \t]+(?:at (?:most|least|best)|or (?:less|more|fewer|lower|higher))\b)"
    r"|[ \t]*\((?:lowered|raised|reduced)",
    re.I,
)
_TOP = re.compile(rf"{_OUT_OF}(\d+)|(?P<percent>[ \t]?%)", re.I)


def stated(answer: str) -> set[Statement]:
    """Scores stated as such: "a score of 2", "the score is 2", "2 out of 5"."""
    return _found(_STATED, answer)


def given(answer: str) -> set[Statement]:
    """Points that are given: "award it 2 points". Judges that add up points write so of a part as well."""
    return _found(_GIVEN, answer)


def points_named(answer: str) -> set[float | None]:
    """All numbers of points that a reply names, None for another, a second or a further point."""
    return {number_of(place["number"]) for place in _POINTS.finditer(answer)}


def number_of(text: str | None) -> float | None:
    """The number that digits or an English word stand for; None for any other text."""
    if text is None:
        return None
    if text.lower() in _WORDS:
        return float(_WORDS.index(text.lower()))
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def statement_of(value: float, before: str, after: str) -> Statement:
    """A number in the light of the text on both sides of it."""
    top = _TOP.match(after)
    exact = not _BOUND.search(before) and not _BOUND_AFTER.match(after)
    return Statement(value, exact, (100.0 if top["percent"] else float(top[1])) if top else None)


def _found(patterns: Sequence[re.Pattern[str]], answer: str) -> set[Statement]:
    """What the places of any pattern say; those that are denied or supposed ("it could get 3 points") say nothing."""
    found = set()
    for place in (place for pattern in patterns for place in pattern.finditer(answer)):
        before = answer[max(0, place.start() - 60) : place.start("number")]
        value = number_of(place["number"])
        if value is not None and not _DENIED.search(before):
            found.add(statement_of(value, before, answer[place.end("number") :]))
    return found
