"""Asking a scripted server, in one line."""

from collections.abc import Iterator

import pytest
from hostile import Hostile, Script

from jql.errors import OutputError
from jql.llm.endpoint import Endpoint, EndpointError, Reply, Request, Sampling, ask

PLAIN = Sampling(max_tokens=20)


def endpoint_of(server: Hostile, **settings: object) -> Endpoint:
    return Endpoint(server.base_url, "tiny", **({"backoff_s": 0.01, "retries": 2, "timeout_s": 5} | settings))


def requests(*prompts: str) -> Iterator[Request]:
    for prompt in prompts:
        yield Request(prompt, [{"role": "user", "content": prompt}])


def ask_it(server: Hostile, *prompts: str, sampling: Sampling = PLAIN, **settings: object) -> dict[str, list[Reply]]:
    """Replies by prompt; each prompt must be answered once."""
    found: dict[str, list[Reply]] = {}

    def keep(request: Request, replies: list[Reply]) -> None:
        assert request.key not in found and len(replies) == sampling.answers
        found[request.key] = replies

    ask(endpoint_of(server, **settings), sampling, requests(*(prompts or ("one",))), keep)
    return found


def replies_of(script: Script, *prompts: str, sampling: Sampling = PLAIN, **settings: object) -> dict[str, list[Reply]]:
    """Replies by prompt, from a server that acts by the script."""
    with Hostile(script) as server:
        return ask_it(server, *prompts, sampling=sampling, **settings)


def refused(script: Script, sampling: Sampling = PLAIN, **settings: object) -> tuple[str, int]:
    """What an EndpointError says, and how many requests the server had seen by then."""
    with Hostile(script) as server:
        with pytest.raises(EndpointError) as caught:
            ask(endpoint_of(server, **settings), sampling, requests(*map(str, range(50))), lambda *_: None)
    assert isinstance(caught.value, OutputError)
    assert server.base_url in str(caught.value)
    return str(caught.value), len(server.seen)
