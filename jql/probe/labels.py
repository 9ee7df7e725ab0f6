"""Tags of named entities: the schemes files are written in, and BIO, which models are trained and measured in."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from jql.errors import DataError, RecipeError

Scheme = Literal["bio", "iob", "io", "bilou"]
"""bio (IOB2): B- begins every entity. iob (IOB1, the files of CoNLL-2003): B- only parts neighbours of one type.
io: no B-, so neighbours of one type are one entity. bilou, or bioes: L- or E- ends an entity, U- or S- is a whole.
"""
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
OUTSIDE = "O"
Span = tuple[str, int, int]
"""An entity: its type, its first word and the one after its last."""
_LETTERS = {"bio": "BI", "iob": "BI", "io": "I", "bilou": "BILUES"}
_TAG = re.compile(r"([BILUES])-(\S+)")


def is_tag(text: str) -> bool:
    """Whether this could be a tag, of any scheme."""
    return text == OUTSIDE or _TAG.fullmatch(text) is not None


def scheme_of(tags: Iterable[str]) -> Scheme:
    """The scheme of tags by their letters; of iob this is bio, which differs only in what the letters mean."""
    letters = {match[1] for tag in tags if (match := _TAG.fullmatch(tag))}
    return "bilou" if letters & set("LUES") else "io" if letters == {"I"} else "bio"


def checked_scheme(name: str) -> Scheme | None:
    """The scheme of an option's value; None for "auto", which leaves it to `scheme_of`.

    Raises:
        RecipeError: there is no such scheme.
    """
    if name not in (*SCHEMES, "auto"):
        raise RecipeError(f"--scheme: expected auto, {', '.join(SCHEMES)}, got {name}")
    return next((scheme for scheme in SCHEMES if scheme == name), None)


def to_bio(tags: Sequence[str], scheme: Scheme, path: str = "tags", line: int = 1) -> list[str]:
    """The tags of a sentence in BIO.

    Args:
        path, line: where the first of them stands, for the message.

    Raises:
        DataError: a tag is none, or cannot stand there in this scheme; names file and line.
    """
    found: list[str] = []
    before: tuple[str, str] = (OUTSIDE, "")
    for i, tag in enumerate([*tags, OUTSIDE]):
        last = i == len(tags)
        match = _TAG.fullmatch(tag)
        letter, kind = (match[1], match[2]) if match else (OUTSIDE, "")
        where = f"{path}:{line + i - last}"
        if tag != OUTSIDE and (not match or letter not in _LETTERS[scheme]):
            letters = ", ".join(f"{letter}-TYPE" for letter in _LETTERS[scheme])
            raise DataError(f"{where}: expected O or {letters} ({scheme}), got {tag!r}; see --scheme")
        letter = {"E": "L", "S": "U"}.get(letter, letter)
        after = f"{tag} after {tags[i - 1]}" if i and not last else f"{tag} first in its sentence"
        within = kind == before[1] and before[0] in "BI"
        if scheme == "bilou":
            unclosed = before[0] in "BI"
            if unclosed and (letter not in "IL" or not within):
                got = "the end of the sentence" if last else tag
                raise DataError(f"{where}: expected {tags[i - 1]} to be followed by I- or L-{before[1]}, got {got}")
            if not unclosed and letter in "IL":
                raise DataError(f"{where}: expected B-{kind} or U-{kind}, as no {kind} is open, got {after}")
        if scheme == "bio" and letter == "I" and not within:
            todo = f"write B-{kind}, or --scheme iob if B- only parts neighbours in this file"
            raise DataError(f"{where}: expected B-{kind} to begin an entity, got {after}; {todo}")
        if not last:
            begins = letter in "BU" or (letter == "I" and not within)
            found.append(OUTSIDE if not kind else f"{'B' if begins else 'I'}-{kind}")
        before = (letter, kind)
    return found


def spans(tags: Sequence[str]) -> list[Span]:
    """The entities of tags in BIO, read as seqeval and conlleval do: I- that continues nothing begins an entity."""
    found: list[Span] = []
    kind = ""
    for i, tag in enumerate(tags):
        begins = tag != OUTSIDE and (tag[0] == "B" or tag[2:] != kind)
        kind = "" if tag == OUTSIDE else tag[2:]
        if begins:
            found.append((kind, i, i + 1))
        elif kind:
            found[-1] = (kind, found[-1][1], i + 1)
    return found


def of_spans(entities: Iterable[Span], words: int) -> list[str]:
    """Tags in BIO of entities that do not overlap."""
    tags = [OUTSIDE] * words
    for kind, start, end in entities:
        tags[start:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - start - 1)
    return tags


def without_inconsistent(tags: Sequence[str]) -> list[str]:
    """The tags without entities that begin with I-, which no file in BIO has but a model may predict."""
    return of_spans([span for span in spans(tags) if tags[span[1]][0] == "B"], len(tags))


def label_set(sentences: Iterable[Sequence[str]], where: str) -> list[str]:
    """What a model is to tell apart: O, and B- and I- of every type, by name.

    Raises:
        DataError: there is no entity.
    """
    types = sorted({tag[2:] for tags in sentences for tag in tags if tag != OUTSIDE})
    if not types:
        raise DataError(f"{where}: no word has a tag other than O; there is nothing to learn from it")
    return [OUTSIDE, *(f"{letter}-{kind}" for kind in types for letter in "BI")]
