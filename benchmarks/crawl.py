"""What the crawl stage costs above the library calls it makes: its wall time over theirs, on the same pages.

    python benchmarks/crawl.py [--files 9] [--pages 250] [--repeat 5]

Input: the sample pages, three of a language to a page, with a menu, scripts and a footer around them, as WARC files.

The bare calls, in one loop of this process: warcio reads the records; UTF-8, else cchardet, decodes them; datatrove's
URLFilter; trafilatura.extract; our language identifier; datatrove's GopherRepetitionFilter, FineWebQualityFilter and
GopherQualityFilter with FineWeb2's thresholds and our words, all three on every page; datatrove's FTFY, PII and
SymbolLines formatters. `bare_signals` is the same loop with our signals() in the place of the three filters, which
split every page into words three times: the stricter measure.

Start-up is excluded on both sides. The stage is run on one file and on all files; its time is the difference, so that
what it loads, plans and opens cancels. The bare objects are made before the clock starts. The sides take turns;
medians over the rounds. `cpu_ratio` is the same with the processor seconds of this process, for `inline` only: the
figure to look at when others use the machine. Prints one JSON line.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data" / "sample"


def make_pages(count: int) -> Iterator[dict[str, str]]:
    """`count` pages of about 15 kB."""
    from wrap import pages  # type: ignore[import-not-found]

    by_language: dict[str, list[str]] = {}
    for page in pages(SAMPLE / "pages"):
        body = page["html"].partition("<body")[2].partition(">")[2].rpartition("</body>")[0] or page["html"]
        by_language.setdefault(page["url"].split("//")[1][:3], []).append(body)
    menu = "".join(f"<li><a href='/section/{i}' class='item'>Section {i}</a></li>" for i in range(60))
    script = "<script>var settings = {" + ",".join(f"'key{i}': {i}" for i in range(300)) + "};</script>"
    style = "<style>" + "".join(f".c{i} {{ margin: {i}px }}" for i in range(150)) + "</style>"
    codes = sorted(by_language)
    for i in range(count):
        bodies = by_language[codes[i % len(codes)]]
        picked = [bodies[(i // len(codes) + step) % len(bodies)] for step in range(3)]
        html = (
            f"<!DOCTYPE html><html><head><title>Page {i}</title>{style}{script}</head><body><nav><ul>{menu}</ul></nav>"
            f"<main><article>{''.join(picked)}</article></main><footer><ul>{menu}</ul></footer></body></html>"
        )
        yield {"url": f"https://{codes[i % len(codes)]}.sample.example/{i}/page.html", "html": html}


def make_input(folder: Path, files: int, pages: int) -> None:
    """folder/all with `files` WARC files and the first of them in folder/one."""
    from wrap import write_warc

    found = list(make_pages(files * pages))
    for name in ("all", "one"):
        (folder / name).mkdir()
    for number in range(files):
        write_warc(folder / "all" / f"part-{number:03d}.warc.gz", found[number::files])
    write_warc(folder / "one" / "part-000.warc.gz", found[0::files])


def make_bare(own_signals: bool) -> Callable[[list[Path]], int]:
    """The loop of the bare calls over files; returns how many pages gave a text."""
    import cchardet
    import trafilatura
    from datatrove.data import Document
    from datatrove.pipeline.filters import URLFilter
    from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter, SymbolLinesFormatter
    from tldextract import TLDExtract
    from warcio.archiveiterator import ArchiveIterator

    from jql.crawl.language import load_identifier
    from jql.crawl.reference import reference_filters
    from jql.crawl.signals import signals

    urls = URLFilter()
    urls.tldextractor = TLDExtract(suffix_list_urls=())
    urls.download_data()
    identifier = load_identifier("default")
    formatters = FTFYFormatter(), PIIFormatter(), SymbolLinesFormatter(symbols_to_remove=["|"], replace_char="\n")

    def page(record: Any) -> str:
        data = record.content_stream().read()
        if (
            urls.filter(Document("", "", metadata={"url": record.rec_headers.get_header("WARC-Target-URI")}))
            is not True
        ):
            return ""
        try:
            html = data.decode()
        except UnicodeDecodeError:
            html = data.decode(cchardet.detect(data)["encoding"] or "latin-1", "replace")
        text = trafilatura.extract(html, favor_precision=True, include_comments=False, deduplicate=False)
        if not text:
            return ""
        language, _ = identifier.identify(text)
        if own_signals:
            signals(text, language)
        else:
            for rule in reference_filters(language):
                rule.filter(Document(text, ""))
        for formatter in formatters:
            text = formatter.format(text)
        return str(text)

    def loop(paths: list[Path]) -> int:
        texts = []
        for path in paths:
            with path.open("rb") as file:
                texts += [page(record) for record in ArchiveIterator(file) if record.rec_type == "response"]
        return sum(map(bool, texts))

    return loop


def clocks() -> np.ndarray:
    """float64 (2,): wall seconds, processor seconds of this process."""
    return np.array([time.perf_counter(), time.process_time()])


def stage_seconds(folder: Path, backend: str) -> tuple[np.ndarray, int]:
    """Seconds of the stage on all files less those on one, by both clocks; how many documents it made of them all."""
    from jql.pipeline import run_recipe
    from jql.recipe import make_recipe

    seconds, documents = [], 0
    for name in ("one", "all"):
        with tempfile.TemporaryDirectory() as out:
            engine = {"backend": backend, "workers": 1}
            recipe = make_recipe(
                {"stages": ["crawl"], "output": out, "crawl": {"input": [str(folder / name)]}, "engine": engine}
            )
            started = clocks()
            documents = run_recipe(recipe).summary["total"]["documents"]
            seconds.append(clocks() - started)
    return seconds[1] - seconds[0], documents


def measure(folder: Path, repeat: int) -> dict[str, Any]:
    """Seconds of each side and what is made of them, over all files but one."""
    bare = {"bare": make_bare(False), "bare_signals": make_bare(True)}
    files = sorted((folder / "all").iterdir())
    for loop in bare.values():
        loop(files[:1])  # fills caches, as the stage's first file does
    for backend in ("inline", "ray"):
        stage_seconds(folder, backend)
    rounds: list[dict[str, np.ndarray]] = []
    made: dict[str, int] = {}
    for _ in range(repeat):
        seconds: dict[str, np.ndarray] = {}
        for name, loop in bare.items():
            started = clocks()
            made[name] = loop(files[1:])
            seconds[name] = clocks() - started
        for backend in ("inline", "ray"):
            seconds[backend], made[backend] = stage_seconds(folder, backend)
        rounds.append(seconds)

    def ratio(side: str, base: str, clock: int) -> float:
        return round(float(np.median([r[side][clock] / r[base][clock] for r in rounds])), 3)

    return {
        "seconds": {name: round(float(np.median([r[name][0] for r in rounds])), 2) for name in rounds[0]},
        "ratio": {f"{side}_over_{base}": ratio(side, base, 0) for base in bare for side in ("inline", "ray")},
        "cpu_ratio": {f"inline_over_{base}": ratio("inline", base, 1) for base in bare},
        "documents": made,
        "rounds_wall_cpu": [{name: value.round(2).tolist() for name, value in r.items()} for r in rounds],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=9)
    parser.add_argument("--pages", type=int, default=250, help="of a file")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_input(folder, options.files, options.pages)
        load = round(os.getloadavg()[0], 1)
        figures = measure(folder, options.repeat)
    print(
        json.dumps(
            {
                "benchmark": "crawl",
                "date": time.strftime("%Y-%m-%d"),
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
                "load_before": load,
                "repeat": options.repeat,
                "pages_timed": (options.files - 1) * options.pages,
                **figures,
            }
        )
    )


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(SAMPLE)]
    os.environ["PYTHONPATH"] = str(ROOT)
    main()
