"""Parts of the page."""

from dataclasses import dataclass

from jql.report.markup import Child, Markup, foreign, tag
from jql.truth.label.folder import page_language


@dataclass(frozen=True)
class Section:
    """A part of the page and its heading; `name` is the place that links lead to."""

    name: str
    title: str
    markup: Markup


def section(name: str, title: str, *children: Child, lead: str | None = None) -> Section:
    """A part with its heading and a sentence on what it shows."""
    intro = tag("p", lead, class_="lead") if lead else None
    return Section(name, title, tag("section", tag("h2", title), intro, *children, id=name))


def language_cell(code: str) -> Markup:
    """The name of a language, by which the page's script shows it in detail, and its code."""
    name = page_language(code)["language"]
    return tag("button", foreign(name), tag("small", foreign(code)), class_="choose", type="button", data_code=code)
