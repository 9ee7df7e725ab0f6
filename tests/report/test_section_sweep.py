"""The page's part on learning rates: as a file of its own, in the report, and in a browser with hostile names."""

import json
import math
import re
from pathlib import Path

import pytest
from page_help import write_run
from sweep_help import LOSSES, VARIANTS, made_sweep, sweep_rows
from test_page_browser import CHROMIUM, HACK, browser, opened, see_all, until  # noqa: F401

from jql.laboratory.config import Variant
from jql.laboratory.sweep_table import difference, estimate
from jql.report.gather import read_run
from jql.report.page import page_data, write_report, write_sweep
from jql.report.section_sweep import sweep_data, sweep_section

HOSTILE = f"<img src=x onerror='{HACK}'></script>&lt;b&gt;"


def text_of(markup):
    return re.sub(r"<[^>]*>", "", markup)


def test_no_sweep_no_section(tmp_path):
    files = read_run(write_run(tmp_path / "run"))
    assert sweep_section(files.sweep) is None and page_data(files, {}, None)["sweep"] is None


def test_all_that_was_found_is_told():
    found = made_sweep()
    text = text_of(sweep_section(found).markup)
    for one in found["variants"].values():
        assert estimate(one["lrs"]) in text and estimate(one["rates"][2]["values"]["isotropy"]) in text
    assert difference(found["variants"]["centering"]["lrs_apart"]) in text
    assert "z_loss 0.1 has the least mean loss of 2 strengths, at the end of those tried" in text
    assert "centering: LR sensitivity is lower than that of baseline: appears, -0.80" in text
    assert text.count("at the highest learning rate") == 4 and "0 of 9" in text
    data = sweep_data(found)
    assert [one["name"] for one in data["variants"]] == list(VARIANTS) and data["baseline"] == "baseline"
    rate, mean, low, high, diverged = data["variants"][0]["points"][2]
    assert rate == 0.1 and low < mean < high and diverged == 0 and len(data["variants"][0]["seeds"]) == 9


def test_one_seed_no_baseline_and_all_diverged():
    rows = sweep_rows({"a": (5.0, 4.6, math.nan)}, seeds=1)
    found = made_sweep(rows, {"a": Variant(centering=True)}, baseline=None, tuned={})
    text = text_of(sweep_section(found).markup)
    assert "one seed, so no intervals" in text and "less the baseline" not in text and "1 of 3" in text
    assert sweep_data(found)["variants"][0]["points"][2][1:] == [math.log(4096), None, None, 1]


def test_numbers_have_as_many_digits_as_their_interval():
    for values, words in (
        ((1.23456, 1.2, 1.3), "1.235 [1.200, 1.300]"),
        ((150.2, 100.0, 200.4), "150 [100, 200]"),
        ((3e-9, 1e-9, 5e-9), "3e-09 [1e-09, 5e-09]"),
        ((0.0, 0.0, 0.0), "0.000 [0.000, 0.000]"),
        ((1.5, None, None), "1.5"),
    ):
        found = dict(zip(("mean", "low", "high"), values, strict=True))
        assert estimate(found) == words
        assert difference(found) == words + "*" * bool(values[1])
    assert estimate(None) == difference(None) == "–"


@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}")
def test_in_a_browser_with_hostile_names(tmp_path, opened):  # noqa: F811
    losses = {"baseline": LOSSES["baseline"], HOSTILE: (5.0, 4.6, math.nan), "centering": LOSSES["centering"]}
    variants = {**VARIANTS, HOSTILE: Variant(norm="dyt", soft_cap=30)}
    found = made_sweep(sweep_rows(losses), {name: variants[name] for name in losses}, tuned={})
    for address in (write_sweep(str(tmp_path), HOSTILE, found), report_with(tmp_path / "run", found)):
        page = opened(Path(address).as_uri(), viewport={"width": 1200, "height": 800})
        see_all(page)
        assert page.evaluate("window.hacked ?? null") is None and page.locator("img").count() == 0
        pictures = page.locator("#rates figure")
        assert pictures.count() == 2 and pictures.first.locator("b").inner_text() == HOSTILE
        # Two lines, and a band behind each; the mark of a model that diverged is another.
        assert pictures.first.locator(".scatterlayer .js-fill").count() == 2
        assert pictures.first.locator(".scatterlayer path.point").count() == 2 * (3 * 3 + 3)
        page.set_viewport_size({"width": 400, "height": 800})
        until(lambda page=page: page.evaluate("document.documentElement.scrollWidth") <= 400)


def report_with(run, found):
    folder = write_run(run)
    Path(folder, "sweep.json").write_text(json.dumps(found), encoding="utf-8")
    return write_report(folder)
