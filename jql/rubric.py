"""The rubric: one quality of a document, as people rate it and as a language model is asked for it.

A YAML file; the string under a field is its documentation. `Rubric.messages` makes the chat of a document, and
jql/judge/parse.py reads the answers.
"""

import difflib
import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from jql.errors import InputError, RecipeError, one_line
from jql.languages import check_language, languages
from jql.paths import data_dir
from jql.recipe import Part, field_names, parse_yaml

CUT = " […] "
"""Stands in a prompt where a document was cut."""

Kind = Literal["sampled", "expected"]

_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")
_FILLED = ("task", "scale", "language")
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")  # no UTF-8 for half a surrogate pair; servers stop reading at NUL


def _one_group(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"expected a regular expression, got {pattern} ({error})") from None
    if groups != 1:
        raise ValueError(f"expected one group, the number, got {groups} in {pattern}; write (?:...) for others")
    return pattern


Text = Annotated[str, Field(min_length=1)]
Pattern = Annotated[str, AfterValidator(_one_group)]


class Example(Part):
    """A document with the score it should get, for raters."""

    text: Text
    """The document, or as much of it as matters."""
    score: int
    """On the scale."""
    why: Text
    """What decided it."""


class Truncate(Part):
    """How a long document is cut for the prompt."""

    chars: Annotated[int, Field(ge=0)] = 0
    """Most characters of a document; 0 never cuts."""
    keep: Literal["head", "head+tail"] = "head"
    """head: the first so many characters. head+tail: half of them from each end."""


class Rubric(Part):
    """What is judged, on which scale, how raters and judges are asked, and how an answer is read."""

    name: Text
    """What the rubric is called."""
    task: Text
    """The question, in one sentence."""
    language: str = "eng_Latn"
    """Language of the prompt; documents stay in their own."""
    origin: str = ""
    """Who wrote it, and under which licence."""
    scale: dict[int, Text]
    """Meaning of every score: two or more consecutive integers."""
    guideline: str = ""
    """For people who rate, Markdown: the task, what to do in doubt, what not to consider."""
    examples: tuple[Example, ...] = ()
    """Documents with their scores, for people who rate."""
    system: str | None = None
    """System message of both prompts; none sends none. May hold {task}, {scale} and {language}."""
    prompt: str
    """User message that asks for reasons and a score. Holds {document} once; may hold {task}, {scale} and {language},
    the English name of the document's language."""
    label_prompt: str | None = None
    """User message that asks for the number alone, for the expected score; the same placeholders."""
    patterns: Annotated[tuple[Pattern, ...], Field(min_length=1)]
    """How a score is written in an answer: regular expressions with one group, the number. They are tried in order; of
    the first that is found at all, the last place counts."""
    truncate: Truncate = Truncate()
    """How a long document is cut for the prompt."""
    collapse_whitespace: bool = True
    """Make every run of white space in a document, line breaks too, one space, as in the published system."""

    @field_validator("language")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_language(value)

    @field_validator("scale")
    @classmethod
    def _consecutive(cls, value: dict[int, str]) -> dict[int, str]:
        points = sorted(value)
        if len(points) < 2 or points != list(range(points[0], points[-1] + 1)):
            found = ", ".join(map(str, points)) or "none"
            raise ValueError(f"expected two or more consecutive integers, got {found}; give every score a meaning")
        return {point: value[point] for point in points}

    @field_validator("system", "prompt", "label_prompt")
    @classmethod
    def _placeholders(cls, value: str | None, info: Any) -> str | None:
        if value is None:
            return None
        found = _PLACEHOLDER.findall(value)
        unknown = sorted(set(found) - {"document", *_FILLED})
        if unknown:
            raise ValueError(
                f"unknown placeholder {{{unknown[0]}}}; known: {{document}}, {{task}}, {{scale}}, {{language}}"
            )
        times = found.count("document")
        if info.field_name == "system" and times:
            raise ValueError("expected no {document}, got one; the user message holds it")
        if info.field_name != "system" and times != 1:
            raise ValueError(f"expected {{document}} once, got it {times} times; put it where the document goes")
        return value

    @model_validator(mode="after")
    def _on_scale(self) -> "Rubric":
        for i, example in enumerate(self.examples):
            if example.score not in self.scale:
                raise ValueError(
                    f"examples.{i}.score: expected a score of the scale, {self.low} to {self.high}, got {example.score}"
                )
        return self

    @property
    def low(self) -> int:
        """The lowest score."""
        return min(self.scale)

    @property
    def high(self) -> int:
        """The highest score."""
        return max(self.scale)

    @property
    def guideline_version(self) -> str:
        """12 hex digits of what raters see: task, scale, guideline, examples."""
        return _version(self.model_dump(mode="json", include={"task", "scale", "guideline", "examples"}))

    @property
    def prompt_version(self) -> str:
        """12 hex digits of what a judge sees of it, whatever the document; the patterns are no part of it."""
        asked = {name: self._ask(getattr(self, name) or "", {}) for name in ("system", "prompt", "label_prompt")}
        cut = self.model_dump(mode="json", include={"truncate", "collapse_whitespace"})
        return _version({**asked, **cut, "system_sent": self.system is not None})

    def scale_text(self) -> str:
        """The scale as lines of `score: meaning`, lowest first."""
        return "\n".join(f"{point}: {' '.join(meaning.split())}" for point, meaning in self.scale.items())

    def labels(self) -> dict[str, int]:
        """One-character label -> score, for the expected score.

        Raises:
            RecipeError: no label_prompt, or a score that takes more than one character.
        """
        if self.label_prompt is None:
            raise RecipeError(
                f"rubric {self.name}: label_prompt: none, and the expected score needs one that asks for the number "
                "alone; write it, or judge by sampled answers"
            )
        long = [point for point in self.scale if len(str(point)) > 1]
        if long:
            raise RecipeError(
                f"rubric {self.name}: scale: the expected score is read from one token, so it needs scores of one "
                f"character, got {long[0]}; use a scale within 0 to 9, or judge by sampled answers"
            )
        return {str(point): point for point in self.scale}

    def messages(self, text: str, language: str, kind: Kind) -> list[dict[str, str]]:
        """The chat that asks for a document's score: role and content of each message.

        Args:
            text: the document; what no server takes (NUL, lone surrogates) becomes U+FFFD.
            language: its code; of one that jql does not know, the code stands for the name.
            kind: sampled sends `prompt`, expected `label_prompt`.

        Raises:
            RecipeError: the expected score cannot be asked for; see labels.
        """
        if kind == "expected":
            self.labels()
        template = (self.label_prompt if kind == "expected" else self.prompt) or ""
        known = languages().get(language)
        given = {"document": self.document(text), "language": known.name if known else language}
        chat = [] if self.system is None else [{"role": "system", "content": self._ask(self.system, given)}]
        return [*chat, {"role": "user", "content": self._ask(template, given)}]

    def document(self, text: str) -> str:
        """A document as it stands in the prompt: sendable, white space collapsed, cut."""
        text = _UNSENDABLE.sub("\ufffd", text)
        if self.collapse_whitespace:
            text = " ".join(text.split())
        chars = self.truncate.chars
        if not chars or len(text) <= chars:
            return text
        if self.truncate.keep == "head":
            return text[:chars] + CUT.rstrip()
        return text[: chars - chars // 2] + CUT + text[len(text) - chars // 2 :]

    def _ask(self, template: str, given: dict[str, str]) -> str:
        """A template with what is known filled in, in one pass, so that braces in a document stay as they are."""
        values = {"task": self.task, "scale": self.scale_text(), **given}
        return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)


def rubric_path(path_or_name: str) -> str:
    """The file of a rubric: a path as it is, or where the one of this name lies that comes with jql.

    Raises:
        InputError: no such rubric; lists those that come with jql.
    """
    from jql.engine import storage

    folder = data_dir() / "rubrics"
    shipped = folder / f"{path_or_name}.yaml"
    path = str(shipped) if "/" not in path_or_name and shipped.is_file() else path_or_name
    if Path(path.removeprefix("file://")).is_file() if storage.is_local(path) else storage.exists(path):
        return path
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    raise InputError(f"{path}: no such rubric; those that come with jql: {', '.join(known)}")


def load_rubric(path_or_name: str) -> Rubric:
    """The rubric in a YAML 1.2 file, local or remote, or one that comes with jql, by its name.

    Raises:
        InputError: no such rubric. RecipeError: no YAML, or a value that is not allowed; names the file and the key.
    """
    from jql.engine import storage

    path = rubric_path(path_or_name)
    try:
        return make_rubric(parse_yaml(storage.read_bytes(path).decode("utf-8"), path), path)
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 ({one_line(error)}); save it as text") from None


def make_rubric(data: Any, where: str = "rubric") -> Rubric:
    """The rubric of plain values.

    Raises:
        RecipeError: a value that is not allowed; names the key, what was found and expected.
    """
    if not isinstance(data, dict):
        raise RecipeError(f"{where}: expected a mapping with name, task, scale, prompt, patterns, got {data!r:.60}")
    try:
        return Rubric.model_validate_json(json.dumps(data, default=str))
    except TypeError as error:
        raise RecipeError(f"{where}: {error}; write keys as words, and those of the scale as integers") from None
    except ValidationError as error:
        raise RecipeError(f"{where}: " + "; ".join(dict.fromkeys(_explain(e) for e in error.errors()))) from None


def _version(value: dict[str, Any]) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _explain(error: Any) -> str:
    """One validation error as: key: expected ..., got ...; what to do."""
    *parents, last = [str(p) for p in error["loc"]] or [""]
    path, kind = ".".join([*parents, last]), error["type"]
    if kind == "value_error":
        text = str(error["ctx"]["error"])
        return f"{path}: {text}" if path else text
    if kind in ("missing", "string_too_short", "too_short"):
        return f"{path}: missing; write it"
    if kind == "extra_forbidden":
        inner: dict[str, type[Part]] = {"examples": Example, "truncate": Truncate}
        part = inner.get(parents[0], Rubric) if parents else Rubric
        close = difflib.get_close_matches(last, field_names(part), 1, 0.5)
        return f"{path}: unknown key; " + (
            f"did you mean {close[0]}?" if close else f"known keys: {', '.join(field_names(part))}"
        )
    expected = error["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    found = str(error.get("input"))
    return f"{path}: expected {expected}, got {found if len(found) <= 60 else found[:57] + '...'}"
