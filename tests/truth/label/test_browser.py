"""The rating page in a real browser: keys, the way back, two raters, hostile text, scripts of the right, adjudication."""

import re
import time
from pathlib import Path

import pytest
from label_help import DOCUMENTS, served, write_run

from jql.truth.label.store import adjudications_of, ratings_of

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = (
    "</div></section></main></body></html><script>window.hacked = 1</script>"
    "<img src=x onerror='window.hacked = 2'><svg onload='window.hacked = 3'></svg>"
    "<style>#scores { display: none }</style><iframe srcdoc='<script>parent.hacked = 4</script>'></iframe> the end"
)
LONG = "\n".join(f"Line {i} of a long document about rivers." for i in range(400))

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    documents = [
        *DOCUMENTS,
        {"id": "long", "language": "eng_Latn", "text": LONG},
        {"id": "hostile", "language": "eng_Latn", "text": HOSTILE},
        {"id": "bytes", "language": "eng_Latn", "text": b"half \xed\xa0\x80 nul \x00 \xe2\x80\xae the end"},
    ]
    orders = {
        "Ann": ["a", "b", "c", "d"],
        "Bo": ["a", "b", "c", "d"],
        "Two Tabs": ["a", "b", "c"],
        "Long": ["long", "a"],
        "Victim": ["hostile", "bytes"],
        "Skipper": ["c", "d"],
        "Reader": ["b", "c", "d"],
        "Leaver": ["a"],
    }
    return write_run(tmp_path_factory.mktemp("label") / "run", documents, orders)


@pytest.fixture(scope="module")
def server(run):
    with served(run) as started:
        yield started


def watched(page, wrong):
    """The page; what goes wrong in it is noted."""
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
    return page


@pytest.fixture(scope="module")
def window(browser):
    """A page for one test after the other, as a new window costs a second, and what goes wrong in it."""
    wrong = []
    return watched(browser.new_page(), wrong), wrong


@pytest.fixture
def opened(browser, window):
    """Opens addresses, each in a window of its own; what goes wrong in a page fails the test."""
    free, wrong = window
    unused, contexts = [free], []

    def open_page(address, expected="rating|finished|deciding", **options):
        from playwright.sync_api import expect

        if unused and not options:
            page = unused.pop()
        else:
            contexts.append(browser.new_context(**options))
            page = watched(contexts[-1].new_page(), wrong)
        page.goto(address)
        expect(page.locator("body")).to_have_attribute("data-state", re.compile(expected))
        return page

    wrong.clear()
    yield open_page
    for context in contexts:
        context.close()
    free.goto("about:blank")
    assert wrong == []


def press(page, key, shows):
    """Press a key, a score once the page has settled on its document, and wait for the count that it shows then."""
    from playwright.sync_api import expect

    if key[-1].isdigit():
        page.wait_for_timeout(320)  # SETTLE_MS of page.js, and a little
    expect(page.locator("body")).not_to_have_attribute("data-state", "busy")
    page.keyboard.press(key)
    expect(page.locator("#count")).to_contain_text(shows)


def until(true):
    """Wait for a condition; playwright's own wait evaluates strings, which the page's policy forbids."""
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def stored(run, rater):
    return {r["id"]: r["score"] for r in ratings_of(run).to_pylist() if r["rater"] == rater}


def test_rate_undo_and_reload(server, run, opened):
    from playwright.sync_api import expect

    page = opened(server.rate, "welcome")
    page.get_by_role("button", name="Ann").click()
    text = page.locator("#text")
    expect(text).to_have_text(DOCUMENTS[0]["text"])
    expect(page.locator("#pilot")).to_be_visible()
    expect(page.locator("#guide strong")).to_have_text("lower")
    expect(page.locator("#guide .scale dd").nth(4)).to_have_text("fully")
    press(page, "3", "1 of 4, pilot 1 of 2")
    press(page, "1", "2 of 4")
    expect(page.locator("#pilot")).to_be_hidden()
    assert stored(run, "Ann") == {"a": 3.0, "b": 1.0}
    page.reload()
    expect(text).to_have_text(DOCUMENTS[2]["text"], use_inner_text=True)
    press(page, "u", "1 of 4")
    expect(text).to_have_text(DOCUMENTS[1]["text"])
    press(page, "u", "0 of 4")
    expect(page.locator("#undo")).to_be_disabled()
    assert stored(run, "Ann") == {}
    press(page, "Numpad4", "1 of 4")
    assert stored(run, "Ann") == {"a": 4.0}
    seconds = ratings_of(run).column("seconds").to_pylist()[0]
    assert 0.3 <= seconds < 20


def test_a_key_pressed_twice_rates_one_document(server, run, opened):
    from playwright.sync_api import expect

    page = opened(f"{server.rate}?rater=Bo")
    page.wait_for_timeout(320)
    for _ in range(3):
        page.keyboard.press("2")
    expect(page.locator("#count")).to_contain_text("1 of 4")
    page.keyboard.press("Control+3")
    page.keyboard.press("9")  # not on this scale
    assert stored(run, "Bo") == {"a": 2.0}


def test_two_raters_and_two_tabs(server, run, opened):
    from playwright.sync_api import expect

    before = stored(run, "Ann"), stored(run, "Bo")
    first, second = (opened(f"{server.rate}?rater=two%20tabs") for _ in range(2))
    other = opened(f"{server.rate}?rater=Bo")
    count = other.locator("#count").inner_text()
    press(first, "3", "1 of 3")
    press(second, "0", "1 of 3")  # of the document that the first tab has rated: told so, and taken along
    expect(second.locator("#trouble")).to_contain_text("moved on in another tab")
    expect(second.locator("#text")).to_have_text(DOCUMENTS[1]["text"])
    press(second, "4", "2 of 3")
    expect(second.locator("#trouble")).to_be_hidden()
    assert stored(run, "Two Tabs") == {"a": 3.0, "b": 4.0}
    other.reload()
    expect(other.locator("#count")).to_have_text(count)
    assert "Two Tabs" not in other.content()
    assert (stored(run, "Ann"), stored(run, "Bo")) == before


def test_skip_with_a_reason(server, run, opened):
    from playwright.sync_api import expect

    page = opened(f"{server.rate}?rater=Skipper")
    page.keyboard.press("s")
    expect(page.locator("#skip-dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#skip-dialog")).to_be_hidden()
    page.keyboard.press("s")
    press(page, "1", "1 of 2")
    page.keyboard.press("s")
    page.keyboard.press("5")
    page.keyboard.type("poem, 3 lines")
    press(page, "Enter", "2 of 2")
    rows = [r for r in ratings_of(run).to_pylist() if r["rater"] == "Skipper"]
    assert [(r["id"], r["score"], r["reason"]) for r in rows] == [
        ("c", None, "wrong_language"),
        ("d", None, "other: poem, 3 lines"),
    ]
    expect(page.locator("#finished-text")).to_have_text("0 rated, 2 skipped.")


def test_a_name_without_assignments(server, opened):
    from playwright.sync_api import expect

    page = opened(f"{server.rate}?rater=Zoe", "welcome")
    expect(page.locator("#welcome-text")).to_contain_text("Nothing is assigned to Zoe; assigned are Ann, Bo,")


def test_a_long_document_scrolls_in_its_box_and_the_next_starts_at_its_top(server, opened):
    page = opened(f"{server.rate}?rater=Long", viewport={"width": 900, "height": 500})
    box, top = page.locator("#text"), "document.getElementById('text').scrollTop"
    page.keyboard.press("End")
    until(lambda: page.evaluate(top) > 1000)
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    press(page, "1", "1 of 2")
    assert page.evaluate(top) == 0
    assert box.evaluate("box => document.activeElement === box")


def test_hostile_text_is_only_text(server, opened):
    from playwright.sync_api import expect

    page = opened(f"{server.rate}?rater=Victim")
    assert page.locator("#text").inner_text() == HOSTILE
    assert page.locator("#text *").count() == 0
    expect(page.locator("#scores button")).to_have_count(5)
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked ?? null") is None
    with pytest.raises(Exception, match="TrustedHTML"):
        page.evaluate("text => { document.getElementById('text').innerHTML = text }", HOSTILE)
    press(page, "0", "1 of 2")
    expect(page.locator("#text")).to_contain_text("the end")

    # The control: the same text as markup, in the same page without its policy, is executed, and the check sees it.
    control = opened(f"{server.rate}?rater=Victim", bypass_csp=True)
    control.locator("#text").evaluate("(box, text) => { box.innerHTML = text }", HOSTILE)
    until(lambda: control.evaluate("window.hacked ?? null") is not None)
    assert control.locator("#text *").count() > 0


def test_scripts_of_the_right(server, opened):
    page = opened(f"{server.rate}?rater=Reader")
    text = page.locator("#text")
    assert (text.get_attribute("dir"), text.get_attribute("lang")) == ("rtl", "ar-Arab")
    box, words = (
        text.bounding_box(),
        text.evaluate(
            "box => { const range = new Range(); range.selectNodeContents(box); return range.getBoundingClientRect().toJSON() }"
        ),
    )
    assert words["left"] - box["x"] > 2 * (box["x"] + box["width"] - words["right"])  # it starts at the right
    press(page, "1", "1 of 3")
    assert (text.get_attribute("dir"), text.get_attribute("lang")) == ("ltr", "de-Latn")
    press(page, "1", "2 of 3")
    assert (text.get_attribute("dir"), text.get_attribute("lang")) == ("auto", "xxx-Latn")


def test_the_guideline_is_markdown_but_no_markup(server, opened):
    page = opened(f"{server.rate}?rater=Bo")
    assert page.locator("#guide .prose").evaluate("prose => prose.innerHTML") == (
        "<p>Take the <strong>lower</strong> score in doubt, &lt;b&gt;always&lt;/b&gt;.</p>"
        "<h4>What <em>counts</em></h4><ul><li>Spelling does not count, <code>**nor**</code> style.</li>"
        '<li>See <a href="https://example.org/" target="_blank" rel="noopener noreferrer">this</a> '
        "and [that](javascript:alert(1)).</li></ul><ol><li>Read.</li><li>Rate.</li></ol>"
        "<blockquote><p>Two lines of one quote.</p></blockquote><pre><code># as it is\n</code></pre>"
    )


def test_time_counts_only_while_the_page_is_visible(server, run, opened):
    hide = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true }); %s }"
    tell = "document.dispatchEvent(new Event('visibilitychange')); return performance.now() / 1000"
    started = time.monotonic()
    page = opened(f"{server.rate}?rater=Leaver")
    page.wait_for_timeout(320)
    left = page.evaluate(hide % tell, True)
    page.wait_for_timeout(1500)
    away = page.evaluate(hide % tell, False) - left
    press(page, "1", "1 of 1")
    passed = time.monotonic() - started
    seconds = next(r["seconds"] for r in ratings_of(run).to_pylist() if r["rater"] == "Leaver")
    assert away > 1.4
    assert 0.6 < seconds < passed - away


def test_nothing_is_out_of_reach(server, opened):
    from playwright.sync_api import expect

    page = opened(f"{server.rate}?rater=Bo", viewport={"width": 1280, "height": 760})
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 760})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for button in (*page.locator("#scores button").all(), page.locator("#undo"), page.locator("#skip")):
            expect(button).to_be_in_viewport(ratio=1)
        if width == 390:
            expect(page.locator("#guide")).to_be_hidden()
            page.locator("#show-guide").click()
        expect(page.locator("#guide .task")).to_be_in_viewport()


def test_a_rating_that_was_answered_survives_a_kill(tmp_path, opened):
    from playwright.sync_api import expect

    run = write_run(tmp_path / "run", assigned={"Ann": ["a", "b", "c"]})
    with served(run) as server:
        page = opened(f"{server.rate}?rater=Ann")
        page.wait_for_timeout(320)
        with page.expect_response("**/api/rate"):
            page.keyboard.press("3")
        server.process.kill()
        server.process.wait()
        expect(page.locator("#count")).to_contain_text("1 of 3")
        page.wait_for_timeout(320)
        page.keyboard.press("0")
        expect(page.locator("#trouble")).to_contain_text("The server does not answer")
        expect(page.locator("#count")).to_contain_text("1 of 3")
    with served(run, rater="Ann") as server:
        page.goto(server.rate)
        expect(page.locator("#text")).to_have_text(DOCUMENTS[1]["text"])
        press(page, "2", "2 of 3")
    assert stored(run, "Ann") == {"a": 3.0, "b": 2.0}


def test_adjudication(tmp_path, opened):
    from playwright.sync_api import expect

    from jql.truth.label.store import Event, Store

    run = write_run(tmp_path / "run")
    store = Store(run)
    given = [("Ann", "a", 4), ("Bo", "a", 0), ("Ann", "b", 3), ("Bo", "b", 1), ("Ann", "c", 3), ("Bo", "c", 2)]
    for rater, id, score in given:
        store.ratings.append(Event(rater, id, "rated", score), store.ratings.last(rater))
    store.close()
    with served(run) as server:
        page = opened(server.adjudicate)
        count = page.locator("#count")
        expect(count).to_have_text("0 of 3 decided")
        page.locator("#majority").uncheck()  # of c the scores are one apart
        expect(count).to_have_text("0 of 2 decided")
        expect(page.locator("#given")).to_have_text("04")  # sorted
        assert "Ann" not in page.content() and "Bo" not in page.content()
        page.keyboard.press("n")
        page.keyboard.type("3 of the points are there")
        page.keyboard.press("Enter")
        press(page, "3", "1 of 2 decided")
        expect(page.locator("#text")).to_have_attribute("dir", "rtl")
        press(page, "1", "2 of 2 decided")
        assert adjudications_of(run) == {"a": 3.0, "b": 1.0}
        press(page, "u", "1 of 2 decided")
        assert adjudications_of(run) == {"a": 3.0}
        press(page, "k", "1 of 2 decided")
        expect(page.locator("#note")).to_have_value("3 of the points are there")
        page.locator("#spread").select_option("4")
        expect(count).to_have_text("1 of 1 decided")
    assert ratings_of(run).num_rows == 6
