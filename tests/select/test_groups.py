"""Groups of close languages: those of the table, and a recipe's own."""

import pytest
from crawl_made import wish

from jql.errors import RecipeError
from jql.languages import languages
from jql.recipe import make_recipe
from jql.select.groups import groups_of, shared_groups


def test_three_groups_are_there_with_their_languages():
    found = groups_of(wish())
    assert list(found) == ["bcms", "iberian", "scandinavian"]
    assert set(found["bcms"]) == {"bos_Latn", "hrv_Latn", "srp_Cyrl", "srp_Latn", "cnr_Latn", "cnr_Cyrl"}
    assert {"dan_Latn", "nob_Latn", "nno_Latn", "swe_Latn"} <= set(found["scandinavian"])
    known = {code for code, language in languages().items() if language.group}
    assert known <= {code for codes in found.values() for code in codes}


def test_a_recipe_adds_a_group_or_replaces_one():
    found = groups_of(wish(groups={"baltic": ["lit_Latn", "lvs_Latn"], "iberian": ["spa_Latn", "cat_Latn"]}))
    assert found["baltic"] == ("lit_Latn", "lvs_Latn") and found["iberian"] == ("spa_Latn", "cat_Latn")
    assert shared_groups(wish(groups={"baltic": ["lit_Latn", "lvs_Latn"]}, shared=["baltic"])) == {
        "baltic": ("lit_Latn", "lvs_Latn")
    }
    assert shared_groups(wish()) == {}


def test_a_group_of_a_language_that_there_is_not_is_refused():
    with pytest.raises(RecipeError, match=r"select\.groups: unknown language 'lit_Latin'.*did you mean lit_Latn"):
        make_recipe({"select": {"groups": {"baltic": ["lit_Latin", "lvs_Latn"]}}})
    with pytest.raises(RecipeError, match=r"select\.groups: unknown language 'lithuanian'.*did you mean lit_Latn"):
        make_recipe({"select": {"groups": {"baltic": ["lithuanian"]}}})
