"""The page as a file: its parts, its policy, its numbers."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from page_help import write_run
from typer.testing import CliRunner

from jql.cli_report import app
from jql.errors import InputError
from jql.report.amounts import count, percent, short, size, spanned, with_interval
from jql.report.compare import figures
from jql.report.figures import histograms
from jql.report.gather import read_run
from jql.report.page import body, page_data, passages_of, plotly_script, report_html, write_report
from jql.report.section_models import money
from jql.report.section_work import together
from jql.select.compare import PASSED


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("page") / "run")


@pytest.fixture(scope="module")
def page(run):
    files = read_run(run)
    return report_html(files, passages_of(files))


def without_plotly(page):
    return page.replace(plotly_script(), "")


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def test_it_is_one_file_that_asks_for_nothing(page):
    bare = without_plotly(page)
    assert len(page) - len(bare) == len(plotly_script())
    assert not re.findall(r"<(?:link|img|iframe|object|base)\b|\ssrc=|\sstyle=|\son[a-z]+=", bare)
    assert re.findall(r'href="([^"#][^"]*)"', bare) == []


def test_its_policy_allows_its_own_scripts_and_style_by_hash(page):
    policy = html.unescape(re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)[1])
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))

    def hashes(pattern):
        found = re.findall(pattern, page, re.S)
        return {f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in found}

    assert set(rules["script-src"].split()) == hashes(r"<script>(.*?)</script>")
    assert set(rules["style-src"].split()) == hashes(r"<style[^>]*>(.*?)</style>")
    assert (rules["default-src"], rules["img-src"], rules["trusted-types"]) == ("'none'", "data:", "'none'")
    assert page.index("Content-Security-Policy") < page.index("<style")


def test_what_is_not_there_is_not_shown(run, page, tmp_path):
    sections = re.findall(r'<section id="([a-z]+)"', page)
    assert sections == [
        "funnel",
        "languages",
        "closer",
        "yields",
        "heads",
        "judges",
        "annotator",
        "work",
        "failures",
        "cost",
    ]
    summary = json.loads(Path(run, "summary.json").read_text())
    summary["languages"] = {code: {"documents": entry["documents"]} for code, entry in summary["languages"].items()}
    summary["total"] = {"documents": 5}
    for key in ("prediction", "time", "groups", "dropped"):
        del summary[key]
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    bare = Path(write_report(str(tmp_path))).read_text()
    assert re.findall(r'<section id="([a-z]+)"', bare) == ["languages", "closer", "failures"]


def test_the_numbers_are_those_of_the_run(run, page):
    files = read_run(run)
    shown = data_of(page)["languages"]
    for code, entry in files.summary["languages"].items():
        assert shown[code]["kept"] == entry["kept"]
        totals = files.outlook.histograms.totals(code)
        for one in shown[code]["histograms"]:
            assert (
                sum(one["bars"]["documents"]) == totals["documents"] and sum(one["bars"]["tokens"]) == totals["tokens"]
            )
    assert [one["head"] for one in shown["deu_Latn"]["histograms"]] == ["web", "llama3", "edu"]
    assert shown["deu_Latn"]["cut"]["values"]["web"] == pytest.approx(
        files.cuts["languages"]["deu_Latn"]["cuts"]["web"], abs=1e-4
    )
    assert (shown["arb_Arab"]["dir"], shown["arb_Arab"]["lang"]) == ("rtl", "ar-Arab")
    assert shown[""]["favours"]["sample"] > 200


def test_a_ranking_and_a_price(run, tmp_path):
    files = read_run(run)
    macro = {"documents": 60, "languages": {}, "figures": {"spearman": {"value": 0.7, "low": 0.6, "high": 0.8}}}
    pooled = {"figures": {"spearman": {"value": 0.71, "low": None, "high": None}, "mean_shift": {"value": 0.4}}}
    judge = {
        "family": "<i>f</i>",
        "common": {"macro": macro, "pooled": pooled},
        "invalid": {"answers": {"invalid": 0.02}},
    }
    files.__dict__["ranking"] = {
        "judges": {"good": judge, "apart": {**judge, "common": None}},
        "common": {"documents": 60, "sources": 60, "languages": ["eng_Latn"]},
        "recommendation": {"why_not": {"apart": {"why": "x", "words": "set apart"}}, "sentence": "label with good"},
        "origin": "origin: truth synthetic 60 documents",
    }
    made = body(files, {}, {})
    assert "0.700 [0.600, 0.800]" in made and "&lt;i&gt;f&lt;/i&gt;" in made and "no: set apart" in made
    assert "truth synthetic" in made
    assert money({"tokens_in": 2_000_000, "tokens_out": 1_000_000}, (1.0, 3.0)) == 5.0
    assert money({"tokens_in": None, "tokens_out": 1}, (1.0, 3.0)) is None


def test_a_comparison_with_heuristics(run):
    files = read_run(run)
    entry = figures({PASSED: np.array([[10, 500], [20, 900]]), "<i>short</i>": np.array([[5, 50], [1, 20]])})
    found = {
        "quantile": 0.6,
        "rule": "all",
        "languages": {"deu_Latn": entry},
        "groups": {},
        "total": entry,
        "notes": ["<b>"],
    }
    files.__dict__["comparison"] = found
    made = body(files, {}, {})
    assert '<section id="compare">' in made and "&lt;b&gt;" in made
    assert "58.3%" in made and "-34.3%" in made


def test_an_empty_histogram_and_a_held_back_one(run):
    files = read_run(run)
    counts = files.outlook.histograms
    assert histograms(counts, "nobody", ["web"]) == []
    counts.counts["tha_Thai"][:, :, 0] += 5
    held = histograms(counts, "tha_Thai", ["web"])[0]["bars"]
    assert held["held"] == 5 and held["start"] > 0
    counts.counts["deu_Latn"][:] = 0
    assert histograms(counts, "deu_Latn", ["web"]) == []


def test_amounts():
    assert [short(v) for v in (None, 0, 999, 1000, 999_500, 12_345, 1.234e9)] == [
        "–",
        "0",
        "999",
        "1.00 k",
        "1.00 M",
        "12.3 k",
        "1.23 B",
    ]
    assert (size(12), size(1.5e9), count(1234.6), percent(0.004), percent(0.25)) == (
        "12 bytes",
        "1.50 GB",
        "1,235",
        "0.40%",
        "25.0%",
    )
    assert spanned([10, 8, 12]) == "10 [8, 12]" and spanned(None) == "–" and spanned([5, None, None]) == "5"
    assert with_interval({"value": 0.5}) == "0.500"


def test_steps_of_a_stage_are_added_up():
    time = {"worker_hours": 1.0, "gpu_hours": 0.5, "units": 3}
    found = together({"dedup/a": time, "dedup/b": time, "annotate": time, "annotate/sample": time})
    assert found == {"dedup": {"worker_hours": 2.0, "gpu_hours": 1.0}, "annotate": time}


def test_the_verb(run, tmp_path):
    result = CliRunner().invoke(app, ["report", run, "--to", str(tmp_path / "page.html")])
    assert result.exit_code == 0 and result.stdout == f"report: {tmp_path}/page.html\n"
    assert (tmp_path / "page.html").stat().st_size > 4_000_000
    with pytest.raises(InputError, match="no run folder"):
        CliRunner().invoke(app, ["report", str(tmp_path)], catch_exceptions=False)


def test_a_run_without_sections_of_scores_but_with_many_languages(tmp_path):
    languages = {f"x{chr(97 + i // 26)}{chr(97 + i % 26)}_Latn": {"documents": i} for i in range(150)}
    (tmp_path / "summary.json").write_text(json.dumps({"total": {"documents": 9}, "languages": languages}))
    files = read_run(str(tmp_path))
    data = page_data(files, {}, None)
    assert len(data["languages"]) == 101 and "50 languages of fewest documents" in body(files, data, {})
