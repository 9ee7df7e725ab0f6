"""The events: only added, the last one counts, nothing acknowledged is lost, several writers at once."""

import sqlite3
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_help import DOCUMENTS, write_documents, write_run

from jql.errors import DataError, InputError, LockError, OutputError
from jql.schema import RATING
from jql.truth.label import store as store_module
from jql.truth.label.store import Event, StaleError, Store, adjudications_of, ratings_of


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


@pytest.fixture
def store(run):
    made = Store(run)
    yield made
    made.close()


def rated(rater, id, score, **more):
    return Event(rater, id, "rated", score, **more)


def add(log, event):
    log.append(event, log.last(event.rater))


def scores(log, rater=None):
    return [(event.rater, event.id, event.score) for event in log.standing(rater)]


def test_the_last_event_of_a_rater_and_document_counts(store):
    log = store.ratings
    add(log, rated("Ann", "a", 1))
    add(log, rated("Bo", "a", 4))
    add(log, rated("Ann", "b", 2))
    add(log, rated("Ann", "a", 3))
    assert scores(log) == [("Bo", "a", 4), ("Ann", "b", 2), ("Ann", "a", 3)]
    assert scores(log, "Bo") == [("Bo", "a", 4)]


def test_undo_takes_back_the_last_again_and_again(store):
    log = store.ratings
    for id in "abc":
        add(log, rated("Ann", id, 1))
    assert log.undo("Ann", log.last("Ann"), {"a", "b", "c"}, "v") == "c"
    assert log.undo("Ann", log.last("Ann"), {"a", "b", "c"}, "v") == "b"
    assert scores(log) == [("Ann", "a", 1)]
    with pytest.raises(InputError, match="nothing to take back"):
        log.undo("Ann", log.last("Ann"), {"b", "c"}, "v")
    with pytest.raises(InputError, match="nothing to take back"):
        log.undo("Bo", 0, {"a"}, "v")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    made = Store(write_run(tmp_path_factory.mktemp("many")))
    yield made.ratings
    made.close()


@settings(max_examples=40)  # every event waits for the disk
@given(st.lists(st.sampled_from(["a", "b", "c", "undo"]), max_size=12))
def test_undo_is_what_never_rating_would_have_been(many, moves):
    rater, stack = uuid.uuid4().hex, []
    for i, move in enumerate(moves):
        if move == "undo" and stack:
            assert many.undo(rater, many.last(rater), {"a", "b", "c"}, "v") == stack.pop()[0]
        elif move != "undo":
            stack = [kept for kept in stack if kept[0] != move] + [(move, i)]
            add(many, rated(rater, move, i))
    assert [(event.id, event.score) for event in many.standing(rater)] == stack


def test_who_has_not_seen_the_last_event_changes_nothing(store):
    log = store.ratings
    log.append(rated("Ann", "a", 1), 0)
    for stale in (lambda: log.append(rated("Ann", "a", 2), 0), lambda: log.undo("Ann", 0, {"a"}, "v")):
        with pytest.raises(StaleError, match="moved on in another tab"):
            stale()
    log.append(rated("Bo", "a", 4), 0)  # another rater's events are no matter
    assert scores(log) == [("Ann", "a", 1), ("Bo", "a", 4)]


def test_of_many_tabs_at_once_one_is_heard_and_all_raters_are(run, store):
    other = Store(run)  # as another process would have it open

    def send(turn):
        log = (store, other)[turn % 2].ratings
        try:
            log.append(rated(f"rater {turn // 8}", "a", turn), 0)
        except StaleError:
            return 0
        return 1

    with ThreadPoolExecutor(16) as pool:
        heard = list(pool.map(send, range(32)))
    other.close()
    assert [sum(heard[at : at + 8]) for at in range(0, 32, 8)] == [1, 1, 1, 1]
    assert len(store.ratings.standing()) == 4


def test_events_are_only_added(run, store):
    add(store.ratings, rated("Ann", "a", 1))
    connection = sqlite3.connect(f"{run}/ratings.sqlite")
    for change in ("UPDATE ratings SET score = 4", "DELETE FROM ratings"):
        with pytest.raises(sqlite3.IntegrityError, match="events are only added"):
            connection.execute(change)
    connection.close()


WRITER = """
import os, sys
from jql.truth.label.store import Event, Store
store = Store(sys.argv[1])
for i in range(1000):
    store.ratings.append(Event("Ann", str(i), "rated", 1), i)
    print(i, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill(run):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, run], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for _ in range(25):
        writer.stdout.readline()
    writer.kill()
    told = 25 + len(writer.stdout.read().splitlines())
    writer.wait()
    store = Store(run)
    kept = [event.id for event in store.ratings.standing()]
    store.close()
    assert kept[:told] == [str(i) for i in range(told)]
    assert len(kept) <= told + 1  # one may have been on its way


def test_settings_that_durability_rests_on(store):
    execute = store._connection.execute
    assert execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_the_rating_table(run, store):
    log = store.ratings
    add(log, rated("Bo", "b", 4, seconds=12.5, guideline="v1"))
    add(log, Event("Ann", "b", "skipped", None, "wrong_language", 3.0, "v1"))
    add(log, rated("Ann", "a", 2))
    add(log, rated("Ann", "c", 1))
    log.undo("Ann", log.last("Ann"), {"c"}, "v1")
    add(store.adjudications, rated("adjudicator", "a", 0))
    table = ratings_of(run)
    assert table.schema == RATING
    rows = table.to_pylist()
    assert [(r["id"], r["rater"], r["score"], r["reason"]) for r in rows] == [
        ("a", "Ann", 2.0, None),
        ("b", "Ann", None, "wrong_language"),
        ("b", "Bo", 4.0, None),
    ]
    assert rows[2] | {"rated_at": ""} == {
        "id": "b",
        "rater": "Bo",
        "score": 4.0,
        "reason": None,
        "language": "arb_Arab",
        "seconds": 12.5,
        "guideline": "v1",
        "rated_at": "",
        "origin": "human",
    }
    assert rows[2]["rated_at"].endswith("+00:00")
    assert adjudications_of(run) == {"a": 0.0}


def test_tables_without_ratings(run, tmp_path):
    for read in (ratings_of, adjudications_of):
        with pytest.raises(InputError, match=r"ratings.sqlite: not there; nothing has been rated yet"):
            read(run)
    assert not (tmp_path / "run" / "ratings.sqlite").exists()
    Store(run).close()
    assert ratings_of(run).num_rows == 0
    assert adjudications_of(run) == {}


def test_ratings_of_documents_that_are_gone(run, store, tmp_path):
    add(store.ratings, rated("Ann", "a", 1))
    write_documents(tmp_path / "run", DOCUMENTS[1:])
    with pytest.raises(
        DataError, match=r"1 ratings are of documents that documents.parquet does not have, such as 'a'"
    ):
        ratings_of(run)


def test_a_file_that_is_no_database_or_not_ours(run, tmp_path):
    path = tmp_path / "run" / "ratings.sqlite"
    path.write_bytes(b"these are no ratings" * 100)
    with pytest.raises(DataError, match=r"ratings.sqlite: not a database of ratings, or damaged .*move it away"):
        Store(run)
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match="its tables are not those of this jql"):
        Store(run)
    assert path.read_bytes() == before
    path.unlink()
    path.mkdir()
    with pytest.raises(OutputError, match="cannot be opened or written"):
        Store(run)


def test_a_damaged_database(run, tmp_path):
    path = tmp_path / "run" / "ratings.sqlite"
    store = Store(run)
    for i in range(200):
        store.ratings.append(rated("Ann", f"document {i}", 1), i)
    store.close()
    data = bytearray(path.read_bytes())
    data[4096 + 100 : 4096 * 3] = b"\xff" * (4096 * 2 - 100)
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        Store(run)


def test_a_locked_database(run, monkeypatch):
    Store(run).close()
    monkeypatch.setattr(store_module, "WAIT_S", 0.05)
    holder = sqlite3.connect(f"{run}/ratings.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LockError, match=r"ratings.sqlite: locked by another program; close what has it open"):
        Store(run)
    holder.close()
