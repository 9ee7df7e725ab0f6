"""The folder of a sample: never over ratings, nor over another sample."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from jql.engine import storage
from jql.errors import InputError, one_line
from jql.rubric import rubric_path
from jql.truth.draw import Drawn

DOCUMENTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        ("stratum", pa.string()),
        ("pilot", pa.bool_()),
        ("score_first", pa.float32()),
    ]
)
"""What is rated; `stratum` is the band and how many there are, such as 3/5; `source` is the id where none was given."""

ASSIGNMENTS = pa.schema(
    [
        pa.field("rater", pa.string(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
    ]
)
"""Who rates what; `position` counts from 0, the pilot first."""


def documents_table(
    drawn: Sequence[Drawn],
    pilot: Sequence[bool],
    bands: int,
    texts: Mapping[tuple[int, int], tuple[str, str | None, str]],
) -> pa.Table:
    """DOCUMENTS of what was drawn.

    Args:
        texts: id, source and text by place, see read_drawn.
    """
    rows = []
    for document, is_pilot in zip(drawn, pilot, strict=True):
        id, source, text = texts[document.place]
        stratum = f"{document.band + 1}/{bands}"
        rows.append((id, source or id, document.language, text, stratum, is_pilot, document.score))
    return pa.Table.from_pylist([dict(zip(DOCUMENTS.names, row, strict=True)) for row in rows], DOCUMENTS)


def assignments_table(order: Mapping[str, Sequence[str]]) -> pa.Table:
    """ASSIGNMENTS of the ids that each rater gets, in their order."""
    rows = [{"rater": r, "position": i, "id": id} for r, ids in order.items() for i, id in enumerate(ids)]
    return pa.Table.from_pylist(rows, ASSIGNMENTS)


def refuse_another(out: str, settings: dict[str, Any]) -> None:
    """Whether the folder is new, or holds a sample of these settings and no ratings."""
    if storage.exists(storage.join(out, "ratings.sqlite")):
        raise InputError(
            f"{out}: has ratings in it (ratings.sqlite), which another sample would part from their texts; "
            "choose another output"
        )
    path = storage.join(out, "sample.json")
    if storage.exists(path):
        try:
            before = dict(json.loads(storage.read_bytes(path))["settings"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not what jql writes ({one_line(error)}); choose another output") from None
        other = [name for name, value in settings.items() if before.get(name) != value]
        if other:
            raise InputError(f"{out}: holds a sample made with another {', '.join(other)}; choose another output")
        return
    for name in ("documents.parquet", "assignments.parquet", "rubric.yaml"):
        if storage.exists(storage.join(out, name)):
            raise InputError(f"{out}: has a {name} that no sample.json tells of; choose another output")


def write_sample(out: str, record: dict[str, Any], documents: pa.Table, assignments: pa.Table, rubric: str) -> None:
    """sample.json first: a run that was cut off is known by its settings, and the same command finishes it."""
    path = storage.join(out, "sample.json")
    data = (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()
    if storage.exists(path) and storage.read_bytes(path) != data:
        raise InputError(f"{out}: holds a sample of other documents (the input has changed); choose another output")
    storage.put(path, data)
    storage.put(storage.join(out, "rubric.yaml"), storage.read_bytes(rubric_path(rubric)))
    storage.write_table(out, "documents.parquet", DOCUMENTS, [documents])
    storage.write_table(out, "assignments.parquet", ASSIGNMENTS, [assignments])
