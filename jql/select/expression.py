"""SQL expressions over one row: parsed by duckdb, checked, and refused where they are anything else."""

import difflib
import functools
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jql.errors import RecipeError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KEY = "select.where"
EXPECTED = "expected one condition on the columns of a single document"

_BEFORE, _AFTER = "(\n", "\n) AS holds FROM documents"  # a line of its own, so that a comment ends with it
_PLAIN = {"COLUMN_REF", "CONSTANT", "COMPARISON", "BETWEEN", "CONJUNCTION", "OPERATOR", "FUNCTION", "CASE", "CAST"}
_PLAIN |= {"COLLATE", "TYPE"}
_NAMES = {"SUBQUERY": "a subquery", "WINDOW": "a window function", "STAR": "*", "LAMBDA": "a lambda"}


def statement(expression: str, around: str = "") -> str:
    """The statement that evaluates an expression as `holds` for each row of `documents`."""
    return f"SELECT {around}{_BEFORE}{expression}{_AFTER}"


def duckdb_module() -> Any:
    """The library, which is an extra.

    Raises:
        RecipeError: it is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise RecipeError(f"{KEY}: duckdb is not installed; pip install 'jql[rules]'") from None
    return duckdb


@functools.cache
def connection() -> "DuckDBPyConnection":
    """The one database of this process: in memory, and reaching nothing outside of it.

    Raises:
        RecipeError: duckdb is not installed.
    """
    options = {
        "threads": 1,  # workers have a core each
        "enable_external_access": False,
        "autoload_known_extensions": False,
        "autoinstall_known_extensions": False,
        "python_enable_replacements": False,  # names of Python's variables are no tables
    }
    made: DuckDBPyConnection = duckdb_module().connect(":memory:", config=options)
    made.execute("SET GLOBAL TimeZone = 'UTC'")  # else a rule with times says on each node what its clock is set to
    made.execute("SET GLOBAL lock_configuration = true")
    return made


def parse_expression(expression: str) -> dict[str, Any]:
    """An expression as duckdb's tree.

    Raises:
        RecipeError: no SQL, or not a single expression.
    """
    if not expression.strip():
        raise RecipeError(f"{KEY}: empty; {EXPECTED}")
    sql = statement(expression)
    parsed = _parse(sql)
    if parsed["error"]:
        place = json.loads(parsed.get("location", "[0, 0]"))[0]  # in bytes
        early = place >= len(sql.encode()) - len(_AFTER)
        message = "it ends too early" if early else one_message(parsed["error_message"].replace(_AFTER, ""))
        raise RecipeError(f"{KEY}: {message}; {EXPECTED}")
    if _skeleton(parsed["statements"]) != _skeleton(_parse(statement("id"))["statements"]):
        raise RecipeError(f"{KEY}: more than an expression; {EXPECTED}")
    tree: dict[str, Any] = parsed["statements"][0]["node"]["select_list"][0]
    return tree


def _parse(sql: str) -> dict[str, Any]:
    row = connection().cursor().execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    parsed: dict[str, Any] = json.loads(row[0]) if row else {}
    return parsed


def _skeleton(found: Any) -> Any:
    """Parsed statements without places in the text, and with the selected expressions merely counted."""
    if isinstance(found, list):
        return [_skeleton(item) for item in found]
    if not isinstance(found, dict):
        return found
    left = {key: _skeleton(value) for key, value in found.items() if not key.startswith("query_location")}
    return left | {"select_list": len(found["select_list"])} if "select_list" in found else left


def column_names(tree: dict[str, Any]) -> list[str]:
    """The columns that a tree names, as written and without quotes.

    Raises:
        RecipeError: it needs more than one row, or is not the same at every call.
    """
    waiting, seen = _functions(tree), set[str]()
    while waiting:
        seen.add(name := waiting.pop())
        for definition in _definitions(name):
            waiting |= _functions(parse_expression(definition)) - seen
    return [".".join(node["column_names"]) for node in _nodes(tree) if node["class"] == "COLUMN_REF"]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        if "class" in tree:
            yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for item in tree:
            yield from _nodes(item)


def _functions(tree: dict[str, Any]) -> set[str]:
    """The functions that a tree calls, all of its nodes being of allowed kinds."""
    names = set()
    for node in _nodes(tree):
        if (kind := node["class"]) not in _PLAIN:
            what = _NAMES.get(kind, f"a {kind.lower().replace('_', ' ')}")
            raise RecipeError(f"{KEY}: {what} is not allowed; {EXPECTED}")
        if kind == "FUNCTION":
            if len(path := node["qualified_name"]["path"]) > 1:  # url.lower() is parsed as lower() of a schema url
                raise RecipeError(f"{KEY}: {'.'.join(path)}(...) is not allowed; write {path[-1]}({path[-2]}, ...)")
            names.add(node["function_name"].lower())
    return names


def _definitions(function: str) -> list[str]:
    """The expressions that a function is short for, such as nullif; none where it is built in."""
    query = "SELECT function_type, stability, macro_definition FROM duckdb_functions() WHERE function_name = ?"
    cursor = connection().cursor()
    rows = cursor.execute(query, [function]).fetchall()
    kinds = {kind for kind, _, _ in rows}
    if kinds & {"aggregate", "window"}:
        raise RecipeError(f"{KEY}: {function} is a function of many documents; {EXPECTED}")
    if not kinds & {"scalar", "macro"}:
        names = cursor.execute("SELECT function_name FROM duckdb_functions() WHERE function_type = 'scalar'").fetchall()
        hint = did_you_mean(function, [name for (name,) in names]) or EXPECTED
        raise RecipeError(f"{KEY}: no function {function} here; {hint}")
    varies = any(kind == "scalar" and stability != "CONSISTENT" for kind, stability, _ in rows)
    if varies or function == "age":  # of one time, age is that until today, though duckdb calls it consistent
        raise RecipeError(f"{KEY}: {function} is not the same at every call, and a verdict must be; leave it out")
    return [definition for kind, _, definition in rows if kind == "macro"]


def did_you_mean(name: str, known: list[str]) -> str:
    """A hint at the closest of the known names, empty where none is close."""
    close = difflib.get_close_matches(name.lower(), known, 1, 0.7)
    return f"did you mean {close[0]}?" if close else ""


def one_message(message: str) -> str:
    """A message of duckdb on one line, without the excerpt and the list of candidates that follow."""
    text = " ".join(re.split(r"\n\n|\n\tCandidate", message)[0].split())
    return text if len(text) <= 400 else text[:397] + "..."
