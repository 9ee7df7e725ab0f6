"""The page in a real browser: pictures, languages, hostile documents, nothing asked for; and cuts that are moved."""

import base64
import hashlib
import re
import time
from pathlib import Path

import pytest
from page_help import Made, explored, write_run

from jql.recipe import parse_yaml
from jql.report.page import plotly_script, write_report

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
HACK = "alert(1); window.hacked = 1"
HOSTILE = (
    f"</div></article></main></script></body></html><script>{HACK}</script><img src=http://evil.example/x onerror='{HACK}'>"
    f"<svg onload='{HACK}'></svg><style>body {{ display: none }}</style><iframe srcdoc='<script>{HACK}</script>'></iframe>"
    "<base href=http://evil.example/><meta http-equiv=refresh content='0;url=http://evil.example/'>{{scripts}} \u202e\u2067 the end"
)
SHORT = f"<a href='javascript:{HACK}'>h</a><b>b</b>&lt;i&gt;%{{x}}"
CODE = "<svg/onload=alert(1)>_x"

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def opened(browser):
    """Opens addresses; what goes wrong in a page, what it asks of elsewhere, and a dialog fail the test."""
    contexts, wrong = [], []

    def open_page(address, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: None if request.url.startswith(address) else wrong.append(request.url))
        page.goto(address)
        page.wait_for_selector("body[data-state=ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("browser") / "run")


@pytest.fixture(scope="module")
def address(run):
    return Path(write_report(run)).as_uri()


def until(true):
    """Wait for a condition; playwright's own wait evaluates strings, which the page's policy forbids."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def see_all(page):
    """Scroll to one picture after the other until all have been drawn."""
    left = (
        "() => { const box = document.querySelector('.figure:not([data-drawn])'); box?.scrollIntoView(); return !box; }"
    )
    until(lambda: page.evaluate(left))


def test_pictures_languages_and_a_narrow_screen(address, opened):
    from playwright.sync_api import expect

    page = opened(address, viewport={"width": 1280, "height": 700})
    yields = page.locator("[data-figure=yields]")
    assert yields.get_attribute("data-drawn") is None and yields.locator("svg").count() == 0
    expect(page.locator("#language")).to_have_value("")
    see_all(page)
    expect(yields.locator(".point").first).to_be_attached()
    page.get_by_role("button", name="Arabic").first.click()
    expect(page.locator("#detail")).to_have_attribute("data-language", "arb_Arab")
    see_all(page)
    assert page.locator("#detail .figure .bars .point").count() > 30
    assert page.locator("#detail .figure .shapelayer path").count() == 2  # the cuts of the heads that vote
    text = page.locator(".passage.kept .text").first
    assert (text.get_attribute("dir"), text.get_attribute("lang")) == ("rtl", "ar-Arab")
    first = "box => { const r = new Range(); r.setStart(box.firstChild, 0); r.setEnd(box.firstChild, 1); return r.getBoundingClientRect().right }"
    box = text.bounding_box()
    assert box["x"] + box["width"] - text.evaluate(first) < 40  # it starts at the right
    page.locator("#language").select_option("swe_Latn")
    expect(page.locator(".passage header b").first).to_have_text("too few documents")

    page.set_viewport_size({"width": 400, "height": 800})
    page.locator("#language").select_option("deu_Latn")
    see_all(page)
    until(lambda: page.evaluate("document.documentElement.scrollWidth") <= 400)
    wide = "[...document.querySelectorAll('.box')].filter(box => box.getBoundingClientRect().right > innerWidth).length"
    assert page.evaluate(wide) == 0


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory):
    made = Made(
        documents={"deu_Latn": 100, CODE: 60},
        heads=["web", SHORT],
        voting=["web", SHORT],
        domains=[HOSTILE, SHORT],
        texts={"deu_Latn": HOSTILE, CODE: HOSTILE},
        prefix=HOSTILE,
        name=HOSTILE,
        reason=SHORT,
    )
    return write_run(tmp_path_factory.mktemp("hostile") / "run", made)


def check_hostile(page):
    """Every part of a page of hostile data, which must all be text."""
    for code in ("deu_Latn", CODE):
        page.locator("#language").select_option(code)
        see_all(page)
        page.wait_for_timeout(50)
        assert page.locator(".passage .text").first.inner_text().startswith(HOSTILE[:100])
        assert page.locator(".passage .text *").count() == 0
        page.locator("#detail .figure .nsewdrag").first.hover()
    assert page.evaluate("window.hacked ?? null") is None
    assert page.locator("iframe, base, svg[onload], img, svg a, [style*=url]").count() == 0
    assert page.locator("h1").inner_text().startswith(HOSTILE[:100])
    # The marks that turn the direction stay within their element.
    assert page.locator("h1 bdi").evaluate("name => getComputedStyle(name).unicodeBidi") == "isolate"
    assert SHORT in page.locator("#detail").inner_text()


def test_hostile_data_is_only_text(hostile_run, opened):
    page = opened(Path(write_report(hostile_run)).as_uri())
    check_hostile(page)
    see_all(page)
    assert CODE in page.locator("[data-figure=yields] .ytick text").all_text_contents()


def test_the_check_sees_what_it_looks_for(run, browser, tmp_path):
    """The control: a text as markup is refused by the policy, and without the policy it takes the page over."""
    bare, stub = tmp_path / "page.html", "window.Plotly = { react() {} };"  # the pictures are not needed
    page = Path(write_report(run)).read_text()
    for script, other in ((plotly_script(), stub), *(map(hashed, (plotly_script(), stub)),)):
        assert page.count(script) == 1
        page = page.replace(script, other)
    bare.write_text(page)
    put = "text => { document.getElementById('detail').innerHTML = text }"
    guarded, open_to_all = (browser.new_context(bypass_csp=bypassed).new_page() for bypassed in (False, True))
    for opened in (guarded, open_to_all):
        opened.on("dialog", lambda dialog: dialog.dismiss())
        opened.goto(bare.as_uri())
        opened.wait_for_selector("body[data-state=ready]")
    with pytest.raises(Exception, match="TrustedHTML"):
        guarded.evaluate(put, f"<img src=x onerror='{HACK}'>")
    open_to_all.evaluate(put, f"<img src=x onerror='{HACK}'>")
    until(lambda: open_to_all.evaluate("window.hacked ?? null") == 1)
    guarded.context.close()
    open_to_all.context.close()


def hashed(script):
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def test_a_cut_is_moved_and_written(run, opened):
    from playwright.sync_api import expect

    with explored(run) as address:
        page = opened(address)
        total, fragment = page.locator("#sum"), page.locator("#fragment")
        expect(total).to_contain_text("documents")
        expect(page.locator("#write")).to_be_disabled()
        before, texts = total.inner_text(), page.locator("#detail .text").all_inner_texts()
        slider = page.locator("input[data-code=deu_Latn]")
        row = page.locator("#sliders tr", has=slider)
        kept = int(row.locator("td").nth(2).inner_text().split()[0])
        slider.fill("0.9")
        expect(fragment).to_contain_text("quantile: 0.9")
        assert int(row.locator("td").nth(2).inner_text().split()[0]) < kept
        assert total.inner_text() != before
        expect(page.locator("#detail")).to_have_attribute("data-language", "deu_Latn")
        expect(page.locator("#cut-words")).to_have_text("quantile 0.9")
        expect(page.locator("#detail .passage.kept")).not_to_have_count(0)
        assert page.locator("#detail .text").all_inner_texts() != texts
        see_all(page)
        page.locator("#write").click()
        expect(page.locator("#written")).to_contain_text("select.fragment.yaml")
        written = Path(run, "select.fragment.yaml").read_text()
        assert parse_yaml(written, "fragment") == {"select": {"languages": {"deu_Latn": {"quantile": 0.9}}}}
        assert fragment.inner_text() == written.rstrip("\n") or fragment.inner_text() == written
        page.locator("#reset").click()
        expect(total).to_have_text(re.compile("moved\\s*0"))
        expect(row.locator("td").nth(2)).to_contain_text(str(kept))
        page.set_viewport_size({"width": 400, "height": 800})
        until(lambda: page.evaluate("document.documentElement.scrollWidth") <= 400)
        page.close()  # before its server goes: what it has just asked for would fail


def test_hostile_data_is_only_text_when_explored(hostile_run, opened):
    with explored(hostile_run) as address:
        page = opened(address)
        slider = page.locator("input[type=range]").nth(1)
        slider.fill("0.5")
        page.locator("#write:enabled").wait_for()
        check_hostile(page)
        page.locator("#write").click()
        page.locator("#written:visible").wait_for()
        page.close()
    written = Path(hostile_run, "select.fragment.yaml").read_text()
    assert parse_yaml(written, "fragment")["select"]["languages"] == {CODE: {"quantile": 0.5}}
