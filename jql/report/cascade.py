"""What a cascade held back and what it promises, in words for a terminal."""

from statistics import median
from typing import Any


def cascade_words(cascade: dict[str, Any]) -> str:
    """A line on what was not scored by the big annotator and on what may be lost; one on the languages scored whole."""
    languages = cascade["languages"]
    cut = {code: bound for code, bound in languages.items() if bound["threshold"] is not None}
    whole = {code: bound for code, bound in languages.items() if bound["threshold"] is None}
    lines = []
    if cut:
        saved = sorted(bound["saved"] for bound in cut.values())
        after = [bound["loss_at_select"] for bound in cut.values()]
        later = ""
        if cascade["select_quantile"] > cascade["quantile"]:
            known = None not in after
            later = f"; at quantile {cascade['select_quantile']:g} " + (f"{max(after):.1%}" if known else "not known")
        spread = f"{saved[0]:.0%} to {saved[-1]:.0%} (median {median(saved):.0%})"
        lines.append(
            f"cascade: {cascade['annotator']} holds back {spread} of {len(cut)} languages from {cascade['before']}; of "
            f"what that would keep at quantile {cascade['quantile']:g}, at most {cascade['loss']:.1%} is lost in a "
            f"language ({cascade['confidence']:.0%} confidence each){later}"
        )
    if whole:
        named = [f"{code} ({b['sample']:,} documents drawn, about {b['needed']:,} needed)" for code, b in whole.items()]
        more = f" and {len(named) - 5} more, see summary.json" if len(named) > 5 else ""
        lines.append(f"cascade: scored whole, as the sample cannot support the promise: {', '.join(named[:5])}{more}")
    return "\n".join(lines)
