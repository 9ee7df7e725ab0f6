"""The plan: frozen once written, whoever else plans."""

import json
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jql.engine import storage
from jql.engine.fingerprint import Fingerprint
from jql.engine.plan import Plan, Unit, open_plan
from jql.errors import RecipeError

MARK = Fingerprint.of(stage="crawl", version=1, config={"timeout_s": 10})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
UNITS = st.lists(
    st.tuples(st.text(max_size=20), st.integers(0, 2**60), st.dictionaries(st.text(max_size=5), VALUES, max_size=3)),
    max_size=30,
).map(lambda rows: [Unit(i, *row) for i, row in enumerate(rows)])


def never() -> Iterator[Unit]:
    raise AssertionError("a second open looked at the units")
    yield


@given(UNITS)
@settings(max_examples=40, deadline=None)
def test_what_was_planned_is_read_again(units: list[Unit]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first = open_plan(folder, MARK, units)
        again = open_plan(folder, MARK, never())
        assert list(first) == list(again) == units and len(again) == len(units)
        assert [again.unit(i) for i in range(len(units))] == units
        order = again.order().tolist()
        assert order == sorted(range(len(units)), key=lambda i: (-units[i].weight, i))


def test_frozen_on_s3(s3: str) -> None:
    folder = storage.join(s3, "plan-test")
    open_plan(folder, MARK, [Unit(0, "a", 1), Unit(1, "b", 2)])
    assert [u.source for u in open_plan(folder, MARK, never())] == ["a", "b"]


def test_another_fingerprint_is_refused_and_the_field_named(tmp_path: Path) -> None:
    open_plan(str(tmp_path), MARK, [Unit(0, "a")])
    other = Fingerprint.of(stage="crawl", version=1, config={"timeout_s": 20})
    with pytest.raises(RecipeError, match=r"holds a plan for another recipe \(config\.timeout_s: 10 -> 20\); choose"):
        open_plan(str(tmp_path), other, never())


def test_of_two_drivers_that_plan_at_once_one_plan_stands(tmp_path: Path) -> None:
    """A driver that slept through its takeover must not change the plan that others work by."""
    gate = threading.Barrier(8)

    def units(driver: int) -> Iterator[Unit]:
        gate.wait()
        yield from (Unit(i, f"driver {driver}") for i in range(driver + 1))

    with ThreadPoolExecutor(8) as pool:
        plans = list(pool.map(lambda d: open_plan(str(tmp_path), MARK, units(d)), range(8)))
    assert len({tuple(u.source for u in plan) for plan in plans}) == 1
    assert len(list(tmp_path.iterdir())) == 2, "one stage.json and the one table that it names"


def test_a_plan_whose_driver_died_before_stage_json_is_made_anew(tmp_path: Path) -> None:
    open_plan(str(tmp_path), MARK, [Unit(0, "old")])
    (tmp_path / "stage.json").unlink()
    assert [u.source for u in open_plan(str(tmp_path), MARK, [Unit(0, "new")])] == ["new"]
    record = json.loads((tmp_path / "stage.json").read_text())
    assert record["units"] == 1 and record["fields"]["config.timeout_s"] == "10"


def test_indices_count_from_zero() -> None:
    with pytest.raises(AssertionError, match="count from 0"):
        Plan.build([Unit(1, "a")])


def test_no_folder_holds_more_than_a_thousand_units() -> None:
    assert Unit(0, "").name == "00000/000" and Unit(1_234_567, "").name == "01234/567"
