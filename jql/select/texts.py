"""Texts of drawn documents, read from few units: a whole crawl is not opened to show some pages of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from jql.annotator.sizes import COUNTED_CHARS, Sizes
from jql.documents import Documents, document_name, parts_of, read_documents
from jql.errors import RecipeError, one_line

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PART_ROWS = 8_192
UNITS = 64
"""Units that are opened for texts, at most."""
RATED = 300
"""Documents of each language that the tokens of another tokenizer are counted on."""


def read_texts(
    documents: Documents, units_N: Sequence[int], rows_N: Sequence[int], most_units: int = UNITS
) -> dict[tuple[int, int], str]:
    """Unit and row -> text, of rows that lie in `most_units` units drawn by hash; the others are left out."""
    wanted: dict[int, list[int]] = {}
    for index, row in zip(units_N, rows_N, strict=True):
        wanted.setdefault(int(index), []).append(int(row))
    chosen = set(sorted(wanted, key=lambda index: document_name(str(index)))[:most_units])
    found: dict[tuple[int, int], str] = {}
    for unit in documents.units():
        if unit.index not in chosen:
            continue
        rows = np.array(sorted(wanted[unit.index]), np.int64)
        parts = parts_of(unit, PART_ROWS)
        starts = [part.payload.get("row", 0) - unit.payload.get("row", 0) for part in parts]
        for part, start, stop in zip(parts, starts, [*starts[1:], np.inf], strict=True):
            ours = rows[(rows >= start) & (rows < stop)]
            if len(ours):
                texts = read_documents(part, ["text"], documents.language).column("text").take(pa.array(ours - start))
                found |= {(unit.index, row): text for row, text in zip(ours.tolist(), texts.to_pylist(), strict=True)}
    return {place: text for place, text in found.items() if text is not None}


def load_tokenizer(name: str) -> "Tokenizer":
    """The tokenizer of a folder, a tokenizer.json, or a hub id.

    Raises:
        RecipeError: there is none.
    """
    from huggingface_hub import hf_hub_download
    from tokenizers import Tokenizer

    path = Path(name) / "tokenizer.json" if Path(name).is_dir() else Path(name)
    try:
        if not path.is_file():
            path = Path(hf_hub_download(name, "tokenizer.json"))
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises Exception itself, the hub a dozen kinds
        raise RecipeError(
            f"select.tokenizer: {name}: no tokenizer.json can be read there ({one_line(error)}); expected a folder "
            "with one, or a hub id"
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def token_rates(documents: Documents, sample: pa.Table, name: str) -> dict[str, float]:
    """Language -> tokens of a tokenizer to one of the vocabulary in the box, on RATED drawn documents of each."""
    tokenizer, ours = load_tokenizer(name), Sizes()
    usable = sample.filter(sample.column("tokens").is_valid())
    places = zip(*(usable.column(c).to_pylist() for c in ("unit", "row", "language")), strict=True)
    by_language: dict[str, list[tuple[int, int]]] = {}
    for unit, row, code in sorted(places, key=lambda place: document_name(str(place[0]))):  # as read_texts draws units
        if len(chosen := by_language.setdefault(code, [])) < RATED:
            chosen.append((unit, row))
    wanted = [place for chosen in by_language.values() for place in chosen]
    texts = read_texts(documents, [unit for unit, _ in wanted], [row for _, row in wanted])
    rates = {}
    for code, chosen in sorted(by_language.items()):
        found = [texts[place][:COUNTED_CHARS] for place in chosen if place in texts]
        if found:
            mine = sum(len(e.ids) for e in tokenizer.encode_batch_fast(found, add_special_tokens=False))
            rates[code] = mine / max(1, int(ours(found)[1].sum()))
    return rates
