"""Documents on their way through the annotate stage."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from jql.schema import score_schema

HELD_BACK = "cascade"
"""Reason of a document whose first score says that the annotator would not keep it."""
SIZED = (None, "duplicate", HELD_BACK)
"""Reasons of documents whose size is counted."""


@dataclass
class Part:
    """Rows of a unit on their way.

    Attributes:
        ids, languages, reasons: of each of the n rows; a reason says why it has no score.
        rows: those that are scored here; others may have been before. counted: bool (n,), one of each cluster, which
            the histograms count.
        points: float32 (n, H). sizes: int64 (2, n), bytes and tokens; -1 where the text is of no use.
        left: batches that have no scores yet.
    """

    ids: pa.ChunkedArray
    languages: list[str]
    reasons: list[str | None]
    rows: np.ndarray
    counted: np.ndarray
    points: np.ndarray
    sizes: np.ndarray
    left: int = 0

    def refuse_unfinite(self) -> None:
        """Give documents that an encoder or a head has no number for the reason `not_finite`."""
        for row in np.flatnonzero(~np.isfinite(self.points).all(axis=1)).tolist():
            self.reasons[row] = self.reasons[row] or "not_finite"

    def to_table(self, heads: list[str]) -> pa.Table:
        """The SCORE rows."""
        unscored = np.array([reason is not None for reason in self.reasons], bool)
        scores = {head: pa.array(self.points[:, i], pa.float32(), mask=unscored) for i, head in enumerate(heads)}
        sizes = {
            name: pa.array(sizes, mask=sizes < 0) for name, sizes in zip(("bytes", "tokens"), self.sizes, strict=True)
        }
        columns = {"id": self.ids, "language": self.languages, "reason": pa.array(self.reasons, pa.string())}
        return pa.table({**columns, **sizes, **scores}, schema=score_schema(heads))
