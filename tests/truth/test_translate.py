"""Ground truth through a chat server on a real socket into other languages."""

import io
import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from llm.hostile import Act, Hostile, chat, trouble
from rich.console import Console
from translated import asked, honest, said, text, translator, truth_rows, write_truth

from jql.errors import DataError, InputError, RecipeError, StopError
from jql.recipe import Engine
from jql.schema import REPLY, TRUTH
from jql.truth.translate import run_translate
from jql.truth.translation import INSTRUCTION

INLINE = Engine(backend="inline")
PAIR = ["deu_Latn", "dan_Latn"]


class Place:
    """A truth file and a run folder; `run` translates and keeps what was printed in `said`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out, self.said = folder, str(folder / "run"), ""
        self.truth = str(folder / "truth.parquet")
        write_truth(folder / "truth.parquet", truth_rows())

    def run(self, server: Hostile | str, to: list[str], **options):
        console = Console(file=io.StringIO(), record=True, width=200)
        url = server if isinstance(server, str) else server.base_url
        engine = options.pop("engine", INLINE)
        try:
            return run_translate(
                options.pop("truth", self.truth),
                self.out,
                to=to,
                endpoint=url,
                model="tiny",
                engine=engine,
                console=console,
                **options,
            )
        finally:
            self.said = console.export_text(clear=False)
            self.coloured = console.export_text(styles=True)

    def rows(self) -> list[dict]:
        table = pq.read_table(Path(self.out, "truth.parquet"))
        assert table.schema.equals(TRUTH)
        return table.to_pylist()

    def replies(self, code: str) -> list[dict]:
        files = sorted(Path(self.out, "translate", code).glob("*/data/replies/**/*.parquet"))
        tables = [pq.read_table(file) for file in files]
        assert all(table.schema.equals(REPLY) for table in tables)
        return [row for table in tables for row in table.to_pylist()]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_every_original_in_every_language_with_its_source_and_scores(place):
    with Hostile(translator(honest)) as server:
        result = place.run(server, [*PAIR, "deu_Latn"], revision="r1")
    originals = truth_rows()
    expected = originals + [
        {
            **row,
            "id": f"doc{n}/{code}",
            "source": f"doc{n}",
            "language": code,
            "text": text(code, n),
            "translator": "tiny@r1",
        }
        for code in PAIR
        for n, row in enumerate(originals)
    ]
    assert place.rows() == expected
    assert sorted(asked(server)) == sorted((code, n) for code in PAIR for n in range(3))
    assert json.loads(Path(place.out, "translate.json").read_text()) == result
    assert result["instruction"]["version"] == INSTRUCTION
    counts = result["languages"]["dan_Latn"]
    assert (counts["asked"], counts["kept"], counts["dropped"]) == (3, 3, {})
    assert (counts["tokens_in"], counts["tokens_out"]) == (300, 150)
    assert "origin: synthetic 3" in place.said


def test_a_request_holds_the_document_and_the_settings(place):
    with Hostile(translator(honest)) as server:
        place.run(server, ["deu_Latn"], max_tokens=77, temperature=0.5)
    body = next(seen.body for seen in server.seen if "boat 2" in seen.body["messages"][-1]["content"])
    assert body["messages"][-1]["content"] == f"Translate this document into German:\n\n{text('eng_Latn', 2)}"
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("tiny", 77, 0.5)


def test_raw_replies_stay_and_what_is_said_around_a_translation_goes(place):
    around = ["Sure! Here is the German translation:\n\n{}", "```\n{}\n```", "{}\n\nNote: I have kept the line breaks."]
    with Hostile(translator(lambda code, n: said(around[n].format(text(code, n))))) as server:
        place.run(server, ["deu_Latn"])
    assert [row["text"] for row in place.rows()[3:]] == [text("deu_Latn", n) for n in range(3)]
    replies = place.replies("deu_Latn")
    assert [reply["text"] for reply in replies] == [around[n].format(text("deu_Latn", n)) for n in range(3)]
    assert {(r["id"], r["origin"], r["model"], r["finish"]) for r in replies} == {
        (f"doc{n}/deu_Latn", "model", "tiny", "stop") for n in range(3)
    }


def test_what_is_no_translation_is_dropped_with_its_reason(place):
    write_truth(Path(place.truth), truth_rows(8))
    wrong: dict[int, Act] = {
        0: said(text("fra_Latn", 0)),
        1: said(text("eng_Latn", 1)),
        2: said(text("deu_Latn", 2), finish="length"),
        3: said(" "),
        4: said("Ein Hafen."),
        5: trouble(400, "too long for me"),
    }
    with Hostile(translator(lambda code, n: wrong.get(n) or honest(code, n))) as server:
        result = place.run(server, ["deu_Latn"])
    counts = result["languages"]["deu_Latn"]
    reasons = ("wrong_language", "unchanged", "cut_off", "empty", "too_short", "no_answer:http_400")
    assert counts["dropped"] == dict.fromkeys(reasons, 1)
    assert (counts["asked"], counts["kept"]) == (8, 2)
    assert [row["id"] for row in place.rows()[8:]] == ["doc6/deu_Latn", "doc7/deu_Latn"]
    assert [reply["error"] for reply in place.replies("deu_Latn")] == [None] * 5 + ["http_400"] + [None] * 2
    assert "\x1b[33mdeu_Latn: 6 of 8 translations were dropped" in place.coloured


def test_a_few_drops_are_not_said_in_yellow(place):
    write_truth(Path(place.truth), truth_rows(5))
    with Hostile(translator(lambda code, n: said("") if n == 3 else honest(code, n))) as server:
        place.run(server, ["deu_Latn"])
    assert "\x1b[33m" not in place.coloured
    assert "empty 1" in place.said


def test_documents_in_the_language_already_are_not_asked_for(place):
    german = {**truth_rows(1, "deu_Latn")[0], "id": "german", "source": "german"}
    blank = {**truth_rows(1)[0], "id": "blank", "source": "blank", "text": " \n"}
    write_truth(Path(place.truth), [*truth_rows(2), german, blank])
    with Hostile(translator(honest)) as server:
        result = place.run(server, ["deu_Latn"])
    assert sorted(asked(server)) == [("deu_Latn", 0), ("deu_Latn", 1)]
    counts = result["languages"]["deu_Latn"]
    assert (counts["asked"], counts["kept"], counts["dropped"]) == (2, 2, {})
    assert counts["not_asked"] == {"same_language": 1, "no_text": 1}
    assert [row["id"] for row in place.rows()] == ["doc0", "doc1", "german", "blank", "doc0/deu_Latn", "doc1/deu_Latn"]


def test_translations_in_the_truth_are_left_out(place):
    translated = {**truth_rows(1, "dan_Latn")[0], "id": "doc0/dan_Latn", "source": "doc0", "translator": "someone"}
    write_truth(Path(place.truth), [*truth_rows(2), translated])
    with Hostile(translator(honest)) as server:
        result = place.run(server, ["deu_Latn"])
    assert result["left_out"] == {"translation": 1}
    assert "left out: translation 1" in place.said
    assert [row["id"] for row in place.rows()] == ["doc0", "doc1", "doc0/deu_Latn", "doc1/deu_Latn"]


def test_a_language_added_later_is_the_only_one_asked_for(place):
    with Hostile(translator(honest)) as server:
        place.run(server, ["deu_Latn"])
        first = len(asked(server))
        place.run(server, ["deu_Latn", "ell_Grek"])
        assert asked(server)[first:] == [("ell_Grek", n) for n in range(3)]
        assert Counter(row["language"] for row in place.rows()) == {"eng_Latn": 3, "deu_Latn": 3, "ell_Grek": 3}
        seen = len(server.seen)
        place.run(server, ["ell_Grek", "deu_Latn"])
        assert len(server.seen) == seen
    place.run(server, ["deu_Latn"])  # nothing to ask, so the server may be gone
    assert Counter(row["language"] for row in place.rows()) == {"eng_Latn": 3, "deu_Latn": 3}


def test_new_scores_ask_for_nothing_but_are_taken_over(place):
    with Hostile(translator(honest)) as server:
        place.run(server, ["deu_Latn"])
        seen = len(server.seen)
        rows = [{**row, "score": 4.5, "rule": "mean"} for row in truth_rows()]
        elsewhere = write_truth(place.folder / "again.parquet", rows)
        place.run(server, ["deu_Latn"], truth=elsewhere)
        assert len(server.seen) == seen
    assert [(row["score"], row["rule"]) for row in place.rows()] == [(4.5, "mean")] * 6


@pytest.mark.parametrize("change", [{"revision": "r2"}, {"max_tokens": 99}, {"temperature": 0.3}])
def test_another_setting_asks_anew(place, change):
    with Hostile(translator(honest)) as server:
        place.run(server, ["deu_Latn"])
        place.run(server, ["deu_Latn"], **change)
    assert Counter(asked(server)) == {("deu_Latn", n): 2 for n in range(3)}


KILLED = """
import sys
from jql.recipe import Engine
from jql.truth.translate import run_translate
truth, out, url = sys.argv[1:]
run_translate(truth, out, to=["deu_Latn"], endpoint=url, model="tiny", concurrency=2, engine=Engine(backend="inline"))
"""


def test_after_a_kill_only_the_rest_is_asked_for(place):
    write_truth(Path(place.truth), truth_rows(10))
    slow = translator(lambda code, n: said(text(code, n), delay_s=0.0 if n < 5 else 60.0))
    with Hostile(slow) as server:
        command = [sys.executable, "-c", KILLED, place.truth, place.out, server.base_url]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 120
            while written(place) < 5:
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert {n for _, n in asked(server)} >= {0, 1, 2, 3, 4}
    with Hostile(translator(honest)) as server:
        result = place.run(server, ["deu_Latn"])
    assert sorted(n for _, n in asked(server)) == [5, 6, 7, 8, 9]
    assert [row["text"] for row in place.rows()[10:]] == [text("deu_Latn", n) for n in range(10)]
    assert result["languages"]["deu_Latn"]["tokens_out"] == 500
    assert written(place) == 0


def written(place: Place) -> int:
    files = Path(place.out, "translate").glob("deu_Latn/*/kept/**/*.jsonl")
    return sum(file.read_bytes().count(b"\n") for file in files)


def test_a_failure_is_asked_for_again_after_a_stop(place):
    stop = translator(lambda code, n: honest(code, n) if n == 0 else trouble(418 if n == 1 else 401, "not now"))
    with Hostile(stop) as server:
        with pytest.raises(StopError, match="401"):
            place.run(server, ["deu_Latn"], concurrency=1)
        assert asked(server)[-1] == ("deu_Latn", 2)
    with Hostile(translator(honest)) as server:
        place.run(server, ["deu_Latn"])
    assert sorted(n for _, n in asked(server)) == [1, 2]


def test_where_every_request_fails_nothing_is_settled(place):
    with Hostile(translator(lambda code, n: trouble(418, "tea only"))) as server:
        with pytest.raises(StopError, match=r"all 3 requests of .* failed \(http_418 3\); see to the endpoint"):
            place.run(server, ["deu_Latn"])
    with Hostile(translator(honest)) as server:
        result = place.run(server, ["deu_Latn"])
    assert result["languages"]["deu_Latn"]["kept"] == 3


def test_a_dead_endpoint_is_one_clear_line_at_once(place):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        started = time.monotonic()
        with pytest.raises(
            StopError, match=r"http://127.0.0.1:\d+/v1 \(model tiny\).*nobody answers; start the server"
        ) as caught:
            place.run(url, ["deu_Latn"])
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 10


def test_a_wrong_key_is_one_clear_line(place):
    with Hostile(lambda body, seen: trouble(401, "who are you")) as server:
        with pytest.raises(StopError, match=r"who are you.*environment variable MY_KEY"):
            place.run(server, ["deu_Latn"], key="MY_KEY")


def test_the_key_is_sent_and_written_nowhere(place, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-secret-7731")
    with Hostile(translator(honest)) as server:
        place.run(server, ["deu_Latn"], key="MY_KEY")
    assert server.seen[-1].headers["authorization"] == "Bearer sk-secret-7731"
    written = [file for file in Path(place.out).rglob("*") if file.is_file()]
    assert len(written) > 5
    assert not [file for file in written if b"sk-secret" in file.read_bytes()]


def test_a_spent_budget_stops_before_more_is_asked(place):
    with Hostile(translator(honest)) as server:
        with pytest.raises(StopError, match=r"450 of 400 tokens in 3 requests; raise translate.budget_tokens"):
            place.run(server, PAIR, budget_tokens=400)
        assert {code for code, _ in asked(server)} == {"deu_Latn"}
        place.run(server, PAIR, budget_tokens=10_000)
    assert Counter(asked(server)) == {(code, n): 1 for code in PAIR for n in range(3)}


def test_a_language_of_which_nothing_survives_is_named_and_the_others_stay(place):
    script = translator(lambda code, n: said(text("fra_Latn", n)) if code == "dan_Latn" else honest(code, n))
    with Hostile(script) as server:
        with pytest.raises(DataError, match=r"no translation survived: dan_Latn \(wrong_language 3; replies in .*"):
            place.run(server, ["deu_Latn", "dan_Latn", "ell_Grek"])
        assert {code for code, _ in asked(server)} == {"deu_Latn", "dan_Latn", "ell_Grek"}
        assert not Path(place.out, "truth.parquet").exists()
        assert json.loads(Path(place.out, "translate.json").read_text())["languages"]["dan_Latn"]["kept"] == 0
        seen = len(server.seen)
        place.run(server, ["deu_Latn", "ell_Grek"])
        assert len(server.seen) == seen
    assert len(place.rows()) == 9


def test_a_model_that_translates_nothing_is_not_paid_for_every_language(place):
    with Hostile(
        lambda body, seen: chat("I would rather talk of something else, as it is such a lovely day.")
    ) as server:
        with pytest.raises(DataError, match="deu_Latn"):
            place.run(server, [*PAIR, "ell_Grek"])
    assert {code for code, _ in asked(server)} == {"deu_Latn"}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"to": ["deu_Latn", "dansk"]}, "unknown language 'dansk': expected a code like deu_Latn"),
        ({"to": []}, "to: expected one or more language codes"),
        ({"to": ["eng_Latn"]}, "all 3 originals are in eng_Latn; leave it out"),
        ({"max_tokens": 0}, "max_tokens: expected 1 or more, got 0"),
        ({"concurrency": 0}, "concurrency: expected 1 or more, got 0"),
        ({"temperature": -1.0}, "temperature: expected 0 to 2, got -1"),
        ({"endpoint": "localhost:8000"}, "expected http://... or https://..., got 'localhost:8000'"),
    ],
)
def test_options_are_checked_before_anything_is_written(place, options, match):
    given = {"to": ["deu_Latn"], "endpoint": "http://127.0.0.1:9/v1", "model": "tiny", "engine": INLINE} | options
    with pytest.raises(RecipeError, match=match):
        run_translate(place.truth, place.out, **given)
    assert not Path(place.out).exists()


def test_a_table_that_is_no_truth_is_refused(place):
    pq.write_table(pq.read_table(place.truth).drop_columns(["raters"]), place.truth)
    with pytest.raises(InputError, match="no TRUTH table, it has no column raters"):
        place.run("http://127.0.0.1:9/v1", ["deu_Latn"])


def test_what_is_written_is_not_read(place):
    for truth in (f"{place.out}/truth.parquet", place.out, str(place.folder)):
        with pytest.raises(RecipeError, match="is written there"):
            place.run("http://127.0.0.1:9/v1", ["deu_Latn"], truth=truth)


def test_an_id_that_a_translation_would_have_is_refused(place):
    write_truth(
        Path(place.truth), [*truth_rows(1), {**truth_rows(1)[0], "id": "doc0/deu_Latn", "source": "doc0/deu_Latn"}]
    )
    with pytest.raises(RecipeError, match="document 'doc0/deu_Latn' has the id of a translation"):
        place.run("http://127.0.0.1:9/v1", ["deu_Latn"])


def test_many_units_on_ray_give_what_one_process_gives(place, ray_address):
    write_truth(Path(place.truth), truth_rows(450))
    with Hostile(translator(honest)) as server:
        result = place.run(server, ["deu_Latn"], engine=Engine(address=ray_address, workers=2))
    assert len(asked(server)) == len(set(asked(server))) == 450
    assert result["languages"]["deu_Latn"]["kept"] == 450
    assert [row["text"] for row in place.rows()[450:]] == [text("deu_Latn", n) for n in range(450)]
