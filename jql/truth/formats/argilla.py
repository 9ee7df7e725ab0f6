"""Records of Argilla 2: nested as `records.to_json` writes them, or flat as `records.to_datasets` does.

A nested record holds `fields`, `metadata` and `responses` (question -> list of value and user_id). A flat one holds the
fields and the metadata beside `<question>.responses`, `.responses.users` and `.responses.status`. Checked with 2.8.0.

Argilla knows users by UUID and keeps no time, reason or version of a guideline with a response. What of a rating does
not fit goes into the metadata, as JSON under `jql` by user id, and comes back from there.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from jql.errors import InputError
from jql.truth.formats.files import Row
from jql.truth.formats.plain import Found

QUESTION = "score"
EXTRA = ("rater", "reason", "seconds", "guideline", "rated_at", "origin")
_NAMES = uuid.UUID("5f8ff6f2-7d0b-4d2c-9a3e-6c1c0b8e5a11")  # of raters, so that the same name gets the same id anywhere


def is_argilla(names: Iterable[str]) -> bool:
    """Whether columns of these names are those of records, nested or flat."""
    found = set(names)
    return {"fields", "responses"} <= found or any(name.endswith(".responses") for name in found)


def argilla_rows(rows: Sequence[Row], question: str | None, path: str) -> Iterator[Found]:
    """Ratings of the records' responses to one question; drafts and records without a response are of no use.

    A discarded response is a rating without a score. The nested form keeps no status: there, a response without a value
    is a discarded one and a draft cannot be told from one that was submitted.

    Args:
        question: its name; None takes the only one there is, or the one called score.

    Raises:
        InputError: no such question, or several and none of them called score; a record of another shape.
    """
    records = [(where, _nested(where, row)) for where, row in rows]
    chosen = _question(path, question, records)
    for where, record in records:
        metadata, fields = record["metadata"], record["fields"]
        text = fields.get("text")
        if text is None and len(fields) == 1:
            text = next(iter(fields.values()))
        language, source = metadata.get("language"), metadata.get("source")
        document = {"id": record["id"], "text": text, "language": language, "source": source}
        extras = _extras(where, metadata.get("jql"))
        responses = record["responses"].get(chosen) or []
        if not responses:
            yield Found(where, document, "unrated")
        for response in responses:
            yield _rating(where, document, response, extras)


def _rating(where: str, document: dict[str, Any], response: dict[str, Any], extras: dict[str, Any]) -> Found:
    user, status = response.get("user_id"), response.get("status")
    value = None if status == "discarded" else response.get("value")
    known = extras.get(str(user), {})
    values = {"rater": None if user in (None, "None") else user, **{k: known[k] for k in EXTRA if k in known}}
    reason = None if value is not None else known.get("reason") or "discarded"
    return Found(
        where, {**document, **values, "score": value, "reason": reason}, "draft" if status == "draft" else None
    )


def _nested(where: str, row: dict[str, Any]) -> dict[str, Any]:
    """A record with the keys of the nested form, whichever it has."""
    if "responses" in row and "fields" in row:
        record = {key: row.get(key) or {} for key in ("fields", "metadata", "responses")}
        wrong = [key for key, value in record.items() if not isinstance(value, dict)]
        lists = {} if wrong else record["responses"]
        wrong += [f"responses.{name}" for name, given in lists.items() if not _are_objects(given)]
        if wrong:
            raise InputError(f"{where}: {wrong[0]} has another shape than in a record of Argilla 2; export it anew")
        return {"id": row.get("id"), **record}
    responses = {}
    for name in row:
        if name.endswith(".responses"):
            values = row[name] or []
            users, statuses = (row.get(f"{name}.{part}") or [None] * len(values) for part in ("users", "status"))
            if not len(values) == len(users) == len(statuses):
                raise InputError(
                    f"{where}: {name} has {len(values)} values, {len(users)} users, {len(statuses)} statuses; "
                    "expected as many of each; export it anew"
                )
            given = zip(values, users, statuses, strict=True)
            responses[name.removesuffix(".responses")] = [
                {"value": value, "user_id": user, "status": status} for value, user, status in given
            ]
    return {"id": row.get("id"), "fields": {"text": row.get("text")}, "metadata": row, "responses": responses}


def _are_objects(responses: Any) -> bool:
    return isinstance(responses, list) and all(isinstance(response, dict) for response in responses)


def _question(path: str, question: str | None, records: list[tuple[str, dict[str, Any]]]) -> str:
    names = sorted({name for _, record in records for name in record["responses"]})
    listed = ", ".join(names) or "none"
    if question is not None and question not in names:
        raise InputError(f"{path}: no question {question!r} was answered; questions: {listed}")
    if question is None and len(names) != 1 and QUESTION not in names:
        raise InputError(f"{path}: questions answered: {listed}; expected one, or one called score; name the question")
    return question or (names[0] if len(names) == 1 else QUESTION)


def _extras(where: str, text: Any) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
        return {str(user): dict(values) for user, values in found.items()}
    except (ValueError, TypeError, AttributeError):
        raise InputError(f"{where}: metadata jql is not what jql wrote there; remove it or export anew") from None


def user_id(rater: str) -> str:
    """The UUID that stands for a rater: the name itself if it is one, else made of it."""
    try:
        return rater if str(uuid.UUID(rater)) == rater else str(uuid.uuid5(_NAMES, rater))
    except ValueError:
        return str(uuid.uuid5(_NAMES, rater))


def argilla_file(rows: Iterable[dict[str, Any]]) -> bytes:
    """Records as `records.from_json` and `Record.from_dict` read them, of rows of RATED in any order.

    Whole numbers are written as integers: the values of a rating question of Argilla are integers of 0 to 10. Its
    server takes responses of users that it has, so put their ids in place of the made ones to log them there.
    """
    records: dict[str, dict[str, Any]] = {}
    extras: dict[str, dict[str, Any]] = {}
    for row in rows:
        metadata = {key: row[key] for key in ("language", "source") if row[key] is not None}
        record = {"id": row["id"], "fields": {} if row["text"] is None else {"text": row["text"]}, "metadata": metadata}
        responses: dict[str, list[dict[str, Any]]] = {QUESTION: []}
        rest = {"suggestions": {}, "responses": responses, "vectors": {}, "status": "completed", "_server_id": None}
        kept = records.setdefault(row["id"], {**record, **rest})
        score, user = row["score"], user_id(row["rater"])
        value = int(score) if score is not None and score == int(score) else score
        status = "discarded" if score is None else "submitted"
        kept["responses"][QUESTION].append({"value": value, "user_id": user, "status": status})
        extras.setdefault(row["id"], {})[user] = {name: row[name] for name in EXTRA if row[name] is not None}
    for id, record in records.items():
        record["metadata"]["jql"] = json.dumps(extras[id], ensure_ascii=False)
    return json.dumps(list(records.values()), ensure_ascii=False, indent=1).encode()
