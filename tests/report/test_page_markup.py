"""Whatever text there is, it comes out as text."""

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.report.markup import Column, Markup, bar, foreign, join, plain, script_json, table, tag

HOSTILE = st.one_of(
    st.text(st.characters(codec=None)),
    st.text(st.sampled_from("<>&\"'/!-= scriptSCRIPT\u2028\u2029\u202e\u0000\ud800;#x")),
    st.sampled_from(
        ["</script><script>alert(1)</script>", "<!--<script>", "]]>", "{{body}}", "' onload='x", "&lt;b&gt;", "\\u003c"]
    ),
)


class Reader(HTMLParser):
    """What a parser finds: elements with their attributes, and the text."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.elements.append(("comment", {}))


@given(HOSTILE, HOSTILE)
def test_text_and_attributes_come_out_as_they_went_in(text, value):
    made = Reader(tag("p", text, foreign(text), title=value))
    assert made.elements == [("p", {"title": plain(value)}), ("bdi", {})]
    assert made.text == plain(text) * 2
    made.text.encode()  # no half of a surrogate pair is left


@given(
    st.recursive(HOSTILE | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(HOSTILE, inner))
)
def test_json_stays_in_its_script_and_means_the_same(value):
    made = script_json(value)
    assert not set(made) & set("<>&\u2028\u2029")

    def cleaned(value):
        if isinstance(value, str):
            return plain(value)
        if isinstance(value, dict):
            return {plain(key): cleaned(inner) for key, inner in value.items()}
        return [cleaned(inner) for inner in value] if isinstance(value, list) else value

    assert json.loads(made) == cleaned(value)


@given(HOSTILE)
def test_a_table_of_hostile_cells(text):
    made = Reader(table([Column(text, number=False, hint=text), Column("n")], [(text, 3), (foreign(text), text)]))
    names = [name for name, _ in made.elements]
    assert names == ["div", "table", "thead", "tr", "th", "th", "tbody", "tr", "th", "td", "tr", "th", "bdi", "td"]


def test_only_markup_is_markup():
    assert join("<b>", Markup("<i>"), None, ["&", 3]) == "&lt;b&gt;<i>&amp;3"
    assert tag("input", type="text", required=True, hidden=False, title=None) == '<input type="text" required>'


@pytest.mark.parametrize("name", ["style", "onclick", "x y", "on_click"])
def test_there_is_no_way_to_an_inline_style_or_script(name):
    with pytest.raises(AssertionError):
        tag("p", **{name: "x"})


def test_a_bar_does_not_grow_beyond_its_whole():
    widths = [float(found["width"]) for name, found in Reader(bar((0.7, "a"), (-1.0, "b"), (0.8, "c"))).elements[1:]]
    assert widths == [70.0, 0.0, 30.0]


def test_controls_become_a_sign_and_lines_stay():
    assert plain("a\x00b\r\nc\td\x1be\ud800") == "a\ufffdb\nc\td\ufffde\ufffd"
