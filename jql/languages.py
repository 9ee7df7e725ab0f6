"""The languages jql knows: read from data/languages.csv, codes as in FineWeb-2 (iso639-3_Script)."""

import csv
import difflib
import functools
import re
from dataclasses import dataclass

from jql.errors import RecipeError
from jql.paths import data_dir

# Codes that name no single language of the table, or a macro-language that FineWeb-2 does not use.
ALIASES = {
    "no": ("nob_Latn", "nno_Latn"),
    "nor": ("nob_Latn", "nno_Latn"),
    "zho": ("cmn_Hani",),
    "est": ("ekk_Latn",),
    "lav": ("lvs_Latn",),
    "sqi": ("als_Latn",),
    "ara": ("arb_Arab",),
    "sh": ("srp_Latn", "hrv_Latn", "bos_Latn"),
    "hbs": ("srp_Latn", "hrv_Latn", "bos_Latn"),
}


_CODE = re.compile("[a-z]{3}_[A-Z][a-z]{3}")


@dataclass(frozen=True)
class Language:
    """One row of data/languages.csv; `iso639_1` is never empty, `group` is empty outside the close groups."""

    code: str
    name: str
    iso639_1: str
    script: str
    group: str
    trained: bool
    unseen: bool
    elision: bool
    rtl: bool


@functools.cache
def languages() -> dict[str, Language]:
    """All languages by code, in the order of the table; shared by all callers, so do not change it."""
    with open(data_dir() / "languages.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["code"]: Language(
            code=row["code"],
            name=row["name"],
            iso639_1=row["iso639_1"],
            script=row["script"],
            group=row["group"],
            trained=row["trained"] == "1",
            unseen=row["unseen"] == "1",
            elision=row["elision"] == "1",
            rtl=row["rtl"] == "1",
        )
        for row in rows
    }


def suggestions(code: str) -> list[str]:
    """Codes of the table that `code` may have meant, best first; empty where nothing is near."""
    wanted = code.strip().lower().replace("-", "_")
    if wanted in ALIASES:
        return list(ALIASES[wanted])
    by_part = [
        language.code
        for language in languages().values()
        if wanted in (language.code.lower(), language.code[:3], language.iso639_1, language.name.lower())
    ]
    if by_part:
        return by_part
    head = wanted.split("_")[0]
    if head != wanted:  # deu_Cyrl, zh_CN, no_NO: the language is known, the rest is not
        return suggestions(head)
    lowered = {name.lower(): found for found in languages().values() for name in (found.code, found.name)}
    return list(dict.fromkeys(lowered[name].code for name in difflib.get_close_matches(wanted, lowered, n=3)))


def check_language(code: str) -> str:
    """`code` itself where the table has it; a RecipeError naming the likely code otherwise."""
    if code in languages():
        return code
    near = suggestions(code)
    hint = f"did you mean {' or '.join(near)}?" if near else "see data/languages.csv for the codes."
    raise RecipeError(f"unknown language {code!r}: expected a code like deu_Latn (iso639-3_Script); {hint}")


def canonical_language(code: str) -> str:
    """A code as iso639-3_Script; one that names a single language of ours in another way is completed, else und."""
    if _CODE.fullmatch(code):
        return code
    head, _, script = code.replace("-", "_").partition("_")
    head = head.lower()
    if head in ALIASES:
        found = list(ALIASES[head])
    else:
        found = [k.code for k in languages().values() if head in (k.iso639_1, k.code[:3])]
    found = [c for c in found if not script or c.endswith(f"_{script.title()}")]
    return found[0] if len(found) == 1 else "und"
