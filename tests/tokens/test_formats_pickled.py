"""The index of a .pbin is read without unpickling: what is no list of pairs of numbers does nothing and is refused."""

import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.errors import DataError
from jql.tokens.formats import read_modalities
from jql.tokens.formats.pickled_pairs import read_pairs

NUMBER = st.one_of(st.integers(0, 300), st.integers(0, 2**62 - 1), st.sampled_from([255, 256, 65535, 65536, 2**31]))


@given(st.lists(st.tuples(NUMBER, NUMBER), max_size=20), st.sampled_from([2, 3, 4, 5]))
def test_it_gives_what_pickle_would(pairs, protocol):
    found = read_pairs(pickle.dumps(pairs, protocol), "a.pbin")
    assert found.shape == (len(pairs), 2) and found.dtype == np.int64
    assert found.tolist() == [list(pair) for pair in pairs]


@pytest.mark.parametrize("protocol", [2, 4])
def test_of_many_pairs(protocol):
    pairs = [(i * 700, 700) for i in range(2_500)]  # pickle appends a thousand at a time
    assert read_pairs(pickle.dumps(pairs, protocol), "a.pbin").tolist() == [list(pair) for pair in pairs]


class Hostile:
    def __repr__(self):
        return "Hostile()"

    def __reduce__(self):
        return os.mkdir, ("hostile",)


@pytest.mark.parametrize(
    "found",
    [
        Hostile(),
        [Hostile()],
        [(0, 1), Hostile()],
        [(0, Hostile())],
        (0, 1),
        [[0, 1]],
        [(0, 1, 2)],
        [(0,)],
        [0, 1],
        [(0, 1.0)],
        [(0, True)],
        [("0", 1)],
        [(0, -1)],
        [(0, 2**62)],
        [(0, 2**80)],
        [((0, 1), 2)],
        {"a": 1},
        None,
        np.zeros((2, 2)),
        [(np.int64(0), np.int64(1))],
    ],
    ids=str,
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_anything_else_is_refused(found, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.pbin"
    path.write_bytes(struct.pack("<QI", 2, 1) + b"ab" + pickle.dumps(found, protocol))
    with pytest.raises(DataError, match=r"a.pbin: index: byte \d+: .*expected a list of pairs of numbers and no more"):
        read_modalities(path)
    assert not (tmp_path / "hostile").exists()


@given(st.binary(max_size=40))
def test_no_bytes_do_anything_but_pairs_or_a_refusal(data):
    for found in (data, b"\x80\x04]" + data, b"\x80\x04](" + data, pickle.dumps([(1, 2)], 4)[:-1] + data):
        try:
            pairs = read_pairs(found, "a.pbin")
        except DataError:
            continue
        assert pickle.loads(found) == [tuple(pair) for pair in pairs.tolist()]  # so it was nothing else


@given(st.lists(st.tuples(NUMBER, NUMBER), min_size=1, max_size=4), st.data())
def test_a_byte_cut_off_or_put_after_it_is_seen(pairs, data):
    whole = pickle.dumps(pairs, 4)
    cut = data.draw(st.integers(0, len(whole) - 1))
    for found in (whole[:cut], whole + b".", whole + b"N."):
        with pytest.raises(DataError, match="index: byte"):
            read_pairs(found, "a.pbin")
