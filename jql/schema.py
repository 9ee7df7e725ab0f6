"""The tables that stages exchange, as Arrow schemas. A stage never sees another stage's objects, only these."""

import pyarrow as pa

SIGNALS: tuple[str, ...] = (
    "n_words",
    "mean_word_length",
    "hash_ratio",
    "ellipsis_ratio",
    "bullet_lines",
    "ellipsis_lines",
    "alpha_words",
    "stop_words",
    "dup_para",
    "dup_para_chars",
    "dup_line",
    "dup_line_chars",
    "top_2_gram",
    "top_3_gram",
    "top_4_gram",
    "dup_5_gram",
    "dup_6_gram",
    "dup_7_gram",
    "dup_8_gram",
    "dup_9_gram",
    "dup_10_gram",
    "line_punct",
    "short_lines",
    "char_dup",
    "newline_ratio",
)
"""Heuristic values of a document, float32, in the order they are stored; see crawl/signals.py for each definition."""

DOCUMENT = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        ("language_score", pa.float32()),
        ("url", pa.string()),
        ("date", pa.string()),
        ("dump", pa.string()),
        ("file_path", pa.string()),
        ("warc_offset", pa.int64()),
        ("filter_reason", pa.string()),
        *[(f"signal_{name}", pa.float32()) for name in SIGNALS],
    ]
)
"""What crawl writes. FineWeb2's Parquet is read as one too: only `text` is required of an input (jql/documents/)."""

CLUSTER = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        ("cluster", pa.uint64()),
        ("cluster_size", pa.int64()),
        ("representative", pa.bool_()),
    ]
)
"""Aligned with the documents. `cluster` is the smallest id hash of its members, so input order is no matter."""

DECISION = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("keep", pa.bool_(), nullable=False),
        ("reason", pa.string()),
    ]
)
"""Aligned with the documents. `reason` is null exactly where `keep` is true."""


def embedding_schema(dense: int) -> pa.Schema:
    """EMBEDDING: aligned with judged documents; `label` is null where a judge gave none, features where `reason` is."""
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("language", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            ("reason", pa.string()),
            ("label", pa.float64()),
            ("chars", pa.int64()),
            ("features", pa.list_(pa.float32(), dense)),
        ]
    )


def score_schema(heads: list[str]) -> pa.Schema:
    """SCORE: aligned with the documents, no text; heads are null exactly where `reason` says why there is no score."""
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("language", pa.string(), nullable=False),
            ("reason", pa.string()),
            *[(head, pa.float32()) for head in heads],
        ]
    )
