"""What the filter favours: the share it keeps of documents by length, date and domain, from the joint sample.

Looked at are documents on which the cut decides, one of each near-duplicate cluster: not those that are dropped
whatever the cut, and no copies, so that a domain of many copies does not look disliked. Beside each share stands what
it would be if only the language counted.

Letters: N documents of the sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jql.annotator.part import HELD_BACK
from jql.select.outlook import Outlook

TENTHS = 10
DOMAINS, LEAST_OF_DOMAIN = 15, 5
"""Domains that are shown, and documents of the sample that one must have."""
MOST_MONTHS = 24
"""A sample of more months is shown by year."""
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Base:
    """The documents that are looked at.

    Attributes:
        rows_N: their places in the sample. codes_N: int, the place in `names` of each one's language.
        kept_N: bool. rate_N: share of its language that was drawn, in (0, 1]. expected_N: share that is kept of its
            language, estimated from this sample.
        lengths_N: tokens. months_N, domains_N: object, None where unknown.
    """

    names: list[str]
    rows_N: np.ndarray
    codes_N: np.ndarray
    kept_N: np.ndarray
    rate_N: np.ndarray
    expected_N: np.ndarray
    lengths_N: np.ndarray
    months_N: np.ndarray
    domains_N: np.ndarray

    def language(self, code: str) -> np.ndarray:
        """Bool (N,): documents of one language."""
        return np.asarray(self.codes_N == self.names.index(code)) if code in self.names else self.codes_N < 0


def share_interval(kept_N: np.ndarray, rate_N: np.ndarray) -> tuple[float, float, float]:
    """The share kept of all documents that these stand for, each for 1/rate, and its 95 % interval.

    Wilson's interval at the number of documents that an unweighted draw from an endless pool would need for the same
    variance: (sum w)^2 / sum (1 - f) w^2, by weight w and rate f. Where everything was drawn there is nothing to doubt.

    Source: Wilson, 10.1080/01621459.1927.10502953; effective size: Kish, Survey Sampling, 1965, 11.7.
    """
    weight_N = 1 / rate_N
    share = float((weight_N * kept_N).sum() / weight_N.sum())
    doubt = float(((1 - rate_N) * weight_N**2).sum())
    if doubt <= 0:
        return share, share, share
    z2n = _Z95**2 * doubt / float(weight_N.sum()) ** 2
    centre = (share + z2n / 2) / (1 + z2n)
    reach = float(np.sqrt(z2n * share * (1 - share) + z2n**2 / 4)) / (1 + z2n)
    return share, max(0.0, min(share, centre - reach)), min(1.0, max(share, centre + reach))


def decided(outlook: Outlook, kept_N: np.ndarray) -> np.ndarray:
    """Places in the sample of the documents that the cut decides on: one of each cluster, a kept one or else the first.

    What a cascade has held back is one of them: it was dropped for its score, if not by the cut's annotator.

    Args:
        kept_N: bool, all of the sample.
    """
    held_N = pc.equal(outlook.sample.column("reason"), HELD_BACK).fill_null(False).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(outlook.open | held_N)
    order = rows[np.lexsort((rows, ~kept_N[rows]))]
    clusters = outlook.sample.column("cluster").to_numpy()[order]
    _, first = np.unique(clusters, return_index=True)
    return np.sort(order[first])


def base_of(outlook: Outlook, kept_N: np.ndarray) -> Base:
    """The documents of the sample that the cut decides on, and what is compared of them; kept_N: bool, all of them."""
    rows = decided(outlook, kept_N)
    found = outlook.sample.take(pa.array(rows, pa.int64()))
    codes_N, kept_N = outlook.codes[rows], kept_N[rows]
    rate_N = np.clip(found.column("rate").to_numpy().astype(np.float64), 1e-12, 1)
    n = len(outlook.names)
    share_L = np.bincount(codes_N, kept_N / rate_N, n) / np.maximum(1e-12, np.bincount(codes_N, 1 / rate_N, n))
    months = pc.utf8_slice_codeunits(found.column("date").fill_null(""), 0, 7)
    dated = pc.match_substring_regex(months, r"^\d{4}-(0[1-9]|1[0-2])$")
    return Base(
        names=outlook.names,
        rows_N=rows,
        codes_N=codes_N,
        kept_N=kept_N,
        rate_N=rate_N,
        expected_N=share_L[codes_N] if n else np.zeros(0),
        lengths_N=found.column("tokens").fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64),
        months_N=np.array(pc.if_else(dated, months, pa.scalar(None, pa.string())).to_pylist(), object),
        domains_N=np.array(found.column("domain").to_pylist(), object),
    )


def stratum(base: Base, rows: np.ndarray, label: str) -> dict[str, Any]:
    """The share kept of some documents, and that of their languages: label, value, low, high, expected, sample."""
    value, low, high = share_interval(base.kept_N[rows], base.rate_N[rows])
    weight = 1 / base.rate_N[rows]
    expected = float((weight * base.expected_N[rows]).sum() / weight.sum())
    figures = {"value": value, "low": low, "high": high, "expected": expected, "documents": float(weight.sum())}
    return {"label": label, **{k: float(f"{v:.6g}") for k, v in figures.items()}, "sample": len(rows)}


def by_length(base: Base, chosen_N: np.ndarray) -> list[dict[str, Any]]:
    """Tenths of each language's documents by length in tokens, shortest first; of one language, up to how many."""
    tenth_N = np.full(len(base.codes_N), -1)
    codes = np.unique(base.codes_N[chosen_N])
    for code in codes:
        rows = np.flatnonzero(chosen_N & (base.codes_N == code))
        # Documents of one length stay together: their place is that of the first of them.
        lengths = base.lengths_N[rows]
        before = np.searchsorted(np.sort(lengths), lengths, side="left")
        tenth_N[rows] = TENTHS * before // len(rows)
    found = []
    for tenth in range(TENTHS):
        rows = np.flatnonzero(tenth_N == tenth)
        if len(rows):
            lengths = base.lengths_N[rows]
            span = f"{lengths.min():,}–{lengths.max():,}" if len(codes) == 1 else ""
            found.append({**stratum(base, rows, f"{tenth + 1}"), "span": span})
    return found


def by_date(base: Base, chosen_N: np.ndarray) -> list[dict[str, Any]]:
    """Months, or years where there are many months; fewer than two of either are nothing to compare."""
    dated = np.flatnonzero(chosen_N & np.array([month is not None for month in base.months_N], bool))
    words = base.months_N[dated]
    if len(set(words)) > MOST_MONTHS:
        words = np.array([month[:4] for month in words], object)
    found = [stratum(base, dated[words == word], word) for word in sorted(set(words))]
    return found if len(found) > 1 else []


def by_domain(base: Base, chosen_N: np.ndarray, most: int = DOMAINS) -> list[dict[str, Any]]:
    """The domains with most documents."""
    rows = np.flatnonzero(chosen_N & np.array([bool(domain) for domain in base.domains_N], bool))
    words, place_N, times = np.unique(base.domains_N[rows].astype(str), return_inverse=True, return_counts=True)
    documents = np.bincount(place_N, 1 / base.rate_N[rows], len(words))
    order = np.lexsort((words, -documents))
    top = [place for place in order if times[place] >= LEAST_OF_DOMAIN][:most]
    return [stratum(base, rows[place_N == place], str(words[place])) for place in top]


def favours(base: Base, chosen_N: np.ndarray) -> dict[str, Any]:
    """All three, of the documents chosen; empty where there are none."""
    if not chosen_N.any():
        return {}
    views = {"length": by_length, "date": by_date, "domain": by_domain}
    return {"sample": int(chosen_N.sum()), **{name: view(base, chosen_N) for name, view in views.items()}}


def leaning(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those whose interval leaves out what is expected of their languages."""
    return [entry for entry in entries if not entry["low"] <= entry["expected"] <= entry["high"]]
