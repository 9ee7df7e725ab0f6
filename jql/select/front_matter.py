"""The head of a data set card, as `datasets` and the Hub read it: configurations with files, columns and sizes."""

import json
from typing import Any

import pyarrow as pa

DTYPES = {"float": "float32", "double": "float64", "halffloat": "float16"}
"""Arrow's names of types that `datasets` calls otherwise."""
LICENCES = ("odc-by", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "apache-2.0", "mit", "odbl")
"""What is handed to the Hub as it stands; it refuses what it does not know, so anything else is `other`."""


def front_matter(name: str, licence: str, files: dict[str, Any], schema: pa.Schema | None) -> str:
    """One configuration a language, `default` with all of them, and `removed` if that was written; all with one split.

    Args:
        files: as of `publish`. schema: of the exported rows; None where there are none, and so no configurations.
    """
    codes = [code for code, entry in files.items() if entry["files"]]
    lines = ["---", f"pretty_name: {json.dumps(name)}"]
    if languages := sorted({code.split("_")[0] for code in codes} - {"und"}):
        lines.append(f"language: {json.dumps(languages)}")
    if licence:
        known = licence.lower() in LICENCES
        lines += (
            [f"license: {licence.lower()}"] if known else ["license: other", f"license_name: {json.dumps(licence)}"]
        )
    lines.append("task_categories: [text-generation]")
    configs = {"default": ("data/*", [files[code] for code in codes])}
    configs |= {code: (f"data/{code}", [files[code]]) for code in codes}
    # `removed` rows have a reason, too, so they are no split of the same configuration.
    gone = [entry["removed"] for entry in files.values() if entry.get("removed", {}).get("files")]
    removed = {"removed": ("removed/*", gone)} if gone else {}
    configs = {name: found for name, found in {**configs, **removed}.items() if found[1]}
    if schema is None or not configs:
        return "\n".join([*lines, "---"])
    lines.append("configs:")
    for config, (folder, _) in configs.items():
        lines += [
            f"- config_name: {config}",
            "  data_files:",
            "  - split: train",
            f"    path: {folder}/train-*.parquet",
        ]
    lines.append("dataset_info:")
    features = {"": _features(schema), "removed": _features(schema.append(pa.field("reason", pa.string())))}
    seen: set[str] = set()
    for config, (_, entries) in configs.items():
        kind = "removed" if config == "removed" else ""
        anchor = f"columns_{kind}" if kind else "columns"  # said once, as there may be a thousand languages
        size = sum(entry["size"] for entry in entries)
        files_bytes = sum(file["bytes"] for entry in entries for file in entry["files"])
        lines += [
            f"- config_name: {config}",
            f"  features: *{anchor}" if kind in seen else f"  features: &{anchor} {features[kind]}",
            f"  splits: [{{name: train, num_bytes: {size}, num_examples: {sum(e['documents'] for e in entries)}}}]",
            f"  download_size: {files_bytes}",
            f"  dataset_size: {size}",
        ]
        seen.add(kind)
    return "\n".join([*lines, "---"])


def _features(schema: pa.Schema) -> str:
    columns = [(field.name, str(field.type)) for field in schema]
    return json.dumps([{"name": name, "dtype": DTYPES.get(kind, kind)} for name, kind in columns])
