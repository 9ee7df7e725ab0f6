"""Bodies of requests and answers, waits, and what is kept out of messages."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hostile import json_body
from hypothesis import given
from hypothesis import strategies as st

from jql.llm.completion import (
    LONGEST_WAIT_S,
    SAID,
    BadBody,
    asked_wait_s,
    body_of,
    read_completion,
    said,
    shown_url,
    valid_unicode,
    wait_s,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def encoded(body: object) -> bytes:
    return json.dumps(body).encode()


def test_an_answer() -> None:
    found = read_completion(encoded(json_body("Three.", "Four.", system_fingerprint="fp_1")))
    assert [c.text for c in found.choices] == ["Three.", "Four."]
    assert (found.model, found.fingerprint, found.tokens_in, found.tokens_out) == ("tiny", "fp_1", 7, 3)
    assert found.choices[0].finish == "stop"
    assert found.choices[0].labels is None


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with pytest.raises(BadBody) as caught:
        read_completion(body)
    assert caught.value.kind in ("empty_body", "bad_json", "bad_schema")
    assert caught.value.kind == "empty_body" or body.strip()


@given(st.dictionaries(st.sampled_from(["message", "logprobs", "finish_reason", "index"]), JSON), JSON, JSON)
def test_any_choice_is_read_or_refused(choice: dict, usage: object, model: object) -> None:
    try:
        found = read_completion(encoded({"choices": [choice], "usage": usage, "model": model}))
    except BadBody as error:
        assert error.kind == "bad_schema"
    else:
        assert isinstance(found.choices[0].text, str)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2}, (5, 2)),
        ({"prompt_tokens": 5}, (5, None)),
        ({"prompt_tokens": -1, "completion_tokens": True}, (None, None)),
        ({"prompt_tokens": "5", "completion_tokens": 2.0}, (None, None)),
        (None, (None, None)),
        ([5, 2], (None, None)),
    ],
)
def test_tokens_are_told_or_missing(usage: object, tokens: tuple) -> None:
    found = read_completion(encoded(json_body("x", usage=None) | {"usage": usage}))
    assert (found.tokens_in, found.tokens_out) == tokens


def test_a_body_that_is_no_answer_still_tells_what_it_cost() -> None:
    with pytest.raises(BadBody, match="no choices with a text") as caught:
        read_completion(encoded(json_body(None)))
    assert caught.value.tokens == (7, 3)


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_no_content_is_an_empty_answer_where_the_end_explains_it(finish: str) -> None:
    body = json_body(None)
    body["choices"][0]["finish_reason"] = finish
    choice = read_completion(encoded(body)).choices[0]
    assert (choice.text, choice.finish) == ("", finish)


def test_a_refusal_is_its_text() -> None:
    body = json_body(None)
    body["choices"][0]["message"]["refusal"] = "I would rather not."
    assert read_completion(encoded(body)).choices[0].text == "I would rather not."


def test_content_in_parts_is_joined_without_the_thinking() -> None:
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Score"}, {"type": "text", "text": ": 2"}]
    body = json_body("x")
    body["choices"][0]["message"]["content"] = parts
    assert read_completion(encoded(body)).choices[0].text == "Score: 2"


def test_first_token_s_alternatives() -> None:
    tops = [{"token": "3", "logprob": -0.5}, {"token": "4", "logprob": -1.5}, {"token": "5", "logprob": float("-inf")}]
    logprobs = {"content": [{"token": "3", "logprob": -0.5, "top_logprobs": tops}, {"token": ".", "top_logprobs": []}]}
    found = read_completion(encoded(json_body("3.", logprobs=logprobs))).choices[0].labels
    assert found == [("3", -0.5), ("4", -1.5)]  # a label without a finite log-probability is none


@pytest.mark.parametrize(
    ("logprobs", "labels"),
    [
        (None, None),
        ({"content": None}, None),
        ({"content": []}, []),
        ({"content": [{"token": "3", "logprob": -0.5, "top_logprobs": []}]}, None),
        ({"content": [{"token": "3", "logprob": -0.5}]}, None),
        ({"tokens": ["3"]}, None),
    ],
)
def test_no_alternatives(logprobs: object, labels: object) -> None:
    assert read_completion(encoded(json_body("3", logprobs=logprobs))).choices[0].labels == labels


@given(st.text(st.characters(exclude_categories=[]), max_size=20))
def test_valid_unicode(text: str) -> None:
    clean = valid_unicode(text)
    clean.encode("utf-8")
    assert valid_unicode(clean) == clean
    if "\ufffd" not in clean:
        assert clean.encode("utf-16-le") == text.encode("utf-16-le", "surrogatepass")


def test_lone_surrogates_are_replaced_and_pairs_joined() -> None:
    assert valid_unicode("a\ud83d b\udc00 \ud83d\ude00") == "a\ufffd b\ufffd 😀"


def test_body_of_takes_out_nulls_and_lets_extra_win() -> None:
    messages = [{"role": "user", "content": "half \ud800"}]
    extra = {"max_tokens": None, "max_completion_tokens": 9, "temperature": 1.0}
    body = body_of(messages, {"model": "m", "temperature": 0.0, "max_tokens": 9, "seed": None}, extra)
    assert body == {
        "messages": [{"role": "user", "content": "half \ufffd"}],
        "model": "m",
        "temperature": 1.0,
        "max_completion_tokens": 9,
    }


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            b'{"error": {"message": "too  long", "code": "context_length_exceeded"}}',
            "context_length_exceeded: too long",
        ),
        (b'{"error": {"message": "no", "code": 404}}', "no"),
        (b'{"error": "model not found"}', "model not found"),
        (b'{"object": "error", "message": "bad n"}', "bad n"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"detail": [{"loc": ["n"]}]}', '{"detail": [{"loc": ["n"]}]}'),
        (b"<h1>Bad\n gateway</h1>", "<h1>Bad gateway</h1>"),
        (b"", ""),
    ],
)
def test_the_servers_own_words(body: bytes, words: str) -> None:
    assert said(body) == words


@given(st.binary(max_size=400) | JSON.map(encoded))
def test_the_servers_words_are_one_short_line(body: bytes) -> None:
    words = said(body)
    assert (len(words) <= SAID and words.isprintable()) or "\n" not in words
    words.encode("utf-8")


def test_retry_after_is_seconds_or_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30))
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=30))
    assert asked_wait_s("2.5") == 2.5
    assert 28 < asked_wait_s(later) <= 30
    assert [asked_wait_s(header) for header in (None, past, "-3", "soon", "nan", "inf", "")] == [0] * 7


@given(st.integers(0, 2000), st.floats(0.001, 10), st.floats(0, 100))
def test_waits_double_up_to_a_minute(tried: int, first_s: float, asked_s: float) -> None:
    full = min(LONGEST_WAIT_S, first_s * 2 ** min(tried, 60))
    wait = wait_s(tried, first_s, asked_s) - asked_s
    assert 0.49 * full <= wait <= 1.01 * full


def test_waits_differ() -> None:
    assert len({wait_s(3, 1.0, 0.0) for _ in range(50)}) > 40


def test_shown_url_has_no_secrets() -> None:
    assert shown_url("https://me:secret@gate.example:8443/v1?api-key=abc#x") == "https://gate.example:8443/v1"
    assert shown_url("http://127.0.0.1:8000/v1") == "http://127.0.0.1:8000/v1"


def test_deep_json_is_refused() -> None:
    with pytest.raises(BadBody) as caught:
        read_completion(b"[" * 100_000)
    assert caught.value.kind == "bad_json"
