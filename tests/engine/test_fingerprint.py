"""Fingerprints: what decides the output changes the digest; what does not, does not."""

import copy
import json
import os
from pathlib import Path
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from jql.engine import storage
from jql.engine.fingerprint import Fingerprint, digest_of, identify_file

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "1", "a", "a.b", "null"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["", "a", "b", "a.b", '"a"']), inner, max_size=3)
    ),
    max_leaves=6,
)
PARTS = st.dictionaries(st.sampled_from(["config", "inputs", "version"]), JSON, max_size=3)


@given(PARTS, PARTS)
def test_equal_digests_mean_equal_values(one: dict[str, Any], two: dict[str, Any]) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    a, b = Fingerprint.of(**one), Fingerprint.of(**two)
    assert (a.digest == b.digest) == same
    assert (a.differs(b.fields) == "") == same


@given(PARTS)
def test_the_order_of_keys_does_not_matter(parts: dict[str, Any]) -> None:
    turned = dict(reversed(list(copy.deepcopy(parts).items())))
    assert Fingerprint.of(**parts).digest == Fingerprint.of(**turned).digest


def test_differs_names_the_fields() -> None:
    old = Fingerprint.of(stage="x", version=1, config={"a": 1, "deep": {"b": "one"}})
    assert (
        Fingerprint.of(stage="x", version=2, config={"a": 1, "deep": {"b": "one"}}).differs(old.fields)
        == "version: 1 -> 2"
    )
    changed = Fingerprint.of(stage="x", version=1, config={"deep": {"b": "two"}, "new": True})
    assert changed.differs(old.fields) == (
        'config.a: 1 -> none; config.deep.b: "one" -> "two"; config.new: none -> true'
    )
    many = Fingerprint.of(config={f"f{i}": i for i in range(9)})
    assert many.differs({}).endswith("; and 5 more") and len(many.short) == 12
    assert "..." in Fingerprint.of(config={"list": list(range(100))}).differs({})


def marks(path: Path, change: bytes, at: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The file's mark before and after other bytes of equal length; as an editor does it, some time later."""
    before = identify_file(str(path))
    data = bytearray(path.read_bytes())
    assert data[at : at + len(change)] != change
    data[at : at + len(change)] = change
    path.write_bytes(data)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000))
    return before, identify_file(str(path))


@given(size=st.sampled_from([1, 100, 65_536, 65_537, 131_072, 131_073, 500_000]), where=st.floats(0, 1))
def test_other_content_of_equal_length_is_another_input(size: int, where: float) -> None:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"jql-mark-{os.getpid()}.bin"
    try:
        path.write_bytes(bytes(size))
        before, after = marks(path, b"!", min(int(where * size), size - 1))
        assert before["size"] == after["size"] == size and before["mark"] != after["mark"]
    finally:
        path.unlink()


def test_a_touch_of_a_file_that_was_read_whole_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "small"
    path.write_bytes(b"x" * 100_000)
    before = identify_file(str(path))
    os.utime(path, (0, 0))
    assert identify_file(str(path)) == before


def test_on_s3_the_etag_is_the_mark(s3: str) -> None:
    path = storage.join(s3, "marked.bin")
    found = []
    for data in (b"one", b"two", b"one"):
        storage.put(path, data)
        storage.filesystem(path)[0].invalidate_cache()
        found.append(identify_file(path))
    assert found[0] == found[2] != found[1] and found[0]["size"] == 3 and '"' not in found[0]["mark"]


@given(JSON, JSON)
def test_digest_of_tells_values_apart(one: Any, two: Any) -> None:
    assume(json.dumps(one, sort_keys=True) != json.dumps(two, sort_keys=True))
    assert digest_of(one) != digest_of(two) and len(digest_of(one)) == 16
