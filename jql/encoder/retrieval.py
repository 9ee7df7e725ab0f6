"""How well an encoder finds translations: of each held-out line, whether its nearest neighbour is its translation.

Shapes: N lines, D dimensions.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Encode = Callable[[Sequence[str]], Any]


def retrieval(encode: Encode, held_out: dict[str, list[tuple[str, str]]]) -> dict[str, float]:
    """Language -> accuracy in [0, 1], the mean of English to the language and back.

    Args:
        encode: texts to rows of length 1, dense or sparse (N, D).
        held_out: language -> English lines and their translations.
    """
    found = {}
    for language, pairs in held_out.items():
        english, translation = encode([e for e, _ in pairs]), encode([t for _, t in pairs])
        likeness_NN = english @ translation.T
        if not isinstance(likeness_NN, np.ndarray):
            likeness_NN = likeness_NN.toarray()
        own = np.arange(len(pairs))
        found[language] = float(((likeness_NN.argmax(1) == own).mean() + (likeness_NN.argmax(0) == own).mean()) / 2)
    return found
