"""Translated documents without labels: what heads say of the English side is what they should say of the translation.

Shapes: P translated documents, E distinct English sides, D dense features, V n-gram features.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jql.annotator.features import Features
from jql.annotator.ngrams import ngrams
from jql.encoder.encoder import Encoder
from jql.encoder.parallel_text import HELD_OUT, parallel_files, read_lines

if TYPE_CHECKING:
    import scipy.sparse as sp

LINES = {"ntrex": (5, 300), "sib": (1, 200), "tatoeba": (12, 100)}
"""Source -> lines joined into a document, most documents of a language."""


@dataclass(frozen=True)
class Translated:
    """Features of translated documents: the English side's dense ones, both sides' n-grams.

    Attributes:
        english_P: int, which English side a translation belongs to. One that stands before 38 languages counts once.
    """

    dense_ED: np.ndarray
    english_EV: "sp.csr_matrix"
    english_P: np.ndarray
    translation_PV: "sp.csr_matrix"


def translated_documents(folder: Path, leave_out: tuple[str, ...], seed: int) -> list[tuple[str, str]]:
    """English and translation of documents of every language but those left out; NTREX's last 500 lines are not used.

    Raises:
        InputError: no files, or without the columns source, english, translation.
    """
    found = []
    for file in parallel_files(folder, leave_out):
        by_source = read_lines(file)
        draw = random.Random(seed)
        for source, (lines, most) in LINES.items():
            pairs = by_source.get(source, [])
            pairs = pairs[:-HELD_OUT] if source == "ntrex" else draw.sample(pairs, len(pairs))
            runs = [pairs[at : at + lines] for at in range(0, len(pairs), lines)][:most]
            found += [("\n".join(e for e, _ in run), "\n".join(t for _, t in run)) for run in runs]
    return found


def translated_features(pairs: list[tuple[str, str]], features: Features, encoder: Encoder) -> Translated:
    """Features of translated documents; an English side that stands before many languages is encoded once."""
    distinct = sorted({english for english, _ in pairs})
    place = {english: i for i, english in enumerate(distinct)}
    plain = Features(chars=features.chars, surface=features.surface, ngrams=False)
    dense = [plain.of(distinct[at : at + 256], encoder)[0] for at in range(0, len(distinct), 256)]
    return Translated(
        dense_ED=np.concatenate(dense),
        english_EV=ngrams([features.read(english) for english in distinct]),
        english_P=np.array([place[english] for english, _ in pairs]),
        translation_PV=ngrams([features.read(translation) for _, translation in pairs]),
    )
