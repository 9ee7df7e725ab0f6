"""Items made ahead: in order, with their error in its place, no more of them than asked for, closed at the end."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.engine.ahead import ahead


@given(st.lists(st.integers(), max_size=20), st.integers(1, 4))
def test_the_items_come_in_order(items, depth):
    assert list(ahead(items, depth)) == items


def test_they_are_made_in_a_thread_before_they_are_asked_for():
    made, name = threading.Event(), []

    def items():
        yield 1
        name.append(threading.current_thread().name)
        made.set()
        yield 2

    iterator = ahead(items())
    assert next(iterator) == 1
    assert made.wait(5)
    assert name[0].startswith("ahead")
    assert list(iterator) == [2]


def test_an_error_is_raised_where_its_item_would_have_come():
    def items():
        yield 1
        raise ValueError("page 2")

    iterator = ahead(items())
    assert next(iterator) == 1
    with pytest.raises(ValueError, match="page 2"):
        next(iterator)
    assert list(iterator) == []


def test_closing_closes_the_source_and_leaves_no_thread():
    closed, made = [], []

    def items():
        try:
            for i in range(100):
                made.append(i)
                yield i
        finally:
            closed.append(True)

    iterator = ahead(items(), 2)
    next(iterator)
    time.sleep(0.05)
    iterator.close()
    assert closed == [True] and len(made) <= 4
    assert not [t for t in threading.enumerate() if t.name.startswith("ahead")]
