"""Sizes: bytes of UTF-8, tokens of the vocabulary in the box, in proportion for long texts; of any text at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from static_help import HARD

from jql.annotator.sizes import COUNTED_CHARS, VOCABULARY, Sizes
from jql.encoder.static import find_static, read_static
from jql.encoder.vocabulary import piece_cutter

SENTENCES = {
    "eng": "The sea rises and falls twice a day because the Moon pulls on the water.",
    "deu": "Wasser kocht, wenn sein Dampfdruck so groß ist wie der Druck der Luft.",
    "ell": "Η θάλασσα ανεβαίνει και κατεβαίνει δύο φορές την ημέρα.",
    "rus": "Вода кипит при ста градусах, если давление воздуха обычное.",
    "tha": "น้ำทะเลขึ้นและลงวันละสองครั้ง",
    "cmn": "海水每天涨落两次，因为月亮吸引着水。",
    "hin": "समुद्र का जल दिन में दो बार चढ़ता और उतरता है।",
}
texts = st.one_of(
    st.text(st.characters(), max_size=200),  # with lone surrogates
    st.builds(lambda piece, many: piece * many, st.text(max_size=20), st.integers(0, 1000)),
    st.sampled_from([*HARD, *SENTENCES.values()]),
)


@pytest.fixture(scope="module")
def sizes():
    return Sizes()


@pytest.fixture(scope="module")
def tokenizer():
    """As it lies in its folder, without the faster way to cut."""
    found, _ = read_static(find_static(VOCABULARY))
    return found


@pytest.fixture(scope="module")
def cutter(tokenizer):
    return piece_cutter(tokenizer)


def test_tokens_are_those_of_the_vocabulary_in_the_box(sizes, tokenizer):
    found = sizes(list(SENTENCES.values()))
    assert found.dtype == np.int64 and found.shape == (2, len(SENTENCES))
    assert found[0].tolist() == [len(text.encode()) for text in SENTENCES.values()]
    assert found[1].tolist() == [len(tokenizer.encode(text, add_special_tokens=False)) for text in SENTENCES.values()]


@pytest.mark.parametrize("language", SENTENCES)
def test_a_long_text_has_as_many_more_tokens_as_it_has_bytes(sizes, tokenizer, language):
    text = " ".join([SENTENCES[language]] * 600)
    bytes_N, tokens_N = sizes([text])
    assert bytes_N[0] == len(text.encode())
    assert tokens_N[0] == pytest.approx(len(tokenizer.encode(text, add_special_tokens=False)), rel=0.02)
    assert sizes([text[:COUNTED_CHARS]])[1, 0] < tokens_N[0] / 3


def test_no_texts_and_texts_of_nothing(sizes):
    assert sizes([]).shape == (2, 0) and sizes([]).dtype == np.int64
    assert sizes(["", " \n", "\x00"]).tolist() == [[0, 2, 1], [0, 0, 0]]


@given(st.lists(texts, max_size=4))
def test_any_text_has_a_size_which_does_not_depend_on_its_neighbours(sizes, found):
    together = sizes(found)
    assert np.array_equal(together, np.concatenate([np.zeros((2, 0)), *(sizes([text]) for text in found)], axis=1))
    assert together[0].tolist() == [len(text.encode("utf-8", "surrogatepass")) for text in found]
    assert (together[1] >= 0).all()


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_a_text_is_counted_whole_up_to_the_limit_and_in_proportion_from_there(sizes, cutter, piece):
    short = (piece * COUNTED_CHARS)[:COUNTED_CHARS]
    [ids] = cutter([short.replace("\x00", " ")])
    assert sizes([short])[1, 0] == len(ids)
    assert sizes([short + short])[1, 0] == pytest.approx(2 * len(ids), rel=0.05, abs=20)
