"""How much a label of a document is wanted, and the choice of documents within a budget.

Shapes: N documents, H heads.
"""

import numpy as np
import xxhash
from scipy.stats import rankdata

from jql.errors import DataError, RecipeError
from jql.truth.strata import even_shares


def within_language_ranks(scores_N: np.ndarray, languages_N: np.ndarray) -> np.ndarray:
    """float64 (N,) in (0, 1): share of its language that scores below a document, those of its own score by half."""
    ranks_N = np.empty(len(scores_N))
    for code in set(languages_N.tolist()):
        rows = np.flatnonzero(languages_N == code)
        ranks_N[rows] = (rankdata(scores_N[rows]) - 0.5) / len(rows)
    return ranks_N


def disagreement(scores_NH: np.ndarray, languages_N: np.ndarray) -> np.ndarray:
    """float64 (N,) in [0, 0.5): standard deviation over heads of a document's rank within its language.

    Ranks, so that a judge that gives a point more everywhere, or in one language, disagrees with nobody.

    Raises:
        DataError: fewer than two heads, or a score that is missing.
    """
    heads = scores_NH.shape[1]
    if heads < 2:
        raise DataError(f"disagreement: found {heads} head, expected two or more; label by random instead")
    if not np.isfinite(scores_NH).all():
        missing = int((~np.isfinite(scores_NH)).any(axis=1).sum())
        raise DataError(f"disagreement: {missing:,} documents lack a score; leave them out")
    ranks_NH = np.stack([within_language_ranks(scores_NH[:, h], languages_N) for h in range(heads)], axis=1)
    found: np.ndarray = ranks_NH.std(axis=1)
    return found


def random_order(names_N: np.ndarray, seed: int) -> np.ndarray:
    """float64 (N,) in [0, 1): a number that depends on a document's name and the seed and on no other document."""
    hashed = [xxhash.xxh3_64_intdigest(n.to_bytes(8, "little"), seed=seed) for n in names_N.tolist()]
    return np.array(hashed, np.uint64) / 2.0**64


def choose(
    acquisition_N: np.ndarray,
    languages_N: np.ndarray,
    names_N: np.ndarray,
    texts_N: np.ndarray,
    documents: int,
    seed: int,
) -> np.ndarray:
    """Documents of the highest acquisition in each language: equal shares, what a language lacks goes to the others.

    Of documents with the same text, or the same name, only the one of the highest acquisition can be chosen. What does
    not divide goes to languages by the seed, and so are ties told apart; the order of the rows is no matter.

    Args:
        acquisition_N: finite. names_N, texts_N: uint64 hashes of id and text.

    Returns:
        int64 (at most `documents`,): rows, by language and within it the highest first; fewer if there are no more.

    Raises:
        RecipeError: no documents wanted. DataError: an acquisition that is not finite.
    """
    if documents < 1:
        raise RecipeError(f"documents: expected 1 or more, got {documents}")
    if not np.isfinite(acquisition_N).all():
        raise DataError(f"acquisition: {(~np.isfinite(acquisition_N)).sum():,} are not finite; leave these rows out")
    order = np.lexsort((texts_N, random_order(names_N, seed), -acquisition_N))
    for identity_N in (texts_N, names_N):
        _, first = np.unique(identity_N[order], return_index=True)
        order = order[np.sort(first)]
    rows = {code: order[languages_N[order] == code] for code in sorted(set(languages_N.tolist()))}
    turn = np.random.default_rng(seed).permutation(sorted(rows)).tolist()
    share = dict(zip(turn, even_shares([len(rows[code]) for code in turn], documents), strict=True))
    return np.concatenate([np.zeros(0, np.int64), *(found[: share[code]] for code, found in rows.items())])
