"""What is fetched once per node is made once, also when many ask, and a killed maker leaves nothing that counts."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jql.engine.node_cache import once_per_node


def test_many_askers_one_maker():
    key = f"test-{uuid.uuid4().hex}"
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "weights").write_text("whole")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: once_per_node(key, make), range(32)))
    assert len(made) == 1 and len(set(found)) == 1
    assert (found[0] / "weights").read_text() == "whole"


def test_a_maker_that_fails_leaves_nothing():
    key = f"test-{uuid.uuid4().hex}"

    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError("connection lost")

    with pytest.raises(OSError, match="connection lost"):
        once_per_node(key, fail)
    found = once_per_node(key, lambda folder: (folder / "whole").touch())
    assert [p.name for p in found.iterdir()] == ["whole"]
