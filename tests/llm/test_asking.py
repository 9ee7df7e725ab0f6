"""One request to an endpoint that does all that endpoints do: tries, waits, answers that are missing, keys."""

import pytest
from ask_help import PLAIN, ask_it, endpoint_of, refused, replies_of, requests
from hostile import (
    CUT_OFF,
    EMPTY,
    FINE,
    HALF_JSON,
    HANG_UP,
    HTML,
    LIST,
    NO_CHOICES,
    NO_HTTP,
    Act,
    Hostile,
    Script,
    cases,
    chat,
    http,
    prompt_of,
    steps,
    trouble,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from jql.errors import RecipeError
from jql.llm.endpoint import Endpoint, EndpointError, Reply, Sampling, ask

TROUBLES = {
    "429": (trouble(429), "http_429"),
    "408": (trouble(408), "http_408"),
    "409": (trouble(409), "http_409"),
    "500": (trouble(500), "http_500"),
    "503 of a proxy": (http(503, b"<h1>upstream</h1>", "text/html"), "http_503"),
    "half a JSON": (HALF_JSON, "bad_json"),
    "empty body": (EMPTY, "empty_body"),
    "html": (HTML, "bad_json"),
    "no choices": (NO_CHOICES, "bad_schema"),
    "choices empty": (chat(), "bad_schema"),
    "content null": (chat(None), "bad_schema"),
    "no object": (LIST, "bad_schema"),
    "hangs up": (HANG_UP, "connection"),
    "hangs up in the body": (CUT_OFF, "connection"),
    "no HTTP": (NO_HTTP, "connection"),
    "slow": (chat("late", delay_s=5), "timeout"),
    "byte by byte": (Act(FINE.raw, drip_s=0.05), "timeout"),
}


@pytest.mark.parametrize(("act", "kind"), TROUBLES.values(), ids=TROUBLES)
def test_trouble_passes(act: Act, kind: str) -> None:
    (reply,) = replies_of(steps(act, act, FINE), timeout_s=0.4)["one"]
    assert (reply.text, reply.error, reply.retries) == ("fine", None, 2)


@pytest.mark.parametrize(("act", "kind"), TROUBLES.values(), ids=TROUBLES)
def test_trouble_stays_and_the_others_are_answered(act: Act, kind: str) -> None:
    found = replies_of(cases({"bad": act}, FINE), "good", "bad", "better", timeout_s=0.4, retries=1)
    (reply,) = found["bad"]
    assert (reply.text, reply.error, reply.retries) == (None, kind, 1)
    assert reply.detail
    assert [found[key][0].text for key in ("good", "better")] == ["fine", "fine"]


def test_retry_after_is_honoured() -> None:
    (reply,) = replies_of(steps(trouble(429, retry_after="0.5"), FINE))["one"]
    assert reply.text == "fine"
    assert 0.5 <= reply.seconds < 3


def test_a_context_that_is_too_long_is_not_tried_again() -> None:
    with Hostile(cases({"long": trouble(400, "maximum context length is 8192")}, FINE)) as server:
        found = ask_it(server, "short", "long")
    assert sorted(server.prompts) == ["long", "short"]
    (long,), (short,) = found["long"], found["short"]
    assert (long.error, long.detail, long.retries) == ("http_400", "maximum context length is 8192", 0)
    assert short.text == "fine"


@settings(max_examples=25)
@given(
    st.lists(
        st.lists(st.sampled_from(["429", "500", "half a JSON", "empty body", "hangs up", "no choices"]), max_size=4),
        max_size=8,
    )
)
def test_every_request_gets_what_its_tries_say(troubles: list[list[str]]) -> None:
    """With two retries: the third trouble of a request is its error, fewer are passed."""

    def script(body: dict, seen: int) -> Act:
        met = troubles[int(prompt_of(body))]
        return TROUBLES[met[seen]][0] if seen < len(met) else FINE

    with Hostile(script) as server:
        found: dict[str, list[Reply]] = {}
        keys = [str(number) for number in range(len(troubles))]
        ask(endpoint_of(server, backoff_s=0.001), PLAIN, requests(*keys), lambda r, x: found.update({r.key: x}))
    expected = [("fine", None, len(met)) if len(met) < 3 else (None, TROUBLES[met[2]][1], 2) for met in troubles]
    assert [(found[key][0].text, found[key][0].error, found[key][0].retries) for key in keys] == expected
    assert len(server.seen) == sum(1 + retries for *_, retries in expected)


# Keys


def test_the_key_is_sent_and_never_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-verysecret\n")
    echo = trouble(401, "Incorrect API key provided: sk-verysecret.")
    with Hostile(steps(echo)) as server:
        with pytest.raises(EndpointError, match=r"Incorrect API key provided: \*\*\*") as caught:
            ask(endpoint_of(server, key_env="MY_KEY"), PLAIN, requests("one"), lambda *_: None)
    assert server.seen[0].headers["authorization"] == "Bearer sk-verysecret"
    assert "verysecret" not in str(caught.value)


def test_no_key_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-place")
    with Hostile(steps(FINE)) as server:
        ask(endpoint_of(server, key_env="MY_KEY"), PLAIN, requests("one"), lambda *_: None)
    assert "sk-" not in server.seen[0].headers["authorization"]


@pytest.mark.parametrize("key", ["sk-é", "sk-a\nb", "sk-\x07"])
def test_a_key_that_no_header_can_hold(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(RecipeError, match="environment variable MY_KEY") as caught:
        ask(Endpoint("http://127.0.0.1:9/v1", "tiny", key_env="MY_KEY"), PLAIN, [], lambda *_: None)
    assert "sk-" not in str(caught.value)


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert replies_of(steps(FINE))["one"][0].text == "fine"


def test_a_proxy_of_the_environment_is_asked_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with Hostile(steps(FINE)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url.removesuffix("/v1"))
        found: list[Reply] = []
        ask(Endpoint("http://models.invalid/v1", "m"), PLAIN, requests("one"), lambda r, x: found.extend(x))
    assert found[0].text == "fine"


# What is sent, what is needed


def test_what_is_sent() -> None:
    sampling = Sampling(temperature=0.1, top_p=0.5, max_tokens=9, seed=4)
    extra = {"chat_template_kwargs": {"enable_thinking": False}, "max_tokens": None, "max_completion_tokens": 9}
    with Hostile(steps(FINE)) as server:
        ask(endpoint_of(server, extra=extra), sampling, requests("one"), lambda *_: None)
    assert server.seen[0].body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "one"}],
        "temperature": 0.1,
        "top_p": 0.5,
        "seed": 4,
        "max_completion_tokens": 9,
        "chat_template_kwargs": {"enable_thinking": False},
    }


# Several answers


THREE = Sampling(answers=3, seed=100)


def test_several_answers_in_one_request() -> None:
    with Hostile(steps(chat("a", "b", "c", usage=(10, 9)))) as server:
        replies = ask_it(server, sampling=THREE)["one"]
    assert [seen.body.get("n") for seen in server.seen] == [3]
    assert [r.text for r in replies] == ["a", "b", "c"]
    assert [(r.tokens_in, r.tokens_out) for r in replies] == [(10, 9), (0, 0), (0, 0)]
    assert [r.seconds > 0 for r in replies] == [True, False, False]


def one_at_a_time(body: dict, seen: int) -> Act:
    return chat(f"answer {body['seed']}", usage=(10, 2))


def refuses_n(body: dict, seen: int) -> Act:
    return trouble(400, "only n=1 is supported") if body.get("n", 1) > 1 else one_at_a_time(body, seen)


@pytest.mark.parametrize(("script", "first"), [(one_at_a_time, [3, None, None]), (refuses_n, [3, None, None, None])])
def test_a_server_that_gives_one_answer_is_asked_again(script: Script, first: list) -> None:
    with Hostile(script) as server:
        found = ask_it(server, "one", "two", sampling=THREE, concurrency=1)
    # The second prompt is not tried with n again.
    assert [seen.body.get("n") for seen in server.seen] == [*first, None, None, None]
    for replies in found.values():
        assert [r.text for r in replies] == ["answer 100", "answer 101", "answer 102"]
        assert [(r.tokens_in, r.tokens_out) for r in replies] == [(30, 6), (0, 0), (0, 0)]


def test_a_server_that_gives_two_of_three() -> None:
    with Hostile(lambda body, seen: chat(*["x"] * min(2, body.get("n", 1)))) as server:
        ask_it(server, "one", "two", sampling=THREE, concurrency=1)
    assert [seen.body.get("n") for seen in server.seen] == [3, None, 2, None]


def test_too_many_answers_are_cut() -> None:
    (reply,) = replies_of(steps(chat("a", "b")))["one"]
    assert reply.text == "a"


def test_an_answer_that_fails_among_others() -> None:
    replies = replies_of(steps(chat("a"), trouble(500)), sampling=THREE, retries=1)["one"]
    assert [(r.text, r.error) for r in replies] == [("a", None), (None, "http_500"), (None, "http_500")]
    assert (replies[0].tokens_in, replies[0].retries) == (7, 1)


def test_a_failure_gives_as_many_replies_as_answers() -> None:
    replies = replies_of(steps(trouble(500)), sampling=THREE, retries=0)["one"]
    assert [r.error for r in replies] == ["http_500"] * 3
    assert [r.tokens_in for r in replies] == [None, 0, 0]


def test_tokens_that_are_not_told_are_missing() -> None:
    (reply,) = replies_of(steps(chat("a", usage=None)))["one"]
    assert (reply.tokens_in, reply.tokens_out) == (None, None)
    replies = replies_of(steps(chat("a"), chat("b", usage=None), chat("c")), sampling=THREE)["one"]
    assert [r.tokens_in for r in replies] == [None, 0, 0]  # a part of the sum is not the sum


def test_tokens_of_answers_that_could_not_be_used_are_counted() -> None:
    (reply,) = replies_of(steps(chat(None, usage=(10, 500)), chat("b", usage=(10, 5))))["one"]
    assert (reply.text, reply.tokens_in, reply.tokens_out) == ("b", 20, 505)


# Log-probabilities


LABELS = Sampling(labels=2)
LOGPROBS = {
    "content": [{"token": "3", "top_logprobs": [{"token": "3", "logprob": -0.1}, {"token": "2", "logprob": -2.5}]}]
}


def test_labels() -> None:
    with Hostile(steps(chat("3", logprobs=LOGPROBS))) as server:
        (reply,) = ask_it(server, sampling=LABELS)["one"]
    assert reply.labels == [("3", -0.1), ("2", -2.5)]
    assert (server.seen[0].body["logprobs"], server.seen[0].body["top_logprobs"]) == (True, 2)


def test_a_server_without_labels_is_refused() -> None:
    message, _ = refused(steps(FINE), LABELS)
    assert "gave no log-probabilities; set score: sampled, or use a server that gives them such as vLLM" in message


def test_one_answer_without_labels_among_others_is_kept() -> None:
    script = cases({"odd": chat("3")}, chat("3", logprobs=LOGPROBS))
    (reply,) = replies_of(script, "good", "odd", sampling=LABELS, concurrency=1)["odd"]
    assert (reply.labels, reply.text, reply.error) == (None, "3", None)


# Texts


def test_lone_surrogates_and_a_long_text() -> None:
    long = "é" * 500_000
    odd = http(200, rb'{"choices": [{"message": {"content": "a\ud800b \ud83d\ude00"}}]}')
    found = replies_of(cases({"odd \ufffd": odd}, chat(long)), "odd \udfff", "long")
    assert found["odd \udfff"][0].text == "a\ufffdb 😀"
    assert found["long"][0].text == long
