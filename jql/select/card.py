"""What lies beside the exported files: manifest.json for machines, README.md (a data set card) for people."""

import json
from typing import Any

from jql.engine import storage

PENDING = ".jql-export.json"
"""In an export that is being written: the names that its files may have."""


def front_matter(name: str, files: dict[str, Any]) -> str:
    """The card's head, as `datasets` reads it: one configuration a language, and `default` with all of them."""
    lines = ["---", f"pretty_name: {json.dumps(name)}", "configs:"]
    for config, folder in [("default", "*"), *((code, code) for code in files)]:
        lines += [f"- config_name: {config}", f"  data_files: data/{folder}/*.parquet"]
    return "\n".join([*lines, "---"])


def card_text(manifest: dict[str, Any]) -> str:
    """README.md of the export."""
    summary = manifest["summary"]
    rows = [
        f"| {code} | {entry['documents']:,} | {entry.get('representatives', entry['documents']):,} | "
        f"{entry['kept']:,} | {manifest['export'].get(code, {}).get('characters', 0):,} | {cut_words(manifest, code)} |"
        for code, entry in summary["languages"].items()
    ]
    total = summary["total"]
    dropped = "\n".join(f"| {reason} | {count:,} |" for reason, count in summary["dropped"].items())
    select = manifest["recipe"]["select"]
    return f"""{front_matter(manifest["name"], manifest["export"])}

# {manifest["name"]}

{total["kept"]:,} of {total["documents"]:,} documents, selected per language with jql {manifest["jql"]}.

- Selection: `{select["by"]}`, each head's cut at quantile {select["quantile"]} of its language, rule
  `{select["rule"]}`, copy of near-duplicates: `{select["copy"]}`.
- Annotator: {manifest["annotator"] or "none"}.
- Run `{manifest["fingerprints"]["export"][:16]}`; inputs, fingerprints and every count are in `manifest.json`.

| language | documents | without near-duplicates | kept | characters kept | cuts |
| --- | --: | --: | --: | --: | --- |
{chr(10).join(rows)}

| dropped because | documents |
| --- | --: |
{dropped}

Texts come from the web and belong to their authors; e-mail and public IP addresses of crawled pages are masked.
Scores are a model's reading of a rubric, not a judgment of people.
"""


def cut_words(manifest: dict[str, Any], code: str) -> str:
    """The cuts of a language as `head >= value`, or why it has none."""
    cuts = manifest.get("cuts")
    if not cuts:
        return ""
    entry = cuts["languages"].get(code)
    if entry is None or entry["cuts"] is None:
        return "too few documents"
    return ", ".join(f"{head} >= {value:.2f}" for head, value in entry["cuts"].items())


def write_card(target: str, manifest: dict[str, Any]) -> None:
    """Write README.md, then manifest.json: where there is a manifest, the export is whole."""
    storage.put(storage.join(target, "README.md"), card_text(manifest).encode())
    data = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    storage.put(storage.join(target, "manifest.json"), data.encode())
    storage.delete(storage.join(target, PENDING))
