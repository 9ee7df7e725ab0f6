"""Which token stands for a word, whatever the tokenizer."""

from types import SimpleNamespace

import pytest
from encoder_help import WORDS, train_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from probe_help import save_decoder, word_tokenizer

from jql.errors import DataError
from jql.probe.conll import Sentence
from jql.probe.subwords import NONE, batches, collate, encode

LABELS = ["O", "B-X", "I-X"]


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    from transformers import AutoTokenizer

    ours = AutoTokenizer.from_pretrained(save_decoder(tmp_path_factory.mktemp("decoder")))
    return {"unigram": train_tokenizer(), "words": word_tokenizer(), "bpe": ours}


def sentence(*words):
    return Sentence(words, ("O",) * (len(words) - 1) + ("B-X",))


def test_the_first_or_last_sub_token_of_a_word(tokenizers):
    # ▁th e ▁r i ver ▁ a: a blank by itself is of no word
    for standing, places in (("first", [1, 3, 7]), ("last", [2, 5, 7])):
        found = encode([sentence("the", "river", "a")], tokenizers["unigram"], LABELS, 64, standing)
        assert found.examples[0].places == places
        assert found.examples[0].labels == [0, 0, 1]
        assert (found.examples[0].ids[0], found.examples[0].ids[-1]) == (0, 2)


def test_words_beyond_the_longest_sequence_and_words_of_nothing_are_counted(tokenizers):
    found = encode([sentence("the", "river", "a", "green")], tokenizers["words"], LABELS, 4)
    assert found.examples[0].places == [1, 2, NONE, NONE]
    assert (found.cut, found.unspelled, len(found.examples[0].ids)) == (2, 0, 4)
    found = encode([sentence("the", "\u2028", "a")], tokenizers["words"], LABELS, 64)
    assert found.examples[0].places == [1, NONE, 2]
    assert (found.cut, found.unspelled) == (0, 1)


WORD = st.one_of(st.sampled_from(WORDS), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5))


@given(st.lists(WORD, min_size=1, max_size=8), st.integers(3, 40), st.sampled_from(["unigram", "words", "bpe"]))
def test_places_go_up_and_every_word_is_placed_or_counted(tokenizers, words, most, kind):
    first, last = (
        encode([sentence(*words)], tokenizers[kind], LABELS, most, standing) for standing in ("first", "last")
    )
    places = [place for place in first.examples[0].places if place != NONE]
    assert places == sorted(set(places)) and len(first.examples[0].ids) <= most
    assert len(words) == len(places) + first.cut + first.unspelled
    pairs = list(zip(first.examples[0].places, last.examples[0].places, strict=True))
    assert all(a <= b and (a == NONE) == (b == NONE) for a, b in pairs)


def test_a_batch_is_padded_and_words_without_a_token_are_not_in_it(tokenizers):
    found = encode([sentence("the", "\u2028", "a"), sentence("green")], tokenizers["words"], LABELS, 64)
    batch = collate(found.examples, 1)
    assert batch.ids.tolist() == [[0, 4, 8, 2], [0, 9, 2, 1]]
    assert batch.mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert list(zip(batch.rows.tolist(), batch.columns.tolist(), batch.labels.tolist(), strict=True)) == [
        (0, 1, 0),
        (0, 2, 1),
        (1, 1, 1),
    ]
    assert [len(part.ids) for part in batches(found.examples * 5, 4, 1)] == [4, 4, 2]
    assert [part.ids[0, 1].item() for part in batches(found.examples, 1, 1, [1, 0])] == [9, 4]


def test_a_tokenizer_without_offsets_is_refused():
    with pytest.raises(DataError, match=r"slow-one: expected a fast tokenizer \(tokenizer.json\), which knows offsets"):
        encode([sentence("a")], SimpleNamespace(is_fast=False, name_or_path="slow-one"), LABELS, 8)
