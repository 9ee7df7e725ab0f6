"""What a run would keep under other cuts, asked for by a page: one way of computing it, that of the select stage."""

import io
import shlex
import threading
from collections.abc import Mapping
from typing import Any

from jql.engine import storage
from jql.errors import InputError
from jql.recipe import Cut, Select
from jql.report.figures import cut_data
from jql.report.gather import read_run
from jql.report.page import agreement_of, page_data, passages_of, served_html
from jql.select.cuts import Cuts
from jql.select.outlook import Outlook

FRAGMENT = "select.fragment.yaml"
NEW_UNITS = 2
"""Units of documents that are opened for the texts around one cut; a unit takes about half a second."""
DIGITS = 4

Moved = Mapping[str, float]
"""Language, or group that shares a cut -> the quantile that its cut was moved to."""


class Explorer:
    """The cuts of a run folder, to be moved.

    Args:
        folder: of the run.

    Raises:
        InputError: no run has ended in it, or it was not cut by scores. DataError: a file of it cannot be read.
    """

    def __init__(self, folder: str) -> None:
        self.files = read_run(folder)
        cuts = self.files.stored_cuts()
        if cuts is None or self.files.recipe is None or self.files.outlook is None:
            raise InputError(
                f"{folder}: nothing was cut by scores there, so no cut can be moved; see jql report {folder}"
            )
        self.cuts: Cuts = cuts
        self.outlook: Outlook = self.files.outlook
        self.select: Select = self.files.recipe.select
        self.passages = passages_of(self.files)
        self.start = {code: self._start(code) for code in cuts.languages}
        self._lock = threading.Lock()  # the outlook and the texts remember what they were asked

    def html(self) -> str:
        """The page."""
        agreement = agreement_of(self.files)
        data = page_data(self.files, agreement, self.passages)
        moves = {code: q for code, q in self.start.items() if q is not None and code in data["languages"]}
        return served_html(self.files, {**data, "start": moves}, agreement)

    def _start(self, code: str) -> float | None:
        """The quantile that a language's cut stands at; about that, where scores were given; None where it has none."""
        cut = self.cuts.languages[code]
        if cut.values is None or cut.of not in self.cuts.histograms.counts:
            return None
        if cut.quantile is not None:
            return cut.quantile
        counts_HB, bins = self.cuts.histograms.counts[cut.of][0], self.cuts.histograms.bins
        below = [
            float(counts_B[:at].sum() / max(1, counts_B.sum()))
            for counts_B, at in zip(counts_HB, bins.of(cut.values), strict=True)
        ]
        return min(0.999, sum(below) / len(below))

    def wish(self, moved: Moved) -> Select:
        """What the recipe would ask for.

        Raises:
            InputError: a cut is moved that there is not.
        """
        ofs = {self.cuts.languages[code].of: quantile for code, quantile in self.start.items() if quantile is not None}
        if unknown := [of for of in moved if of not in ofs]:
            raise InputError(f"{unknown[0]!r:.80}: no language or group of this run has such a cut")
        cuts = dict(self.select.languages)
        if moved and (self.select.mixture is not None or self.select.cuts is not None):
            # A mixture's cuts hang on one another: what is not moved stays where it is.
            cuts = {of: Cut(quantile=round(quantile, DIGITS)) for of, quantile in ofs.items()}
        cuts |= {of: Cut(quantile=round(quantile, DIGITS)) for of, quantile in moved.items()}
        instead = {"mixture": None, "cuts": None} if moved else {}
        return self.select.model_copy(update={"languages": cuts, **instead})

    def yields(self, moved: Moved) -> dict[str, Any]:
        """What would be kept: `predicted` as in summary.json, `cuts` by language as the page shows them, `fragment`.

        Raises:
            InputError: see wish. RecipeError: see Outlook.cuts.
        """
        wish = self.wish(moved)
        with self._lock:
            cuts = self.outlook.cuts(wish)
            predicted = self.outlook.predict(wish, cuts)
        shown = {code: cut_data(cuts, code) for code in cuts.languages}
        return {"predicted": predicted, "cuts": shown, "fragment": self.fragment(moved)}

    def around(self, moved: Moved, code: str) -> list[dict[str, Any]]:
        """Documents of a language on both sides of its cut.

        Raises:
            InputError: see wish. DataError: the documents cannot be read.
        """
        if self.passages is None:
            return []
        wish = self.wish(moved)
        with self._lock:
            cuts = self.outlook.cuts(wish)
            return self.passages.show(cuts, self.outlook.kept(wish, cuts), [code], NEW_UNITS).get(code, [])

    def fragment(self, moved: Moved) -> str:
        """The part of a recipe that asks for these cuts, as YAML, and the command that decides by it."""
        from ruamel.yaml import YAML

        wish = self.wish(moved)
        languages = {of: cut.model_dump(exclude_none=True) for of, cut in sorted(wish.languages.items())}
        instead = {name: None for name in ("mixture", "cuts") if moved and getattr(self.select, name) is not None}
        out = io.StringIO()
        yaml = YAML(typ="safe", pure=True)
        yaml.default_flow_style = False
        yaml.dump({"select": {**instead, "languages": languages}}, out)
        inline = ", ".join(f"{of}: {{{name}: {value}}}" for of, cut in languages.items() for name, value in cut.items())
        values = [f"select.languages={{{inline}}}", *(f"select.{name}=null" for name in instead)]
        return f"# jql select {shlex.join([self.files.folder, *values])}\n{out.getvalue()}"

    def write(self, moved: Moved) -> dict[str, str]:
        """Write the fragment to RUN/select.fragment.yaml; one that is there is replaced.

        Raises:
            OutputError: it cannot be written.
        """
        text = self.fragment(moved)
        path = storage.join(self.files.folder, FRAGMENT)
        storage.put(path, text.encode())
        return {"path": path, "fragment": text}
