"""The terms of asking a model: the endpoint, how answers are drawn, the request, the reply, and the end of it."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from jql.errors import OutputError, RecipeError
from jql.llm.completion import shown_url


class EndpointError(OutputError):
    """The endpoint as a whole is of no use: the run must stop. `status` is the HTTP status, None if none came."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Endpoint:
    """Where a model is asked, and how patiently.

    Attributes:
        base_url: such as http://127.0.0.1:8000/v1. model: as the server calls it.
        key_env: name of the environment variable that holds the key; an unset one is fine for servers without keys.
        timeout_s: for one try, from sending to the last byte. retries: of one request, beyond the first try.
        concurrency: requests under way at a time, those that wait to be tried again among them.
        extra: more fields of every request's body, such as chat_template_kwargs; a null takes out one that is sent
            otherwise ({max_tokens: null, max_completion_tokens: 500}).
        backoff_s: the first wait before trying again; it doubles up to a minute.
    """

    base_url: str
    model: str
    key_env: str = "OPENAI_API_KEY"
    timeout_s: float = 120
    retries: int = 8
    concurrency: int = 32
    extra: dict[str, Any] = field(default_factory=dict)
    backoff_s: float = 0.5

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RecipeError(f"base_url: expected http://... or https://..., got {shown_url(self.base_url)!r}")
        if parts.username or parts.password or parts.query:
            raise RecipeError(
                f"base_url: {shown_url(self.base_url)} comes with a password or a query; put the key into "
                f"the environment variable {self.key_env}"
            )

    def __str__(self) -> str:
        return f"{shown_url(self.base_url)} (model {self.model})"


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn. `labels`: how many of the most probable first tokens to give with log-probabilities."""

    answers: int = 1
    temperature: float = 0.7
    top_p: float = 0.9
    max_tokens: int = 500
    labels: int = 0
    seed: int | None = None


@dataclass(frozen=True)
class Request:
    """One prompt: `key` is the caller's name for it, messages are {"role": ..., "content": ...}."""

    key: str
    messages: list[dict[str, str]]


@dataclass(frozen=True)
class Reply:
    """One answer, or why there is none; valid Unicode, lone surrogates replaced.

    Attributes:
        text: None where there is an `error`: timeout, connection, http_<status>, empty_body, bad_json, bad_schema.
        finish: stop, length, ... as the server says.
        labels: (token, log-probability) of the first token's alternatives, where asked for.
        tokens_in, tokens_out: of the whole request with all its answers, None where the server does not tell; stand on
            the request's first reply, 0 on the others, as do seconds (waits and retries included) and retries.
        detail: what was wrong, in the server's words.
    """

    text: str | None
    finish: str | None
    error: str | None
    labels: list[tuple[str, float]] | None
    model: str | None
    tokens_in: int | None
    tokens_out: int | None
    seconds: float
    retries: int
    detail: str | None = None
