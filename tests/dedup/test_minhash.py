"""Band keys: equal texts share all, similar ones some as often as the formula says, languages none."""

import tracemalloc
from itertools import islice, product

import numpy as np
import pytest

from jql.dedup.minhash import BANDS, CHUNK, ROWS, band_keys
from jql.documents import document_name

TEXT = (
    "The mill wheel turns in the stream below the dam and grinds the grain of the whole valley into flour every autumn."
)


def test_keys_are_sixty_four_bits_and_repeatable():
    keys = band_keys(TEXT, "eng_Latn")
    assert keys.dtype == np.uint64 and keys.shape == (BANDS,)
    assert np.array_equal(keys, band_keys(TEXT, "eng_Latn"))
    assert len(set(keys.tolist())) == BANDS


def test_case_punctuation_and_space_do_not_count():
    assert np.array_equal(
        band_keys(TEXT, "eng_Latn"), band_keys("  " + TEXT.upper().replace(" ", "   ").rstrip(".") + "!!", "eng_Latn")
    )


def test_languages_share_no_key():
    assert not set(band_keys(TEXT, "eng_Latn").tolist()) & set(band_keys(TEXT, "swe_Latn").tolist())


def test_short_texts_are_compared_whole():
    assert band_keys("", "eng_Latn") is None and band_keys(" ... ", "eng_Latn") is None
    a, b, c = (band_keys(t, "eng_Latn") for t in ("Buy now", "buy now!", "Buy later"))
    assert np.array_equal(a, b) and not set(a.tolist()) & set(c.tolist())


@pytest.mark.parametrize("similarity", [0.5, 0.72, 0.9])
def test_pairs_are_found_as_often_as_the_formula_says(similarity):
    random = np.random.default_rng(7)
    shared = 200
    own = round(shared * (1 - similarity) / (2 * similarity))
    found = 0
    trials = 150
    for _ in range(trials):
        words = ["".join(chr(97 + c) for c in word) for word in random.integers(0, 26, (shared + 2 * own + 12, 9))]
        # A 5-gram a word: a common run of n words has n - 4 shingles in common.
        common = " ".join(words[: shared + 4])
        a = common + " " + " ".join(words[shared + 4 : shared + 4 + own])
        b = common + " " + " ".join(words[shared + 8 + own : shared + 8 + 2 * own])
        found += bool(set(band_keys(a, "eng_Latn").tolist()) & set(band_keys(b, "eng_Latn").tolist()))
    expected = 1 - (1 - similarity**ROWS) ** BANDS
    assert abs(found / trials - expected) < 4 * np.sqrt(expected * (1 - expected) / trials) + 0.02


def test_names_are_hashes_of_ids():
    assert document_name("a") == document_name("a") != document_name("b")
    assert 0 <= document_name("\ud800") < 2**64


def test_a_text_that_is_hashed_in_pieces_has_the_keys_of_the_whole():
    letters = "abcdefghijklmnopqrst"  # a number would count as any other number
    words = ["".join(place) for place in islice(product(letters, repeat=5), 4 * CHUNK)]
    keys = set(band_keys(" ".join(words), "eng_Latn").tolist())
    turned = " ".join(words[CHUNK // 2 :] + words[: CHUNK // 2])  # the same shingles but four, in other pieces
    tracemalloc.start()
    again = set(band_keys(turned, "eng_Latn").tolist())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(keys & again) >= BANDS - 1
    assert peak < 250e6  # all products at once would take 360 MB
