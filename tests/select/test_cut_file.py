"""The cuts of another run: the same values, and what is refused."""

import json

import pytest
from crawl_made import HEADS, make, wish

from jql.errors import DataError, RecipeError

COUNTS = {"deu_Latn": 500, "hrv_Latn": 250, "srp_Latn": 250, "isl_Latn": 12}


@pytest.fixture(scope="module")
def outlook():
    return make(COUNTS, seed=3, copies=0.2).outlook()


def saved(path, cuts):
    path.write_text(json.dumps(cuts.to_json()))
    return str(path)


@pytest.mark.parametrize("rule", ["all", "any", "majority", "mean"])
@pytest.mark.parametrize("shared", [[], ["bcms"]])
def test_a_cut_file_gives_the_same_values_and_verdicts(outlook, tmp_path, rule, shared):
    select = wish(quantile=0.6, rule=rule, heads=HEADS[:3], shared=shared)
    first = outlook.cuts(select)
    again = select.model_copy(update={"cuts": saved(tmp_path / "cuts.json", first)})
    second = outlook.cuts(again)
    for code, cut in first.languages.items():
        found = second.languages[code]
        assert (found.values is None) == (cut.values is None) and found.quantile == cut.quantile
        assert cut.values is None or (found.values == cut.values).all()
    assert (outlook.kept(again, second) == outlook.kept(select, first)).all()
    assert {cut.by for cut in second.languages.values()} == {"file"}


def test_a_cut_file_holds_for_another_crawl_and_says_which_languages_it_lacks(outlook, tmp_path):
    cuts = outlook.cuts(wish(quantile=0.6, languages={"hrv_Latn": {"score": 2.0}}))
    other = make({"deu_Latn": 60, "hrv_Latn": 3, "dan_Latn": 50}, seed=9).outlook()
    found = other.cuts(wish(cuts=saved(tmp_path / "cuts.json", cuts))).languages
    assert (found["deu_Latn"].values == cuts.languages["deu_Latn"].values).all()
    assert found["hrv_Latn"].values.tolist() == [2.0] * 4 and found["hrv_Latn"].quantile is None
    assert found["dan_Latn"].values is None and found["dan_Latn"].note == "has no cut in the file of select.cuts"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"annotator": {"name": "old", "revision": "r0"}},
            r"cuts\.json was made for the scores of old \(revision r0\), this run has those of made \(revision r1\)",
        ),
        (
            {"heads": ["edu", "web", "llama3"]},
            r"has cuts for the heads edu, web, llama3 by rule all, the recipe asks for",
        ),
        (
            {"rule": "mean"},
            r"by rule mean, the recipe asks for .* by rule all; set select\.heads and select\.rule alike",
        ),
    ],
)
def test_a_cut_file_of_another_annotator_other_heads_or_another_rule_is_refused(outlook, tmp_path, change, message):
    path = tmp_path / "cuts.json"
    path.write_text(json.dumps({**outlook.cuts(wish()).to_json(), **change}))
    with pytest.raises(RecipeError, match=message):
        outlook.cuts(wish(cuts=str(path)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"annotator": {"revision": "r1"}, "heads": ["edu"], "rule": "all", "languages": []}',
        b'{"annotator": "made", "heads": ["edu"], "rule": "all", "languages": {}}',
        b'{"annotator": {"revision": "r1"}, "heads": ["edu"], "rule": "all", "languages": {"deu_Latn": {}}}',
        b'{"annotator": {}, "heads": ["edu"], "rule": "all", "languages": {"x": {"quantile": null, "cuts": {"web": 1}}}}',
        b'{"annotator": {}, "heads": ["edu"], "rule": "all", "languages": {"x": {"quantile": 0.5, "cuts": {"edu": NaN}}}}',
        b'{"annotator": {}, "heads": ["edu"], "rule": "all", "languages": {"x": {"quantile": "0.5", "cuts": null}}}',
    ],
)
def test_a_broken_cut_file_is_named(outlook, tmp_path, content):
    path = tmp_path / "cuts.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cuts\.json: not a cuts\.json of jql \("):
        outlook.cuts(wish(cuts=str(path), heads=["edu"]))
