"""What a run folder holds for a person to look at: read once, nothing computed again, and absent where it is absent."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jql.annotator.annotator import find_annotator, revision
from jql.engine import storage
from jql.errors import DataError, InputError, one_line
from jql.recipe import Recipe, make_recipe, parse_yaml
from jql.select.cuts import Cuts, LanguageCut
from jql.select.outlook import HISTOGRAMS, SAMPLE, Outlook

QUARANTINED = 50
"""Units that are listed with what went wrong; of more, their number is told."""


@dataclass(frozen=True)
class Failures:
    """What went wrong in the last run of each stage.

    Attributes:
        missing: stage -> units without a result. units: the first of them, with their stage, source and error.
        repeated: stage -> attempts at units that failed; what succeeded later is not missing.
    """

    missing: dict[str, int] = field(default_factory=dict)
    units: list[dict[str, str]] = field(default_factory=list)
    repeated: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RunFiles:
    """The files of a run folder; None for one that is not there.

    Attributes:
        outlook: histograms and joint sample. kept: bool (N,), which documents of the sample the run keeps.
        cuts: cuts.json as it stands. about: annotator.json of what scored the run. ranking: rank.json.
        comparison: compare.json. sweep: sweep.json. ablation: ablation.json. log: lines of run.log since the last
            start. notes: what is not at hand, and why.
    """

    folder: str
    summary: dict[str, Any]
    recipe: Recipe | None = None
    cuts: dict[str, Any] | None = None
    outlook: Outlook | None = None
    kept: np.ndarray | None = None
    ranking: dict[str, Any] | None = None
    comparison: dict[str, Any] | None = None
    sweep: dict[str, Any] | None = None
    ablation: dict[str, Any] | None = None
    about: dict[str, Any] | None = None
    manifest: dict[str, Any] | None = None
    failures: Failures = field(default_factory=Failures)
    log: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def stored_cuts(self) -> Cuts | None:
        """The cuts of cuts.json with the histograms they were made from; None where nothing was cut by scores."""
        if self.cuts is None or self.outlook is None:
            return None
        heads = list(self.cuts["heads"])
        shared: dict[str, list[str]] = {}
        languages = {}
        for code, entry in self.cuts["languages"].items():
            if entry["of"] != code:
                shared.setdefault(entry["of"], []).append(code)
            values = None if entry["cuts"] is None else np.array([entry["cuts"][head] for head in heads], np.float64)
            note = entry.get("note") or ""
            languages[code] = LanguageCut(
                entry["of"], entry["by"], entry["quantile"], values, entry["rank_error"] or 0.0, note
            )
        histograms = self.outlook.histograms.only(heads, shared)
        return Cuts(heads, self.cuts["rule"], self.cuts["quantile"], languages, histograms, self.outlook.annotator)


def read_run(folder: str) -> RunFiles:
    """The files of a run folder.

    Raises:
        InputError: no such folder, or no run has ended in it. DataError: a file of it cannot be read.
    """
    if not storage.exists(storage.join(folder, "summary.json")):
        there = storage.exists(storage.join(folder, "recipe.yaml"))
        what = "the run has not ended yet; start it again with jql run" if there else "no run folder"
        raise InputError(f"{folder}: no summary.json: {what} (jql run RECIPE output={folder})")
    summary = _json(folder, "summary.json") or {}
    if not isinstance(summary.get("languages"), dict) or not isinstance(summary.get("total"), dict):
        raise DataError(f"{folder}/summary.json: no total or languages in it; run the last stage again")
    recipe, cuts = _recipe(folder), _json(folder, "cuts.json")
    notes: list[str] = []
    about = _annotator(folder, recipe, cuts, notes)
    outlook, kept = _outlook(folder)
    log = _log(folder)
    target = (recipe.export.path if recipe else None) or storage.join(folder, "dataset")
    return RunFiles(
        folder=folder,
        summary=summary,
        recipe=recipe,
        cuts=cuts,
        outlook=outlook,
        kept=kept,
        ranking=_json(folder, "rank.json"),
        comparison=_json(folder, "compare.json"),
        sweep=_json(folder, "sweep.json"),
        ablation=_json(folder, "ablation.json"),
        about=about,
        manifest=_json(target, "manifest.json") if "export" in summary.get("stages", {}) else None,
        failures=_failures(folder, log),
        log=log,
        notes=notes,
    )


def _json(folder: str, name: str) -> dict[str, Any] | None:
    path = storage.join(folder, name)
    if not storage.exists(path):
        return None
    try:
        found = json.loads(storage.read_bytes(path))
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({one_line(error)}); run the stage that writes it again") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: expected an object, got {type(found).__name__}; run the stage that writes it again")
    return found


def _outlook(folder: str) -> tuple[Outlook | None, np.ndarray | None]:
    """Histograms and sample, and what the run keeps of the sample; None where the run has no scores."""
    paths = [storage.join(folder, name) for name in (HISTOGRAMS, SAMPLE)]
    if not all(storage.exists(path) for path in paths):
        return None, None
    try:
        kept = storage.read_table(paths[1], ["kept"]).column("kept").to_numpy(zero_copy_only=False)
        return Outlook.of_run(folder), kept.astype(bool)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        what = f"{' or '.join(paths)}: cannot be read ({type(error).__name__}: {one_line(error)})"
        raise DataError(f"{what}; run jql select {folder} again") from error


def _recipe(folder: str) -> Recipe | None:
    path = storage.join(folder, "recipe.yaml")
    if not storage.exists(path):
        return None
    data = parse_yaml(storage.read_bytes(path).decode(), path)
    return make_recipe({**data, "output": folder}, where=path)


def _annotator(
    folder: str, recipe: Recipe | None, cuts: dict[str, Any] | None, notes: list[str]
) -> dict[str, Any] | None:
    """annotator.json of what scored the run; None where nothing was scored, or it is not at hand."""
    if recipe is None or "annotate" not in recipe.stages:
        return None
    name = recipe.annotate.annotator
    try:
        where = Path(storage.join(folder, "annotator")) if name == "trained" else find_annotator(name)
        about: dict[str, Any] = json.loads((where / "annotator.json").read_text(encoding="utf-8"))
        used = (cuts or {}).get("annotator", {}).get("revision")
        if used and used != revision(where):
            notes.append(f"annotator {name}: it has changed since this run (was revision {used})")
    except (OSError, ValueError, InputError) as error:
        notes.append(f"annotator {name}: not at hand ({one_line(error)})")
        return None
    return about


def _log(folder: str) -> list[dict[str, Any]]:
    """The lines of run.log since the last start; a line that was cut off is left out."""
    path = storage.join(folder, "run.log")
    if not storage.exists(path):
        return []
    lines: list[dict[str, Any]] = []
    for line in storage.read_bytes(path).decode(errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        lines = [event] if event.get("event") == "start" else [*lines, event] if event.get("event") else lines
    return lines


def _failures(folder: str, log: list[dict[str, Any]]) -> Failures:
    """What the log's stages say is missing, and their quarantined units, which lie in their folders."""
    found = Failures()
    for line in log:
        stage = str(line.get("stage", ""))
        if line["event"] == "unit" and line.get("error"):
            found.repeated[stage] = found.repeated.get(stage, 0) + 1
        elif line["event"] == "stage_end" and line.get("missing"):
            found.missing[stage] = int(line["missing"])
        elif line["event"] == "stage":  # its folder may have moved with the run, so only its name counts
            place = storage.join(folder, stage, str(line["folder"]).rstrip("/").rsplit("/", 1)[-1], "quarantine")
            for name in storage.find(place)[: QUARANTINED - len(found.units)]:
                record = json.loads(storage.read_bytes(storage.join(place, name)))
                found.units.append({"stage": stage, "source": record["source"], "error": record["error"]})
    return found
