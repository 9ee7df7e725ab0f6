"""CoNLL files of named entities: a word a line with its tag, an empty line after each sentence."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jql.engine import storage
from jql.errors import DataError, InputError, one_line
from jql.probe.labels import Scheme, is_tag, scheme_of, to_bio

DOCUMENT = "-DOCSTART-"


@dataclass(frozen=True)
class Sentence:
    """A tagged sentence.

    Attributes:
        tags: in BIO, whatever the file's scheme. line: of the first word; the others follow it.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    line: int = 1


@dataclass(frozen=True)
class Corpus:
    """The sentences of a file, and the scheme it was read in."""

    path: str
    scheme: Scheme
    sentences: tuple[Sentence, ...]

    def of_types(self, known: Iterable[str], of: str) -> "Corpus":
        """The same, if all its types are known.

        Args:
            of: the file they are known from, for the message.

        Raises:
            DataError: another type is there; names file and line.
        """
        types = set(known)
        for sentence in self.sentences:
            for i, tag in enumerate(sentence.tags):
                if tag[2:] and tag[2:] not in types:
                    where = f"{self.path}:{sentence.line + i}"
                    raise DataError(f"{where}: expected a type of {of} ({', '.join(sorted(types))}), got {tag[2:]!r}")
        return self


def read_conll(path: str, scheme: Scheme | None = None) -> Corpus:
    """Read a file: UTF-8, columns between tabs or blanks, the word in the first and its tag in the last.

    Lines that begin with -DOCSTART- part documents, those that begin with # before a sentence and are not like the
    others are remarks; both are passed over. A word may hold blanks where tabs part the columns.

    Args:
        path: local or remote. scheme: of the tags; None for what their letters say, which never is iob.

    Raises:
        InputError: there is no such file. DataError: it cannot be read; names file and line.
    """
    try:
        data = storage.read_bytes(path)
    except OSError as error:
        raise InputError(f"{path}: expected a file with a word and its tag a line ({one_line(error)})") from error
    raw = list(_sentences(path, data))
    if not raw:
        raise DataError(f"{path}: no sentence in it; expected a word and its tag a line")
    counted = [words for _, words, _ in raw if len(words) > 1]
    if counted and all(list(words) == [str(n) for n in range(1, len(words) + 1)] for words in counted):
        todo = "write the word first and the tag last, such as by cut -f 2,3"
        raise DataError(f"{path}:{raw[0][0]}: expected words in the first column, got numbers of words; {todo}")
    found = scheme or scheme_of(tag for _, _, tags in raw for tag in tags)
    read = (Sentence(tuple(words), tuple(to_bio(tags, found, path, line)), line) for line, words, tags in raw)
    return Corpus(path, found, tuple(read))


def _sentences(path: str, data: bytes) -> Iterator[tuple[int, list[str], list[str]]]:
    """Line of the first word, words and tags of each sentence."""
    rows = list(_rows(path, data))
    known = [len(parts) for parts in rows if parts and not parts[0].startswith("#")]
    columns = max(known[0], 2) if known else 2
    words: list[str] = []
    tags: list[str] = []
    for number, parts in enumerate([*rows, []], 1):
        if not parts:
            if words:
                yield number - len(words), words, tags
            words, tags = [], []
            continue
        if not words and parts[0].startswith("#") and not (len(parts) == columns and is_tag(parts[-1])):
            continue
        if len(parts) != columns or not parts[0] or not parts[-1]:
            expected = f"{columns} columns, a word first and its tag last"
            got = " ".join(parts)[:60]
            raise DataError(f"{path}:{number}: expected {expected}, got {got!r}; an empty line ends a sentence")
        words.append(parts[0])
        tags.append(parts[-1])


def _rows(path: str, data: bytes) -> Iterator[list[str]]:
    """The columns of each line, none of one that parts sentences."""
    # Not splitlines, which also cuts at signs that stand in words, such as U+0085.
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            line = raw.removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}:{number}: expected UTF-8, got {raw[:40]!r}; convert the file") from error
        parts = line.split("\t") if "\t" in line else re.split(" +", line.strip(" "))
        yield parts if line.strip(" \t") and parts[0] != DOCUMENT else []


def write_conll(path: Path, sentences: Iterable[Sentence], *more: Iterable[Iterable[str]]) -> None:
    """Write sentences with tabs between columns, in BIO.

    Args:
        more: further columns after the tags, one entry a word.

    Raises:
        OutputError: it cannot be written.
    """
    lines = []
    for sentence, *columns in zip(sentences, *more, strict=True):
        lines += ["\t".join(row) for row in zip(sentence.words, sentence.tags, *columns, strict=True)]
        lines.append("")
    storage.put(str(path), ("\n".join(lines) + "\n").encode())
