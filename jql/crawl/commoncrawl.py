"""Common Crawl by dump id: the list of a dump's files, and a seeded sample of them."""

import gzip
import random
import re
import zlib

from jql.crawl.fetch import BASE_S, TRIES, NotFoundError, retry
from jql.engine import storage
from jql.errors import DataError, RecipeError, one_line

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
        RecipeError: there is no such dump, or more files are asked for than it has.
        DataError: the list cannot be fetched or is damaged.
    """
    listing = storage.join(base, "crawl-data", check_dump(dump), f"{kind}.paths.gz")
    try:
        data = retry(listing, lambda: storage.read_bytes(listing), tries, base_s)
        paths = gzip.decompress(data).decode().split()
    except NotFoundError as error:
        raise RecipeError(f"crawl.dump: no dump {dump} at {base} ({listing} is not there); check the id") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{listing}: not a list of files ({one_line(error)}); try again or check crawl.base") from error
    if not paths:
        raise DataError(
            f"{listing}: an empty list, expected the paths of the dump's files; try again or check crawl.base"
        )
    if files is not None and files > len(paths):
        raise RecipeError(f"crawl.files: {files} asked for, {dump} has {len(paths)} {kind} files")
    chosen = range(len(paths)) if files is None else sorted(random.Random(seed).sample(range(len(paths)), files))
    return [storage.join(base, paths[i]) for i in chosen]
