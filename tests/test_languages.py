"""The table of languages and the messages of check_language."""

import pytest

from jql.errors import RecipeError
from jql.languages import check_language, languages


def test_table_counts() -> None:
    table = languages()
    assert len(table) == 42
    trained = {code for code, language in table.items() if language.trained}
    unseen = {code for code, language in table.items() if language.unseen}
    assert unseen == {"arb_Arab", "tha_Thai", "cmn_Hani"}
    assert trained == set(table) - unseen
    assert len({code.split("_")[0] for code in trained}) == 38  # Serbian has two scripts


def test_table_is_consistent() -> None:
    for code, language in languages().items():
        assert code == language.code
        assert code.split("_")[1] == language.script
        assert len(language.iso639_1) == 2
        assert language.name
        assert language.group in ("", "bcms", "scandinavian", "iberian")
    assert languages() is languages()


def test_flags() -> None:
    table = languages().values()
    assert {x.code for x in table if x.elision} == {"fra_Latn", "ita_Latn", "cat_Latn", "gle_Latn", "mlt_Latn"}
    assert {x.code for x in table if x.rtl} == {"arb_Arab"}
    assert {x.code for x in table if x.group == "bcms"} == {"bos_Latn", "hrv_Latn", "srp_Latn", "srp_Cyrl"}


@pytest.mark.parametrize("code", list(languages()))
def test_known_codes_pass(code: str) -> None:
    assert check_language(code) == code


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("no", "did you mean nob_Latn or nno_Latn"),
        ("de", "did you mean deu_Latn"),
        ("deu", "did you mean deu_Latn"),
        ("DEU_latn", "did you mean deu_Latn"),
        ("deu-Latn", "did you mean deu_Latn"),
        ("German", "did you mean deu_Latn"),
        ("zho", "did you mean cmn_Hani"),
        ("zh-CN", "did you mean cmn_Hani"),
        ("est_Latn", "did you mean ekk_Latn"),
        ("sr", "did you mean srp_Cyrl or srp_Latn"),
        ("mkd_Latn", "did you mean mkd_Cyrl"),
        ("Portugese", "did you mean por_Latn"),
        ("", "see data/languages.csv"),
        ("xx", "see data/languages.csv"),
        ("qqqqqqqq", "see data/languages.csv"),
    ],
)
def test_wrong_codes_get_a_hint(wrong: str, hint: str) -> None:
    with pytest.raises(RecipeError, match=hint):
        check_language(wrong)


def test_message_names_what_was_found_and_expected() -> None:
    with pytest.raises(RecipeError, match=r"unknown language 'no': expected a code like deu_Latn"):
        check_language("no")
