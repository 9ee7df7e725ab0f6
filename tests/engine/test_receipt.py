"""Receipts: the law of rows, and that a damaged file is found."""

import dataclasses
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.engine.attempt import attempt_unit, commit, write_output
from jql.engine.plan import Unit
from jql.engine.receipt import ASIDE, Receipt, Totals, check_law, committed, read_receipts, receipt_path, verify
from jql.engine.stage import Guard, Law, Output
from jql.engine.storage import DataFile
from jql.errors import DataError

TABLE = pa.table({"n": [1, 2, 3]})
COUNTS = st.integers(-2, 6)


def receipt(rows_in: int, accepted: int, drops: dict[str, int], rows_out: int, aside: int = 0) -> Receipt:
    files = {
        name: DataFile(f"data/{name}x", "0" * 64, rows, 1) for name, rows in (("", rows_out), (ASIDE + "c", aside))
    }
    return Receipt(7, "abc", files, rows_in, accepted, drops, {"mean": 0.5}, 1.5, 10, "host")


@given(
    COUNTS,
    COUNTS,
    st.dictionaries(st.sampled_from("xyz"), COUNTS),
    COUNTS,
    st.sampled_from(["filter", "aligned", "many"]),
    st.integers(0, 3),
)
def test_the_law(rows_in: int, accepted: int, drops: dict[str, int], rows_out: int, law: Law, aside: int) -> None:
    made = receipt(rows_in, accepted, drops, rows_out, aside)
    assert made.rows_out == rows_out
    good = accepted >= 0 and all(d >= 0 for d in drops.values()) and rows_in == accepted + sum(drops.values())
    good &= rows_out == {"filter": accepted, "aligned": rows_in, "many": rows_out}[law]
    if good:
        check_law(law, made)
    else:
        with pytest.raises(AssertionError, match=r"rows (in|out)"):
            check_law(law, made)
    assert Receipt.from_bytes(made.to_bytes()) == made


def written(folder: Path, index: int = 3) -> Receipt:
    unit = Unit(index, "in")
    made = write_output(str(folder), unit, "att", Output.of(TABLE, 4, Counter(odd=1)), "filter", 0.0)
    assert commit(str(folder), unit, made)
    return made


def test_a_committed_receipt_is_read_again(tmp_path: Path) -> None:
    made = [written(tmp_path, i) for i in (0, 3, 1_999, 12_000)]
    assert committed(str(tmp_path)) == [0, 3, 1_999, 12_000] and list(read_receipts(str(tmp_path))) == made
    assert list(read_receipts(str(tmp_path), [1_999])) == [made[2]]
    totals = Totals()
    for one in made:
        verify(str(tmp_path), one)
        totals.add(one)
    assert (totals.units, totals.rows_in, totals.accepted, totals.rows_out, totals.drops) == (4, 16, 12, 12, {"odd": 4})


def test_verify_finds_a_flipped_bit(tmp_path: Path) -> None:
    made = written(tmp_path)
    path = tmp_path / made.files[""].path
    data = bytearray(path.read_bytes())
    for at in (0, len(data) // 2, len(data) - 1):
        data[at] ^= 1
        path.write_bytes(data)
        with pytest.raises(DataError, match=rf"{path}: SHA-256 is \w{{12}}, the receipt of unit 3 says \w{{12}}"):
            verify(str(tmp_path), made)
        data[at] ^= 1
    path.write_bytes(data)
    verify(str(tmp_path), made)
    path.unlink()
    with pytest.raises(DataError, match="committed by unit 3 but gone; remove its receipt"):
        verify(str(tmp_path), made)


class Miscounts:
    """Says that it read one row more than it did."""

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        output = Output.of(TABLE, 4)
        output.tables["side"] = (TABLE.schema, [])
        return output


def test_a_stage_that_miscounts_commits_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    outcome = attempt_unit(str(tmp_path), Miscounts(), Unit(3, "in.warc"), Guard(), "filter", probe=False)
    assert (
        outcome.status == "failed" and outcome.error == "in.warc: AssertionError: rows out 3 != 4 by the law 'filter'"
    )
    assert committed(str(tmp_path)) == [] and not [p for p in tmp_path.rglob("*") if p.is_file()]


class CountsAside:
    """Leaves histograms beside its rows."""

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        output = Output.of(TABLE, 4, Counter(odd=1))
        output.tables[ASIDE + "counts"] = (TABLE.schema, [TABLE] * 9)
        return output


def test_tables_aside_are_committed_and_verified_but_not_counted(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert attempt_unit(folder, CountsAside(), Unit(3, "in.warc"), Guard(), "filter", probe=False).status == "committed"
    [made] = read_receipts(folder)
    totals = Totals()
    totals.add(made)
    assert (totals.rows_out, made.files[ASIDE + "counts"].rows) == (3, 27)
    verify(folder, made)
    (tmp_path / made.files[ASIDE + "counts"].path).write_bytes(b"")
    with pytest.raises(DataError, match=r"aside/counts/.*SHA-256"):
        verify(folder, made)


def test_receipts_are_equal_but_for_time_place_and_name(tmp_path: Path) -> None:
    one, two = (written(tmp_path / n) for n in ("a", "b"))
    assert dataclasses.replace(two, seconds=one.seconds) == one
    assert Path(receipt_path(str(tmp_path / "a"), Unit(3, "").name)).read_bytes() == one.to_bytes()
