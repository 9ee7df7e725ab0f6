"""The crawl stage: one WARC or WET file is one unit; every record becomes a document or is dropped with its reason."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from lxml.etree import LxmlError  # type: ignore[import-untyped]

from jql.crawl.commoncrawl import dump_files
from jql.crawl.extract import decode_html, extract_text, repair_text, self_test
from jql.crawl.fetch import local_copy
from jql.crawl.language import load_identifier
from jql.crawl.signals import filter_reason, signals
from jql.crawl.urls import UrlFilter
from jql.crawl.warc import WebRecord, read_warc
from jql.documents import list_files
from jql.engine.fingerprint import digest_of, identify_file
from jql.engine.plan import Unit
from jql.engine.run import StageRun, StageRunner
from jql.engine.stage import DocumentTimeout, Guard, Output, Stage
from jql.errors import RecipeError
from jql.recipe import Recipe
from jql.schema import DOCUMENT, SIGNALS

VERSION = 1
# What lxml and trafilatura raise on pages that are broken in new ways; anything else is ours and must be seen.
_PAGE_ERRORS = (
    *(RecursionError, MemoryError, ValueError, AssertionError, AttributeError, IndexError, TypeError, KeyError),
    LxmlError,
)
SUFFIXES = (".warc", ".warc.gz", ".wet", ".wet.gz")


class CrawlWorker:
    """Turns the records of a WARC or WET file into documents."""

    def __init__(self, languages: list[str], max_bytes: int, url_filter: bool, identifier: str, dump: str) -> None:
        """`languages`: codes to keep, all if empty. `identifier`: as load_identifier takes it."""
        self_test()
        self.languages = set(languages)
        self.max_bytes = max_bytes
        self.urls = UrlFilter() if url_filter else None
        self.identifier = load_identifier(identifier)
        self.dump = dump
        self._load_the_rest()

    def _load_the_rest(self) -> None:
        """Import and read now what comes at its first use, so that the first page is not dropped as timeout for it."""
        filter_reason(signals("a", "eng_Latn"), "eng_Latn")
        repair_text("a")
        self.identifier.identify("a")
        if self.urls:
            self.urls.reason("https://a.example/")

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """Documents of one file.

        Raises:
            DataError: the file is no WARC, is cut or damaged.
        """
        rows: list[dict[str, Any]] = []
        output = Output()
        languages: Counter[str] = Counter()
        ids: set[str] = set()
        with local_copy(unit.source, lambda: guard.arm(30)) as path:
            output.bytes_in = os.path.getsize(path)
            for index, record in enumerate(read_warc(path, unit.source, self.max_bytes)):
                output.rows_in += 1
                if index < guard.start or (guard.stop is not None and index >= guard.stop):
                    continue
                reason = guard.poison.get(index) or ("duplicate_id" if record.id in ids else None)
                row, reason = (None, reason) if reason else self._watched(record, guard)
                ids.add(record.id)
                if row is None:
                    output.drops[reason or "no_text"] += 1
                else:
                    row["file_path"] = unit.source
                    rows.append(row)
                    languages[row["language"]] += 1
        output.tables[""] = (DOCUMENT, [pa.Table.from_pylist(rows, schema=DOCUMENT)])
        output.stats = {"languages": dict(sorted(languages.items()))}
        return output

    def _watched(self, record: WebRecord, guard: Guard) -> tuple[dict[str, Any] | None, str | None]:
        try:
            with guard.document():
                return self.document(record)
        except DocumentTimeout:
            return None, "timeout"
        except _PAGE_ERRORS:
            return None, "extract_error"

    def document(self, record: WebRecord) -> tuple[dict[str, Any] | None, str | None]:
        """The row of a record, or why there is none."""
        reason = record.problem or (self.urls.reason(record.url) if self.urls else None)
        if reason:
            return None, reason
        text = decode_html(record.payload, record.charset)
        text = text if record.extracted else extract_text(text)
        # A lone surrogate or a NUL cannot be written to Parquet as UTF-8 or is unreadable elsewhere; neither is text.
        text = text.replace("\x00", "").encode("utf-8", "ignore").decode().strip()
        if not text:
            return None, "no_text"
        language, score = self.identifier.identify(text)
        if self.languages and language not in self.languages:
            return None, "other_language"
        values = signals(text, language)
        row: dict[str, Any] = {
            "id": record.id,
            "text": repair_text(text),
            "language": language,
            "language_score": score,
            "url": record.url,
            "date": record.date,
            "dump": self.dump,
            "warc_offset": record.offset,
            "filter_reason": filter_reason(values, language),
        }
        row.update((f"signal_{name}", float(value)) for name, value in zip(SIGNALS, values, strict=True))
        return (row, None) if row["text"] else (None, "no_text")


def crawl_inputs(recipe: Recipe) -> tuple[dict[str, Any], Callable[[], Iterator[Unit]]]:
    """What stands for the input in the fingerprint, and its units: one per file.

    Raises:
        InputError, RecipeError: no input named, or there is nothing at it.
    """
    crawl = recipe.crawl
    if crawl.dump is not None and crawl.input:
        raise RecipeError(f"crawl.input: {crawl.input[0]} and crawl.dump {crawl.dump} are both set; name one of them")
    if crawl.dump is not None:
        files = dump_files(crawl.base, crawl.dump, crawl.kind, crawl.files, recipe.seed)
        # A dump never changes, so its list stands for it; asking for 90,000 sizes would take an hour.
        mark: dict[str, Any] = {"dump": crawl.dump, "files": len(files), "digest": digest_of(files)}
        return mark, lambda: (Unit(i, path) for i, path in enumerate(files))
    if not crawl.input:
        raise RecipeError("crawl.input: nothing to crawl; name WARC files or folders, or set crawl.dump")
    files = sorted({path for source in crawl.input for path in list_files(source, SUFFIXES)})
    marks = [identify_file(path) for path in files]
    mark = {"files": len(files), "bytes": sum(m["size"] for m in marks), "first": files[0], "digest": digest_of(marks)}
    return mark, lambda: (Unit(i, m["path"], m["size"]) for i, m in enumerate(marks))


def run_crawl(recipe: Recipe, run: StageRunner) -> StageRun:
    """Crawl what the recipe names."""
    mark, units = crawl_inputs(recipe)
    config = recipe.crawl.deciding()
    settings = {
        "languages": list(recipe.crawl.languages),
        "max_bytes": recipe.crawl.max_bytes,
        "url_filter": recipe.crawl.url_filter,
        "identifier": recipe.crawl.identifier,
        "dump": recipe.crawl.dump or "",
    }
    if recipe.crawl.identifier != "default" and not recipe.crawl.identifier.startswith("hf:"):
        config["identifier_mark"] = identify_file(recipe.crawl.identifier)["mark"]
    stage = Stage(
        name="crawl",
        version=VERSION,
        config=config,
        inputs=mark,
        factory=CrawlWorker,
        settings=settings,
        law="filter",
        crash="extract_crash",
        document_s=recipe.crawl.timeout_s,
    )
    return run.run(stage, units)
