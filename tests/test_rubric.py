import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jql.annotator.annotator import Annotator
from jql.errors import InputError, RecipeError
from jql.paths import annotators_dir, data_dir
from jql.rubric import CUT, Example, Rubric, Truncate, load_rubric, make_rubric, rubric_path

SMALL = {
    "name": "calm",
    "task": "How calm is the document?",
    "scale": {1: "shouting", 2: "  even\n  tempered ", 3: "serene"},
    "prompt": "{task}\n{scale}\nIn {language}: {document}\nCalm: <number>",
    "label_prompt": "One digit. {document}",
    "patterns": [r"Calm: (\d+)"],
}


def rubric(**changes: object) -> Rubric:
    return make_rubric({**SMALL, **changes})


def refused(**changes: object) -> str:
    with pytest.raises(RecipeError) as caught:
        rubric(**changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["educational", "style"])
def test_rubrics_that_come_with_jql_are_complete(name: str) -> None:
    found = load_rubric(name)
    assert found.name == name and Path(rubric_path(name)) == data_dir() / "rubrics" / f"{name}.yaml"
    assert (
        len(found.guideline) > 500 and "## In doubt" in found.guideline and "## What not to consider" in found.guideline
    )
    assert len(found.examples) >= 3 and len({e.score for e in found.examples}) >= 3
    assert set(found.labels().values()) == set(found.scale)
    for kind in ("sampled", "expected"):
        content = found.messages("Der Text.", "deu_Latn", kind)[-1]["content"]
        assert (
            "Der Text." in content and "German" in content and found.scale_text() in content and found.task in content
        )
    assert "100 words" in found.prompt or name != "educational"


def test_edu_carries_the_rubric_and_its_scores_do_not_depend_on_it(tmp_path: Path) -> None:
    folder = annotators_dir() / "edu"
    assert (folder / "rubric.yaml").read_bytes() == (data_dir() / "rubrics" / "educational.yaml").read_bytes()
    other = shutil.copytree(folder, tmp_path / "edu")
    (other / "rubric.yaml").write_text("name: other\n", encoding="utf-8")
    assert Annotator.load(str(other)).revision == Annotator.load("edu").revision


def test_messages_are_filled_in_one_pass() -> None:
    found = rubric(system="You read {language}. {scale}")
    text = "braces {scale} {document} {task} { } {0} \\1 and $x"
    system, user = found.messages(text, "swe_Latn", "sampled")
    scale = "1: shouting\n2: even tempered\n3: serene"
    assert system == {"role": "system", "content": f"You read Swedish. {scale}"}
    assert user == {"role": "user", "content": f"{SMALL['task']}\n{scale}\nIn Swedish: {text}\nCalm: <number>"}
    assert rubric().messages("x", "swe_Latn", "expected") == [{"role": "user", "content": "One digit. x"}]


def test_a_language_that_jql_does_not_know_is_named_by_its_code() -> None:
    assert "In xyz_Latn: x" in rubric().messages("x", "xyz_Latn", "sampled")[0]["content"]


@given(st.text(), st.integers(0, 30), st.sampled_from(["head", "head+tail"]), st.booleans())
def test_any_document_can_be_sent(text: str, chars: int, keep: str, collapse: bool) -> None:
    found = rubric(truncate={"chars": chars, "keep": keep}, collapse_whitespace=collapse)
    sent = found.messages(text, "deu_Latn", "sampled")[0]["content"]
    assert json.loads(json.dumps(sent).encode("utf-8")) == sent and sent.encode("utf-8") and "\0" not in sent
    assert len(found.document(text)) <= (chars + len(CUT) if chars else len(text))


def test_what_no_server_takes_is_replaced() -> None:
    assert rubric().document("a\0b\ud83d c \U0001f600") == "a\ufffdb\ufffd c \U0001f600"


def test_white_space_is_collapsed_unless_the_rubric_keeps_it() -> None:
    assert rubric().document(" a\n\n b\t\u3000c ") == "a b c"
    assert rubric(collapse_whitespace=False).document(" a\n\n b ") == " a\n\n b "


@pytest.mark.parametrize(
    ("chars", "keep", "expected"),
    [
        (0, "head", "abcdefghij"),
        (10, "head+tail", "abcdefghij"),
        (4, "head", "abcd […]"),
        (4, "head+tail", "ab […] ij"),
        (5, "head+tail", "abc […] ij"),
        (1, "head+tail", "a […] "),
    ],
)
def test_cut(chars: int, keep: str, expected: str) -> None:
    assert rubric(truncate={"chars": chars, "keep": keep}).document("abcdefghij") == expected


def test_bounds_and_scale_in_any_order() -> None:
    found = rubric(scale={"3": "c", "1": "a", "2": "b"})
    assert (found.low, found.high, found.scale_text()) == (1, 3, "1: a\n2: b\n3: c")
    below = rubric(scale={-1: "bad", 0: "neither", 1: "good"})
    assert (below.low, below.high) == (-1, 1)


def test_versions_change_with_what_is_seen_and_with_nothing_else() -> None:
    base = rubric()
    raters = {
        "task": "Other?",
        "scale": {1: "a", 2: "b", 3: "c"},
        "guideline": "In doubt, 2.",
        "examples": [{"text": "Hush.", "score": 3, "why": "Quiet."}],
    }
    judges = {
        "system": "",
        "prompt": "{document} Calm: <number>",
        "label_prompt": "{document}",
        "truncate": {"chars": 9, "keep": "head"},
        "collapse_whitespace": False,
        "task": "Other?",
        "scale": {1: "a", 2: "b", 3: "c"},
    }
    neither = {"patterns": [r"(\d)"], "name": "n", "origin": "me"}
    for changes in ({k: v} for part in (raters, judges, neither) for k, v in part.items()):
        key = next(iter(changes))
        other = rubric(**changes)
        assert (other.guideline_version != base.guideline_version) == (key in raters), key
        assert (other.prompt_version != base.prompt_version) == (key in judges), key
    # A task that the prompts do not hold is not seen by a judge.
    plain = {"prompt": "{document}", "label_prompt": None}
    assert rubric(**plain).prompt_version == rubric(**plain, task="Other?").prompt_version
    assert len(base.guideline_version) == len(base.prompt_version) == 12


def test_plain_values_and_back() -> None:
    base = rubric(examples=[{"text": "Hush.", "score": 3, "why": "Quiet."}])
    assert make_rubric(base.model_dump(mode="json")) == base
    assert base.examples == (Example(text="Hush.", score=3, why="Quiet."),) and base.truncate == Truncate()


def test_every_field_is_documented() -> None:
    for part in (Rubric, Example, Truncate):
        assert all(field.description for field in part.model_fields.values())


def test_no_expected_score_without_prompt_or_with_labels_of_two_characters() -> None:
    with pytest.raises(RecipeError, match=r"rubric calm: label_prompt: none, .* asks for the number alone"):
        rubric(label_prompt=None).messages("x", "deu_Latn", "expected")
    ten = rubric(scale={point: "x" for point in range(11)})
    assert ten.messages("x", "deu_Latn", "sampled")
    with pytest.raises(RecipeError, match=r"scale: .* one character, got 10; use a scale within 0 to 9"):
        ten.messages("x", "deu_Latn", "expected")
    with pytest.raises(RecipeError, match="got -1"):
        rubric(scale={-1: "a", 0: "b"}).labels()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": {1: "a"}}, "scale: expected two or more consecutive integers, got 1; give every score"),
        ({"scale": {1: "a", 3: "b"}}, "scale: expected two or more consecutive integers, got 1, 3"),
        ({"scale": {"a": "a", 2: "b"}}, "scale.a"),
        ({"scale": {1.5: "a", 2: "b"}}, "scale.1.5"),
        ({"scale": {1: "", 2: "b"}}, "scale.1: missing; write it"),
        ({"scale": None}, "scale: expected"),
        ({"prompt": "{task}"}, "prompt: expected {document} once, got it 0 times"),
        ({"prompt": "{document}{document}"}, "prompt: expected {document} once, got it 2 times"),
        ({"prompt": "{document} {foo}"}, "prompt: unknown placeholder {foo}; known: {document}, {task}"),
        ({"label_prompt": "One digit."}, "label_prompt: expected {document} once"),
        ({"system": "{document}"}, "system: expected no {document}"),
        ({"patterns": []}, "patterns: missing"),
        ({"patterns": ["(a)", "(b"]}, "patterns.1: expected a regular expression, got (b (missing ), unterminated"),
        ({"patterns": [r"\d"]}, "patterns.0: expected one group, the number, got 0 in \\d"),
        ({"patterns": [r"(a|b)(\d)"]}, "patterns.0: expected one group, the number, got 2"),
        (
            {"examples": [{"text": "x", "score": 4, "why": "y"}]},
            "examples.0.score: expected a score of the scale, 1 to 3, got 4",
        ),
        ({"examples": [{"text": "x", "score": 2.5, "why": "y"}]}, "examples.0.score: expected"),
        ({"examples": [{"text": "x", "score": 2}]}, "examples.0.why: missing"),
        (
            {"examples": [{"text": "x", "score": 2, "why": "y", "wy": 1}]},
            "examples.0.wy: unknown key; did you mean why?",
        ),
        ({"language": "de"}, "language: unknown language 'de': expected a code like deu_Latn"),
        ({"truncate": {"chars": -1}}, "truncate.chars: expected greater than or equal to 0, got -1"),
        ({"truncate": {"keep": "tail"}}, "truncate.keep: expected 'head' or 'head+tail', got tail"),
        ({"truncate": {"char": 1}}, "truncate.char: unknown key; did you mean chars?"),
        ({"collapse_whitespace": "yes"}, "collapse_whitespace: expected boolean, got yes"),
        ({"patern": "x"}, "patern: unknown key; did you mean patterns?"),
        ({"xyz": 1}, "xyz: unknown key; known keys: name, task, language"),
        ({"name": ""}, "name: missing"),
    ],
)
def test_what_is_refused_and_how(changes: dict[str, object], message: str) -> None:
    assert message in refused(**changes)


def test_literal_braces_are_no_placeholders() -> None:
    found = rubric(prompt='Answer {"calm": 2} or { } or {1}: {document}')
    assert found.messages("x", "deu_Latn", "sampled")[0]["content"] == 'Answer {"calm": 2} or { } or {1}: x'


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "calm.yaml"
    file.write_text(
        "name: calm\ntask: How calm?\nscale: {0: no, 1: yes}\nprompt: '{document}'\npatterns: ['(\\d)']\n",
        encoding="utf-8",
    )
    found = load_rubric(str(file))
    assert found.scale == {0: "no", 1: "yes"}  # YAML 1.2: no is a word
    assert load_rubric(f"file://{file}") == found and rubric_path(str(file)) == str(file)

    file.write_text("name: calm\n  task: [", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"calm.yaml: line 2: not YAML"):
        load_rubric(str(file))
    file.write_text("name: calm\nextra: 1\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"calm.yaml: task: missing; write it; scale: missing; .*extra: unknown key"):
        load_rubric(str(file))
    file.write_text("- a\n- b\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"calm.yaml: expected a mapping with name, .*, got \['a', 'b'\]"):
        load_rubric(str(file))
    file.write_text("? [a, b]\n: c\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"calm.yaml: keys must be .*; write keys as words"):
        load_rubric(str(file))
    for data in (b"name: \xff\xfe", b"name: a\x00b"):
        file.write_bytes(data)
        with pytest.raises(RecipeError, match=r"calm.yaml: not (UTF-8|YAML) "):
            load_rubric(str(file))


@pytest.mark.parametrize("name", ["none", "none.yaml", "data/rubrics", "s3", "/"])
def test_no_such_rubric(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"{name}: no such rubric; those that come with jql: educational, style"):
        load_rubric(name)


def test_remote_rubric(s3: str) -> None:
    from jql.engine import storage

    storage.put(f"{s3}/rubrics/calm.yaml", (data_dir() / "rubrics" / "style.yaml").read_bytes())
    assert load_rubric(f"{s3}/rubrics/calm.yaml") == load_rubric("style")
    with pytest.raises(InputError, match="no such rubric"):
        load_rubric(f"{s3}/rubrics/none.yaml")
