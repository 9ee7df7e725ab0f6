"""The sample crawl: what the issue of pages promises, page by page."""

import functools
from collections import Counter

import pytest
from conftest import ROOT
from ruamel.yaml import YAML

from jql.crawl.extract import extract_text
from jql.crawl.language import load_identifier
from jql.languages import languages

FILES = sorted((ROOT / "data" / "sample" / "pages").glob("*.yaml"))
DEEP = {"eng_Latn", "deu_Latn", "spa_Latn", "swe_Latn", "pol_Latn", "ell_Grek"}
KINDS = {"lesson", "encyclopedia", "news", "shop", "forum", "cookie_wall", "link_list", "gibberish"}
KINDS |= {"near_duplicate", "wrong_language", "broken_html"}


identifier_of_all = functools.cache(lambda: load_identifier("default"))


def pages(path):
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def test_thirty_five_languages_and_english():
    found = {p.stem for p in FILES}
    expected = {c for c, k in languages().items() if k.trained} - {"bos_Latn", "kat_Geor", "srp_Latn"}
    assert found == expected and len(found) == 36
    assert {"srp_Latn"} <= {p["language"] for p in pages(ROOT / "data/sample/pages/srp_Cyrl.yaml")}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_pages_are_whole_and_in_their_language(path):
    found = pages(path)
    assert len(found) >= (24 if path.stem in DEEP else 8)
    slugs = [p["slug"] for p in found]
    assert len(set(slugs)) == len(slugs)
    identifier = identifier_of_all()
    for page in found:
        assert page["kind"] in KINDS and page["score"] in range(6) and len(page["reason"]) > 15, page["slug"]
        assert (page["language"] != path.stem) == (page["kind"] == "wrong_language" or page["language"] == "srp_Latn")
        assert page.get("near_duplicate_of", slugs[0]) in slugs
        assert ("near_duplicate_of" in page) == (page["kind"] == "near_duplicate")
        assert identifier.identify(extract_text(page["html"]))[0] == page["language"], page["slug"]


def test_the_deep_languages_hold_what_a_crawl_holds():
    for path in FILES:
        if path.stem in DEEP:
            assert Counter(p["kind"] for p in pages(path)).keys() == KINDS
            assert {p["score"] for p in pages(path)} == set(range(6))
