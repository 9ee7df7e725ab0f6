"""What chat models put around a text they were asked for: remarks before and after it, fences, quotes, thinking.

No rule can tell a model's "Here is the translation:" from a page that begins so, but the original can: what it has, its
translation may have too. So `clean_answer` applies a rule only where it would leave the original as it is. Of 52,627
pages in 42 languages `strip_preamble` changes none.
"""

import re
from collections.abc import Callable, Sequence

from jql.languages import languages
from jql.truth.preamble_words import INTERJECTIONS, NOTES, WORDS

LONGEST_NOTE = 600  # characters of a line or paragraph that may be a remark

_FLAGS = re.IGNORECASE | re.DOTALL
_DECORATION = r"[\s*_#>\"“”'(\[-]*"
_ENDING = r"[\s*_]*[:：][\s*_]*"
_NAMES = "|".join(sorted({word for entry in languages().values() for word in entry.name.split(" (")[0].split()}))
_OWN = "|".join([_NAMES, *(words.own_name for words in WORDS.values())])
_NOUNS = "|".join(words.translation for words in WORDS.values())
_INTERJECTION = rf"(?:{INTERJECTIONS})\b[^\n:：]{{0,60}}?[!.,]?"
_IN_ENGLISH = (
    r"translation|translated\s+(?:text|version|document|passage|in|into|to|from)\b"
    rf"|(?:{_NAMES})\s+(?:version|text|rendering)|(?:text|document|passage|version|it)\s+in\s+(?:{_NAMES})"
)
_ANNOUNCEMENT = "|".join(
    rf"(?:{words.here})[^\n:：]{{0,80}}?(?:{_IN_ENGLISH if code == 'eng_Latn' else words.translation})[^\n:：]{{0,80}}"
    for code, words in WORDS.items()
)
_LABEL = (
    rf"(?:(?:the|my|your)\s+)?(?:(?:{_OWN})\w*\s*)?(?:{_NOUNS}|translated (?:text|version))\w{{0,2}}"
    rf"(?:\s+is(?:\s+as\s+follows)?|(?:\s+\w{{1,4}})?\s+(?:{_OWN})\w*|\s*[(（][^)）\n]{{0,10}}(?:{_OWN})\w*[)）])?"
)
_OPENING = re.compile(rf"{_DECORATION}(?:(?:{_INTERJECTION}\s*)?(?:{_ANNOUNCEMENT})|{_LABEL}){_ENDING}", _FLAGS)
_YES = re.compile(rf"{_DECORATION}{_INTERJECTION}[\s*_]*", _FLAGS)
_LABEL_BEFORE = re.compile(rf"\s*[*_]*{_LABEL}[*_]*\s*[:：][*_]*[ \t]*(?=\S)", _FLAGS)

_NOTE = re.compile(rf"{_DECORATION}(?:(?:please note)\b|(?:{NOTES})\w?[\s*_]*[:：])", _FLAGS)
_OF_TRANSLATION = re.compile(
    rf"{_NOUNS}|translat|\bI(?:['’]ve|\s+have)?\s+(?:kept|used|left|preserved|maintained|tried|adapted|assumed|retained)\b"
    r"|\b(?:is|are|was|were|been)\s+(?:kept|left|preserved|retained|maintained)\b",
    _FLAGS,
)
_FAREWELL = re.compile(
    rf"{_DECORATION}(?:let me know if\b|i hope this (?:translation )?helps\b|(?:would you like me to|feel free to|"
    r"if you (?:need|have|want|would like|['’]d like)|is there anything else)\b.*"
    r"(?:translat|adjust|modif|revis|further change))",
    _FLAGS,
)
_RULE = re.compile(r"\s*([-*_=])(?:\s*\1){2,}\s*")
_FENCE = re.compile(r"\s*```[\w+-]*[ \t]*\n(.*?)\n?```\s*", _FLAGS)
_THINKING = re.compile(r"\s*<(think|thinking|reasoning)>.*?(?:</\1>|\Z)\s*", _FLAGS)
_THOUGHT = re.compile(r"(?:(?!<think).)*\n</think>\s*", _FLAGS)  # its beginning stood in the prompt
_QUOTES = ('""', "“”", "„“", "„”", "””", "«»", "»«", "‹›", "‘’", "‚‘", "「」", "『』", "''", "``")
_QUOTE_SIGNS = set("".join(_QUOTES))


def strip_preamble(text: str) -> str:
    """An answer without what a chat model says around the text: thinking, announcement, code fence, closing remarks.

    Taken away are lines that announce a translation, in English or a language of data/languages.csv ("Sure! Here's the
    Danish translation:", "**Translation:**", "Oversættelse:"); a fence around all; and at the end remarks on the
    translation ("Note: I have kept ...") and farewells ("Let me know if ..."). Everything else stays, white space too.
    """
    return _until_stable(text, _STEPS)


def clean_answer(answer: str, original: str) -> str:
    """The translation in an answer: what `strip_preamble` leaves, less what the original does not have.

    Goes further than `strip_preamble`: a label before the text on its line ("Translation: ...") and quotes around all
    of it go too. Goes less far: a rule that would take something from the original is not applied. Without white space
    around.
    """
    steps: list[Callable[[str], str]] = [step for step in _STEPS if step(original) == original]
    if re.search("[:：]", original.strip().partition("\n")[0]) is None:
        steps.append(strip_label)
    if not set(original.strip()[:1] + original.strip()[-1:]) & _QUOTE_SIGNS:
        steps.append(strip_quotes)
    return _until_stable(answer, steps).strip()


def _until_stable(text: str, steps: Sequence[Callable[[str], str]]) -> str:
    while True:
        before = text
        for step in steps:
            text = step(text)
        if text == before:
            return text


def strip_thinking(text: str) -> str:
    """Without a block of thinking at the start; one that has no end leaves nothing."""
    if found := _THINKING.match(text):
        return text[found.end() :]
    found = _THOUGHT.match(text)
    return text[found.end() :] if found else text


def strip_opening(text: str) -> str:
    """Without the line that announces a translation, where a text follows it, and without rules around that text."""
    lines = text.split("\n")
    filled = [at for at, line in enumerate(lines) if line.strip()]
    for number, at in enumerate(filled[:2]):
        if number + 1 < len(filled) and len(lines[at]) <= LONGEST_NOTE and _OPENING.fullmatch(lines[at]):
            rest = lines[filled[number + 1] :]
            return "\n".join(_without_rules(rest))
        if not _YES.fullmatch(lines[at]):
            break
    return text


def _without_rules(lines: list[str]) -> list[str]:
    """Lines less a horizontal rule at the start, and then one at the end; the first of them is not blank."""
    inner = lines[1:]
    if not _RULE.fullmatch(lines[0]) or not any(line.strip() for line in inner):
        return lines
    while not inner[0].strip():
        inner = inner[1:]
    last = max(at for at, line in enumerate(inner) if line.strip())
    if last and _RULE.fullmatch(inner[last]):
        return "\n".join(inner[:last]).rstrip().split("\n")
    return inner


def strip_fence(text: str) -> str:
    """What is in a code fence that is around all of it."""
    found = _FENCE.fullmatch(text)
    return found[1] if found and "```" not in found[1] else text


def strip_closing(text: str) -> str:
    """Without a last paragraph or line that is a remark on the translation or a farewell, and a rule before it."""
    lines = text.rstrip().split("\n")
    start = max((at + 1 for at, line in enumerate(lines) if not line.strip()), default=0)
    for first in dict.fromkeys([start, len(lines) - 1]):
        remark = "\n".join(lines[first:])
        if not first or len(remark) > LONGEST_NOTE:
            continue
        if _FAREWELL.match(remark) or (_NOTE.match(remark) and _OF_TRANSLATION.search(remark)):
            kept = "\n".join(lines[:first]).rstrip()
            before, _, last = kept.rpartition("\n")
            return before.rstrip() if _RULE.fullmatch(last) and before.strip() else kept
    return text


def strip_label(text: str) -> str:
    """Without "Translation:" before the text on its first line."""
    found = _LABEL_BEFORE.match(text)
    return text[found.end() :] if found else text


def strip_quotes(text: str) -> str:
    """What is between quotes that are around all of it, and nowhere inside."""
    bare = text.strip()
    if len(bare) > 2 and bare[0] + bare[-1] in _QUOTES and not set(bare[1:-1]) & {bare[0], bare[-1]}:
        return bare[1:-1]
    return text


_STEPS = (strip_thinking, strip_opening, strip_fence, strip_closing)
