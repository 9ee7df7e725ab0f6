"""MinHash band keys of a text. Letters: N documents, B bands, R rows (hashes) a band."""

from functools import lru_cache
from typing import Any

import numpy as np
import xxhash

BANDS, ROWS, NGRAM = 14, 8, 5
"""As FineWeb2: documents of similarity s share a band with probability 1 - (1 - s^8)^14, one half at about 0.72."""
CHUNK = 50_000  # shingles hashed at a time: 112 products each, so a text of any length takes at most 150 MB


@lru_cache(128)
def _signer(language: str) -> Any:
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.utils.hashing import HashConfig

    from jql.crawl.reference import OurWords

    config = MinhashConfig(
        n_grams=NGRAM, num_buckets=BANDS, hashes_per_bucket=ROWS, hash_config=HashConfig(precision=64, hash_fc="xxhash")
    )
    return MinhashDedupSignature(output_folder="memory://unused", config=config, language=OurWords(language))


def band_keys(text: str, language: str) -> np.ndarray | None:
    """uint64 (B,): keys of which two near-duplicates of a language likely share one; None for a text without words.

    A text of fewer than five words has one shingle, all of it.
    """
    from datatrove.utils.text import simplify_text

    signer = _signer(language)
    shingles = signer.get_shingles(text)
    if not shingles.size:
        plain = simplify_text(text, signer.config.norm_config).strip()
        if not plain:
            return None
        shingles = np.array([[xxhash.xxh64_intdigest(plain)]], np.uint64)
    salt = xxhash.xxh3_64_intdigest(language)
    chunks = [signer.get_signature(shingles[at : at + CHUNK]) for at in range(0, len(shingles), CHUNK)]
    least_BR = np.min(np.array(chunks, np.uint64), axis=0)
    keys = [
        xxhash.xxh3_64_intdigest(hashes.tobytes(), seed=(salt + band) % 2**64) for band, hashes in enumerate(least_BR)
    ]
    return np.array(keys, np.uint64)
