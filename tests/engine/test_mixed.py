"""Several tables of one attempt written at a time: each whole or not at all, and all of them or none."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jql.engine.attempt import attempt_unit, write_output
from jql.engine.plan import Unit
from jql.engine.receipt import committed
from jql.engine.stage import Guard, Output
from jql.errors import DataError

UNIT = Unit(3, "in.warc")


def piece(*values: int) -> pa.Table:
    return pa.table({"n": pa.array(values, pa.int64())})


def files(folder: Path) -> list[str]:
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()]


def test_pieces_of_tables_come_in_any_order(tmp_path: Path) -> None:
    mixed = [("a", piece(1, 2)), ("b", piece(3)), ("a", piece(4)), ("a", None), ("c/d", piece(5)), ("b", piece(6, 7))]
    output = Output({"": (piece().schema, [piece(0)])}, 8, mixed=iter(mixed))
    receipt = write_output(str(tmp_path), UNIT, "att", output, "filter", 0.0)
    found = {name: pq.read_table(tmp_path / file.path).column("n").to_pylist() for name, file in receipt.files.items()}
    assert found == {"": [0], "a": [1, 2, 4], "b": [3, 6, 7], "c/d": [5]}
    assert receipt.files["c/d"].path == "data/c/d/00000/003-att.parquet" and receipt.rows_out == 8
    groups = pq.read_metadata(tmp_path / receipt.files["a"].path)
    assert [groups.row_group(i).num_rows for i in range(2)] == [2, 1]


def test_a_table_that_is_whole_takes_no_more(tmp_path: Path) -> None:
    mixed = [("a", piece(1)), ("a", None), ("a", piece(2))]
    with pytest.raises(AssertionError, match="more of the table 'a', which was whole"):
        write_output(str(tmp_path), UNIT, "att", Output(rows_in=2, mixed=mixed), "filter", 0.0)
    assert files(tmp_path) == []


class Breaks:
    """Cannot read its input to the end, when one table is whole and one is being written."""

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """Never all of it."""
        return Output(rows_in=3, mixed=self.pieces())

    def pieces(self) -> Iterator[tuple[str, pa.Table | None]]:
        yield from [("a", piece(1)), ("b", piece(2)), ("a", None)]
        raise DataError("in.warc: cannot be read")


@pytest.mark.parametrize("probe", [False, True])
def test_an_error_in_the_middle_leaves_nothing(tmp_path: Path, probe: bool) -> None:
    outcome = attempt_unit(str(tmp_path), Breaks(), UNIT, Guard(), "filter", probe)
    assert (outcome.status, outcome.error) == ("unreadable", "in.warc: cannot be read")
    assert committed(str(tmp_path)) == [] and files(tmp_path) == []
