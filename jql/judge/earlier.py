"""Replies of the same judge that earlier stages of a run hold, so that a folder that grew is not paid for twice.

A stage that reads other documents is another stage and runs anew. What decides a reply is the judge and the prompt, so
its worker takes the replies it finds here, whichever documents they were asked for with.
"""

import json
from collections import defaultdict
from typing import Any

from jql.engine import storage
from jql.judge.stored import StoredReplies
from jql.llm.once import passing, prompt_of

STEPS = ("rank", "judge")
DECIDE = ("version", "config")  # of a stage's fingerprint: the judge; what is left is the step and the documents


def earlier_files(root: str, name: str, fields: dict[str, str]) -> list[str]:
    """Data files of all other stages of a run that asked the judge of a stage with this fingerprint."""
    files = []
    for folder in (storage.join(root, step, name, "replies") for step in STEPS):
        names = storage.find(folder)
        for meta in (n for n in names if n.count("/") == 1 and n.endswith("/stage.json")):
            found = json.loads(storage.read_bytes(storage.join(folder, meta)))["fields"]
            if found != fields and _judge(found) == _judge(fields):
                data = meta.removesuffix("stage.json") + "data/"
                files += [storage.join(folder, n) for n in names if n.startswith(data) and n.endswith(".parquet")]
    return files


def _judge(fields: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in fields.items() if key.split(".")[0] in DECIDE}


class EarlierReplies:
    """Where the replies to a document and prompt lie, so that a unit reads few files; none that failed in passing."""

    def __init__(self, root: str, name: str, fields: dict[str, str]) -> None:
        self.files: dict[tuple[str, str | None], str] = {}
        for file in earlier_files(root, name, fields):
            rows = storage.read_table(file, ["id", "prompt", "error"]).to_pylist()
            failed = {(row["id"], row["prompt"]) for row in rows if passing([row])}
            for key in {(row["id"], row["prompt"]) for row in rows} - failed:
                self.files.setdefault(key, file)

    def of(self, requests: dict[str, list[dict[str, str]]]) -> dict[str, list[dict[str, Any]]]:
        """Id -> the replies to this very prompt, of the requests that have some."""
        wanted: defaultdict[str, list[str]] = defaultdict(list)
        for id, messages in requests.items() if self.files else ():
            if (file := self.files.get((id, prompt_of(messages)))) is not None:
                wanted[file].append(id)
        read = {id: rows for file, ids in wanted.items() for id, rows in StoredReplies([file]).of(ids).items()}
        return {id: [{"id": id, **row} for row in rows] for id, rows in read.items()}
