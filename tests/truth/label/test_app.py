"""The page over HTTP: who is let in, what raters and the adjudicator are told, what is stored."""

import json

import pytest
from label_help import RUBRIC, write_run
from starlette.testclient import TestClient

from jql.errors import InputError
from jql.truth.label.adjudication import AdjudicationView
from jql.truth.label.app import adjudication_app, rating_app
from jql.truth.label.folder import load_folder
from jql.truth.label.guard import BODY_LIMIT, Guard, new_token
from jql.truth.label.rating import RatingView, plain, score_keys
from jql.truth.label.store import Store, ratings_of

ASSIGNED = {"Ann": ["a", "b", "c", "d"], "Bo": ["b", "a"], "Cy": ["a"]}


class Page:
    """Both views of a run folder, asked as a browser would."""

    def __init__(self, run, only=None):
        folder = load_folder(run)
        self.store = Store(run)
        apps = {
            "r": rating_app(RatingView(folder, self.store, only)),
            "j": adjudication_app(AdjudicationView(folder, self.store)),
        }
        self.client = TestClient(Guard(apps, 8000), base_url="http://127.0.0.1:8000", follow_redirects=False)

    def get(self, path, **query):
        return self.client.get(path, params=query)

    def state(self, rater):
        return self.get("/r/api/state", rater=rater).json()

    def post(self, path, **body):
        sent = json.dumps(body)  # by hand, as the client has no bytes for a lone surrogate
        return self.client.post(path, content=sent, headers={"content-type": "application/json"})

    def rate(self, rater, id, score, **more):
        body = {"rater": rater, "id": id, "score": score, "seconds": 1.5, "after": self.state(rater)["after"], **more}
        return self.post("/r/api/rate", **body)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", assigned=ASSIGNED)


@pytest.fixture
def page(run):
    made = Page(run)
    yield made
    made.store.close()


@pytest.mark.parametrize("path", ["/", "/x/", "/x/api/state", "/R/", "/r", "/%F0%9F%90%9D/"])
def test_without_the_token_there_is_nothing(page, path):
    answer = page.get(path)
    if path == "/r":  # the token without its slash
        assert (answer.status_code, answer.headers["location"]) == (307, "/r/")
        return
    assert answer.status_code == 403
    assert "open the one that was printed" in answer.json()["error"]


def test_each_view_has_its_own_token(page):
    assert page.get("/r/api/start").status_code == page.get("/j/api/start").status_code == 200
    assert page.get("/r/api/disputes").status_code == page.get("/j/api/state", rater="Ann").status_code == 404
    assert page.get("/r/adjudicate.js").status_code == page.get("/j/page.js").status_code == 404
    assert "page.js" in page.get("/r/").text and "adjudicate.js" in page.get("/j/").text


def test_tokens_are_long_and_new():
    assert len({new_token() for _ in range(10)}) == 10
    assert len(new_token()) == 32


@pytest.mark.parametrize(
    "host", ["evil.example:8000", "127.0.0.1", "127.0.0.1:8001", "127.0.0.1.evil.example:8000", ""]
)
def test_a_name_that_was_pointed_here_is_refused(page, host):
    answer = page.client.get("/r/", headers={"host": host})
    assert answer.status_code == 403
    assert answer.json()["error"].startswith("host: open the address that was printed")
    assert page.client.get("/r/", headers={"host": "localhost:8000"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-length": str(BODY_LIMIT + 1)}, 413),
        ({"content-length": "-1"}, 413),
        ({"origin": "http://127.0.0.1:8000"}, 200),
    ],
)
def test_requests_from_elsewhere_or_too_large(page, headers, status):
    body = json.dumps({"rater": "Ann", "id": "a", "score": 1, "seconds": 1, "after": 0}).encode()
    sent = {"content-type": "application/json", **headers}
    assert page.client.post("/r/api/rate", content=body, headers=sent).status_code == status
    assert page.state("Ann")["progress"]["done"] == (status == 200)


@pytest.mark.parametrize("path", ["/r/", "/r/page.js", "/r/api/start", "/r/nothing", "/wrong/", "/j/"])
def test_every_answer_is_guarded(page, path):
    headers = page.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "script-src 'self';" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/r/docs", "/r/openapi.json", "/r/..%2Fapp.py", "/r/app.py", "/r/%00", "/r/api/none"])
def test_nothing_else_is_served(page, path):
    assert page.get(path).status_code == 404


def test_the_pages_hold_no_inline_script_or_style(page):
    for path in ("/r/", "/j/"):
        text = page.get(path).text
        assert "<style" not in text and "style=" not in text and " on" not in text.replace(" one", "")
        assert text.count("<script") == text.count('<script type="module" src=') == 1


def test_what_a_page_starts_with(page):
    start = page.get("/r/api/start").json()
    assert (start["raters"], start["only"], start["open"]) == (["Ann", "Bo", "Cy"], None, False)
    assert start["rubric"]["scale"][3] == {"score": 3, "key": "3", "meaning": "mostly"}
    assert start["rubric"]["examples"][0]["score"] == 3
    assert start["rubric"]["dir"] == "ltr"
    assert [r["reason"] for r in start["reasons"]][-1] == "other"


def test_keys_of_a_scale():
    assert score_keys({0: "", 1: ""}) == {0: "0", 1: "1"}
    assert score_keys({-1: "", 0: "", 1: ""}) == {-1: "1", 0: "2", 1: "3"}
    ten = {i: "" for i in range(1, 11)}
    assert score_keys(ten)[1] == "1" and score_keys(ten)[10] == "0"
    assert 11 not in score_keys(ten | {11: ""})


def test_rating_goes_through_the_order_and_stores(page, run):
    state = page.state("Ann")
    assert state["document"] | {"text": ""} == {
        "id": "a",
        "text": "",
        "pilot": True,
        "language": "English",
        "lang": "en-Latn",
        "dir": "ltr",
    }
    assert state["progress"] == {"done": 0, "total": 4, "skipped": 0, "older": 0, "pilot_done": 0, "pilot_total": 2}
    state = page.rate("Ann", "a", 3, seconds=12.25).json()
    assert (state["document"]["id"], state["document"]["dir"]) == ("b", "rtl")
    assert state["progress"]["pilot_done"] == 1
    after = state["after"]
    state = page.post("/r/api/skip", rater="ann", id="b", reason="other", note=" no\x00 idea\n", seconds=2, after=after)
    assert state.json()["progress"]["skipped"] == 1
    rows = ratings_of(run).to_pylist()
    assert [(r["id"], r["rater"], r["score"], r["reason"], r["seconds"]) for r in rows] == [
        ("a", "Ann", 3.0, None, 12.25),
        ("b", "Ann", None, "other: no idea", 2.0),
    ]
    assert rows[0]["guideline"] == load_folder(run).rubric.guideline_version


def test_undo_goes_back_and_back_again(page):
    page.rate("Ann", "a", 3)
    after = page.rate("Ann", "b", 1).json()["after"]
    state = page.post("/r/api/undo", rater="Ann", after=after).json()
    assert (state["document"]["id"], state["progress"]["done"]) == ("b", 1)
    state = page.post("/r/api/undo", rater="Ann", after=state["after"]).json()
    assert (state["document"]["id"], state["progress"]["done"]) == ("a", 0)
    answer = page.post("/r/api/undo", rater="Ann", after=state["after"])
    assert (answer.status_code, answer.json()["error"]) == (400, "there is nothing to take back")


def test_the_end(page):
    assert page.rate("Cy", "a", 0).json()["document"] is None


def test_nobody_sees_a_score_of_anybody(page):
    before = page.state("Bo")
    page.rate("Ann", "b", 4)
    assert page.state("Bo") == before
    mine = page.rate("Bo", "b", 2)
    for text in (mine.text, page.get("/r/api/start").text.split('"scale"')[0], json.dumps(page.state("Ann"))):
        assert "score" not in text and "Bo" not in text.replace('"rater": "Bo"', "")


def test_a_second_tab_does_not_overwrite(page, run):
    first = second = page.state("Ann")["after"]
    assert page.rate("Ann", "a", 3, after=first).status_code == 200
    answer = page.rate("Ann", "a", 0, after=second)
    assert answer.status_code == 409
    assert "moved on in another tab" in answer.json()["error"]
    assert page.post("/r/api/undo", rater="Ann", after=second).status_code == 409
    assert ratings_of(run).column("score").to_pylist() == [3.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": 5}, "score: expected 0 to 4, got 5"),
        ({"score": "3"}, "malformed request: score"),
        ({"score": True}, "malformed request: score"),
        ({"score": None}, "malformed request: score"),
        ({"seconds": -1}, "malformed request: seconds"),
        ({"seconds": 1e9}, "malformed request: seconds"),
        ({"after": "0"}, "malformed request: after"),
        ({"id": "nowhere"}, "id: document 'nowhere' is not one that Ann was given"),
        ({"rater": "Zoe"}, "rater: nothing is assigned to Zoe; assigned are Ann, Bo, Cy"),
        ({"rater": "\ud800"}, "rater: expected a name of 1 to 60 printable characters"),
        ({"rater": ""}, "rater: expected a name"),
        ({"more": 1}, "malformed request: more"),
    ],
)
def test_ratings_that_are_refused(page, run, change, message):
    answer = page.post("/r/api/rate", **{"rater": "Ann", "id": "a", "score": 3, "seconds": 1.0, "after": 0, **change})
    assert (answer.status_code, answer.json()["error"][: len(message)]) == (400, message)
    assert ratings_of(run).num_rows == 0


@pytest.mark.parametrize("sent", [{"reason": "boring"}, {"reason": "other"}, {"reason": "other", "note": "\x00 \n"}])
def test_a_skip_needs_a_reason(page, sent):
    answer = page.post("/r/api/skip", **{"rater": "Ann", "id": "a", "seconds": 1.0, "after": 0, **sent})
    assert answer.status_code == 400
    assert "expected one of wrong_language, not_readable" in answer.json()["error"]


def test_notes_become_plain():
    assert plain(" a\tb\u202e\ud800 c\x00") == "a b ? c"
    assert len(plain("x" * 5000)) == 1000


def test_without_assignments_anybody_may_rate_everything(tmp_path):
    run = write_run(tmp_path / "open")
    page = Page(run)
    assert page.get("/r/api/start").json() | {"rubric": 0, "reasons": 0} == {
        "rubric": 0,
        "reasons": 0,
        "raters": [],
        "only": None,
        "open": True,
    }
    first = page.state("Žofia")["document"]["id"]
    page.rate("Žofia", first, 1)
    assert page.state("  žofia ")["progress"]["done"] == 1
    assert page.state("Other")["document"]["id"] == first
    assert page.get("/r/api/start").json()["raters"] == ["Žofia"]
    page.store.close()


def test_a_page_for_one_rater(run):
    page = Page(run, only="bo")
    assert page.get("/r/api/start").json()["raters"] == ["Bo"]
    assert page.state("Bo")["document"]["id"] == "b"
    assert page.state("Ann")["error"].startswith("rater: this page was started for Bo, not for Ann")
    page.store.close()
    store = Store(run)
    with pytest.raises(InputError, match="nothing is assigned to Zoe; assigned are Ann, Bo, Cy"):
        RatingView(load_folder(run), store, "Zoe")
    store.close()


def test_ratings_under_an_older_guideline_stay_and_are_counted(run, tmp_path):
    before = Page(run)
    before.rate("Ann", "a", 3)
    before.rate("Ann", "b", 3)
    before.store.close()
    write_run(tmp_path / "run", assigned=ASSIGNED, rubric=RUBRIC.replace("Spelling", "Length"))
    after = Page(run)
    assert after.state("Ann")["progress"]["older"] == 2
    assert after.rate("Ann", "c", 1).json()["progress"]["older"] == 2
    assert after.state("Bo")["progress"]["older"] == 0
    assert len(set(ratings_of(run).column("guideline").to_pylist())) == 2
    after.store.close()


def test_the_adjudicator_is_blind_to_who_said_what(page):
    for rater, id, score in [("Ann", "a", 4), ("Bo", "b", 3), ("Bo", "a", 1), ("Cy", "a", 2), ("Ann", "b", 3)]:
        page.rate(rater, id, score)
    answer = page.get("/j/api/disputes")
    assert answer.json() == {
        "after": 0,
        "rated": 2,
        "documents": [{"id": "a", "language": "English", "scores": [1, 2, 4], "skips": [], "final": None, "note": ""}],
    }
    assert not any(name in answer.text for name in ASSIGNED)
    assert page.get("/j/api/document", id="a").json()["text"].startswith("Bees")
    assert page.get("/j/api/document", id="no").status_code == 400


def test_the_threshold_of_disputes(page):
    page.rate("Ann", "a", 3)
    page.rate("Bo", "b", 0)
    page.rate("Bo", "a", 2)
    page.rate("Ann", "b", 4)
    found = {
        (spread, majority): [
            d["id"] for d in page.get("/j/api/disputes", spread=spread, majority=majority).json()["documents"]
        ]
        for spread in (1, 2)
        for majority in (True, False)
    }
    assert found == {(1, True): ["b", "a"], (1, False): ["b", "a"], (2, True): ["b", "a"], (2, False): ["b"]}
    assert page.get("/j/api/disputes", spread=0).status_code == 400


def test_a_final_score_is_no_rating(page, run):
    decide = {"id": "a", "score": 2, "note": "in  between", "seconds": 3.0, "after": 0}
    assert page.post("/j/api/decide", **decide).json() == {"id": "a"}
    assert page.post("/j/api/decide", **decide).status_code == 409
    assert page.post("/j/api/decide", **{**decide, "score": 9, "after": 1}).status_code == 400
    assert page.post("/j/api/decide", **{**decide, "id": "no", "after": 1}).status_code == 400
    assert ratings_of(run).num_rows == 0
    event = page.store.adjudications.standing()[0]
    assert (event.rater, event.id, event.score, event.reason) == ("adjudicator", "a", 2, "in between")
    assert page.post("/j/api/undo", after=1).json() == {"id": "a"}
    assert page.store.adjudications.standing() == []
