"""Reading a score from a model's answer: from its text, or from the probabilities of its first token.

A reading needs the raw reply and the rubric and nothing else, so that replies are kept and can be read again. A score
is read where the reply states one and is never guessed.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jql.errors import DataError
from jql.judge.statements import Statement, given, number_of, points_named, stated, statement_of
from jql.rubric import Rubric

KINDS: dict[str, str] = {
    "ok": "a score of the scale",
    "empty": "no text",
    "no_score": "text without a score",
    "out_of_range": "a score that the scale does not have, or one of another scale: 7, 3/10",
    "between": "a score between two of the scale: 2.5",
    "ambiguous": "two scores, a range, a bound, or points of parts without their total: 2 or 3, at most 1",
    "cut_off": "ended by the limit on its length, before a score",
    "refusal": "says that it cannot judge, or asks for the document; told in English only",
    "low_mass": "the first token is most likely no label",
    "no_labels": "no label among the most probable first tokens",
}
"""How an answer was read, and what that means; only `ok` has a score."""

LOW_MASS = 0.5
"""Below this the model more likely begins with something else than a label, so the labels are not its answer."""


@dataclass(frozen=True)
class Parsed:
    """A sampled answer as it was read; `score` is None exactly where `kind` is not ok."""

    score: float | None
    kind: str


@dataclass(frozen=True)
class Expected:
    """An answer as it was read from the probabilities of its first token.

    Attributes:
        score: mean of the label distribution; None exactly where `kind` is not ok.
        spread: its standard deviation; None with the score.
        mass: probability that falls on labels, in [0, 1].
    """

    score: float | None
    spread: float | None
    mass: float
    kind: str


_HEADER = re.compile(
    r"<\|(?:start_header_id|im_start|start_of_role)\|>\s*assistant|<\|assistant\|>|<start_of_turn>model"
)
_TOKEN = re.compile(r"<\|[^<>|\s]{1,40}\|>|</?s>|<(?:start|end)_of_turn>|\[/?INST\]")
_EDGES = " \t\r\n▁ĠĊ"  # white space, and how SentencePiece and byte-level vocabularies write it
_REFUSAL = re.compile(
    r"(?:\bcan(?:not|['’]t| not)|\bunable to|\bnot able to)(?: \w+)?"
    r" (?:evaluate|assess|judge|score|rate|provide|offer|give|assign|verify|see|help|assist|comply)\b"
    r"|\bplease (?:provide|paste|share|send)\b"
    r"|\b(?:no|without an?) (?:extract|text|content|document) (?:\w+ )?(?:provided|given)\b"
    r"|\b(?:haven['’]t|have not|didn['’]t|did not)(?: \w+)? (?:includ|provid|shar)e",
    re.IGNORECASE,
)


def parse_reply(text: str | None, finish: str | None, rubric: Rubric) -> Parsed:
    """The score that a reply states.

    The rubric's patterns come first: the last place of the first pattern that is found counts. Where none is, a score
    in other words is read if all statements of it agree, and points given ("award 2 points") if no others are named.

    Args:
        text: the raw reply, with chat headers and reasoning in <think> as they came; None for none.
        finish: why it ended: stop, length, content_filter; None where that is not known.
    """
    answer = answer_of(text or "")
    found = _asked_for(answer, rubric) or _agreed(stated(answer), rubric) or _points(answer, rubric)
    if found:
        return found
    if finish == "length":
        return Parsed(None, "cut_off")
    if finish == "content_filter" or _REFUSAL.search(answer):
        return Parsed(None, "refusal")
    return Parsed(None, "no_score" if answer else "empty")


def answer_of(text: str) -> str:
    """A reply without chat headers, special tokens and reasoning; its last turn where a model went on by itself."""
    text = _HEADER.split(text)[-1]
    if "<think>" in text or "</think>" in text:
        _, closed, text = text.rpartition("</think>")
        text = text if closed else ""
    return _TOKEN.sub("", text).strip()


def expected_score(labels: Sequence[tuple[str, float]], rubric: Rubric) -> Expected:
    """Mean and standard deviation of the scale's labels, by their share of the probability that falls on labels.

    Args:
        labels: most probable first tokens with their natural log-probability; a label may come in several spellings
            (with a space, say), which are summed.

    Raises:
        RecipeError: the rubric has no label prompt, or scores of more than one character.
    """
    known = rubric.labels()
    logs: dict[int, list[float]] = {}
    for token, log in labels:
        score = known.get(token.strip(_EDGES))
        if score is not None and math.isfinite(log):
            logs.setdefault(score, []).append(log)
    if not logs:
        return Expected(None, None, 0.0, "no_labels")
    # Relative to the most probable label, so that very small probabilities do not vanish.
    best = max(max(values) for values in logs.values())
    weights = {score: math.fsum(math.exp(log - best) for log in values) for score, values in logs.items()}
    total = math.fsum(weights.values())
    mass = min(1.0, total * math.exp(min(0.0, best)))
    if mass < LOW_MASS:
        return Expected(None, None, mass, "low_mass")
    mean = math.fsum(score * weight for score, weight in weights.items()) / total
    variance = math.fsum((score - mean) ** 2 * weight for score, weight in weights.items()) / total
    return Expected(min(max(mean, rubric.low), rubric.high), math.sqrt(variance), mass, "ok")


def count_kinds(kinds: Iterable[str]) -> dict[str, int]:
    """How many answers were read as each kind, in the order of KINDS; kinds that do not occur are left out."""
    found = Counter(kinds)
    return {kind: found[kind] for kind in [*KINDS, *sorted(found.keys() - KINDS.keys())] if found[kind]}


def invalid_share(kinds: Mapping[str, int]) -> float:
    """Share of answers without a score, in [0, 1], of how many were read as each kind.

    Raises:
        DataError: there are no answers, so there is no share.
    """
    answers = sum(kinds.values())
    if not answers:
        raise DataError("answers: found none, expected at least one; check that documents were asked about")
    return (answers - kinds.get("ok", 0)) / answers


def _asked_for(answer: str, rubric: Rubric) -> Parsed | None:
    for pattern in rubric.patterns:
        places = list(re.finditer(pattern, answer))
        value = number_of(places[-1][1]) if places else None
        if value is not None:
            return _on_scale(statement_of(value, "", answer[places[-1].end(1) :]), rubric)
    return None


def _points(answer: str, rubric: Rubric) -> Parsed | None:
    found = _agreed(given(answer), rubric)
    if found and found.kind == "ok" and not points_named(answer) <= {found.score}:
        return Parsed(None, "ambiguous")
    return found


def _agreed(statements: set[Statement], rubric: Rubric) -> Parsed | None:
    readings = {_on_scale(statement, rubric) for statement in statements}
    if not readings:
        return None
    return readings.pop() if len(readings) == 1 else Parsed(None, "ambiguous")


def _on_scale(statement: Statement, rubric: Rubric) -> Parsed:
    if not statement.exact:
        return Parsed(None, "ambiguous")
    if statement.top not in (None, rubric.high) or not rubric.low <= statement.value <= rubric.high:
        return Parsed(None, "out_of_range")
    return Parsed(statement.value, "ok") if statement.value.is_integer() else Parsed(None, "between")
