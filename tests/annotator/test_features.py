"""What heads see of a text: the window that is read, its surface, its n-grams, each against a plain slow definition."""

import json
import math
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as limit
from hypothesis import strategies as st

from jql.annotator.features import Features
from jql.annotator.ngrams import BITS, LONGEST, SHORTEST, ngrams
from jql.annotator.reading import code_points, window
from jql.annotator.surface import NAMES, SIGNS, surface
from jql.encoder.encoder import load_encoder
from jql.encoder.named import encoder_spec
from jql.errors import DataError

HARD = [
    "",
    " ",
    "\n" * 40,
    "a",
    "1999",
    " 2024\n",
    "\x00",
    "🙂🙃🚀" * 9,
    "Мир und 世界 و ไทย\nIİıß ²³ ٣",
    "x" * 5000,
    "𰀀 \U000e0001",
]
MIXED = st.text(st.sampled_from("aZ é ß\n\n \t.!?。؟:12 9٣²世мМ🙂\u2028\u00a0\x1c𰀀http-–•€"), max_size=80)
TEXTS = st.one_of(MIXED, st.text(max_size=60), st.sampled_from(HARD))
ANY = st.text(st.one_of(st.characters(), st.characters(categories=["Cs"]), st.just("\x00")), max_size=80)


@given(ANY, st.integers(1, 90))
@example("\ud800", 9)
@example("\x00" * 20, 9)
def test_a_window_is_bounded_and_can_be_encoded(text, chars):
    read = window(text, chars)
    assert len(read) <= chars + 2 and "\x00" not in read
    read.encode()  # no lone surrogate is left
    if len(text) <= chars:
        assert window(read, chars) == read
        assert read == "".join(" " if c == "\x00" else c for c in text if not 0xD800 <= ord(c) < 0xE000)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=200), st.integers(3, 90))
def test_a_short_text_is_read_whole_and_a_long_one_in_thirds(text, chars):
    if len(text) <= chars:
        assert window(text, chars) == text
    else:
        third = chars // 3
        at = (len(text) - third) // 2
        assert window(text, chars) == "\n".join([text[:third], text[at : at + third], text[-third:]])


@given(st.lists(ANY, max_size=5))
def test_code_points_of_any_texts_have_a_line_end_after_each(texts):
    points, starts = code_points(texts)
    assert points.dtype == np.uint32 and points.tolist() == [ord(c) for text in texts for c in f"{text}\n"]
    assert [int(s) for s in starts] == [sum(len(t) + 1 for t in texts[:i]) for i in range(len(texts))]


def slow_surface(text: str) -> dict[str, float]:
    """Every feature as its name says, one character, word and line after the other."""

    def known(test):
        return lambda c: ord(c) < 0x30000 and test(c)

    upper, digit, letter = known(str.isupper), known(str.isdigit), known(str.isalpha)
    words, lines = text.split(), [line for line in text.split("\n") if line.strip()]
    numbers = [w for w in words if all(digit(c) for c in w)]
    letters = sum(letter(c) for c in text)
    n, w, k = max(1, len(text)), max(1, len(words)), max(1, len(lines))
    found = {
        "log_chars": math.log(n),
        "log_words_a_line": math.log(w / k),
        "log_chars_a_line": math.log(n / k),
        "letters": letters / n,
        "capitals": sum(upper(c) for c in text) / max(1, letters),
        "digits": sum(digit(c) for c in text) / n,
        "lines_ended": sum(line.rstrip()[-1] in ".!?:;。！？؟" for line in lines) / k,
        "distinct_words": len(set(text.lower().split())) / w**0.8,
        "word_length": sum(len(word) for word in words) / w,
        "lines": k / math.sqrt(n),
        "links": text.count("http") / k,
        "capitalised": sum(upper(word[0]) for word in words) / w,
        "numbers": len(numbers) / w,
        "years": sum(len(word) == 4 and word[0] in "12" for word in numbers) / w,
    }
    return found | {f"sign_{sign}": text.count(sign) / n for sign in SIGNS}


@given(st.lists(TEXTS, min_size=1, max_size=6))
@example(HARD)
@example(["\n", "", "\n\n"])
def test_the_surface_is_its_plain_definition(texts):
    found = surface(texts)
    assert found.shape == (len(texts), len(NAMES)) and found.dtype == np.float32 and np.isfinite(found).all()
    for row, text in zip(found, texts, strict=True):
        plain = slow_surface(text)
        assert list(plain) == list(NAMES)
        np.testing.assert_allclose(row, list(plain.values()), rtol=1e-6, atol=1e-9, err_msg=repr(text))


def test_the_surface_of_a_text_in_figures():
    found = dict(zip(NAMES, surface(["In 1999 Anna had 12 cats.\n\nSee http://x.org"])[0].tolist(), strict=True))
    assert found["log_words_a_line"] == pytest.approx(math.log(8 / 2)) and found["numbers"] == pytest.approx(2 / 8)
    assert found["years"] == pytest.approx(1 / 8) and found["lines_ended"] == 0.5 and found["links"] == 0.5
    assert found["capitalised"] == pytest.approx(3 / 8)
    assert surface([]).shape == (0, len(NAMES))


@given(st.lists(TEXTS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_no_row_depends_on_the_others(texts, random):
    order = random.sample(range(len(texts)), len(texts))
    dense, sparse = surface(texts), ngrams(texts)
    assert np.array_equal(surface([texts[i] for i in order]), dense[order])
    mixed = ngrams([texts[i] for i in order])
    for place, i in enumerate(order):
        assert np.array_equal(surface([texts[i]])[0], dense[i])
        for other in (mixed[place], ngrams([texts[i]])):
            assert np.array_equal(other.indices, sparse[i].indices) and np.array_equal(other.data, sparse[i].data)


def slow_ngrams(text: str) -> dict[int, float]:
    """Slot -> value: blanks around every word, n-grams that have none inside, FNV's multiplier, log counts, length 1."""
    joined = f" {' '.join(text.lower().split())} "
    counts: Counter[int] = Counter()
    for n in range(SHORTEST, LONGEST + 1):
        for at in range(len(joined) - n + 1):
            gram = joined[at : at + n]
            if " " in gram[1:-1]:
                continue
            hashed = 0
            for c in gram:
                hashed = (hashed * 0x01000193 + ord(c)) % 2**32
            counts[hashed * 0x9E3779B1 % 2**32 >> (32 - BITS)] += 1
    weights = {slot: math.log(1 + count) for slot, count in counts.items()}
    length = math.sqrt(sum(w * w for w in weights.values()))
    return {slot: w / length for slot, w in weights.items()}


@given(st.lists(TEXTS, max_size=5))
@example(HARD)
@example([])
def test_ngrams_are_their_plain_definition(texts):
    found = ngrams(texts)
    assert found.shape == (len(texts), 2**BITS) and found.dtype == np.float32
    for i, text in enumerate(texts):
        row, plain = found[i], slow_ngrams(text)
        assert row.indices.tolist() == sorted(plain)
        np.testing.assert_allclose(row.data, [plain[s] for s in sorted(plain)], rtol=1e-6)
        norm = math.sqrt(float((row.data.astype(np.float64) ** 2).sum()))
        assert norm == 0 or norm == pytest.approx(1, abs=1e-5)


def test_ngrams_tell_beginnings_from_endings_and_not_case_or_space():
    found = ngrams(["Star\tlight", " star\nLIGHT ", "rats"]).toarray()
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])
    ends, inside = slow_ngrams("ab"), slow_ngrams("xabx")
    assert len(set(ends) & set(inside)) == 1  # ab itself; neither " ab" nor "ab "


@pytest.mark.parametrize(
    "features", [Features(), Features(0, False, False), Features(7, True, False), Features(9, False)]
)
def test_features_to_json_and_back_is_identity(features):
    assert Features.from_json(json.loads(json.dumps(features.to_json())), "x") == features


@pytest.mark.parametrize(
    ("key", "value"),
    [("surface_names", list(NAMES[:-1])), ("surface_names", []), ("ngram_hash", [2, 5, 18]), ("wings", 2)],
)
def test_features_of_another_version_are_refused(key, value):
    with pytest.raises(DataError, match=r"folder: features .* are not those of this version; use the one that made it"):
        Features.from_json({**Features().to_json(), key: value}, "folder")


def test_a_field_that_is_missing_is_refused():
    record = Features().to_json()
    for key in record:
        with pytest.raises(DataError, match="are not those of this version"):
            Features.from_json({k: v for k, v in record.items() if k != key}, "folder")


@cache
def static_encoder():
    return load_encoder(encoder_spec("multilingual-static"))


@pytest.fixture(scope="module")
def encoder():
    return static_encoder()


def test_dense_features_are_the_embedding_and_the_surface_of_the_window(encoder):
    texts = [*HARD, "\ud800 lone", "Lesson one. " * 100]
    features = Features(chars=90)
    dense, sparse = features.of(texts, encoder)
    read = [window(text, 90) for text in texts]
    assert dense.dtype == np.float32 and dense.shape == (len(texts), features.dense(encoder.spec))
    dim = encoder.spec.dim
    assert np.array_equal(dense[:, :dim], encoder.encode(read)) and np.array_equal(dense[:, dim:], surface(read))
    assert (sparse != ngrams(read)).nnz == 0
    plain, none = Features(90, False, False).of(texts, encoder)
    assert none is None and np.array_equal(plain, encoder.encode(read)) and plain.shape[1] == dim


@pytest.mark.parametrize("chars", [0, 90])
def test_any_text_has_finite_features(encoder, chars):
    dense, sparse = Features(chars).of([*HARD, "\ud800 lone", "\udfff"], encoder)
    assert np.isfinite(dense).all() and np.isfinite(sparse.data).all()


def test_what_is_not_in_the_window_does_not_matter(encoder):
    features = Features(chars=30)
    long = "a" * 10 + "b" * 100 + "c" * 10 + "d" * 100 + "e" * 10
    other = long.replace("b", "z").replace("d", "y")
    assert window(long, 30) == window(other, 30) == "aaaaaaaaaa\ncccccccccc\neeeeeeeeee"
    assert np.array_equal(features.of([long], encoder)[0], features.of([other], encoder)[0])
    assert not np.array_equal(replace(features, chars=0).of([long], encoder)[0], features.of([other], encoder)[0])


@limit(max_examples=20)
@given(st.lists(TEXTS, min_size=2, max_size=5))
def test_features_do_not_depend_on_the_batch(texts):
    whole, _ = Features(60).of(texts, static_encoder())
    assert np.array_equal(np.vstack([Features(60).of([t], static_encoder())[0] for t in texts]), whole)


def test_names_are_distinct_and_one_for_every_sign():
    assert len(set(NAMES)) == len(NAMES) == 14 + len(SIGNS)
