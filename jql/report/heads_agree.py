"""How far the heads of an annotator rank documents alike, and what that leaves of a cut that all must pass."""

import itertools
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from jql.agreement.metrics import spearman
from jql.select.outlook import Outlook

LEAST = 20
"""Documents of a language, below which its heads are not compared."""
_Z95 = 1.959963984540054


def with_fisher(value: float, n: int) -> dict[str, float]:
    """A Spearman correlation of n documents with its 95 % interval, by Fisher's z; n at least 4.

    Source: variance (1 + r^2 / 2) / (n - 3) of Bonett and Wright, 10.1007/BF02294183.
    """
    z = float(np.arctanh(np.clip(value, -1 + 1e-12, 1 - 1e-12)))
    reach = _Z95 * float(np.sqrt((1 + value**2 / 2) / (n - 3)))
    return {"value": value, "low": float(np.tanh(z - reach)), "high": float(np.tanh(z + reach))}


def heads_agree(outlook: Outlook, heads: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Language -> every pair of heads with its Spearman, on the sample's scored documents, one of each cluster.

    `value` is None where a head gave all the same score; a language of fewer than LEAST documents is left out.
    """
    places = [outlook.histograms.heads.index(head) for head in heads]
    first_N = outlook.sample.column("representative").fill_null(False).to_numpy(zero_copy_only=False)
    points_NH = outlook.points[:, places].astype(np.float64)
    known_N = np.isfinite(points_NH).all(axis=1) & first_N
    found = {}
    for place, code in sorted(enumerate(outlook.names), key=lambda named: named[1]):
        rows = np.flatnonzero(known_N & (outlook.codes == place))
        if len(rows) < LEAST or len(heads) < 2:
            continue
        pairs = []
        for a, b in itertools.combinations(range(len(heads)), 2):
            value = spearman(points_NH[rows, a], points_NH[rows, b])
            figures = {"value": None} if value is None else with_fisher(value, len(rows))
            pairs.append({"heads": [heads[a], heads[b]], "sample": len(rows), **figures})
        found[code] = pairs
    return found


def over_languages(found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Each pair of heads: median over the languages, and the languages of the lowest and the highest."""
    pairs: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for code, entries in found.items():
        for entry in entries:
            if entry["value"] is not None:
                pairs.setdefault(tuple(entry["heads"]), []).append((entry["value"], code))
    return [
        {"heads": list(heads), "median": median(v for v, _ in values), "lowest": min(values), "highest": max(values)}
        for heads, values in pairs.items()
    ]
