"""Files and schemes: what is read, what is refused and where it says so."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.errors import DataError, InputError, RecipeError
from jql.probe.conll import Sentence, read_conll, write_conll
from jql.probe.labels import (
    checked_scheme,
    label_set,
    of_spans,
    spans,
    to_bio,
    without_inconsistent,
)

BIO = ["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "B-ORG", "I-ORG", "I-ORG", "O"]
SAME = {
    "bio": BIO,
    "iob": ["I-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-ORG", "I-ORG", "I-ORG", "O"],
    "bilou": ["B-PER", "L-PER", "O", "U-LOC", "U-LOC", "B-ORG", "I-ORG", "L-ORG", "O"],
    "bioes": ["B-PER", "E-PER", "O", "S-LOC", "S-LOC", "B-ORG", "I-ORG", "E-ORG", "O"],
}


@st.composite
def entities(draw):
    """Entities that do not overlap, and how many words there are."""
    found, at = [], 0
    for length, gap, kind in draw(
        st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2), st.sampled_from(["PER", "LOC", "B-side"])), max_size=5)
    ):
        found.append((kind, at + gap, at + gap + length))
        at += gap + length
    return found, at + draw(st.integers(0, 2))


@pytest.mark.parametrize("scheme", SAME)
def test_schemes_say_the_same_entities(scheme):
    assert to_bio(SAME[scheme], "bilou" if scheme == "bioes" else scheme) == BIO


def test_io_makes_one_entity_of_neighbours():
    assert to_bio(["I-LOC", "I-LOC", "O", "I-PER", "I-LOC"], "io") == ["B-LOC", "I-LOC", "O", "B-PER", "B-LOC"]


@given(entities())
def test_tags_and_spans_are_the_same_thing(made):
    found, words = made
    tags = of_spans(found, words)
    assert spans(tags) == found
    assert to_bio(tags, "bio") == to_bio(tags, "iob") == without_inconsistent(tags) == tags


@given(entities())
def test_every_scheme_reads_back(made):
    found, words = made
    tags = of_spans(found, words)
    ends = {end - 1 for _, _, end in found}
    bilou = [
        tag if tag == "O" or i not in ends else ("U" if tag[0] == "B" else "L") + tag[1:] for i, tag in enumerate(tags)
    ]
    iob = [
        "I" + tag[1:] if tag[0] == "B" and (i == 0 or tags[i - 1][2:] != tag[2:]) else tag for i, tag in enumerate(tags)
    ]
    assert to_bio(bilou, "bilou") == to_bio(iob, "iob") == tags


@pytest.mark.parametrize(
    ("scheme", "tags", "line", "words"),
    [
        (
            "bio",
            ["O", "I-PER"],
            2,
            "expected B-PER to begin an entity, got I-PER after O; write B-PER, or --scheme iob",
        ),
        ("bio", ["I-PER"], 1, "got I-PER first in its sentence"),
        ("bio", ["B-LOC", "I-PER"], 2, "got I-PER after B-LOC"),
        ("bio", ["O", "U-PER"], 2, r"expected O or B-TYPE, I-TYPE \(bio\), got 'U-PER'; see --scheme"),
        ("io", ["B-PER"], 1, r"expected O or I-TYPE \(io\), got 'B-PER'"),
        ("io", ["PER"], 1, "got 'PER'"),
        ("bio", ["B-"], 1, "got 'B-'"),
        ("bilou", ["O", "L-PER"], 2, "expected B-PER or U-PER, as no PER is open, got L-PER after O"),
        ("bilou", ["B-PER", "O"], 2, "expected B-PER to be followed by I- or L-PER, got O"),
        ("bilou", ["B-PER", "L-LOC"], 2, "expected B-PER to be followed by I- or L-PER, got L-LOC"),
        ("bilou", ["O", "B-PER"], 2, "followed by I- or L-PER, got the end of the sentence"),
    ],
)
def test_what_a_scheme_does_not_have_is_refused_with_its_line(tmp_path, scheme, tags, line, words):
    file = tmp_path / "bad.conll"
    file.write_text("Good\tO\n\n" + "".join(f"word{i}\t{tag}\n" for i, tag in enumerate(tags)), encoding="utf-8")
    with pytest.raises(DataError, match=rf"bad.conll:{line + 2}: .*{words}"):
        read_conll(str(file), scheme)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no sentence in it"),
        (b"\n\n-DOCSTART- -X- O O\n\n", "no sentence in it"),
        (
            b"word O\nalone\n",
            ":2: expected 2 columns, a word first and its tag last, got 'alone'; an empty line ends a sentence",
        ),
        (b"a x O\nb O\n", ":2: expected 3 columns, a word first and its tag last, got 'b O'"),
        (b"alone\n", ":1: expected 2 columns, a word first and its tag last, got 'alone'"),
        (b"a\tO\n\tO\n", ":2: expected 2 columns"),
        (b"a\tO\nb\t\n", ":2: expected 2 columns"),
        (b"a O\nb\xff O\n", ":2: expected UTF-8, got b'b.xff O'; convert the file"),
        (b"1\tShe\tO\n2\tran\tO\n\n1\tShe\tO\n", ":1: expected words in the first column, got numbers of words"),
    ],
)
def test_what_is_no_such_file_is_refused_with_its_line(tmp_path, content, words):
    file = tmp_path / "bad.conll"
    file.write_bytes(content)
    with pytest.raises(DataError, match=rf"bad.conll{words if words[0] == ':' else '.*' + words}"):
        read_conll(str(file))


def test_a_file_that_is_not_there_or_is_a_folder_is_refused(tmp_path):
    for path in (tmp_path / "none.conll", tmp_path):
        with pytest.raises(
            InputError, match=rf"{re.escape(str(path))}: expected a file with a word and its tag a line"
        ):
            read_conll(str(path))


def test_what_files_have_around_words_is_read(tmp_path):
    file = tmp_path / "all.conll"
    # A byte order mark, line ends of Windows, remarks, documents, several columns, no-break space and U+0085 in words.
    text = "\ufeff# id 7\r\n-DOCSTART- -X- -X- O\r\n\r\n# text = # of I-95\r\n# NN x O\r\nU.N. NNP x I-ORG\r\n \r\n"
    text += "a\u00a0b NN x O\r\nx\u0085y NN x I-LOC\r\nz NN x I-LOC"
    file.write_bytes(text.encode())
    found = read_conll(str(file))
    assert found.scheme == "io"
    assert found.sentences == (
        Sentence(("#", "U.N."), ("O", "B-ORG"), 5),
        Sentence(("a\u00a0b", "x\u0085y", "z"), ("O", "B-LOC", "I-LOC"), 8),
    )


@pytest.mark.parametrize(("scheme", "named"), [("bio", "bio"), ("bilou", "bilou"), ("bioes", "bilou"), ("iob", "bio")])
def test_the_scheme_is_told_by_its_letters_but_iob_must_be_named(tmp_path, scheme, named):
    file = tmp_path / "a.conll"
    file.write_text("".join(f"w {tag}\n" for tag in SAME[scheme]), encoding="utf-8")
    if scheme == "iob":
        with pytest.raises(DataError, match="--scheme iob if B- only parts neighbours"):
            read_conll(str(file))
        assert list(read_conll(str(file), "iob").sentences[0].tags) == BIO
    else:
        assert read_conll(str(file)).scheme == named


WORD = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), min_size=1, max_size=6)


@given(
    st.lists(st.lists(st.tuples(WORD, st.sampled_from(["O", "B-PER", "B-X.1"])), min_size=1, max_size=4), min_size=1)
)
def test_what_is_written_is_read_again(tmp_path_factory, rows):
    sentences = [Sentence(tuple(f"w{word}" for word, _ in row), tuple(tag for _, tag in row)) for row in rows]
    file = tmp_path_factory.mktemp("again") / "a.conll"
    write_conll(file, sentences)
    found = read_conll(str(file), "bio").sentences
    assert [(s.words, s.tags) for s in found] == [(s.words, s.tags) for s in sentences]


def test_types_that_the_training_file_lacks_are_refused_with_their_line(tmp_path):
    file = tmp_path / "test.conll"
    file.write_text("a O\n\nb B-PER\nc B-GPE\n", encoding="utf-8")
    found = read_conll(str(file))
    assert found.of_types({"PER", "GPE"}, "train.conll") is found
    with pytest.raises(DataError, match=r"test.conll:4: expected a type of train.conll \(LOC, PER\), got 'GPE'"):
        found.of_types({"PER", "LOC"}, "train.conll")


def test_label_set():
    assert label_set([["O", "B-PER"], ["B-LOC", "I-LOC"]], "f") == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    with pytest.raises(DataError, match=r"f: no word has a tag other than O; there is nothing to learn from it"):
        label_set([["O"]], "f")


def test_scheme_names():
    assert checked_scheme("auto") is None and checked_scheme("iob") == "iob"
    with pytest.raises(RecipeError, match=r"--scheme: expected auto, bio, iob, io, bilou, got IOB2"):
        checked_scheme("IOB2")
