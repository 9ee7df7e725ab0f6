"""Common Crawl by dump id: the list of a dump's files, and a seeded sample of them."""

import gzip
import random
import re

from jql.crawl.fetch import BASE_S, TRIES, retry
from jql.engine import storage
from jql.errors import RecipeError

_DUMP = re.compile(r"CC-MAIN-\d{4}-\d{2}")


def check_dump(dump: str) -> str:
    """The dump id.

    Raises:
        RecipeError: not of the form CC-MAIN-2025-05.
    """
    if not _DUMP.fullmatch(dump):
        raise RecipeError(f"crawl.dump: expected an id such as CC-MAIN-2025-05, got {dump!r}")
    return dump


def dump_files(
    base: str, dump: str, kind: str, files: int | None, seed: int, tries: int = TRIES, base_s: float = BASE_S
) -> list[str]:
    """Addresses of a dump's files, in the order of its list; `files` of them drawn with `seed`, or all.

    Args:
        base: https://data.commoncrawl.org or s3://commoncrawl, or a mirror of the same layout.
        kind: warc or wet.
    Raises:
        RecipeError: more files asked for than the dump has. DataError: the list cannot be fetched.
    """
    listing = storage.join(base, "crawl-data", check_dump(dump), f"{kind}.paths.gz")
    data = retry(listing, lambda: storage.read_bytes(listing), tries, base_s)
    paths = gzip.decompress(data).decode().split()
    if files is not None and files > len(paths):
        raise RecipeError(f"crawl.files: {files} asked for, {dump} has {len(paths)} {kind} files")
    chosen = paths if files is None else sorted(random.Random(seed).sample(paths, files), key=paths.index)
    return [storage.join(base, path) for path in chosen]
