"""The first pass over documents that a sample is drawn from: a cheap score of each, and no text kept.

30 bytes a document are held, and 130 while copies are looked for (5 million documents: 0.7 GB). A heap of texts for
each band would take less, but bands are known only when all scores are, and copies only when all texts were seen. The
texts of the documents drawn are read in a second pass.

Shapes: N documents.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from jql.annotator.annotator import Annotator
from jql.documents import Documents, document_name, read_documents

ROW = np.dtype([("language", "i2"), ("draw", "u8"), ("text", "u8"), ("score", "f4"), ("unit", "i4"), ("row", "i4")])
"""A document: its language's place in `codes`, the key it is drawn by, a hash of its text, its score, where it is."""


@dataclass(frozen=True)
class FirstPass:
    """Documents that can be rated, in any order.

    Attributes:
        codes: languages, sorted. rows_N: of dtype ROW. left_out: documents of no use, by reason.
    """

    codes: list[str]
    rows_N: np.ndarray
    left_out: Counter[str]


def score_documents(
    documents: Documents, annotator: Annotator, head: str, languages: list[str] | None, seed: int
) -> FirstPass:
    """Score every document of the languages (None: of all).

    Those left out: a `problem` of the reader (text_null, text_type, json, language_unknown), empty, other_language.

    Raises:
        DataError: a file cannot be read.
    """
    left_out: Counter[str] = Counter()
    places = {code: i for i, code in enumerate(languages or [])}
    pieces: list[np.ndarray] = []
    for unit in documents.units():
        table = read_documents(unit, ["text"], documents.language)
        ids, codes, problems, texts = (table.column(c).to_pylist() for c in ("id", "language", "problem", "text"))
        rows = []
        for row in range(table.num_rows):
            reason = problems[row]
            if reason is None and languages is not None and codes[row] not in places:
                reason = "other_language"
            if reason is None and not texts[row].strip():
                reason = "empty"
            if reason is None:
                rows.append(row)
            else:
                left_out[reason] += 1
        piece = np.empty(len(rows), ROW)
        piece["language"] = [places.setdefault(codes[r], len(places)) for r in rows]
        piece["draw"] = [document_name(ids[r], seed) for r in rows]
        piece["text"] = [document_name(texts[r]) for r in rows]
        piece["score"] = annotator.score([texts[r] for r in rows], [codes[r] for r in rows])[head]
        piece["unit"], piece["row"] = unit.index, rows
        pieces.append(piece)
    rows_N = np.concatenate(pieces)
    codes = sorted(places)
    sorted_place = np.array([codes.index(code) for code in places], np.int16)
    rows_N["language"] = sorted_place[rows_N["language"]]
    return FirstPass(codes, rows_N, left_out)


def without_copies(found: FirstPass) -> FirstPass:
    """One document of each id and one of each text: of those alike the one that would be drawn first.

    Of two with one id, which have one key, it is the one with the smaller hash of its text.
    """
    rows_N = found.rows_N
    by_id = rows_N[np.lexsort([rows_N[name] for name in ("row", "unit", "language", "text", "draw")])]
    repeated = _as_before(by_id["draw"])
    once = by_id[~repeated]
    by_text = once[np.lexsort([once["draw"], once["text"]])]
    copies = _as_before(by_text["text"])
    counts = Counter({"repeated_id": int(repeated.sum()), "duplicate": int(copies.sum())})
    return FirstPass(found.codes, by_text[~copies], found.left_out + counts)


def _as_before(sorted_N: np.ndarray) -> np.ndarray:
    """Bool (N,): which values are the same as the one before."""
    return np.concatenate([np.zeros(1, bool), sorted_N[1:] == sorted_N[:-1]])[: len(sorted_N)]


def read_drawn(
    documents: Documents, places: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], tuple[str, str | None, str]]:
    """Id, source (null where the input has none) and text of the documents at these places (unit, row)."""
    wanted: defaultdict[int, list[int]] = defaultdict(list)
    for unit_index, row in places:
        wanted[unit_index].append(row)
    found = {}
    for unit in documents.units():
        if unit.index in wanted:
            rows = wanted[unit.index]
            table = read_documents(unit, ["text", "source"], documents.language).take(rows)
            for row, values in zip(rows, table.to_pylist(), strict=True):
                found[unit.index, row] = (values["id"], values["source"], values["text"])
    return found
