"""What lies beside the exported files: manifest.json for machines, README.md (a data set card) for people."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jql.engine import storage
from jql.select.front_matter import front_matter

PENDING = ".jql-export.json"
"""In an export that is being written: the names that its files may have."""
COPIES = ("duplicate", "duplicate_id")
ORDERS = {"input": "in the order of the input", "shuffled": "shuffled by seed {seed}", "sorted": "best first"}


def card_text(manifest: dict[str, Any], schema: pa.Schema | None = None) -> str:
    """README.md of the export; `schema` of its rows, None where there are none."""
    summary, recipe = manifest["summary"], manifest["recipe"]
    select, export = recipe["select"], recipe["export"]
    total, exported = summary["total"], manifest["export"]
    rows = sum(entry["documents"] for entry in exported.values())
    order = ORDERS[export["order"]].format(seed=recipe["seed"])
    copies = f"{rows:,} rows, as documents are repeated; " if rows != total["kept"] else ""
    parts = [
        front_matter(manifest["name"], export["licence"], exported, schema),
        f"# {manifest['name']}",
        f"{total['kept']:,} of {total['documents']:,} documents ({_share(total['kept'], total['documents'])} removed) "
        f"in {sum(bool(e['files']) for e in exported.values())} languages, selected per language with jql "
        f"{manifest['jql']}.",
        f"""- Selection: {_wish(select)}; copy of near-duplicates: `{select["copy"]}`.
- Annotator: {manifest["annotator"] or "none"}.
- Files: {copies}{order}, by language; one configuration each, and `default` with all.
- Run `{manifest["fingerprints"]["export"][:16]}`; inputs, fingerprints and every count are in `manifest.json`.""",
        "## Documents",
        _funnel(manifest),
        table(["dropped because", "documents"], summary["dropped"].items()),
        _removed(exported),
        _mixture(summary.get("mixture") or {}),
        _rehydrated(summary.get("rehydrate") or {}),
        "## Rows",
        "Each traces to its source: `source` and `source_row` (from 0), and where the input says so `url`, `file_path` "
        "and `warc_offset`. `rank` is the mean over the heads of the document's rank in its language, in [0, 1]; "
        "`repeats` how often it should be seen, by the size of its near-duplicate cluster; `weight`, their product, is "
        "for a sampler to draw by.",
        "## Known limits",
        "\n".join(f"- {limit}" for limit in _limits(manifest)),
        "## Licence",
        _licence(recipe),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table, numbers and shares to the right; nothing without rows."""
    found = [list(row) for row in rows]
    if not found:
        return ""
    rule = ["--:" if isinstance(cell, int) or str(cell).endswith("%") else "---" for cell in found[0]]
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in found]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(names), rule, *cells])


def _share(kept: int, documents: int) -> str:
    return f"{1 - kept / max(1, documents):.1%}"


def _wish(select: dict[str, Any]) -> str:
    """What was asked for, in words."""
    if select["by"] == "heuristics":
        found = "what the heuristics keep"
    elif select.get("cuts"):
        found = "the cuts of another run"
    elif mixture := select.get("mixture"):
        found = f"best first, for a mixture of {mixture['tokens']:,} tokens"
    else:
        own = f" (another for {', '.join(select['languages'])})" if select.get("languages") else ""
        found = f"each head's cut at quantile {select['quantile']} of its language{own}"
    if select["by"] != "heuristics":
        found += f", rule `{select['rule']}`" + (", and the heuristics" if select["by"] == "both" else "")
    return found + (f", and `{select['where']}`" if select.get("where") else "")


def _funnel(manifest: dict[str, Any]) -> str:
    """A row a language, from its documents to what was exported; those of which nothing was are only named."""
    languages, exported = manifest["summary"]["languages"], manifest["export"]
    # Where one copy of a cluster is scored, the others are dropped before the cut and not after it.
    late = COPIES if manifest["recipe"]["annotate"]["copies"] == "every" else ()
    names = ["language", "documents", "without near-duplicates", "passed the cut", "exported", "characters", "removed"]
    rows = []
    for code, entry in languages.items():
        if not (kept := entry["kept"]):
            continue
        passed = kept + sum(entry["dropped"].get(reason, 0) for reason in late)
        found = exported.get(code, {})
        row = [code, entry["documents"], entry.get("representatives", entry["documents"]), passed]
        row += [found.get("documents", 0), found.get("characters", 0), _share(kept, entry["documents"])]
        rows.append([*row, cut_words(manifest, code)])
    nothing = [code for code, entry in languages.items() if not entry["kept"]]
    documents = sum(languages[code]["documents"] for code in nothing)
    words = f"Nothing was kept of {documents:,} documents in {len(nothing)} languages: {', '.join(nothing)}."
    return "\n\n".join(part for part in [table([*names, "cuts"], rows), words if nothing else ""] if part)


def cut_words(manifest: dict[str, Any], code: str) -> str:
    """The cuts of a language as `head >= value` and what is remarkable about them, or why it has none."""
    cuts = manifest.get("cuts")
    if not cuts:
        return ""
    entry = cuts["languages"].get(code)
    if entry is None or entry["cuts"] is None:
        return (entry or {}).get("note") or "too few documents"
    words = ", ".join(f"{head} >= {value:.2f}" for head, value in entry["cuts"].items())
    whose = "" if entry["of"] == code else f" of {entry['of']}"
    return words + whose + (f"; {entry['note']}" if entry["note"] else "")


def _removed(exported: dict[str, Any]) -> str:
    gone = [entry["removed"] for entry in exported.values() if "removed" in entry]
    if not gone:
        return ""
    unread = sum(entry.get("unread", 0) for entry in gone)
    missing = f"; {unread:,} more could not be read" if unread else ""
    documents = sum(entry["documents"] for entry in gone)
    return f"Configuration `removed`: {documents:,} dropped documents with their `reason`{missing}."


def _mixture(found: dict[str, Any]) -> str:
    """What each language contributes; languages that are seen more than once say so."""
    languages = found.get("languages", found)
    if not languages:
        return ""
    names = list(dict.fromkeys(name for entry in languages.values() for name in entry))
    rows = [[code, *(_number(entry.get(name)) for name in names)] for code, entry in languages.items()]
    return f"## Mixture\n\n{table(['language', *names], rows)}"


def _number(value: Any) -> Any:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else value


def _rehydrated(found: dict[str, dict[str, int]]) -> str:
    """How often documents should be seen, by the size of their cluster."""
    rows = [
        [code, ", ".join(f"{size}: {times}" for size, times in steps.items())] for code, steps in found.items() if steps
    ]
    if not rows:
        return ""
    words = (
        "Times that a document should be seen, from each size of near-duplicate cluster on; once below and elsewhere."
    )
    return f"## Rehydration\n\n{words}\n\n{table(['language', 'cluster size: times'], rows)}"


def _limits(manifest: dict[str, Any]) -> list[str]:
    summary, cuts, recipe = manifest["summary"], manifest.get("cuts"), manifest["recipe"]
    found = ["Languages are what an identifier took them for; it takes close ones for one another."]
    if doubtful := sum(entry.get("doubtful", {}).get("kept", 0) for entry in summary["languages"].values()):
        found[0] += f" It is in doubt about {doubtful:,} kept documents (`language_score` below "
        found[0] += f"{recipe['select']['doubtful']})."
    if manifest["annotator"]:
        found.append("Scores are a model's reading of a rubric, not a judgment of people; what it favours stays.")
    if cuts:
        error = max([entry.get("rank_error") or 0.0 for entry in cuts["languages"].values()], default=0.0)
        found.append(f"Cuts come from histograms: each is off by at most {error:.2%} of its language's documents.")
    if cascade := summary.get("cascade"):
        found.append(
            f"A cascade scored: at most {cascade['loss']:.1%} of what {cascade['before']} alone would keep is lost in "
            f"a language ({cascade['confidence']:.0%} confidence each)."
        )
    if "dedup" in recipe["stages"]:
        found.append("Near-duplicates are found by shared word 5-grams, so some are missed.")
    return found


def _licence(recipe: dict[str, Any]) -> str:
    own = f"{recipe['export']['licence']}. " if recipe["export"]["licence"] else ""
    masked = " E-mail and public IP addresses are masked." if "crawl" in recipe["stages"] else ""
    return f"{own}Texts come from the web and belong to their authors, whatever the licence of this collection.{masked}"


def write_card(target: str, manifest: dict[str, Any]) -> None:
    """Write README.md, then manifest.json: where there is a manifest, the export is whole."""
    names = [file["name"] for entry in manifest["export"].values() for file in entry["files"]]
    schema = _schema(storage.join(target, names[0])) if names else None
    storage.put(storage.join(target, "README.md"), card_text(manifest, schema).encode())
    data = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    storage.put(storage.join(target, "manifest.json"), data.encode())
    storage.delete(storage.join(target, PENDING))


def _schema(path: str) -> pa.Schema:
    fs, inner = storage.filesystem(path)
    with fs.open(inner, "rb") as file:
        return pq.read_schema(file)
