"""Many requests to one endpoint: all are answered, no more at a time than allowed, and what ends it."""

import asyncio
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from ask_help import PLAIN, ask_it, endpoint_of, refused, replies_of, requests
from hostile import FINE, Hostile, cases, chat, http, prompt_of, steps, trouble

from jql.llm.endpoint import BREAKER, Endpoint, EndpointError, Reply, Request, ask, nothing, probe


def test_an_answer_comes_whole() -> None:
    (reply,) = replies_of(steps(FINE))["one"]
    assert (reply.text, reply.finish, reply.error, reply.model) == ("fine", "stop", None, "tiny")
    assert (reply.tokens_in, reply.tokens_out, reply.retries, reply.labels) == (7, 3, 0, None)
    assert 0 < reply.seconds < 5


def test_every_request_is_answered_with_its_own_answer() -> None:
    prompts = [f"prompt {i}" for i in range(200)]
    found = replies_of(lambda body, seen: chat(f"echo {prompt_of(body)}"), *prompts)
    assert {key: replies[0].text for key, replies in found.items()} == {p: f"echo {p}" for p in prompts}


def test_no_requests() -> None:
    with Hostile(steps(FINE)) as server:
        ask(endpoint_of(server), PLAIN, [], lambda *_: pytest.fail("no reply was due"))
    assert server.seen == []


def test_a_server_that_asks_to_wait_for_hours_is_not_waited_for() -> None:
    message, seen = refused(steps(trouble(429, retry_after="7200")), concurrency=1)
    assert "asks to come back in 7,200 s; run the same command again then" in message
    assert seen == 1


@pytest.mark.parametrize(
    ("status", "todo"),
    [
        (401, "set the environment variable MY_KEY to a key that is valid there"),
        (402, "pay there"),
        (403, "a key that may use this model"),
        (404, "check base_url"),
        (405, "check base_url"),
    ],
)
def test_what_ends_everything_at_once(status: int, todo: str) -> None:
    message, seen = refused(steps(trouble(status)), concurrency=1, key_env="MY_KEY")
    assert todo in message and f"http_{status} (no luck today)" in message
    assert seen == 1


def test_money_that_is_used_up_is_no_rate_limit() -> None:
    empty = http(429, b'{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}')
    message, seen = refused(steps(empty), concurrency=1)
    assert "pay there" in message
    assert seen == 1


def test_nobody_listens() -> None:
    with Hostile(steps(FINE)) as server:
        pass
    with pytest.raises(EndpointError, match=r"nobody answers; start the server or correct base_url"):
        ask(endpoint_of(server), PLAIN, requests("one"), lambda *_: None)


def test_a_server_that_comes_up_late_is_waited_for() -> None:
    with Hostile(steps(FINE)) as gone:
        port = gone.port
    found: list[Reply] = []
    with Hostile(steps(FINE)) as other:
        endpoint = Endpoint(f"http://127.0.0.1:{port}/v1", "tiny", backoff_s=0.2, retries=5)
        thread = threading.Thread(target=ask, args=(endpoint, PLAIN, requests("one"), lambda r, x: found.extend(x)))
        thread.start()
        time.sleep(0.3)
        with Hostile(steps(FINE), port=port):
            thread.join(20)
    assert found[0].text == "fine" and found[0].retries >= 1
    assert other.seen == []


def test_failures_in_a_row_break_the_circuit() -> None:
    message, seen = refused(steps(trouble(500)), retries=0, concurrency=4)
    assert f"{BREAKER} requests in a row failed, the last with http_500 (no luck today)" in message
    assert BREAKER <= seen <= BREAKER + 2 * 4


def test_a_success_in_between_keeps_the_circuit_closed() -> None:
    now_and_then = cases(dict.fromkeys(["0", "15", "30", "45"], FINE), trouble(500))
    found = replies_of(now_and_then, *map(str, range(60)), retries=0, concurrency=1)
    assert sum(replies[0].error is None for replies in found.values()) == 4


def test_documents_that_are_too_long_break_nothing_once_the_server_has_answered() -> None:
    too_long = cases({"0": FINE}, trouble(400, "maximum context length"))
    found = replies_of(too_long, *map(str, range(60)), retries=0, concurrency=1)
    assert sum(replies[0].error == "http_400" for replies in found.values()) == 59
    message, seen = refused(steps(trouble(400, "no such field")), retries=0, concurrency=1)
    assert (
        f"{BREAKER} requests in a row failed, the last with http_400 (no such field)" in message and seen <= BREAKER + 2
    )


def test_answered_replies_are_handed_over_before_the_error() -> None:
    got: list[str] = []
    with Hostile(cases({"4": trouble(401)}, FINE)) as server:
        with pytest.raises(EndpointError):
            ask(endpoint_of(server, concurrency=1), PLAIN, requests(*"12345"), lambda r, x: got.append(r.key))
    assert got == ["1", "2", "3"]


# Concurrency, stopping


def test_concurrency_reaches_the_bound_and_no_more() -> None:
    bad, slow = steps(trouble(500), FINE), chat("x", delay_s=0.3)
    with Hostile(lambda body, seen: bad(body, seen) if int(prompt_of(body)) % 3 == 0 else slow) as server:
        ask_it(server, *map(str, range(64)), concurrency=16)
    assert server.peak == 16


def test_requests_are_read_little_ahead() -> None:
    read: list[str] = []

    def endless() -> Iterator[Request]:
        for number in range(1_000_000):
            read.append(str(number))
            yield from requests(str(number))

    answered: list[int] = []

    def stop(request: Request, replies: list[Reply]) -> None:
        answered.append(len(read))
        if len(answered) == 50:
            raise KeyError("enough")

    with Hostile(steps(chat("x", delay_s=0.001))) as server:
        with pytest.raises(KeyError, match="enough"):
            ask(endpoint_of(server, concurrency=4), PLAIN, endless(), stop)
    assert all(read <= number + 2 * 4 for number, read in enumerate(answered, 1))
    assert len(server.seen) <= 50 + 2 * 4


class Enough(BaseException):
    """As the engine's timeout: no Exception."""


@pytest.mark.parametrize("who", ["on_reply", "alive", "requests"])
@pytest.mark.parametrize("kind", [RuntimeError, Enough])
def test_an_exception_of_the_caller_stops_everything(who: str, kind: type[BaseException]) -> None:
    read, struck = 0, 0.0
    patience = time.monotonic() + 20

    def due() -> int:
        """What the server gets to see of the prompts that were read: the one that it answers, and four at a time."""
        return min(read, 1 + 4)

    def until(condition: Callable[[], bool]) -> None:
        while not condition():
            assert time.monotonic() < patience
            time.sleep(0.01)

    def fail(*_: object) -> None:
        nonlocal struck
        until(lambda: len(server.seen) == due())  # else one that is under way may arrive later
        struck = time.monotonic()
        raise kind("enough")

    def prompts() -> Iterator[Request]:
        nonlocal read
        for request in requests(*map(str, range(500))):
            if who == "requests" and read == 6:
                fail()
            read += 1
            yield request

    with Hostile(cases({"0": chat("fine", delay_s=0.2)}, chat("x", delay_s=60))) as server:
        with pytest.raises(kind, match="enough"):
            ask(
                endpoint_of(server, concurrency=4, timeout_s=90),
                PLAIN,
                prompts(),
                fail if who == "on_reply" else lambda *_: None,
                fail if who == "alive" else nothing,
            )
        assert time.monotonic() - struck < 5
        assert not [thread for thread in threading.enumerate() if thread.name == "jql-endpoint"]
        until(lambda: server.left == due() - 1)  # what was under way is hung up on
        time.sleep(0.1)
        assert len(server.seen) == due()
        assert server.left == due() - 1


def test_alive_is_called_about_every_second_whether_or_not_there_are_answers() -> None:
    beats: list[float] = []
    prompts = ["slow", *map(str, range(100))]
    with Hostile(cases({"slow": chat("x", delay_s=1.5)}, chat("x", delay_s=0.01))) as server:
        began = time.monotonic()
        ask(
            endpoint_of(server, concurrency=2),
            PLAIN,
            requests(*prompts),
            lambda *_: None,
            lambda: beats.append(time.monotonic() - began),
        )
    assert 1 <= beats[0] < 3
    assert all(later - beat >= 1 for beat, later in itertools.pairwise(beats))


def test_callbacks_come_in_the_callers_thread_and_inside_a_running_loop() -> None:
    threads: set[int] = set()

    async def notebook() -> None:
        ask(endpoint_of(server), PLAIN, requests(*"abc"), lambda *_: threads.add(threading.get_ident()))

    with Hostile(steps(FINE)) as server:
        asyncio.run(notebook())
    assert threads == {threading.get_ident()}


def test_probe_tells_the_version() -> None:
    acts = {
        "tiny-0613, fp_9": chat("y", model="tiny-0613", system_fingerprint="fp_9"),
        "fp_9": chat("y", system_fingerprint="fp_9"),
        None: chat("y", system_fingerprint=None),
    }
    for version, act in acts.items():
        with Hostile(steps(act)) as server:
            assert probe(endpoint_of(server)) == version
        assert server.seen[0].body["max_tokens"] == 1


def test_probe_of_a_server_that_is_not_ready() -> None:
    with Hostile(steps(trouble(503, "loading"))) as server:
        with pytest.raises(EndpointError, match=r"not ready, http_503 \(loading\)"):
            probe(endpoint_of(server))


def in_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_without_the_library() -> None:
    code = """
import sys
sys.modules["openai"] = None
from jql.errors import JqlError
from jql.llm.endpoint import *
try:
    ask(Endpoint("http://127.0.0.1:9/v1", "m"), Sampling(), [], print)
except JqlError as error:
    print(error)
"""
    assert "pip install 'jql[judge]'" in in_python(code)


def test_importing_is_light() -> None:
    code = "import sys, json, jql.llm.endpoint, jql.llm.serve; print(json.dumps(sorted(sys.modules)))"
    assert not {"openai", "aiohttp", "httpx2", "torch", "ray"} & set(json.loads(in_python(code)))
