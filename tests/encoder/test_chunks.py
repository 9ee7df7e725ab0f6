"""Chunks of long documents: nothing lost, nothing twice, and the way back to one vector."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.encoder.chunks import all_chunks, cut, head_middle_tail, normalise, pool_chunks, token_batches, truncate
from jql.errors import DataError

sizes = st.integers(0, 300)
limits = st.tuples(st.integers(9, 60), st.integers(0, 2))


def document(size):
    return list(range(1000, 1000 + size))


@given(sizes, limits)
def test_all_chunks_hold_every_token_once_in_order(size, limit):
    chunks = all_chunks(document(size), *limit)
    assert [token for chunk in chunks for token in chunk] == document(size)
    assert all(len(chunk) == limit[0] - limit[1] for chunk in chunks[:-1])
    assert chunks[-1] or size == 0


@given(sizes, limits)
def test_head_middle_tail_are_ordered_disjoint_parts_that_cost_no_more_than_truncation(size, limit):
    max_tokens, special = limit
    ids = document(size)
    chunks = head_middle_tail(ids, max_tokens, special)
    joined = [token for chunk in chunks for token in chunk]
    assert joined == sorted(set(joined)) and set(joined) <= set(ids)
    if size <= max_tokens - special:
        assert chunks == [ids]
    else:
        assert [len(chunk) for chunk in chunks] == [max_tokens // 3 - special] * 3
        assert chunks[0][0] == ids[0] and chunks[2][-1] == ids[-1]
        # as much text before the middle chunk as after it, but for one token
        assert ids.index(chunks[1][0]) - (size - 1 - ids.index(chunks[1][-1])) in (0, -1)
    assert sum(len(chunk) + special for chunk in chunks) <= max_tokens


@given(sizes, limits, st.sampled_from(["truncate", "head+middle+tail", "all"]))
def test_a_document_that_fits_is_one_chunk_in_every_mode(size, limit, long):
    chunks = cut(document(size), long, *limit)
    assert len(chunks) >= 1 and all(len(chunk) + limit[1] <= limit[0] for chunk in chunks)
    if size <= limit[0] - limit[1]:
        assert chunks == [document(size)]


def test_truncation_keeps_the_start():
    assert truncate(document(9), 5, special=2) == [[1000, 1001, 1002]]


def test_no_room_for_text_is_refused():
    with pytest.raises(
        DataError,
        match="chunks of 2 tokens leave no room beside 2 special and prompt tokens; write a larger max_tokens",
    ):
        truncate([1, 2], 2, special=2)
    with pytest.raises(DataError, match="chunks of 2 tokens leave no room"):
        head_middle_tail(document(50), 6, special=2)


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200))
def test_batches_hold_each_sequence_once_within_the_budget(lengths, budget):
    batches = token_batches(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget
    flat = [lengths[i] for batch in batches for i in batch]
    assert flat == sorted(lengths, reverse=True)


def test_chunk_vectors_are_pooled_by_number_of_tokens():
    vectors = np.array([[1, 0], [0, 1], [5, 5], [0, 8]], dtype=np.float32)
    pooled = pool_chunks(vectors, np.array([3, 1, 0, 2]), np.array([0, 0, 2, 3]), 4)
    assert pooled.dtype == np.float32
    assert pooled.tolist() == [[0.75, 0.25], [0, 0], [5, 5], [0, 8]]


def test_normalised_rows_have_length_one_and_zeros_stay():
    rows = normalise(np.array([[3, 4], [0, 0], [1e30, 0]], dtype=np.float32))
    assert rows.dtype == np.float32
    assert np.allclose(rows, [[0.6, 0.8], [0, 0], [1, 0]])
