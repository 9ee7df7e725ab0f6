"""Wrap the sample pages into WARC files, as a crawler would have stored them.

    python data/sample/wrap.py data/sample/pages data/sample/warc

The same pages always give the same bytes: dates, record ids and gzip headers are fixed.
"""

import gzip
import io
import sys
import uuid
from pathlib import Path

from ruamel.yaml import YAML
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

FILES = 4
DATE = "2026-11-01T00:00:00Z"


def pages(folder: Path) -> list[dict[str, str]]:
    """All pages, languages in turn, so that every WARC file holds all languages, as a crawl does."""
    yaml = YAML(typ="safe")
    by_language = {path.stem: yaml.load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yaml"))}
    longest = max(map(len, by_language.values()))
    mixed = [(code, found[i]) for i in range(longest) for code, found in by_language.items() if i < len(found)]
    return [{"url": f"https://{code[:3]}.sample.example/{page['slug']}", "html": page["html"]} for code, page in mixed]


def write_warc(path: Path, found: list[dict[str, str]]) -> None:
    """One WARC file of response records."""
    out = io.BytesIO()
    writer = WARCWriter(out, gzip=False)
    records = []
    for page in found:
        body = page["html"].encode("utf-8")
        headers = StatusAndHeaders(
            "200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))], "HTTP/1.1"
        )
        name = uuid.uuid5(uuid.NAMESPACE_URL, page["url"])
        record = writer.create_warc_record(
            page["url"], "response", io.BytesIO(body), http_headers=headers,
            warc_headers_dict={"WARC-Record-ID": f"<urn:uuid:{name}>", "WARC-Date": DATE},
        )  # fmt: skip
        start = out.tell()
        writer.write_record(record)
        records.append(out.getvalue()[start:])
    # One gzip member a record, as in Common Crawl, with no time in its header.
    path.write_bytes(b"".join(gzip.compress(record, 9, mtime=0) for record in records))


def main(source: Path, target: Path) -> None:
    """Write FILES files."""
    target.mkdir(parents=True, exist_ok=True)
    found = pages(source)
    for number in range(FILES):
        write_warc(target / f"sample-{number:02d}.warc.gz", found[number::FILES])
    print(f"{len(found)} pages in {FILES} files below {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
