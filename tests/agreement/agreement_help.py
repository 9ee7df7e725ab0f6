"""Scores and labels of four languages for the tests of figures, and a table as a terminal shows it."""

import io

import numpy as np
from rich.console import Console

from jql.agreement.figures import Settings

FEW = Settings(resamples=100)


def sample(seed: int = 0, noise: float = 1.0) -> tuple[np.ndarray, tuple]:
    """Scores, and labels, languages, sources and lengths: 60 German, 40 French, 10 Maltese and 25 constant Danish."""
    generator = np.random.default_rng(seed)
    languages = ["deu_Latn"] * 60 + ["fra_Latn"] * 40 + ["mlt_Latn"] * 10 + ["dan_Latn"] * 25
    labels = generator.integers(0, 6, 135).astype(float)
    labels[110:] = 2.0
    scores = labels + generator.normal(0, noise, 135)
    return scores, (labels, languages, list(range(135)), generator.integers(100, 2000, 135))


def rendered(table: object) -> str:
    stream = io.StringIO()
    Console(file=stream, width=250).print(table)
    return stream.getvalue()
