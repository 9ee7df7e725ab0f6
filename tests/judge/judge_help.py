"""Documents, recipes and a scripted model for the tests of judges."""

import io
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
from llm.hostile import Act, Hostile, chat
from rich.console import Console

from jql.engine import storage
from jql.pipeline import run_recipe
from jql.recipe import make_recipe

LANGUAGES = ("eng_Latn", "deu_Latn", "swe_Latn")


def texts(n: int) -> list[str]:
    """Texts that say which score they get: document i is worth i % 6 points."""
    return [f"Document {i} is made up and worth {i % 6} points in the eyes of the scripted model." for i in range(n)]


def worth(body: dict) -> int:
    """What the scripted model reads in a prompt."""
    return int(re.search(r"worth (\d) points", body["messages"][-1]["content"])[1])


def answers(body: dict, seen: int) -> Act:
    """As many answers as asked for; the last is a point lower where that is possible."""
    score, n = worth(body), body.get("n", 1)
    points = [score] * (n - 1) + [max(0, score - 1)] if n > 1 else [score]
    return chat(*[f"It is what it is.\n\nEducational score: {point}" for point in points])


def write_documents(path, n: int, group: int = 1000) -> str:
    rows = {
        "id": [f"d{i}" for i in range(n)],
        "text": texts(n),
        "language": [LANGUAGES[i % len(LANGUAGES)] for i in range(n)],
    }
    pq.write_table(pa.table(rows), path, row_group_size=group)
    return str(path)


def recipe_of(folder, documents, server: Hostile | None = None, judge: dict | None = None, **judging):
    where = {} if server is None else {"endpoint": server.base_url, "model": "tiny"}
    stages = judging.pop("stages", ["judge"])
    engine = judging.pop("engine", {"backend": "inline"})
    data = {
        "output": str(folder),
        "stages": stages,
        "engine": engine,
        "documents": {"path": documents, "unit_rows": 10},
        "judge": {"judges": {"alpha": {**where, **(judge or {})}}, "retries": 1, "timeout_s": 20.0, **judging},
    }
    return make_recipe(data)


def run_quietly(recipe):
    """The result, and what was printed."""
    stream = io.StringIO()
    return run_recipe(recipe, Console(file=stream, width=140)), stream.getvalue()


def judgments_of(folder, step: str = "judge", judge: str = "alpha", table: str = "judgments") -> list[dict]:
    """The committed rows of a judge, by document."""
    root = f"{folder}/{step}/{judge}/{table}"
    found = []
    for name in storage.find(root):
        if "/receipts/" in name:
            receipt = json.loads(storage.read_bytes(f"{root}/{name}"))
            found += storage.read_table(f"{root}/{name.split('/')[0]}/{receipt['files']['']['path']}").to_pylist()
    return found
