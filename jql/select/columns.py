"""The columns of an exported row, and what it says of where it comes from."""

import pyarrow as pa

from jql.engine.plan import Unit

OF_DOCUMENT: dict[str, pa.DataType] = {
    "id": pa.string(),
    "text": pa.string(),
    "language": pa.string(),
    "language_score": pa.float32(),
    "url": pa.string(),
    "date": pa.string(),
    "dump": pa.string(),
    "file_path": pa.string(),
    "warc_offset": pa.int64(),
    "filter_reason": pa.string(),
}
"""What a row has of its document; columns an input lacks are null."""
COLUMNS: dict[str, pa.DataType] = {
    **OF_DOCUMENT,
    "source": pa.string(),
    "source_row": pa.int64(),
    "bytes": pa.int64(),
    "tokens": pa.int64(),
    "rank": pa.float32(),
    "repeats": pa.int32(),
    "weight": pa.float32(),
}
"""What every row has.

`source` is the file that the document was read from (of a crawl, its unit) and `source_row` its row there, from 0.
`bytes` of the text in UTF-8, `tokens` of the vocabulary in the box, null where nothing was scored. `rank` in its
language by the mean over the heads, in [0, 1], null without scores. `repeats`: how often to see it. `weight`: repeats x
rank, repeats alone without a rank; what a sampler draws by.
"""


def export_schema(heads: list[str], clustered: bool, removed: bool = False) -> pa.Schema:
    """Schema of an exported file; scores are named score_HEAD, and a removed document has its reason."""
    fields = list(COLUMNS.items())
    fields += [("cluster", pa.uint64()), ("cluster_size", pa.int64())] if clustered else []
    fields += [(f"score_{head}", pa.float32()) for head in heads]
    return pa.schema(fields + ([("reason", pa.string())] if removed else []))


def source_of(unit: Unit) -> str:
    """What a row says of where it comes from: the input file, the bytes of one, or the unit of this run's crawl.

    A table of this run is named by its unit alone: its path has the run's folder and the attempt, which come to nothing
    for another who runs the same recipe.
    """
    payload = unit.payload
    if payload["format"] == "jsonl":
        return unit.source if payload["bytes"] else str(payload["path"])
    if payload["groups"] is None:
        stage, fingerprint, _, folder, name = payload["path"].split("/")[-5:]
        return f"{stage}/{fingerprint}/{folder}/{name.split('-')[0]}"
    return str(payload["path"])
