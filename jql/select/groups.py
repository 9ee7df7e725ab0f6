"""Groups of close languages, whose documents are often taken for one another's."""

from jql.errors import RecipeError
from jql.languages import languages
from jql.recipe import Select

WITHOUT_ROW = {"bcms": ("cnr_Latn", "cnr_Cyrl")}
"""Members that the table of languages does not have: FineWeb-2 labels no Montenegrin."""


def groups_of(wish: Select) -> dict[str, tuple[str, ...]]:
    """Group -> its languages: those of data/languages.csv, and the recipe's, which replace one of the same name."""
    found: dict[str, tuple[str, ...]] = {}
    for language in languages().values():
        if language.group:
            found[language.group] = (*found.get(language.group, ()), language.code)
    found = {name: (*codes, *WITHOUT_ROW.get(name, ())) for name, codes in sorted(found.items())}
    return {**found, **wish.groups}


def shared_groups(wish: Select) -> dict[str, tuple[str, ...]]:
    """The groups whose languages share one cut.

    Raises:
        RecipeError: there is no such group, a language is in two of them, or a cut names a group that shares none.
    """
    known = groups_of(wish)
    if unknown := [name for name in wish.shared if name not in known]:
        raise RecipeError(f"select.shared: no group {', '.join(unknown)}; there are {', '.join(known)}")
    shared = {name: known[name] for name in wish.shared}
    codes = [code for members in shared.values() for code in members]
    if twice := sorted({code for code in codes if codes.count(code) > 1}):
        raise RecipeError(f"select.shared: {', '.join(twice)} in two groups; a language has one cut")
    for name in wish.languages:
        if "_" not in name and name not in shared:
            what = "a group, but not in select.shared; add it there" if name in known else "no language and no group"
            raise RecipeError(f"select.languages.{name}: {what}")
        if name in codes:
            group = next(group for group, members in shared.items() if name in members)
            raise RecipeError(
                f"select.languages.{name}: {name} shares the cut of {group}; name that, or take {group} out of "
                "select.shared"
            )
    return shared
