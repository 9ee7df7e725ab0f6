"""What decides a stage's output, as one digest; and what differs between two of them, in words."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from jql.engine import storage

_EDGE = 65_536  # bytes read at each end of an input file; a Parquet footer lies in the last of them


@dataclass(frozen=True)
class Fingerprint:
    """Stage, version of its code, settings, model and inputs: `fields` is flat, `digest` its SHA-256 (hex)."""

    fields: dict[str, str]

    @classmethod
    def of(cls, **parts: Any) -> "Fingerprint":
        """Fingerprint of named JSON values; nested mappings become dotted names."""
        flat: dict[str, str] = {}
        _flatten("", parts, flat)
        return cls(flat)

    @property
    def digest(self) -> str:
        """SHA-256 of the fields, hex."""
        return hashlib.sha256(json.dumps(self.fields, sort_keys=True).encode()).hexdigest()

    @property
    def short(self) -> str:
        """Name of the stage folder: the first 12 digits."""
        return self.digest[:12]

    def differs(self, other: dict[str, str]) -> str:
        """The fields whose value is not that of `other`, old -> new; at most four are named."""
        names = sorted(n for n in self.fields.keys() | other.keys() if self.fields.get(n) != other.get(n))
        shown = [f"{n}: {_short(other.get(n))} -> {_short(self.fields.get(n))}" for n in names[:4]]
        return "; ".join(shown) + (f"; and {len(names) - 4} more" if len(names) > 4 else "")


def _short(value: str | None) -> str:
    text = "none" if value is None else value
    return text if len(text) <= 60 else text[:57] + "..."


def _flatten(prefix: str, value: Any, flat: dict[str, str]) -> None:
    if isinstance(value, dict) and value:
        for key in value:
            # A key with a dot is quoted: {"a.b": 1} and {"a": {"b": 1}} are two things.
            name = str(key) if re.fullmatch(r'[^."]+', str(key)) else json.dumps(str(key))
            _flatten(f"{prefix}.{name}" if prefix else name, value[key], flat)
    else:
        flat[prefix] = json.dumps(value, sort_keys=True)


def identify_file(path: str) -> dict[str, Any]:
    """Size and content mark of an input: the store's ETag where it has one, else a hash of both ends of the file.

    Name and size alone would take a rewritten file of equal length for the old one. Where there is a middle that was
    not read, the time of the last change stands for it: a terabyte is not read to find out that it is the same.
    """
    fs, inner = storage.filesystem(path)
    info = fs.info(inner)
    size = int(info["size"] or 0)
    mark = info.get("ETag") or info.get("etag")
    if not mark:
        digest = hashlib.sha256(fs.cat_file(inner, start=0, end=min(size, _EDGE)))
        if size > _EDGE:
            digest.update(fs.cat_file(inner, start=max(_EDGE, size - _EDGE), end=size))
        if size > 2 * _EDGE:
            digest.update(str(info.get("mtime") or info.get("Last-Modified") or "").encode())
        mark = digest.hexdigest()[:32]
    return {"path": path, "size": size, "mark": str(mark).strip('"')}


def digest_of(value: Any) -> str:
    """Short SHA-256 (16 hex digits) of a JSON value: what stands for a long list in a fingerprint."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
