"""The URL blocklist: datatrove's filter and lists, 40 MB shared by the processes of a node, not 830 MB in each."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from jql.engine.node_cache import once_per_node


def hashes(words: set[str]) -> np.ndarray:
    """uint64, sorted: hashes of the words; two of 5 million are equal with a probability below one in a million."""
    found = np.fromiter((xxhash.xxh3_64_intdigest(word) for word in words), np.uint64, len(words))
    found.sort()
    return found


class HashedSet:
    """Answers `in` like the set of the words whose hashes it was given."""

    def __init__(self, sorted_hashes: np.ndarray) -> None:
        self._hashes = sorted_hashes

    def __contains__(self, word: str) -> bool:
        """Whether the word is one of them."""
        wanted = np.uint64(xxhash.xxh3_64_intdigest(word))
        place = int(np.searchsorted(self._hashes, wanted))
        return place < len(self._hashes) and bool(self._hashes[place] == wanted)


def _save_lists(folder: Path) -> None:
    from datatrove.pipeline.filters import URLFilter

    whole = URLFilter()
    whole.download_data()
    np.save(folder / "domains.npy", hashes(whole.block_listed_domains))
    np.save(folder / "urls.npy", hashes(whole.block_listed_url))


def _quiet() -> None:
    from loguru import logger

    logger.disable("datatrove")


class UrlFilter:
    """datatrove's URLFilter with its integrated lists; never reaches for the network."""

    def __init__(self) -> None:
        _quiet()
        from datatrove.pipeline.filters import URLFilter
        from datatrove.pipeline.filters.url_filter import get_list
        from datatrove.utils._import_utils import ASSETS_PATH
        from tldextract import TLDExtract

        lists = once_per_node(f"url-lists-{version('datatrove')}", _save_lists)
        soft, hard, parts = (
            get_list(ASSETS_PATH, f"{n}.txt", set()) for n in ("soft_banned_words", "banned_words", "banned_subwords")
        )
        self._filter: Any = URLFilter(
            soft_banned_words=soft, banned_words=hard, banned_subwords=parts, use_integrated_lists=False
        )
        self._filter.block_listed_domains = HashedSet(np.load(lists / "domains.npy", mmap_mode="r"))
        self._filter.block_listed_url = HashedSet(np.load(lists / "urls.npy", mmap_mode="r"))
        # The default extractor tries to download the suffix list at its first use and waits 5 s when offline.
        self._filter.tldextractor = TLDExtract(suffix_list_urls=())

    def reason(self, url: str) -> str | None:
        """Why a page with this URL is dropped (url_domain, url_subdomain, ...), or None; no URL is no reason."""
        if not url:
            return None
        from datatrove.data import Document

        try:
            verdict = self._filter.filter(Document(text="", id="", metadata={"url": url}))
        except ValueError:  # a lone surrogate, which no hash is defined for
            return "url_malformed"
        return None if verdict is True else f"url_{verdict[1]}"
