"""Judges on the engine, against a scripted model on a real socket: what is asked, kept, read, paid for and refused."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT
from judge_help import answers, judgments_of, recipe_of, run_quietly, worth, write_documents
from llm.hostile import Hostile, chat, trouble

from jql.errors import DataError, RecipeError, StopError
from jql.recipe import dump_recipe, make_recipe
from jql.rubric import load_rubric


def test_documents_to_judgments_and_nothing_asked_twice(tmp_path):
    documents = write_documents(tmp_path / "in.parquet", 25, group=10)
    with Hostile(answers) as server:
        recipe = recipe_of(tmp_path / "run", documents, server)
        result, _ = run_quietly(recipe)
        rows = judgments_of(tmp_path / "run")
        assert [r["id"] for r in rows] == [f"d{i}" for i in range(25)]
        assert [r["score"] for r in rows] == [float(i % 6) for i in range(25)]
        assert all(r["reason"] is None and r["kinds"] == ["ok"] * 3 and r["origin"] == "model" for r in rows)
        assert rows[5]["scores"] == [5.0, 5.0, 4.0] and rows[5]["spread"] == pytest.approx(2**0.5 / 3)
        assert rows[0]["source"] == "d0" and rows[0]["text"].startswith("Document 0")
        assert (rows[3]["tokens_in"], rows[3]["tokens_out"]) == (7, 3)
        assert len(server.seen) == 25  # n=3 in one request
        judge = result.summary["total"]["judges"]["alpha"]
        assert judge["documents"] == judge["scored"] == 25 and judge["tokens_in"] == 25 * 7

        run_quietly(recipe)
        assert len(server.seen) == 25
        other = recipe_of(tmp_path / "run", documents, server, rule="mean")
        run_quietly(other)
        assert len(server.seen) == 25  # another reading asks nobody
        # The newest reading lies beside the former.
        assert {4.0 + 2 / 3} <= {r["score"] for r in judgments_of(tmp_path / "run")}
        run_quietly(recipe_of(tmp_path / "run", documents, server, judge={"temperature": 0.1}))
        assert len(server.seen) == 50  # other answers


def test_what_is_sent(tmp_path):
    documents = write_documents(tmp_path / "in.parquet", 1)
    with Hostile(answers) as server:
        run_quietly(recipe_of(tmp_path / "run", documents, server, judge={"extra": {"seed": 5}, "max_tokens": 77}))
        body = server.seen[0].body
    assert (body["n"], body["temperature"], body["top_p"], body["max_tokens"]) == (3, 0.7, 0.9, 77)
    assert body["seed"] == 5 and body["model"] == "tiny"
    prompt = body["messages"][-1]["content"]
    assert "Document 0 is made up" in prompt and "Educational score" in prompt


def test_bad_rows_and_failures_are_counted_each_with_its_reason(tmp_path):
    lines = [
        {"id": "a", "text": "This one is worth 4 points.", "language": "eng_Latn"},
        {"id": "f", "text": "  ", "language": "eng_Latn"},
        {"id": "e", "text": None, "language": "eng_Latn"},
        {"id": "a", "text": "The id again, worth 1 points.", "language": "eng_Latn"},
        {"id": "e", "text": "Too long for the model, worth 5 points.", "language": "eng_Latn"},
        {"id": "f", "text": "The model forgets it: worth 3 points.", "language": "eng_Latn"},
    ]
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    def act(body, seen):
        prompt = body["messages"][-1]["content"]
        if "Too long" in prompt:
            return trouble(400, "maximum context length exceeded")
        return chat(*["I like it."] * body.get("n", 1)) if "forgets" in prompt else answers(body, seen)

    with Hostile(act) as server:
        run_quietly(recipe_of(tmp_path / "run", str(path), server, max_invalid=0.9))
    rows = {r["id"]: r for r in judgments_of(tmp_path / "run")}
    assert rows["a"]["score"] == 4.0 and "This one" in rows["a"]["text"]
    assert (rows["e"]["score"], rows["e"]["reason"]) == (None, "http_400")
    assert (rows["f"]["score"], rows["f"]["reason"], rows["f"]["kinds"]) == (None, "no_score", ["no_score"] * 3)
    receipts = list((tmp_path / "run/judge/alpha/judgments").glob("*/receipts/*/*.json"))
    drops = json.loads(receipts[0].read_text())["drops"]
    assert drops == {"empty": 1, "not_asked": 1, "text_null": 1}
    replies = json.loads(next((tmp_path / "run/judge/alpha/replies").glob("*/receipts/*/*.json")).read_text())
    assert replies["drops"] == {"empty": 1, "id_again": 1, "text_null": 1}


def test_a_killed_run_pays_again_for_no_more_than_was_in_flight(tmp_path):
    documents = write_documents(tmp_path / "in.parquet", 60)

    def slowly(body, seen):
        return chat(*[f"Educational score: {worth(body)}"] * body["n"], delay_s=0.05)

    with Hostile(slowly) as server:
        recipe = recipe_of(tmp_path / "run", documents, server, concurrency=4)
        (tmp_path / "recipe.yaml").write_text(dump_recipe(recipe))
        code = f"from jql.pipeline import run_recipe; from jql.recipe import load_recipe; run_recipe(load_recipe({str(tmp_path / 'recipe.yaml')!r}))"
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while len(server.seen) < 24 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = len(server.seen)
        assert 24 <= before < 60
        for lock in (tmp_path / "run").glob("lock/*"):
            lock.unlink()  # its holder is dead; waiting for the lease would take the test a minute
        run_quietly(recipe)
        asked = Counter(server.prompts)
        assert len(asked) == 60 and sum(asked.values()) <= 60 + 4
        rows = judgments_of(tmp_path / "run")
        assert [r["score"] for r in rows] == [float(i % 6) for i in range(60)]
    assert not list((tmp_path / "run").glob("judge/alpha/replies/*/kept/**/*.jsonl"))  # the table holds them now


def test_a_budget_stops_cleanly_and_more_money_goes_on(tmp_path):
    documents = write_documents(tmp_path / "in.parquet", 40)

    def dear(body, seen):
        return chat(*[f"Educational score: {worth(body)}"] * body["n"], usage=(900, 100), delay_s=0.3)

    with Hostile(dear) as server:
        # 1,000 tokens a document: the budget is spent after ten, and is looked at about every second.
        with pytest.raises(StopError, match=r"10,?000 tokens.*budget_tokens"):
            run_quietly(recipe_of(tmp_path / "run", documents, server, concurrency=2, budget_tokens=10_000))
        spent = len(server.seen)
        assert 10 <= spent <= 25
        assert judgments_of(tmp_path / "run") == []
        run_quietly(recipe_of(tmp_path / "run", documents, server, concurrency=32))
        assert len(server.seen) <= 40 + 2
    assert len(judgments_of(tmp_path / "run")) == 40
    assert spent < 40


def test_a_judge_whose_answers_cannot_be_read_is_refused(tmp_path):
    documents = write_documents(tmp_path / "in.parquet", 9)

    def act(body, seen):
        good = worth(body) < 2
        return chat(*[f"Educational score: {worth(body)}" if good else "Hm."] * body["n"])

    with Hostile(act) as server:
        with pytest.raises(
            DataError, match=r"judge alpha: 55\.6% of 27 answers cannot be read \(no_score 15\), at most 10%"
        ):
            run_quietly(recipe_of(tmp_path / "run", documents, server))
        run_quietly(recipe_of(tmp_path / "run", documents, server, max_invalid=0.6))
        assert len(server.seen) == 9


def test_it_is_refused_on_the_way_before_everything_is_paid_for(tmp_path):
    documents = write_documents(tmp_path / "in.parquet", 1000)
    with Hostile(lambda body, seen: chat(*["Hm."] * body["n"])) as server:
        with pytest.raises(StopError, match=r"judge alpha: 100\.0% of 5\d\d answers cannot be read"):
            run_quietly(recipe_of(tmp_path / "run", documents, server, concurrency=8))
        assert len(server.seen) < 300  # 500 answers of 3 a document, and what was under way


def test_expected_score(tmp_path):
    documents = write_documents(tmp_path / "in.parquet", 6)

    def act(body, seen):
        assert body["logprobs"] is True and body["max_tokens"] == 1
        score = worth(body)
        near = max(0, score - 1)
        top = [{"token": f" {score}", "logprob": -0.2877}, {"token": str(near), "logprob": -1.3863}]
        return chat(str(score), logprobs={"content": [{"token": str(score), "logprob": -0.2877, "top_logprobs": top}]})

    with Hostile(act) as server:
        run_quietly(recipe_of(tmp_path / "run", documents, server, judge={"score": "expected"}))
    rows = judgments_of(tmp_path / "run")
    assert [r["score"] for r in rows] == pytest.approx([0.0, 0.75, 1.75, 2.75, 3.75, 4.75], abs=1e-3)
    assert rows[3]["spread"] == pytest.approx((0.75 * 0.25) ** 0.5, abs=1e-3) and rows[0]["spread"] == 0.0
    with Hostile(answers) as server:
        with pytest.raises(StopError, match=r"gave no log-probabilities; set score: sampled"):
            run_quietly(recipe_of(tmp_path / "other", documents, server, judge={"score": "expected"}))


def test_stored_replies_ask_nobody_and_give_the_same_judgments(tmp_path):
    documents = write_documents(tmp_path / "in.parquet", 12)
    with Hostile(answers) as server:
        run_quietly(recipe_of(tmp_path / "first", documents, server))
    stored = [str(p) for p in (tmp_path / "first/judge/alpha/replies").glob("*/data")]
    run_quietly(recipe_of(tmp_path / "again", documents, judge={"replies": stored}))
    first, again = judgments_of(tmp_path / "first"), judgments_of(tmp_path / "again")
    assert first == again and len(first) == 12

    more = write_documents(tmp_path / "more.parquet", 13)
    with pytest.raises(DataError, match=r"8\.3%|not_stored"):
        run_quietly(recipe_of(tmp_path / "more", more, judge={"replies": stored}, max_invalid=0.01))
    run_quietly(recipe_of(tmp_path / "more", more, judge={"replies": stored}))
    assert judgments_of(tmp_path / "more")[12]["reason"] == "not_stored"

    rubric = tmp_path / "rubric.yaml"
    plain = load_rubric("educational").model_dump(mode="json")
    rubric.write_text(json.dumps({**plain, "prompt": "Think twice. " + plain["prompt"]}), encoding="utf-8")
    with pytest.raises(DataError, match=r"100\.0% of 12 answers cannot be read \(other_prompt 12\)"):
        run_quietly(recipe_of(tmp_path / "asked-otherwise", documents, judge={"replies": stored}, rubric=str(rubric)))


def test_documents_that_are_added_are_all_that_is_asked_for(tmp_path):
    few = write_documents(tmp_path / "few.parquet", 12)
    more = write_documents(tmp_path / "more.parquet", 20, group=10)
    with Hostile(answers) as server:
        run_quietly(recipe_of(tmp_path / "run", few, server))
        run_quietly(recipe_of(tmp_path / "run", more, server))
        assert Counter(server.prompts).most_common(1)[0][1] == 1 and len(server.seen) == 20
        run_quietly(recipe_of(tmp_path / "run", more, server, judge={"revision": "other"}))
        assert len(server.seen) == 40  # another model's replies are none of this one's
    found = {row["id"]: row["score"] for row in judgments_of(tmp_path / "run")}
    assert found == {f"d{i}": float(i % 6) for i in range(20)}


def test_about_so_many_of_each_language(tmp_path):
    documents = write_documents(tmp_path / "in.parquet", 300)
    with Hostile(answers) as server:
        run_quietly(recipe_of(tmp_path / "run", documents, server, per_language=20))
    counts = Counter(r["language"] for r in judgments_of(tmp_path / "run"))
    assert len(counts) == 3 and all(5 <= n <= 40 for n in counts.values())


def test_on_ray_workers_share_the_work_and_the_count(tmp_path, ray_address):
    documents = write_documents(tmp_path / "in.parquet", 40, group=10)
    with Hostile(answers) as server:
        engine = {"backend": "ray", "address": ray_address, "workers": 2}
        result, _ = run_quietly(recipe_of(tmp_path / "run", documents, server, engine=engine))
        assert len(server.seen) == 40
    assert [r["score"] for r in judgments_of(tmp_path / "run")] == [float(i % 6) for i in range(40)]
    assert result.summary["total"]["judges"]["alpha"]["tokens_in"] == 280


def test_what_an_outage_took_is_asked_again_before_the_unit_is_closed(tmp_path):
    documents = write_documents(tmp_path / "in.parquet", 6)

    def act(body, seen):
        poor = "Document 3 " in body["messages"][-1]["content"]
        return trouble(500) if poor and seen < 2 else answers(body, seen)  # a request and its one retry

    with Hostile(act) as server:
        run_quietly(recipe_of(tmp_path / "run", documents, server))
        assert len(server.seen) == 6 + 2
    assert [r["score"] for r in judgments_of(tmp_path / "run")] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_server_of_its_own_beside_the_worker(tmp_path):
    """A server as a program; tests/llm/test_serve.py starts that of transformers the same way."""
    documents = write_documents(tmp_path / "in.parquet", 4)
    program = ROOT / "tests/llm/hostile.py"
    judge = {"model": "tiny", "serve": f"{sys.executable} {program} {{port}}"}
    with pytest.raises(DataError, match=r"judge alpha: 100\.0% of 12 answers cannot be read \(no_score 12\)"):
        run_quietly(recipe_of(tmp_path / "run", documents, judge=judge))
    replies = judgments_of(tmp_path / "run", table="replies")
    assert [(r["id"], r["answer"]) for r in replies] == [(f"d{i}", n) for i in range(4) for n in range(3)]
    assert all(r["text"] == "fine" and r["error"] is None for r in replies)
    # It gives one answer where three were asked for: two more requests, whose tokens stand with the first answer.
    assert [r["tokens_in"] for r in replies[:3]] == [21, 0, 0]
    assert running(str(program)) == []


def running(program: str) -> list[str]:
    """Command lines with a program in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found.append(path.read_bytes().replace(b"\0", b" ").decode())
    return [line for line in found if program in line]


def test_on_object_storage(tmp_path, s3):
    documents = write_documents(tmp_path / "in.parquet", 6)
    with Hostile(answers) as server:
        run_quietly(recipe_of(f"{s3}/judged", documents, server))
        run_quietly(recipe_of(f"{s3}/judged", write_documents(tmp_path / "more.parquet", 8), server))
        assert len(server.seen) == 8
    found = {row["id"]: row["score"] for row in judgments_of(f"{s3}/judged")}
    assert found == {f"d{i}": float(i % 6) for i in range(8)}


def test_a_dead_endpoint_is_one_line(tmp_path):
    documents = write_documents(tmp_path / "in.parquet", 3)
    judge = {"endpoint": "http://127.0.0.1:9/v1", "model": "tiny"}
    with pytest.raises(StopError, match=r"http://127\.0\.0\.1:9/v1 \(model tiny\)"):
        run_quietly(recipe_of(tmp_path / "run", documents, judge=judge, retries=0))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"stages": ["judge"]}, r"judge\.judges: none; name each judge"),
        (
            {"judge": {"judges": {"a": {"model": "m"}}}},
            r"judge\.judges\.a: expected exactly one of endpoint, serve and replies, got none",
        ),
        (
            {"judge": {"judges": {"a": {"model": "m", "endpoint": "http://x/v1", "serve": "vllm"}}}},
            r"judge\.judges\.a: expected exactly one of .*, got endpoint and serve",
        ),
        (
            {"judge": {"judges": {"a": {"endpoint": "http://x/v1"}}}},
            r"judge\.judges\.a: model: expected the model's name",
        ),
        (
            {"judge": {"judges": {"a": {"model": "m", "endpoint": "http://x/v1", "temprature": 1}}}},
            r"judge\.judges\.a\.temprature: unknown key; did you mean temperature\?",
        ),
        ({"judge": {"use": ["b"]}}, r"judge: use: no judge b; there are none"),
        (
            {"stages": ["rank"], "judge": {"judges": {"a": {"model": "m", "endpoint": "http://x/v1"}}}},
            r"judge\.truth: ranking needs human ratings",
        ),
        ({"annotate": {"annotator": "trained"}}, r"annotate\.annotator: trained means what this run trains; add train"),
        ({"judge": {"max_invalid": 1.5}}, r"judge\.max_invalid"),
        (
            {"judge": {"budget_money": 5.0, "judges": {"a": {"model": "m", "endpoint": "http://x/v1"}}}},
            r"judge: budget_money: needs price_in and price_out of judge a; set them",
        ),
    ],
)
def test_recipes_that_cannot_be(data, message):
    with pytest.raises(RecipeError, match=message):
        make_recipe(data)
