"""The documents of a unit with what stands beside them, their texts read a part at a time. Letter: N documents."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jql.documents import read_documents
from jql.engine import storage
from jql.engine.plan import Unit
from jql.errors import DataError, one_line
from jql.select.batch import Batch, Decided, Opened, columns_of
from jql.select.columns import OF_DOCUMENT
from jql.select.cuts import Cuts
from jql.select.reasons import encode

BATCH_ROWS = 10_000  # texts of a unit in memory at a time: 30 MB of web pages
TEXT_ROWS = 2000  # texts in one array: what is larger than 16 MB is fetched from and given back to the system each time


@dataclass(frozen=True)
class Reader:
    """Reads units with the tables beside their documents.

    Attributes:
        heads: whose scores a row has. clustered: whether it has its cluster. cuts: what ranks come from.
        repeat: whether documents are written several times, so that a row says 1.
    """

    heads: list[str]
    clustered: bool
    cuts: Cuts | None
    repeat: bool = False

    def decided(self, unit: Unit) -> Decided:
        """The decisions on a unit, and what stands beside them.

        Raises:
            DataError: the tables have different numbers of rows.
        """
        path = unit.payload["decisions"]
        table = storage.read_table(path, ["language", "keep", "reason", "repeats"])
        keep = table.column("keep").to_numpy()
        names, codes = encode(table.column("language"))
        reasons = table.column("reason")
        dropped = Counter({c["values"]: c["counts"] for c in reasons.value_counts().to_pylist() if c["values"]})
        repeats = np.where(keep, table.column("repeats").fill_null(1).to_numpy(), 0)
        scores = self._beside(unit, "scores", len(keep), [*self.heads, "tokens"])
        rank = self._ranks(scores, codes, names)
        said = np.minimum(repeats, 1) if self.repeat else repeats
        columns = {
            "language": table.column("language"),
            "tokens": scores.column("tokens"),
            "rank": pa.array(rank, pa.float32(), mask=np.isnan(rank)),
            "repeats": pa.array(said, pa.int32(), mask=~keep),
            "weight": pa.array(said * np.nan_to_num(rank, nan=1.0), pa.float32(), mask=~keep),
            "reason": reasons,
        }
        columns |= {f"score_{head}": scores.column(head) for head in self.heads}
        if self.clustered:
            clusters = self._beside(unit, "clusters", len(keep), ["cluster", "cluster_size"])
            columns |= {name: clusters.column(name) for name in clusters.column_names}
        return Decided(names, codes, keep, repeats.astype(np.int64), dropped, pa.table(columns).combine_chunks())

    def _beside(self, unit: Unit, name: str, rows: int, columns: list[str]) -> pa.Table:
        """Columns of a table beside the documents; nulls where a stage was allowed to miss the unit."""
        path = unit.payload.get(name)
        if path is None:
            return pa.table({column: pa.nulls(rows) for column in columns})
        table = storage.read_table(path, columns)
        if table.num_rows != rows:
            raise DataError(
                f"{unit.source}: {rows:,} decisions ({unit.payload['decisions']}), but {table.num_rows:,} rows of "
                f"{name} ({path}); they must be as many, so one of them is not of these documents"
            )
        return table

    def _ranks(self, scores: pa.Table, codes: np.ndarray, names: list[str]) -> np.ndarray:
        """float32 (N,), NaN where there is none."""
        if self.cuts is None or not set(self.cuts.heads) <= set(scores.column_names):
            return np.full(len(codes), np.nan, np.float32)
        points = np.empty((len(codes), len(self.cuts.heads)), np.float32, order="F")
        for h, head in enumerate(self.cuts.heads):
            points[:, h] = scores.column(head).cast(pa.float32()).to_numpy()
        return self.cuts.ranks(points, codes, names).astype(np.float32)

    def batches(self, unit: Unit, decided: Decided, all_rows: bool) -> Iterator[Batch]:
        """The documents of a unit, in order; parts without a kept one are left out unless `all_rows`.

        A unit that keeps nothing is not opened: its texts may have been what could not be scored.

        Raises:
            DataError: the file cannot be read, or its documents are not as many as the decisions.
        """
        if not decided.keep.any() and not all_rows:
            return
        apart = unit.payload["format"] == "parquet"  # lines come with their texts in any case
        # The languages are those of the decisions, so that none has to be identified again.
        wanted = [name for name in OF_DOCUMENT if name not in (("language", "text") if apart else ("language",))]
        documents = read_documents(unit, wanted, "und")
        self._check(unit, documents.num_rows, decided)
        names = [name for name in wanted if name != "text"]
        table = pa.table({**{name: documents.column(name) for name in names}, **columns_of(decided.columns)})
        # The stages that made these tables have looked at all texts.
        unchecked = not {"scores", "clusters"} & unit.payload.keys()
        opened = Opened(unit, decided, table.combine_chunks(), unchecked)
        if not apart:
            if len(decided):
                yield Batch(opened, 0, documents.column("text").chunks)
            return
        texts: list[pa.StringArray] = []
        start = held = 0
        for place, piece in _texts(unit, None if all_rows else decided.keep):
            if texts and (held + len(piece) > BATCH_ROWS or place != start + held):
                yield Batch(opened, start, texts)
                texts, held = [], 0
            if not texts:
                start = place
            texts.append(piece)
            held += len(piece)
        if texts:
            yield Batch(opened, start, texts)

    def _check(self, unit: Unit, documents: int, decided: Decided) -> None:
        if documents != len(decided):
            raise DataError(
                f"{unit.source}: {documents:,} documents, but {len(decided):,} decisions "
                f"({unit.payload['decisions']}); the file was changed, or these are decisions on another"
            )


def _texts(unit: Unit, keep_N: np.ndarray | None) -> Iterator[tuple[int, pa.StringArray]]:
    """The texts of a Parquet unit, TEXT_ROWS at a time, with the number of the first; not checked to be UTF-8.

    Args:
        keep_N: row groups without one that is kept are left out; None for none.

    Raises:
        DataError: the file cannot be read.
    """
    fs, inner = storage.filesystem(unit.payload["path"])
    try:
        with fs.open(inner, "rb") as handle:
            # Else the whole column of a row group is read at once, which may be all of a file.
            file = pq.ParquetFile(handle, buffer_size=8 << 20, pre_buffer=False)
            start = 0
            for group in range(*(unit.payload["groups"] or (0, file.num_row_groups))):
                stop = start + file.metadata.row_group(group).num_rows
                if keep_N is None or keep_N[start:stop].any():
                    for batch in file.iter_batches(TEXT_ROWS, row_groups=[group], columns=["text"]):
                        yield start, batch.column(0).cast(pa.string())
                        start += batch.num_rows
                start = stop
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{unit.source}: cannot be read ({type(error).__name__}: {one_line(error)})") from error
