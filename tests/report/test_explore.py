"""Cuts that are moved: the yields are those of the select stage, and the fragment asks a recipe for just them."""

import json
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from page_help import Made, write_run
from starlette.testclient import TestClient

from jql.errors import InputError
from jql.recipe import make_recipe, parse_yaml
from jql.report.explore import Explorer
from jql.report.explore_app import explore_app
from jql.truth.label.guard import HEADERS, Guard


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("explore") / "run")


@pytest.fixture(scope="module")
def explorer(run):
    return Explorer(run)


def test_before_a_move_it_is_what_the_run_predicted(explorer):
    found = explorer.yields({})
    assert found["predicted"] == explorer.files.summary["prediction"]
    assert found["cuts"]["deu_Latn"]["values"].keys() == {"web", "llama3"}
    assert explorer.start == {"deu_Latn": 0.6, "arb_Arab": 0.6, "tha_Thai": 0.6, "swe_Latn": None}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.dictionaries(st.sampled_from(["deu_Latn", "arb_Arab"]), st.floats(0, 0.995), min_size=1))
def test_the_fragment_is_a_recipe_for_what_is_shown(explorer, moved):
    found = explorer.yields(moved)
    select = {
        **explorer.select.model_dump(mode="json", by_alias=True),
        **parse_yaml(found["fragment"], "fragment")["select"],
    }
    wish = make_recipe({"select": select}).select
    assert explorer.outlook.predict(wish, explorer.outlook.cuts(wish)) == found["predicted"]
    command = shlex.split(found["fragment"].splitlines()[0].removeprefix("# "))
    assert command[:3] == ["jql", "select", explorer.files.folder]
    assert make_recipe({}, command[3:]).select.languages == wish.languages


def test_a_higher_cut_keeps_less(explorer):
    kept = [
        explorer.yields({"deu_Latn": q})["predicted"]["languages"]["deu_Latn"]["documents"][0]
        for q in (0, 0.3, 0.6, 0.9)
    ]
    assert kept == sorted(kept, reverse=True) and kept[0] > kept[-1]


def test_documents_around_the_moved_cut(explorer):
    near, far = (explorer.around({"arb_Arab": q}, "arb_Arab") for q in (0.2, 0.9))
    lowest = [min(one["scores"]["web"] for one in found if one["side"] == "just kept") for found in (near, far)]
    assert lowest[0] < lowest[1]
    assert explorer.around({}, "nobody") == []


def test_what_is_not_moved_stays_when_a_mixture_was_asked_for(tmp_path):
    mixture = {"tokens": 8000, "weights": {"deu_Latn": 0.5, "arb_Arab": 0.5}}
    explorer = Explorer(write_run(tmp_path / "run", Made(select={"mixture": mixture})))
    before = {code: cut.quantile for code, cut in explorer.cuts.languages.items()}
    assert explorer.select.mixture is not None and explorer.wish({}).mixture is not None
    after = explorer.yields({"deu_Latn": 0.9})
    assert after["cuts"]["deu_Latn"]["quantile"] == 0.9
    assert after["cuts"]["arb_Arab"]["quantile"] == pytest.approx(before["arb_Arab"], abs=1e-4)
    select = parse_yaml(after["fragment"], "fragment")["select"]
    assert select["mixture"] is None and "select.mixture=null" in after["fragment"]
    assert explorer.yields({})["predicted"] == explorer.files.summary["prediction"]


def test_a_shared_cut_is_moved_by_its_group_and_a_score_starts_where_it_cuts(tmp_path):
    select = {"groups": {"two": ["arb_Arab", "tha_Thai"]}, "shared": ["two"], "languages": {"deu_Latn": {"score": 2.0}}}
    explorer = Explorer(write_run(tmp_path / "run", Made(select=select)))
    counts = explorer.cuts.histograms.counts["deu_Latn"][0]
    below = np.mean([c[: explorer.cuts.histograms.bins.of(np.array([2.0]))[0]].sum() / c.sum() for c in counts])
    assert explorer.start["deu_Latn"] == pytest.approx(below)
    found = explorer.yields({"two": 0.9})
    assert [found["cuts"][code]["quantile"] for code in ("arb_Arab", "tha_Thai", "deu_Latn")] == [0.9, 0.9, None]
    with pytest.raises(InputError, match="'arb_Arab': no language or group of this run has such a cut"):
        explorer.yields({"arb_Arab": 0.9})


def test_a_run_without_cuts(run, tmp_path):
    with pytest.raises(InputError, match="no run folder"):
        Explorer(str(tmp_path))
    (tmp_path / "summary.json").write_text(json.dumps({"total": {}, "languages": {}}))
    with pytest.raises(InputError, match="nothing was cut by scores there"):
        Explorer(str(tmp_path))


@pytest.fixture(scope="module")
def client(explorer):
    return TestClient(
        Guard({"t": explore_app(explorer)}, 8000), base_url="http://127.0.0.1:8000", follow_redirects=False
    )


def test_pages_and_answers_are_guarded(client):
    page = client.get("/t/")
    assert page.status_code == 200 and page.headers["content-security-policy"] == HEADERS["content-security-policy"]
    assert 'src="explore.js"' in page.text and "<script>" not in page.text and "<style" not in page.text
    for name, kind in (
        ("plotly.js", "javascript"),
        ("page.js", "javascript"),
        ("explore.js", "javascript"),
        ("page.css", "css"),
        ("icon.svg", "svg"),
    ):
        assert kind in client.get(f"/t/{name}").headers["content-type"]
    assert client.get("/t/page.html").status_code == 404
    assert client.get("/x/").status_code == 403
    assert (
        client.post("/t/api/yields", json={"moved": {}}, headers={"origin": "http://evil.example"}).status_code == 403
    )
    assert client.get("/t/", headers={"host": "evil.example"}).status_code == 403


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"moved": {"deu_Latn": 1.0}}, "moved.deu_Latn"),
        ({"moved": {"deu_Latn": -0.1}}, "moved.deu_Latn"),
        ({"moved": {"x": 0.5}}, "no language or group"),
        ({"moved": {}, "more": 1}, "more"),
        ({}, "moved"),
    ],
)
def test_what_cannot_be_asked(client, body, why):
    reply = client.post("/t/api/yields", json=body)
    assert reply.status_code == 400 and why in reply.json()["error"]


def test_answers(client, run):
    sent = {"moved": {"deu_Latn": 0.8}}
    assert client.post("/t/api/yields", json=sent).json()["predicted"]["languages"]["deu_Latn"]["nominal"] == 0.2
    assert client.post("/t/api/passages", json={**sent, "language": "deu_Latn"}).json()[0]["side"] == "just kept"
    written = client.post("/t/api/write", json=sent).json()
    assert Path(written["path"]).read_text() == written["fragment"]
    assert Path(written["path"]) == Path(run, "select.fragment.yaml")


def test_the_verb_serves_and_stops(run):
    code = "import sys; from jql.cli_report import app; app(sys.argv[1:])"
    command = [sys.executable, "-c", code, "explore", run, "--no-browser"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().split()[1]
        assert process.stdout.readline() == "Nothing is decided here. Ctrl-C ends.\n"
        assert (
            address.startswith("http://127.0.0.1:") and "small run" in urllib.request.urlopen(address).read().decode()
        )
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(address.replace(address.split("/")[3], "guess"))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "stopped\n", "")
