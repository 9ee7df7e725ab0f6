"""The expert rule select.where: one SQL condition on the columns of a document, evaluated by duckdb. N documents."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jql.errors import RecipeError
from jql.schema import DOCUMENT
from jql.select.expression import (
    EXPECTED,
    KEY,
    column_names,
    connection,
    did_you_mean,
    duckdb_module,
    one_message,
    parse_expression,
    statement,
)

_OTHERS = ("minhash_cluster_size", "cluster_size", "bytes", "tokens")
_KINDS = {field.name: field.type for field in DOCUMENT} | dict.fromkeys(_OTHERS, pa.int64())


def columns_for(heads: Sequence[str]) -> dict[str, pa.DataType]:
    """The columns that a rule may name, with their types, in a fixed order.

    Those of a document; minhash_cluster_size of FineWeb2 and our cluster_size; bytes and tokens of the text;
    score_HEAD in points of the rubric, for each head.
    """
    return _KINDS | {f"score_{head}": pa.float32() for head in heads}


@dataclass(frozen=True)
class Where:
    """A rule that is known to be one boolean expression over known columns; made by `parse`, and may be pickled.

    Attributes:
        expression: as it was written.
        columns: those it names, in the order of `columns_for`.

    Example:
        >>> rule = Where.parse("language_score >= 0.8 AND score_web > 1.2", ["web"])
        >>> rule.columns
        ('language_score', 'score_web')
        >>> rule.holds(pa.table({"language_score": [0.9, 0.9, None], "score_web": [2.0, 1.0, 2.0]})).tolist()
        [True, False, False]
    """

    expression: str
    columns: tuple[str, ...]

    @classmethod
    def parse(cls, expression: str, heads: Sequence[str]) -> "Where":
        """Read a rule.

        Args:
            heads: of the annotator, for the columns score_HEAD.

        Raises:
            RecipeError: no SQL, not a single boolean expression, a column that there is not, a function of many rows or
                with another value at each call; or the extra `rules` is not installed.
        """
        kinds = columns_for(heads)
        named = {_known(name, list(kinds)) for name in column_names(parse_expression(expression))}
        if not named:
            raise RecipeError(f"{KEY}: no column in it; {EXPECTED}, such as language_score >= 0.8")
        if len({name.lower() for name in named}) < len(named):  # SQL takes them for one another
            raise RecipeError(f"{KEY}: {' and '.join(sorted(named))} differ in case alone; rename one of the heads")
        rule = cls(expression, tuple(name for name in kinds if name in named))
        rule._try_types()
        return rule

    @property
    def document_columns(self) -> tuple[str, ...]:
        """Those of `columns` that stand in the documents."""
        return tuple(name for name in self.columns if name in DOCUMENT.names or name == "minhash_cluster_size")

    @property
    def cluster_columns(self) -> tuple[str, ...]:
        """Those of `columns` that stand in the clusters: cluster_size."""
        return tuple(name for name in self.columns if name == "cluster_size")

    @property
    def score_columns(self) -> tuple[str, ...]:
        """Those of `columns` that stand in the scores: bytes and tokens; score_HEAD, which is called HEAD there."""
        return tuple(n for n in self.columns if n not in (*self.document_columns, *self.cluster_columns))

    def holds(self, table: pa.Table) -> np.ndarray:
        """Whether the rule holds for each row, bool (N,), in their order.

        False where that is unknown since a value it depends on is missing (null, NaN), and where it cannot be computed,
        as with CAST(date AS DATE) for a date that is none.

        Args:
            table: N rows, with all of `columns`; others are ignored.

        Raises:
            RecipeError: duckdb gives up; or the extra `rules` is not installed.
        """
        duckdb = duckdb_module()
        given = pa.table({name: _values(table.column(name), _kind(name)) for name in self.columns})
        with connection().cursor() as cursor:
            cursor.register("documents", given)
            try:
                try:
                    found = cursor.execute(statement(self.expression)).fetchnumpy()
                except (
                    duckdb.DataError,
                    duckdb.InvalidInputException,
                ):  # a row: now one by one, and null where it fails
                    found = cursor.execute(statement(self.expression, "TRY")).fetchnumpy()
            except duckdb.Error as error:
                raise RecipeError(f"{KEY}: {one_message(str(error))}") from error
        return np.asarray(np.ma.filled(found["holds"], False), bool)

    def _try_types(self) -> None:
        """Let duckdb evaluate the rule on two rows of nulls, which shows types and constants that do not fit."""
        duckdb = duckdb_module()
        with connection().cursor() as cursor:
            cursor.register("documents", pa.table({name: pa.nulls(2, _kind(name)) for name in self.columns}))
            try:
                kind = str(cursor.execute(statement(self.expression)).description[0][1])
                rows = cursor.fetchall()
            except duckdb.Error as error:
                raise RecipeError(f"{KEY}: {one_message(str(error))}") from None
        if len(rows) != 2:
            raise RecipeError(f"{KEY}: not one value for each document; {EXPECTED}")
        if kind != "BOOLEAN":
            raise RecipeError(f"{KEY}: expected a condition, true or false, got {kind}; compare it, as in ... > 0")


def _known(name: str, known: list[str]) -> str:
    """The column that is meant by a name; its case does not matter.

    Raises:
        RecipeError: there is none; names what could be meant.
    """
    if found := [column for column in known if column == name or column.lower() == name.lower()]:
        return name if name in found else found[0]
    meant = [column for column in known if column.lower() in (f"score_{name}".lower(), f"signal_{name}".lower())]
    hint = f"did you mean {meant[0]}?" if meant else did_you_mean(name, known)
    if not hint:
        short = ", ".join(column for column in known if not column.startswith("signal_"))
        hint = f"there are {short}, and signal_... (jql/schema.py); a text stands in single quotes"
    raise RecipeError(f"{KEY}: no column {name!r}; {hint}")


def _kind(name: str) -> pa.DataType:
    """The type of a column that a rule may name."""
    return _KINDS.get(name, pa.float32())


def _values(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """The column as its type, NaN as null: SQL would take it for the largest number."""
    if column.type != kind:
        column = column.cast(kind)
    if pa.types.is_floating(kind) and pc.any(nan := pc.is_nan(column)).as_py():
        column = pc.if_else(nan, pa.scalar(None, kind), column)
    return column
