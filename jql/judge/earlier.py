"""Replies of the same judge that earlier stages of a run hold, so that a folder that grew is not paid for twice.

A stage that reads other documents is another stage and runs anew. What decides a reply is the judge and the prompt, so
its worker takes the replies it finds here, whichever documents they were asked for with.
"""

import json
from typing import Any

from jql.engine import storage
from jql.engine.fingerprint import Fingerprint
from jql.judge.stored import StoredReplies
from jql.llm.once import passing, prompt_of

STEPS = ("rank", "judge")


def earlier_files(root: str, name: str, version: int, config: dict[str, Any]) -> list[str]:
    """Data files of all stages of a run that asked this judge, with this version and configuration."""
    wanted = Fingerprint.of(version=version, config=config).fields
    files = []
    for folder in (storage.join(root, step, name, "replies") for step in STEPS):
        names = storage.find(folder)
        for meta in (n for n in names if n.count("/") == 1 and n.endswith("/stage.json")):
            fields = json.loads(storage.read_bytes(storage.join(folder, meta)))["fields"]
            if {key: value for key, value in fields.items() if key.split(".")[0] in ("version", "config")} == wanted:
                data = meta.removesuffix("stage.json") + "data/"
                files += [storage.join(folder, n) for n in names if n.startswith(data) and n.endswith(".parquet")]
    return files


def earlier_replies(files: list[str], requests: dict[str, list[dict[str, str]]]) -> dict[str, list[dict[str, Any]]]:
    """Id -> the replies to this very prompt, of the requests that have some; failures in passing do not count."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        for id, rows in StoredReplies([file]).of([id for id in requests if id not in found]).items():
            prompt = prompt_of(requests[id])
            if all(row["prompt"] == prompt for row in rows) and not passing(rows):
                found[id] = [{"id": id, **row} for row in rows]
    return found
