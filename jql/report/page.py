"""`jql report RUN`: one HTML file that opens offline, with everything in it, its scripts too.

Texts, addresses and names in it come from the web. They get there escaped or as text of their own (markup.py, page.js),
and the page's policy lets the browser run and style nothing but what is hashed here, ask for nothing, and make markup
of no string.
"""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from jql import __version__
from jql.engine import storage
from jql.errors import RecipeError
from jql.report import section_documents as documents
from jql.report import section_models as models
from jql.report import section_work as work
from jql.report.details import MOST_LANGUAGES, details
from jql.report.figures import yields_data
from jql.report.gather import RunFiles, read_run
from jql.report.heads_agree import heads_agree
from jql.report.markup import Markup, foreign, join, script_json, tag
from jql.report.passages import Passages, recorded_documents
from jql.report.section import Section, section
from jql.report.section_ablation import ablation_data, ablation_section
from jql.report.section_compare import compare_section
from jql.report.section_sweep import sweep_data, sweep_section

PAGE = Path(__file__).resolve().parent / "assets"
REPORT, SWEEP_PAGE = "report.html", "sweep.html"
STYLE_ID = "plotly.js-style-global"


@cache
def plotly_script() -> str:
    """Plotly's script, which draws the pictures.

    Raises:
        RecipeError: plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]
    except ImportError as error:
        raise RecipeError(f"report: {error.name} is not installed; pip install 'jql[report]'") from None
    script = str(get_plotlyjs())
    assert "</script" not in script.lower() and "<!--" not in script
    return script


def placeholders() -> Markup:
    """Elements that Plotly takes for its style sheets of maps, which it else adds as it loads, against the policy."""
    found = re.findall(r'getElementById\("([0-9a-f]{64})"\)', plotly_script())
    return join(tag("template", id=name) for name in sorted(set(found)))


def asset(name: str) -> str:
    """A file of the page."""
    return (PAGE / name).read_text(encoding="utf-8")


def policy(scripts: list[str], style: str) -> str:
    """The content policy of a file: these scripts and this style sheet by their hashes, and nothing from elsewhere."""
    allowed = " ".join(map(_hash, scripts))
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def passages_of(files: RunFiles) -> Passages | None:
    """The texts of a run's sample; None where it has none."""
    if files.outlook is None:
        return None
    language = files.recipe.documents.language if files.recipe else None
    return Passages(files.outlook, recorded_documents(files.folder, files.log, language))


def page_data(files: RunFiles, agreement: dict[str, Any], passages: Passages | None) -> dict[str, Any]:
    """What the page's script is given."""
    return {
        "languages": details(files, agreement, passages),
        "yields": yields_data(files.summary.get("prediction"), files.summary["languages"]),
        "heads": (files.cuts or {}).get("heads", []),
        "rule": (files.cuts or {}).get("rule"),
        "sweep": sweep_data(files.sweep),
        "ablation": ablation_data(files.ablation),
    }


def sections(files: RunFiles, agreement: dict[str, Any], explored: bool) -> list[Section]:
    """The parts of the page; one whose data the run does not have is left out."""
    closer = _closer() if files.summary["languages"] else None
    counted = [documents.funnel_section(files), documents.languages_section(files)]
    found = [
        *([_explore(), closer, *counted] if explored else [*counted, closer]),
        documents.yields_section(files),
        compare_section(files),
        sweep_section(files.sweep),
        ablation_section(files),
        models.heads_section(agreement),
        models.ranking_section(files),
        models.judges_section(files),
        models.annotator_section(files),
        work.work_section(files),
        work.failures_section(files),
        work.cost_section(files),
    ]
    return [part for part in found if part is not None]


def _explore() -> Section:
    lead = "Move a cut: what it keeps is predicted from the joint sample, with 95 % intervals. Nothing is decided here."
    return section("explore", "Cuts", tag("div", id="sliders"), lead=lead)


def _closer() -> Section:
    """Where the page's script shows one language, or all together."""
    picker = tag("label", "Show ", tag("select", id="language"), class_="picker")
    return section("closer", "A closer look", picker, tag("div", id="detail"))


def body(files: RunFiles, data: dict[str, Any], agreement: dict[str, Any], explored: bool = False) -> Markup:
    """The page's body, its data included, without its scripts."""
    parts = sections(files, agreement, explored)
    ended = next((str(line["time"]) for line in reversed(files.log) if "time" in line), "")
    about = [f"jql {files.summary.get('jql', __version__)}", files.folder, ended.replace("T", " ")]
    more = len(files.summary["languages"]) - MOST_LANGUAGES
    notes = [*files.notes, f"{more} languages of fewest documents are not shown in detail"] if more > 0 else files.notes
    head = tag(
        "header",
        tag("h1", foreign(str(files.summary.get("name") or files.folder))),
        tag("p", [tag("span", foreign(words)) for words in about if words], class_="about"),
        documents.key_numbers(files),
        [tag("p", foreign(note), class_="warning") for note in notes],
    )
    return join(
        head,
        tag("nav", [tag("a", part.title, href=f"#{part.name}") for part in parts], aria_label="parts of this page"),
        tag("main", [part.markup for part in parts]),
        tag("noscript", "Pictures and documents on this page need JavaScript; its tables do not."),
        placeholders(),
        tag("script", script_json(data), type="application/json", id="data"),
    )


def fill(**parts: Markup) -> str:
    """page.html with its places filled; what is filled in is not looked at again."""
    return re.sub(r"\{\{([a-z]+)\}\}", lambda place: parts[place[1]], asset("page.html"))


def report_html(files: RunFiles, passages: Passages | None) -> str:
    """The whole file."""
    agreement = agreement_of(files)
    return _file(_title(files), body(files, page_data(files, agreement, passages), agreement))


def _file(title: Markup, inner: Markup) -> str:
    """A page with its scripts and style sheet in it."""
    style, scripts = asset("page.css"), [plotly_script(), asset("page.js")]
    # Plotly takes a style element of this name and class for its own, and adds no rules.
    head = {"id": STYLE_ID, "class_": "no-inline-styles"}
    return fill(
        policy=tag("meta", http_equiv="Content-Security-Policy", content=policy(scripts, style)),
        title=title,
        style=tag("style", Markup(style), **head),
        body=inner,
        scripts=join(tag("script", Markup(script)) for script in scripts),
    )


def served_html(files: RunFiles, data: dict[str, Any], agreement: dict[str, Any]) -> str:
    """The same page for a server, which has its scripts and style sheet beside it and the policy in its headers."""
    scripts = join(tag("script", src=name, defer=True) for name in ("plotly.js", "page.js", "explore.js"))
    return fill(
        policy=join(),
        title=_title(files),
        style=join(
            tag("link", rel="icon", href="icon.svg", type="image/svg+xml"),
            tag("link", rel="stylesheet", href="page.css", id=STYLE_ID, class_="no-inline-styles"),
        ),
        body=body(files, data, agreement, explored=True),
        scripts=scripts,
    )


def _title(files: RunFiles) -> Markup:
    return join(f"{files.summary.get('name') or files.folder}: report")


def agreement_of(files: RunFiles) -> dict[str, list[dict[str, Any]]]:
    """How far the heads that vote agree, by language; empty without scores."""
    if files.outlook is None or files.cuts is None:
        return {}
    return heads_agree(files.outlook, list(files.cuts["heads"]))


def write_report(folder: str, to: str | None = None) -> str:
    """Write the page of a run; returns its path.

    Args:
        to: the file; None takes RUN/report.html.

    Raises:
        InputError: no run has ended in the folder. DataError: a file of it cannot be read.
        RecipeError: plotly is not installed.
    """
    plotly_script()
    files = read_run(folder)
    path = to or storage.join(folder, REPORT)
    storage.put(path, report_html(files, passages_of(files)).encode())
    return path


def write_sweep(folder: str, name: str, found: dict[str, Any]) -> str:
    """Write the part of the page on learning rates as a file of its own; returns its path.

    Args:
        name: of the run. found: as in sweep.json.

    Raises:
        RecipeError: plotly is not installed.
    """
    part = sweep_section(found)
    assert part is not None
    head = tag("header", tag("h1", foreign(name)))
    data = tag("script", script_json({"sweep": sweep_data(found), "languages": {}}), type="application/json", id="data")
    path = storage.join(folder, SWEEP_PAGE)
    page = _file(join(f"{name}: learning rates"), join(head, tag("main", part.markup), placeholders(), data))
    storage.put(path, page.encode())
    return path
