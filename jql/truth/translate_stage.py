"""The stage that asks a model for documents in one language. Each answer is written down as it arrives.

A unit killed half-way finds its answers in its journal and asks only for the rest.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from jql.crawl.language import LanguageIdentifier, load_identifier
from jql.engine import storage
from jql.engine.plan import Unit
from jql.engine.stage import Guard, Output, Stage
from jql.llm.endpoint import Endpoint, Sampling
from jql.llm.once import ask_once
from jql.llm.spending import Spending
from jql.schema import REPLY, TRUTH
from jql.truth.translation import Checked, check_answer, messages_of

VERSION = 1
UNIT_DOCUMENTS = 200
NOT_ASKED = ("same_language", "no_text")
"""Reasons of documents for which the model was not asked."""

ORIGINAL = pa.schema([TRUTH.field(name) for name in ("id", "source", "language", "text")])
TRANSLATION = pa.schema([*ORIGINAL, ("translator", pa.string())])
"""What the stage keeps. Scores come from the originals at the end, so that they are always those of now."""


@functools.cache
def _identifier() -> LanguageIdentifier:
    return load_identifier("default")  # takes a second, and one process may work for many languages


class TranslateWorker:
    """Asks a model for the documents of a unit in one language."""

    def __init__(
        self,
        code: str,
        originals: str,
        endpoint: dict[str, Any],
        sampling: dict[str, Any],
        translator: str,
        spent: str,
        budget_tokens: int | None,
    ) -> None:
        self.code, self.translator = code, translator
        self.originals = storage.read_table(originals)
        self.endpoint, self.sampling = Endpoint(**endpoint), Sampling(**sampling)
        self.spending = Spending(spent, budget_tokens, None, 0.0, 0.0, "translate")
        self.identify = _identifier().identify

    def __call__(self, unit: Unit, guard: Guard) -> Output:
        """TRANSLATION rows and, as `replies`, REPLY rows, in the order of the documents."""
        start, stop = unit.payload["rows"]
        rows = self.originals.slice(start, stop - start).to_pylist()
        drops: Counter[str] = Counter()
        asked: dict[str, dict[str, Any]] = {}
        for number in guard.rows(len(rows)):
            reason = guard.poison.get(number) or self._why_not(rows[number])
            if reason:
                drops[reason] += 1
            else:
                asked[f"{rows[number]['source']}/{self.code}"] = rows[number]
        requests = {id: messages_of(row["text"], self.code) for id, row in asked.items()}
        replied = ask_once(self.endpoint, self.sampling, requests, guard.keep(), self.spending, guard.arm)
        found = {id: replied[id][0] for id in asked}
        guard.arm()
        kept, notes = [], Counter[str]()
        for id, row in asked.items():
            checked = self._check(found[id], row)
            if checked.reason:
                drops[checked.reason] += 1
                continue
            if checked.note:
                notes[checked.note] += 1
            texts = {"id": id, "source": row["source"], "language": self.code, "text": checked.text}
            kept.append({**texts, "translator": self.translator})
        replies = [found[id] for id in asked]
        tables: dict[str, tuple[pa.Schema, Iterable[pa.Table]]] = {
            "": (TRANSLATION, [pa.Table.from_pylist(kept, TRANSLATION)]),
            "replies": (REPLY, [pa.Table.from_pylist(replies, REPLY)]),
        }
        stats = {name: sum(reply[name] or 0 for reply in replies) for name in ("tokens_in", "tokens_out", "seconds")}
        return Output(tables, len(rows), drops, {**stats, "notes": dict(notes)})

    def _why_not(self, row: dict[str, Any]) -> str | None:
        if not row["text"].strip():
            return "no_text"
        return "same_language" if row["language"] == self.code else None

    def _check(self, reply: dict[str, Any], row: dict[str, Any]) -> Checked:
        if reply["error"]:
            return Checked(None, f"no_answer:{reply['error']}")
        return check_answer(reply["text"], reply["finish"], row["text"], row["language"], self.code, self.identify)


def translate_stage(code: str, config: dict[str, Any], identity: str, settings: dict[str, Any]) -> Stage:
    """The stage of one language.

    Args:
        config: model, revision, instruction and sampling. identity: of the originals. settings: of the worker.
    """
    return Stage(
        name=f"translate/{code}",
        version=VERSION,
        config=config,
        inputs={"truth": identity},
        factory=TranslateWorker,
        settings={"code": code, **settings},
        law="many",
        crash="translate_crash",
        again=False,  # a second attempt would be paid for twice
    )


def translate_units(truth: str, rows: list[dict[str, Any]]) -> Iterator[Unit]:
    """Originals in their order, UNIT_DOCUMENTS of them a unit."""
    for index, start in enumerate(range(0, len(rows), UNIT_DOCUMENTS)):
        stop = min(start + UNIT_DOCUMENTS, len(rows))
        weight = sum(len(row["text"]) for row in rows[start:stop])
        yield Unit(index, f"{truth}[{start}:{stop}]", weight, {"rows": [start, stop]})
