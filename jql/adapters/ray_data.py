"""An annotator for Ray Data: a class for `ray.data.Dataset.map_batches`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from jql.adapters import why_no_score
from jql.annotator.annotator import Annotator
from jql.errors import InputError
from jql.languages import canonical_language


class Annotate:
    """Adds a float32 column for each head to a batch, in points of the rubric; the annotator is loaded once an actor.

    A row without text (null, no string, or white space) keeps its place and gets NaN, in Arrow null.

    Example:
        documents.map_batches(
            Annotate,
            fn_constructor_kwargs={"annotator": "edu"},
            batch_size=1024,
            compute=ray.data.ActorPoolStrategy(size=2),
            num_gpus=1,  # a GPU for each actor; leave it out for a static annotator
        )

    Args:
        annotator: name, folder or hub id.
        text: the column with the texts.
        language: the column with their languages, for an annotator that is calibrated by language.
        prefix: stands before a head's name in the name of its column.

    Raises:
        InputError, DataError: no such annotator, or its encoder is not here.
    """

    def __init__(
        self, annotator: str = "edu", text: str = "text", language: str | None = None, prefix: str = "score_"
    ) -> None:
        self.annotator = Annotator.load(annotator)
        self.annotator.encoder()
        self.text, self.language, self.prefix = text, language, prefix

    def __call__(self, batch: Any) -> Any:
        """The batch with its scores.

        Args:
            batch: columns by name as arrays, or a table of pyarrow; what is returned is of the same kind.

        Raises:
            InputError: a column is not there, or the batch is of another kind.
        """
        if isinstance(batch, pa.Table):
            read = {name: batch.column(name).to_pylist() for name in self._needed(batch.column_names)}
            for name, points_N in self._scores(read):
                column = pa.array(points_N, pa.float32(), mask=np.isnan(points_N))
                there = batch.schema.get_field_index(name)
                batch = batch.append_column(name, column) if there < 0 else batch.set_column(there, name, column)
            return batch
        if isinstance(batch, Mapping):
            return {**batch, **dict(self._scores({name: list(batch[name]) for name in self._needed(list(batch))}))}
        found = f"expected a batch of arrays or an Arrow table, got {type(batch).__name__}"
        raise InputError(f"Annotate: {found}; call map_batches with batch_format numpy or pyarrow")

    def _needed(self, columns: list[str]) -> list[str]:
        """The columns that are read."""
        needed = [self.text, *([self.language] if self.language else [])]
        if missing := [name for name in needed if name not in columns]:
            found = f"no column {', '.join(missing)}, found {', '.join(columns)}"
            raise InputError(f"Annotate: {found}; name the columns as text= and language=")
        return needed

    def _scores(self, read: dict[str, list[Any]]) -> list[tuple[str, np.ndarray]]:
        """Name and float32 (N,) of each score, NaN for a row without text."""
        texts = read[self.text]
        rows = np.array([i for i, text in enumerate(texts) if not why_no_score(text)], np.int64)
        codes = [canonical_language(str(code)) for code in read[self.language]] if self.language else None
        points = self.annotator.score([texts[r] for r in rows], None if codes is None else [codes[r] for r in rows])
        found = []
        for head, points_R in points.items():
            points_N = np.full(len(texts), np.nan, np.float32)
            points_N[rows] = points_R
            found.append((self.prefix + head, points_N))
        return found
