"""What the page shows of one language, and of all together: numbers and texts, which its script puts in place."""

from typing import Any

from jql.report.favour import base_of, favours
from jql.report.figures import cut_data, histograms
from jql.report.funnel import STEPS, funnel
from jql.report.gather import RunFiles
from jql.report.passages import Passages
from jql.truth.label.folder import page_language

MOST_LANGUAGES = 100
"""Languages, those of most documents, that are shown in detail."""
LEAST_UNITS = 64
"""Units of documents that are opened for texts, or as many as languages where these are more."""


def shown_languages(files: RunFiles) -> list[str]:
    """The languages that are shown in detail, that of most documents first."""
    entries = files.summary["languages"].items()
    return [code for code, _ in sorted(entries, key=lambda e: (-e[1].get("documents", 0), e[0]))][:MOST_LANGUAGES]


def details(
    files: RunFiles, agreement: dict[str, list[dict[str, Any]]], passages: Passages | None
) -> dict[str, dict[str, Any]]:
    """Code -> what is shown of the language; "" -> of all languages together. Only what is known is in it.

    Raises:
        DataError: the documents of a unit cannot be read.
    """
    codes = shown_languages(files)
    found = {code: _known(files, code) for code in codes}
    found[""] = {"name": "All languages", "lang": "en", "dir": "ltr"}
    if files.outlook is None or files.kept is None:
        return found
    cuts, base = files.stored_cuts(), base_of(files.outlook, files.kept)
    found[""]["favours"] = favours(base, base.codes_N >= 0)
    shown = {}
    if passages is not None and cuts is not None:
        shown = passages.show(cuts, files.kept, codes, max(LEAST_UNITS, len(codes)))
    for code in codes:
        found[code] |= {
            "cut": cut_data(cuts, code),
            "histograms": histograms(files.outlook.histograms, code, cuts.heads if cuts else []),
            "favours": favours(base, base.language(code)),
            "heads": agreement.get(code, []),
            "passages": shown.get(code, []),
        }
    return found


def _known(files: RunFiles, code: str) -> dict[str, Any]:
    """What summary.json says of a language."""
    entry = files.summary["languages"][code]
    one = funnel(entry)
    lost = [] if one is None else [[STEPS[step][0], n] for step, n in one.lost.items()]
    numbers = {key: entry.get(key) for key in ("documents", "representatives", "kept", "kept_tokens", "kept_bytes")}
    predicted = (files.summary.get("prediction") or {"languages": {}})["languages"].get(code)
    dropped = list(entry.get("dropped", {}).items())
    known = {**numbers, "lost": lost, "dropped": dropped, "predicted": predicted, "doubtful": entry.get("doubtful")}
    names = page_language(code)
    return {"name": names["language"], "lang": names["lang"], "dir": names["dir"], **known}
