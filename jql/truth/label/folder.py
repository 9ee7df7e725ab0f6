"""What is rated: the documents of a run folder, who gets which of them in which order, and the rubric."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import xxhash

from jql.engine import storage
from jql.errors import DataError, InputError, one_line
from jql.languages import languages
from jql.rubric import Rubric, load_rubric

DOCUMENTS, ASSIGNMENTS, RUBRIC = "documents.parquet", "assignments.parquet", "rubric.yaml"
NAME_LIMIT = 60
_SEED = 0
_CODE = re.compile("[a-z]{3}_[A-Z][a-z]{3}")


@dataclass(frozen=True)
class Document:
    """A document to rate; `pilot` says that everybody rates it first."""

    id: str
    language: str
    text: str
    pilot: bool


@dataclass(frozen=True)
class Folder:
    """A run folder; `orders` is empty where nobody has been assigned anything, and then everyone gets `common`."""

    run: str
    rubric: Rubric
    documents: dict[str, Document]
    orders: dict[str, list[str]]
    common: list[str]

    def order(self, rater: str) -> list[str]:
        """The ids that a rater gets, in their order; empty for a rater without assignments."""
        return self.orders.get(rater, []) if self.orders else self.common


def everything(documents: Iterable[Document]) -> list[str]:
    """All ids, those of the pilot first, else in an order that hangs on the ids alone."""
    return [d.id for d in sorted(documents, key=lambda d: (not d.pilot, xxhash.xxh3_64_intdigest(d.id, _SEED), d.id))]


def same_name(name: str, known: Iterable[str]) -> str:
    """The name as it is known, or as it was given: case and spaces do not make another rater.

    Raises:
        InputError: empty, too long, or with characters that no name has.
    """
    name = " ".join(name.split())
    if not name or len(name) > NAME_LIMIT or not name.isprintable():
        raise InputError(f"rater: expected a name of 1 to {NAME_LIMIT} printable characters, got {name[:80]!r}")
    return next((k for k in known if k.casefold() == name.casefold()), name)


def page_language(code: str) -> dict[str, str]:
    """Name, language tag and direction for a page; a code that jql does not know is left to the browser."""
    known = languages().get(code)
    if known is not None:
        direction = "rtl" if known.rtl else "ltr"
        return {"language": known.name, "lang": f"{known.iso639_1}-{known.script}", "dir": direction}
    return {"language": code, "lang": code.replace("_", "-") if _CODE.fullmatch(code) else "und", "dir": "auto"}


def _strings(table: pa.Table, column: str, path: str) -> list[str]:
    """A column of identifiers.

    Raises:
        DataError: a null, or bytes that are no UTF-8.
    """
    found = []
    for row, value in enumerate(table.column(column).cast(pa.binary()).to_pylist()):
        try:
            found.append(value.decode("utf-8"))
        except (AttributeError, UnicodeDecodeError):
            raise DataError(
                f"{path}, row {row}: {column}: expected UTF-8 text, got {value!r:.60}; correct it"
            ) from None
    return found


def _read(run: str, name: str, columns: list[str]) -> pa.Table:
    path = storage.join(run, name)
    try:
        table = storage.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({one_line(error)}); make the sample again") from None
    missing = [c for c in columns if c not in table.column_names]
    if missing:
        found = ", ".join(table.column_names)
        raise InputError(f"{path}: no column {missing[0]}; found {found}; expected what jql truth sample writes")
    return table


def read_languages(run: str) -> dict[str, str]:
    """Document id -> language code, in the order of documents.parquet.

    Raises:
        InputError: no documents. DataError: they cannot be read, or two share an id.
    """
    path = storage.join(run, DOCUMENTS)
    if not Path(run).is_dir():
        raise InputError(f"{run}: no such run folder; make one with jql truth sample")
    if not storage.exists(path):
        raise InputError(f"{path}: not there; make it with jql truth sample")
    table = _read(run, DOCUMENTS, ["id", "language"])
    ids = _strings(table, "id", path)
    if not ids:
        raise InputError(f"{path}: no documents in it; make the sample again")
    first: dict[str, int] = {}
    for row, id in enumerate(ids):
        if first.setdefault(id, row) != row:
            raise DataError(f"{path}, row {row}: id {id!r} is also that of row {first[id]}; ids must differ")
    return dict(zip(ids, _strings(table, "language", path), strict=True))


def read_documents(run: str) -> dict[str, Document]:
    """Document by id; bytes of a text that are no UTF-8, and NUL, become U+FFFD, as no page can show them.

    Raises:
        InputError: no documents, or no texts. DataError: they cannot be read.
    """
    codes = read_languages(run)
    table = _read(run, DOCUMENTS, ["text"])
    pilots = table.column("pilot").to_pylist() if "pilot" in table.column_names else [False] * table.num_rows
    documents = {}
    for (id, code), text, pilot in zip(
        codes.items(), table.column("text").cast(pa.binary()).to_pylist(), pilots, strict=True
    ):
        if text is None:
            raise DataError(f"{storage.join(run, DOCUMENTS)}: document {id!r} has no text; leave it out")
        shown = text.decode("utf-8", "replace").replace("\0", "\ufffd")
        documents[id] = Document(id, code, shown, bool(pilot))
    return documents


def read_orders(run: str, documents: dict[str, Document]) -> dict[str, list[str]]:
    """Rater -> ids in order of position; empty where assignments.parquet is not there or empty.

    Raises:
        DataError: a document that is not there, or one given twice to the same rater.
    """
    path = storage.join(run, ASSIGNMENTS)
    if not storage.exists(path):
        return {}
    table = _read(run, ASSIGNMENTS, ["rater", "position", "id"])
    raters, ids = _strings(table, "rater", path), _strings(table, "id", path)
    rows: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for row, (rater, position, id) in enumerate(zip(raters, table.column("position").to_pylist(), ids, strict=True)):
        where = f"{path}, row {row}: rater {rater!r}"
        if id not in documents:
            raise DataError(f"{where}: no document {id!r} in {DOCUMENTS}; make the sample again")
        if id in rows[rater] or position is None:
            what = "has no position" if position is None else "is given twice"
            raise DataError(f"{where}: document {id!r} {what}; make the sample again")
        rows[rater][id] = position
    return {same_name(r, []): sorted(rows[r], key=rows[r].__getitem__) for r in sorted(rows)}


def load_folder(run: str) -> Folder:
    """A run folder as raters need it.

    Raises:
        InputError: no such folder, no documents, no rubric. RecipeError: the rubric is wrong. DataError: a table is.
    """
    if not storage.is_local(run):
        raise InputError(f"{run}: the rating page needs a folder on this machine; copy the run folder here")
    documents = read_documents(run)
    rubric = storage.join(run, RUBRIC)
    if not storage.exists(rubric):
        raise InputError(f"{rubric}: not there; jql truth sample puts it there, or copy your rubric to it")
    return Folder(run, load_rubric(rubric), documents, read_orders(run, documents), everything(documents.values()))
