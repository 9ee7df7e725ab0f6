"""What a rater sees and does: the rubric, the next document, progress. No score, of whomever, is ever sent back."""

from typing import Any

from jql.errors import InputError
from jql.rubric import Rubric
from jql.truth.label.folder import Folder, page_language, same_name
from jql.truth.label.store import Event, Store

SKIP_REASONS = {
    "wrong_language": "Wrong language",
    "not_readable": "Not readable",
    "cannot_judge": "I cannot judge this",
    "offensive": "Offensive, I would rather not",
    "other": "Other…",
}
"""Reason as stored -> as the page says it; `other` is stored with the rater's own words after a colon."""
NOTE_LIMIT = 1000


def score_keys(scale: dict[int, str]) -> dict[int, str]:
    """Score -> its key: the digit itself where all scores are digits, else 1 to 9 and 0 by place; none after ten."""
    if all(0 <= score <= 9 for score in scale):
        return {score: str(score) for score in scale}
    return {score: key for score, key in zip(sorted(scale), "1234567890", strict=False)}


def rubric_page(rubric: Rubric) -> dict[str, Any]:
    """The rubric as the pages show it."""
    keys = score_keys(rubric.scale)
    return {
        "name": rubric.name,
        "task": rubric.task,
        "scale": [{"score": s, "key": keys.get(s, ""), "meaning": m} for s, m in sorted(rubric.scale.items())],
        "guideline": rubric.guideline,
        "examples": [{"text": e.text, "score": e.score, "why": e.why} for e in rubric.examples],
        **{key: value for key, value in page_language(rubric.language).items() if key != "language"},
    }


def plain(text: str) -> str:
    """A note on one line, as UTF-8 can hold it and people can read it; at most 1,000 characters."""
    text = text.encode("utf-8", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:NOTE_LIMIT]


class RatingView:
    """The rating view of a run folder; with `only`, it serves this rater and nobody else."""

    def __init__(self, folder: Folder, store: Store, only: str | None = None) -> None:
        self.folder, self.store = folder, store
        self.version = folder.rubric.guideline_version
        self.only: str | None = None
        if only is not None:
            self.only = self.rater(only)

    def start(self) -> dict[str, Any]:
        """What a page needs once: the rubric, the names to choose from, the reasons to skip."""
        return {
            "rubric": rubric_page(self.folder.rubric),
            "raters": [self.only] if self.only else self._names(),
            "only": self.only,
            "open": not self.folder.orders and not self.only,
            "reasons": [{"reason": reason, "label": label} for reason, label in SKIP_REASONS.items()],
        }

    def rater(self, name: str) -> str:
        """The name of a rater who may rate here.

        Raises:
            InputError: no name, or one that nothing is assigned to.
        """
        name = same_name(name, self._names())
        if self.only not in (None, name):
            raise InputError(
                f"rater: this page was started for {self.only}, not for {name}; start jql label without --rater"
            )
        if self.folder.orders and name not in self.folder.orders:
            known = ", ".join(sorted(self.folder.orders))
            raise InputError(f"rater: nothing is assigned to {name}; assigned are {known}. Ask who made the sample")
        return name

    def state(self, name: str) -> dict[str, Any]:
        """Where a rater stands: the next document, or none, and progress; `after` goes with what they send next."""
        rater = self.rater(name)
        after = self.store.ratings.last(rater)  # read first: one too old is refused later, one too new would not be
        order = self.folder.order(rater)
        standing = {event.id: event for event in self.store.ratings.standing(rater)}
        done = [standing[id] for id in order if id in standing]
        pilot = [id for id in order if self.folder.documents[id].pilot]
        return {
            "rater": rater,
            "after": after,
            "document": next((self._page(id) for id in order if id not in standing), None),
            "progress": {
                "done": len(done),
                "total": len(order),
                "skipped": sum(event.kind == "skipped" for event in done),
                "older": sum(event.kind == "rated" and event.guideline != self.version for event in done),
                "pilot_done": sum(id in standing for id in pilot),
                "pilot_total": len(pilot),
            },
        }

    def rate(self, name: str, id: str, score: int, seconds: float, after: int) -> dict[str, Any]:
        """Store a score and go on.

        Raises:
            InputError: not on the scale, or not this rater's document. StaleError: see Log.append.
        """
        scale = self.folder.rubric.scale
        if score not in scale:
            raise InputError(f"score: expected {min(scale)} to {max(scale)}, got {score}")
        return self._add(Event(self.rater(name), id, "rated", score, None, seconds, self.version), after)

    def skip(self, name: str, id: str, reason: str, note: str, seconds: float, after: int) -> dict[str, Any]:
        """Store why a document gets no score and go on.

        Raises:
            InputError: no such reason, or `other` without words. StaleError: see Log.append.
        """
        note = plain(note)
        if reason not in SKIP_REASONS or (reason == "other" and not note):
            known = ", ".join(SKIP_REASONS)
            raise InputError(f"reason: expected one of {known}, the last with words of your own, got {reason!r:.60}")
        why = f"other: {note}" if reason == "other" else reason
        return self._add(Event(self.rater(name), id, "skipped", None, why, seconds, self.version), after)

    def undo(self, name: str, after: int) -> dict[str, Any]:
        """Take back the rater's last score or skip, and go back to that document.

        Raises:
            InputError: nothing is left to take back. StaleError: see Log.append.
        """
        rater = self.rater(name)
        self.store.ratings.undo(rater, after, set(self.folder.order(rater)), self.version)
        return self.state(rater)

    def _add(self, event: Event, after: int) -> dict[str, Any]:
        if event.id not in self.folder.order(event.rater):
            raise InputError(f"id: document {event.id!r:.80} is not one that {event.rater} was given")
        self.store.ratings.append(event, after)
        return self.state(event.rater)

    def _names(self) -> list[str]:
        if self.folder.orders:
            return sorted(self.folder.orders)
        return sorted({event.rater for event in self.store.ratings.standing()})

    def _page(self, id: str) -> dict[str, Any]:
        document = self.folder.documents[id]
        return {"id": id, "text": document.text, "pilot": document.pilot, **page_language(document.language)}
