"""What the encoder in the box is trained on: which sources, how many of each, and what is held out."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from static_help import write_pairs

from jql.encoder.parallel_text import (
    CAPS,
    DOCUMENT_LINES,
    HELD_OUT,
    PAGE_BREAK,
    SOURCES,
    halves,
    joined,
    read_pages,
    read_parallel_text,
)
from jql.encoder.vocabulary import vocabulary_texts
from jql.errors import InputError


def rows_of(source: str, count: int, mark: str = "") -> list[tuple[str, str, str]]:
    """Made-up pairs that say which source and line they are."""
    return [(source, f"{source} {mark} line {i}.", f"{source} {mark} Zeile {i}.") for i in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two languages: every source and two that must not be used, and NTREX alone."""
    folder = tmp_path_factory.mktemp("parallel")
    counts = {"eforms": 700, "scratch": 30, "ntrex": 620, "omw": 4300, "osm": 30, "tatoeba": 50, "sib": 7, "gnome": 3}
    rows = [row for source, count in counts.items() for row in rows_of(source, count)]
    write_pairs(folder, "deu_Latn", [*rows, ("unheard-of", "a", "b"), *rows_of("udhr", 5)])
    write_pairs(folder, "bul_Cyrl", rows_of("ntrex", 513, "bg"))
    return folder


def source_of(text: str) -> str:
    return text.split()[0]


def test_sources_and_caps(folder):
    found = read_parallel_text(folder)
    counts = Counter(map(source_of, found.english))
    assert counts == {
        "ntrex": 620 - HELD_OUT + 13,
        "eforms": CAPS["eforms"],
        "omw": CAPS["omw"],
        "tatoeba": 50,
        "sib": 7,
        "gnome": 3,
        "udhr": 5,
    }
    assert len(found.english) == len(found.translation) == len(found.weight)
    for english, translation, weight in zip(found.english, found.translation, found.weight, strict=True):
        assert translation == english.replace("line", "Zeile") and weight == SOURCES[source_of(english)]
    assert len(set(found.english)) == len(found.english)


def test_what_must_not_be_in_the_weights_is_nowhere(folder):
    assert not {"scratch", "osm"} & SOURCES.keys()
    found = read_parallel_text(folder)
    texts = [*found.english, *found.translation, *(side for pair in found.documents for side in pair)]
    texts += [side for pairs in found.held_out.values() for pair in pairs for side in pair]
    texts += vocabulary_texts(found, None)
    assert not any(word in text for text in texts for word in ("scratch", "osm", "unheard"))


def test_the_last_lines_of_ntrex_are_in_no_training(folder):
    found = read_parallel_text(folder)
    assert found.held_out == {
        "deu_Latn": [row[1:] for row in rows_of("ntrex", 620)[-HELD_OUT:]],
        "bul_Cyrl": [row[1:] for row in rows_of("ntrex", 513, "bg")[-HELD_OUT:]],
    }
    trained = {*found.english, *found.translation, *vocabulary_texts(found, None)}
    documents = "\n".join(side for pair in found.documents for side in pair)
    for pairs in found.held_out.values():
        for pair in pairs:
            for side in pair:
                assert side not in trained and side not in documents


def test_documents_are_runs_of_the_lines_before(folder):
    found = read_parallel_text(folder)
    bulgarian, german = (rows_of("ntrex", *which) for which in ((13, "bg"), (120,)))
    assert len(found.documents) == 3 + 120 // DOCUMENT_LINES
    assert found.documents == joined([r[1:] for r in bulgarian], DOCUMENT_LINES) + joined(
        [r[1:] for r in german], DOCUMENT_LINES
    )
    assert found.documents[0][1].startswith("ntrex bg Zeile 0. ntrex bg Zeile 1. ")


def test_the_sample_is_the_seed_s(folder):
    first, again, other = (read_parallel_text(folder, seed).english for seed in (1, 1, 2))
    assert first == again and first != other and sorted(map(source_of, first)) == sorted(map(source_of, other))


def test_a_language_with_few_lines_holds_out_all_and_one_without_holds_out_none(tmp_path):
    write_pairs(tmp_path, "aaa_Latn", [*rows_of("ntrex", 20), *rows_of("tatoeba", 3)])
    write_pairs(tmp_path, "bbb_Latn", rows_of("sib", 4))
    found = read_parallel_text(tmp_path)
    assert {language: len(pairs) for language, pairs in found.held_out.items()} == {"aaa_Latn": 20}
    assert Counter(map(source_of, found.english)) == {"tatoeba": 3, "sib": 4} and not found.documents


def test_folders_with_nothing_to_train_on_are_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"no Parquet files, expected one a language with source, english, translation"
    ):
        read_parallel_text(tmp_path)
    write_pairs(tmp_path, "aaa_Latn", [*rows_of("ntrex", HELD_OUT), *rows_of("osm", 9)])
    with pytest.raises(
        InputError, match=r"0 pairs to train on, 1 languages held out; expected of ntrex more than the 500"
    ):
        read_parallel_text(tmp_path)
    write_pairs(tmp_path, "aaa_Latn", rows_of("tatoeba", 9))
    with pytest.raises(InputError, match=r"9 pairs to train on, 0 languages held out"):
        read_parallel_text(tmp_path)


lines = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)


@given(st.lists(st.tuples(lines, lines), max_size=40), st.integers(1, 9))
def test_joined_runs_hold_every_line_once_in_order(pairs, length):
    runs = joined(pairs, length)
    assert len(runs) == -(-len(pairs) // length)
    for side in (0, 1):
        assert [word for run in runs for word in run[side].split(" ")] == [pair[side] for pair in pairs]
        assert all(len(run[side].split(" ")) == length for run in runs[:-1])


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=20))
def test_joined_by_one_changes_nothing(pairs):
    assert joined(pairs, 1) == pairs


parts = st.text("ab .\n", max_size=12)


@given(st.lists(st.lists(parts, min_size=1, max_size=4).map(PAGE_BREAK.join), max_size=12), st.integers(0, 8))
def test_halves_are_two_long_parts_of_a_page_with_one_break(pages, shortest):
    found = halves(pages, shortest)
    kept = iter(pages)
    for first, second in found:
        assert min(len(first), len(second)) >= shortest
        assert any(page == first + PAGE_BREAK + second for page in kept)  # in order, each page once
    assert all(PAGE_BREAK not in part for pair in found for part in pair)
    assert halves(pages, shortest + 1) == [pair for pair in found if min(map(len, pair)) > shortest]
    assert len(found) == sum(
        page.count(PAGE_BREAK) == 1 and min(map(len, page.split(PAGE_BREAK))) >= shortest for page in pages
    )


def test_halves_of_less_than_100_characters_are_left_out():
    pages = ["a" * 100 + PAGE_BREAK + "b" * 100, "a" * 100 + PAGE_BREAK + "b" * 99, "a" * 300]
    assert halves(pages) == [("a" * 100, "b" * 100)]


def test_pages_come_by_language(tmp_path):
    for language, texts in {"b_Latn": ["x", "y"], "a_Latn": ["z"]}.items():
        pq.write_table(pa.table({"id": ["i"] * len(texts), "text": texts}), tmp_path / f"{language}.parquet")
    assert list(read_pages(tmp_path)) == [("a_Latn", ["z"]), ("b_Latn", ["x", "y"])]
