"""The card of a trained annotator, and the texts whose scores are written down with it."""

from typing import Any

from jql.encoder.encoder import EncoderSpec
from jql.recipe import Train

GOLDEN: tuple[str, ...] = (
    "Plants make sugar from water and carbon dioxide. The energy comes from light that the green leaf takes up.",
    "Buy now! Best prices, free delivery, click here to see all offers of the week.",
    "Ein Dreieck hat drei Ecken. Die Summe seiner Winkel beträgt in der Ebene immer 180 Grad.",
    "Köp nu, rea på alla skor! Gratis frakt.",
    "Hvorfor flyter is på vann? Fordi vann utvider seg når det fryser, blir isen lettere enn vannet rundt.",
    "水由氢和氧组成。",
    "Ξ",
    "",
)


def training_card(part: Train, summary: dict[str, Any], spec: EncoderSpec) -> str:
    """The text of CARD.md: what it scores, what it was trained on, figures with intervals, what to beware of."""
    judges = "\n".join(
        f"| {name} | {c['documents']:,} | {c['languages']} | {c['validation']:,} | {_origin(c.get('origin', {}))} |"
        for name, c in summary["judges"].items()
    )
    figures = "\n".join(f"| {name} | {_figure(entry)} |" for name, entry in summary["spearman"].items())
    combined = "".join(
        f"\n`{name}` is " + " + ".join(f"{w:g} {judge}" for judge, w in parts.items()) + "."
        for name, parts in part.combine.items()
    )
    read = f"at most {part.chars:,} characters, thirds of its start, centre and end" if part.chars else part.long
    left_out = f" Not trained on: {', '.join(part.leave_out)}." if part.leave_out else ""
    return f"""# {part.name}

Points from {part.low:g} to {part.high:g} for the rubric in rubric.yaml, distilled from judgments of language models.

    from jql import Annotator
    Annotator.load("{part.name}").score(["A triangle has three corners."])

Encoder: {spec.model}, revision {spec.revision or "not pinned"}.
Of a document is read: {read}.{left_out}

| judge (head) | judged documents | languages | of these for validation | origin of the judgments |
| --- | --- | --- | --- | --- |
{judges}
{combined}

| head on judge, validation documents of other sources than those trained on | Spearman, 95 % interval |
| --- | --- |
{figures}

Judges do not use the scale alike: compare scores of one head, and cut each language at its own quantile. Figures are
agreement with a model's judgments, not with people.
"""


def _origin(counts: dict[str, int]) -> str:
    return ", ".join(f"{kind} {n:,}" for kind, n in counts.items()) or "unknown"


def _figure(entry: dict[str, Any]) -> str:
    if entry.get("value") is None:
        return str(entry.get("reason", "-"))
    low, high = entry.get("low"), entry.get("high")
    return f"{entry['value']:.3f}" + (f" [{low:.3f}, {high:.3f}]" if low is not None else "")
