"""What the adjudicator sees and does: documents that raters disagree on, without who said what, and a final score."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from jql.errors import InputError
from jql.truth.label.folder import Folder, page_language
from jql.truth.label.rating import plain, rubric_page
from jql.truth.label.store import ADJUDICATOR, Event, Store


def has_majority(scores: Sequence[int]) -> bool:
    """Whether more than half of the scores are the same."""
    return bool(scores) and 2 * max(Counter(scores).values()) > len(scores)


def disputed(scores: Sequence[int], spread: int, majority: bool) -> bool:
    """Whether scores lie `spread` or more apart, or, where a majority is asked for, have none."""
    if len(scores) < 2:
        return False
    return max(scores) - min(scores) >= spread or (majority and not has_majority(scores))


class AdjudicationView:
    """The adjudicator's view of a run folder."""

    def __init__(self, folder: Folder, store: Store) -> None:
        self.folder, self.store = folder, store
        self.version = folder.rubric.guideline_version

    def start(self) -> dict[str, Any]:
        """What a page needs once."""
        return {"rubric": rubric_page(self.folder.rubric)}

    def disputes(self, spread: int, majority: bool) -> dict[str, Any]:
        """Disputed documents, the widest spread first, with their scores and reasons to skip, each sorted."""
        after = self.store.adjudications.last(ADJUDICATOR)
        final = {event.id: event for event in self.store.adjudications.standing()}
        scores: defaultdict[str, list[int]] = defaultdict(list)
        skips: defaultdict[str, list[str]] = defaultdict(list)
        for event in self.store.ratings.standing():
            if event.score is not None:
                scores[event.id].append(event.score)
            else:
                skips[event.id].append(event.reason or "")
        found = [id for id in self.folder.documents if disputed(scores[id], spread, majority)]
        found.sort(key=lambda id: min(scores[id]) - max(scores[id]))
        return {
            "after": after,
            "rated": sum(len(of_document) > 1 for of_document in scores.values()),
            "documents": [
                {
                    "id": id,
                    "language": page_language(self.folder.documents[id].language)["language"],
                    "scores": sorted(scores[id]),
                    "skips": sorted(skips[id]),
                    "final": final[id].score if id in final else None,
                    "note": (final[id].reason or "") if id in final else "",
                }
                for id in found
            ],
        }

    def document(self, id: str) -> dict[str, Any]:
        """The text of a document.

        Raises:
            InputError: there is none of this id.
        """
        document = self.folder.documents.get(id)
        if document is None:
            raise InputError(f"id: no document {id!r:.80}")
        return {"id": id, "text": document.text, **page_language(document.language)}

    def decide(self, id: str, score: int, note: str, seconds: float, after: int) -> dict[str, Any]:
        """Store the final score of a document; one decided before is decided anew.

        Raises:
            InputError: no such document, or not on the scale. StaleError: see Log.append.
        """
        self.document(id)
        scale = self.folder.rubric.scale
        if score not in scale:
            raise InputError(f"score: expected {min(scale)} to {max(scale)}, got {score}")
        event = Event(ADJUDICATOR, id, "rated", score, plain(note) or None, seconds, self.version)
        self.store.adjudications.append(event, after)
        return {"id": id}

    def undo(self, after: int) -> dict[str, Any]:
        """Take back the last final score; its document has none then, even if it was decided twice.

        Raises:
            InputError: nothing is left to take back. StaleError: see Log.append.
        """
        return {"id": self.store.adjudications.undo(ADJUDICATOR, after, self.folder.documents, self.version)}
