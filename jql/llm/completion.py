"""What goes over the wire to a chat endpoint and back: bodies of requests, bodies of answers, waits. No connections.

Servers that call themselves compatible differ in every optional field, so an answer is read field by field, and what is
not as expected has a name: empty_body, bad_json, bad_schema.
"""

import json
import math
import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeGuard
from urllib.parse import urlsplit, urlunsplit

LONGEST_WAIT_S = 60.0
SAID = 160  # characters of a server's own words in a message
NO_CONTENT = ("length", "content_filter")  # how an answer without content ends: reasoning took it all, or a filter did


@dataclass(frozen=True)
class Choice:
    """One of the answers in a body; `labels` None where the server gave no log-probabilities."""

    text: str
    finish: str | None
    labels: list[tuple[str, float]] | None


@dataclass(frozen=True)
class Completion:
    """A body that could be read. Token counts are None where the server does not tell them."""

    choices: list[Choice]
    model: str | None
    fingerprint: str | None
    tokens_in: int | None
    tokens_out: int | None


class BadBody(Exception):
    """A body that is no answer: `kind` is empty_body, bad_json or bad_schema; some still tell their tokens."""

    def __init__(self, kind: str, detail: str, tokens: tuple[int | None, int | None] = (None, None)) -> None:
        super().__init__(detail)
        self.kind = kind
        self.tokens = tokens


def valid_unicode(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates as U+FFFD: neither UTF-8 nor Arrow can hold these."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def body_of(messages: list[dict[str, str]], settings: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """The body of a request: messages, settings, and over them `extra`, where a null takes a setting out."""
    clean = [{name: valid_unicode(value) for name, value in message.items()} for message in messages]
    return {name: value for name, value in {"messages": clean, **settings, **extra}.items() if value is not None}


def read_completion(body: bytes) -> Completion:
    """The answers in a body.

    Raises:
        BadBody: it is empty, no JSON (half of one, HTML), or has no choices with a text.
    """
    if not body.strip():
        raise BadBody("empty_body", "an empty body")
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise BadBody("bad_json", f"no JSON: {_start(body)}") from None
    if not isinstance(parsed, dict):
        raise BadBody("bad_schema", f"JSON that is no object: {_start(body)}")
    told = parsed.get("usage")
    usage = told if isinstance(told, dict) else {}
    tokens = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    found = parsed.get("choices")
    choices = [_read_choice(choice) for choice in found] if isinstance(found, list) else []
    read = [choice for choice in choices if choice is not None]
    if not read or len(read) < len(choices):
        raise BadBody("bad_schema", f"no choices with a text: {_start(body)}", tokens)
    return Completion(read, _word(parsed.get("model")), _word(parsed.get("system_fingerprint")), *tokens)


def _read_choice(choice: Any) -> Choice | None:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        return None
    content, finish = message.get("content"), _word(choice.get("finish_reason"))
    if isinstance(content, list):  # parts, as of models that think aloud
        content = "".join(p["text"] for p in content if isinstance(p, dict) and isinstance(p.get("text"), str))
    if content is None and (finish in NO_CONTENT or message.get("refusal")):
        content = message.get("refusal") or ""
    if not isinstance(content, str):
        return None
    return Choice(valid_unicode(content), finish, _read_labels(choice.get("logprobs")))


def _read_labels(logprobs: Any) -> list[tuple[str, float]] | None:
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(tokens, list):
        return None
    if not tokens:  # an answer that ends before its first token
        return []
    found = tokens[0].get("top_logprobs") if isinstance(tokens[0], dict) else None
    if not isinstance(found, list) or not found:
        return None
    pairs = [(t.get("token"), t.get("logprob")) for t in found if isinstance(t, dict)]
    return [(valid_unicode(t), float(p)) for t, p in pairs if isinstance(t, str) and _finite(p)]


def _finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _word(value: Any) -> str | None:
    return valid_unicode(value) if isinstance(value, str) and value else None


def _start(body: bytes) -> str:
    return repr(body[:60].decode("utf-8", "replace"))


def said(body: bytes) -> str:
    """What a server says of an error, in its own words, one line."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, dict):
        inner = parsed.get("error")
        candidates = [inner.get("message") if isinstance(inner, dict) else inner, parsed.get("message")]
        words = next((c for c in [*candidates, parsed.get("detail")] if isinstance(c, str)), json.dumps(parsed))
        code = inner.get("code") if isinstance(inner, dict) else None
        words = f"{code}: {words}" if isinstance(code, str) else words
    else:
        words = body[: 4 * SAID].decode("utf-8", "replace")
    words = " ".join(valid_unicode(words).split())
    return words if len(words) <= SAID else words[: SAID - 3] + "..."


def asked_wait_s(header: str | None) -> float:
    """Seconds that a Retry-After header asks for, as a number or as a date; 0 without one or with nonsense."""
    if header is None:
        return 0.0
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def wait_s(tried: int, first_s: float, asked_s: float) -> float:
    """Seconds to wait after `tried` failed retries: what the server asks for, and a doubling share of a minute.

    Half of the latter is jitter, so that a thousand clients do not come back at the same moment.
    """
    return asked_s + min(LONGEST_WAIT_S, first_s * 2.0 ** min(tried, 30)) * random.uniform(0.5, 1.0)


def shown_url(url: str) -> str:
    """The address without a user, a password or a query, which may be secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
