"""A small run folder of made-up documents, and the rating page's server as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from conftest import ROOT

from jql.engine import storage

RUBRIC = """
name: clarity
task: How clear is the explanation?
scale:
  0: not at all
  1: a little
  2: in part
  3: mostly
  4: fully
guideline: |
  Take the **lower** score
  in doubt, <b>always</b>.

  ## What *counts*

  - Spelling does not count, `**nor**` style.
  - See [this](https://example.org/) and
    [that](javascript:alert(1)).
  1. Read.
  2. Rate.

  > Two lines
  > of one quote.

  ```
  # as it is
  ```
examples:
  - text: Water boils sooner on a mountain, since the air presses less.
    score: 3
    why: Right and short, but why it presses less is left out.
prompt: "{task} {document}"
patterns: ['score: (\\d)']
"""

DOCUMENTS = [
    {"id": "a", "language": "eng_Latn", "text": "Bees dance to tell where the flowers are.", "pilot": True},
    {"id": "b", "language": "arb_Arab", "text": "ترقص النحلة لتدل على مكان الزهور (نحو 100 متر).", "pilot": True},
    {"id": "c", "language": "deu_Latn", "text": "Bienen tanzen.\n\nSo zeigen sie den Weg.", "pilot": False},
    {"id": "d", "language": "xxx_Latn", "text": "Lorem of a tongue that no table has.", "pilot": False},
]


def write_documents(run: Path, documents: Sequence[Mapping[str, Any]]) -> None:
    """documents.parquet; a text may be bytes, as broken writers leave them."""
    texts = pa.array([t if isinstance(t, bytes) else t.encode() for t in (d["text"] for d in documents)], pa.binary())
    table = pa.table(
        {
            "id": [d["id"] for d in documents],
            "source": [d["id"] for d in documents],
            "language": [d["language"] for d in documents],
            "text": pa.Array.from_buffers(pa.string(), len(texts), texts.buffers()),
            "stratum": ["all"] * len(documents),
            "pilot": [d.get("pilot", False) for d in documents],
        }
    )
    storage.write_table(str(run), "documents.parquet", table.schema, [table])


def write_run(
    run: Path,
    documents: Sequence[Mapping[str, Any]] = DOCUMENTS,
    assigned: Mapping[str, Sequence[str]] | None = None,
    rubric: str = RUBRIC,
) -> str:
    """A run folder; `assigned` gives each rater their ids in order, None writes no assignments."""
    run.mkdir(parents=True, exist_ok=True)
    write_documents(run, documents)
    (run / "rubric.yaml").write_text(rubric, encoding="utf-8")
    if assigned is not None:
        rows = [(rater, place, id) for rater, ids in assigned.items() for place, id in enumerate(ids)]
        # Backwards, so that only `position` gives the order.
        raters, places, ids = zip(*reversed(rows), strict=True)
        table = pa.table({"rater": raters, "position": pa.array(places, pa.int32()), "id": ids})
        storage.write_table(str(run), "assignments.parquet", table.schema, [table])
    return str(run)


@dataclass
class Server:
    """A running `jql label`, its two addresses, and what it said after them."""

    process: "subprocess.Popen[str]"
    rate: str
    adjudicate: str
    told: str


@contextmanager
def served(run: str, **options: Any) -> Iterator[Server]:
    """The rating page of a run folder, served by another process until the end of the block."""
    code = f"from jql.truth.label.serve import run_label; run_label({run!r}, open_browser=False, **{options!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        rate, adjudicate, told = (process.stdout.readline().strip() for _ in range(3))
        assert rate.startswith("rate:") and adjudicate.startswith("adjudicate:"), process.stderr.read()
        yield Server(process, rate.split()[1], adjudicate.split()[1], told)
    finally:
        process.kill()
        process.communicate()
