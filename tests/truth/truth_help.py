"""Ratings and rubrics that tests of the ground-truth room share; all texts are made up."""

from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from jql.schema import RATING
from jql.truth.ratings import Ratings

RUBRIC = """
name: teaching
task: How useful is the document for teaching?
scale: {0: none, 1: little, 2: some, 3: much}
prompt: "Rate this: {document}"
patterns: ['Score: (\\d)']
"""


def rating(id: str, rater: str, score: float | None, **more: Any) -> dict[str, Any]:
    """A row of RATING; skipped where there is no score."""
    row = {"reason": "unsure" if score is None else None, "language": "eng_Latn", "origin": "human", **more}
    return {**dict.fromkeys(RATING.names), **row, "id": id, "rater": rater, "score": score}


def ratings_of(*rows: dict[str, Any], texts: dict[str, str] | None = None, **more: Any) -> Ratings:
    """Ratings of these rows."""
    return Ratings(pa.Table.from_pylist(list(rows), RATING), texts or {}, **more)


def write_rubric(folder: Path) -> str:
    """The rubric above as a file; its range is 0 to 3."""
    path = folder / "teaching.yaml"
    path.write_text(RUBRIC)
    return str(path)


# Quotes, commas, line ends of all kinds, what spreadsheets run, apostrophes, and letters written from the right.
HARD = st.text(st.sampled_from(list("a '\"\t\r\n,;=+-@אבمر0é𝔘\0")), max_size=8)
NAMES = st.one_of(HARD, st.text(st.characters(exclude_categories=["Cs"]), max_size=6))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
MAYBE = st.one_of(st.none(), NAMES)


@st.composite
def many_ratings(draw: Any) -> Ratings:
    """Valid ratings of a few documents, with whatever may stand in their columns."""
    rows, texts, sources = [], {}, {}
    for id in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)):
        language = draw(st.sampled_from(["deu_Latn", "arb_Arab", "cmn_Hani"]))
        text, source = draw(MAYBE), draw(MAYBE)
        if text is not None:
            texts[id] = text
        if source not in (None, id):
            sources[id] = source
        for rater in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)):
            score = draw(st.one_of(st.none(), st.integers(0, 5).map(float), NUMBERS))
            row = rating(id, rater, score, language=language, origin=draw(st.sampled_from(["human", "model"])))
            row |= {"seconds": draw(st.one_of(st.none(), NUMBERS)), "guideline": draw(MAYBE), "rated_at": draw(MAYBE)}
            rows.append(row | ({"reason": draw(st.sampled_from(["spam", "=1+1", "'"]))} if score is None else {}))
    return ratings_of(*rows, texts=texts, sources=sources)
