"""Packs: every sequence in exactly one, none over its budget, fixed shapes filled up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.encoder.packing import Packer, fill, positions_of, starts_of


def packs_of(lengths, budget, open_packs=8):
    packer = Packer(budget, open_packs)
    packs = [pack for i, n in enumerate(lengths) if (pack := packer.add(i, n))]
    return packs + packer.flush()


@given(st.lists(st.integers(1, 300), max_size=200), st.integers(1, 500), st.integers(1, 8))
def test_every_sequence_is_in_one_pack_within_the_budget(lengths, budget, open_packs):
    packs = packs_of(lengths, budget, open_packs)
    assert sorted(i for pack in packs for i in pack) == list(range(len(lengths)))
    for pack in packs:
        assert pack
        assert sum(lengths[i] for i in pack) <= budget or len(pack) == 1


def test_packs_of_web_lengths_are_nearly_full():
    lengths = np.random.default_rng(0).lognormal(np.log(690) - 0.5, 1.0, 20_000).astype(int).clip(3, 8192)
    packs = packs_of(lengths.tolist(), 65_536)
    assert lengths.sum() / (65_536 * len(packs)) > 0.995


def test_a_flushed_packer_is_empty():
    packer = Packer(10)
    assert packer.add("a", 4) is None and packer.flush() == [["a"]] and packer.flush() == []


@given(st.lists(st.integers(1, 30), max_size=15), st.integers(0, 300), st.integers(1, 200))
def test_filled_packs_have_their_tokens_and_keep_their_sequences(lengths, more, longest):
    tokens = sum(lengths) + more
    filled = fill(lengths, tokens, longest)
    assert filled[: len(lengths)] == lengths and sum(filled) == tokens and len(filled) > len(lengths)
    assert max(filled[len(lengths) :]) <= longest


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="2 sequences of 70 tokens do not fit into a pack of 64"):
        fill([35, 35], 64, 10)


@given(st.lists(st.integers(0, 20), max_size=20), st.integers(0, 3))
def test_positions_begin_anew_in_every_sequence(lengths, first):
    starts = starts_of(lengths)
    positions = positions_of(lengths, first)
    assert starts.dtype == np.int32 and starts[-1] == len(positions) == sum(lengths)
    for i, n in enumerate(lengths):
        assert positions[starts[i] : starts[i + 1]].tolist() == list(range(first, first + n))
