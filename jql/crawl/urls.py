"""The URL blocklist: datatrove's lists (domains, URLs, banned words), without its attempt to reach the network."""

from typing import Any


class UrlFilter:
    """datatrove's URLFilter; loads its lists once per process (about 5 s and 400 MB)."""

    def __init__(self) -> None:
        from datatrove.pipeline.filters import URLFilter
        from tldextract import TLDExtract

        self._filter = URLFilter()
        # The default extractor tries to download the suffix list at its first use and waits 5 s when offline.
        self._filter.tldextractor = TLDExtract(suffix_list_urls=())
        self._filter.download_data()

    def reason(self, url: str) -> str | None:
        """Why a page with this URL is dropped (url_domain, url_subdomain, ...), or None; no URL is no reason."""
        if not url:
            return None
        from datatrove.data import Document

        document: Any = Document(text="", id="", metadata={"url": url})
        try:
            verdict = self._filter.filter(document)
        except ValueError:  # urlsplit refuses malformed hosts such as http://[::1
            return "url_malformed"
        return None if verdict is True else f"url_{verdict[1]}"
