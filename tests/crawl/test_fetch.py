"""Remote files come whole or not at all, from a loopback server that throttles, cuts and lies."""

import io
import random
from pathlib import Path
from typing import Any

import pytest
from crawl_help import Server, serving
from hypothesis import given
from hypothesis import strategies as st

from jql.crawl import fetch
from jql.crawl.fetch import NotFoundError, download, local_copy, wait_s
from jql.errors import DataError

DATA = random.Random(5).randbytes(3_000_017)
FAST: dict[str, Any] = {"tries": 4, "base_s": 0.002}


def fetched(server: Server, **settings: Any) -> bytes:
    target = io.BytesIO()
    size = download(f"{server.address}/file", target, lambda: None, **{**FAST, **settings})
    assert size == len(target.getvalue())
    return target.getvalue()


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of several pieces without hundreds of megabytes: only the constant is another."""
    monkeypatch.setattr(fetch, "PIECE", 1 << 20)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    "trouble",
    [
        [],
        [(403, None)],
        [(429, 0), (503, None), (500, None)],
        ["cut", "cut"],
        ["short"],
        [(503, None), "cut", "short"],
        [None, "cut", None, (403, None), (403, None), "short"],
    ],
)
@pytest.mark.parametrize("only", [("GET",), ("HEAD", "GET")])
def test_the_file_arrives_whole_and_equal(trouble: list[Any], only: tuple[str, ...]) -> None:
    with serving(files={"/file": DATA}, trouble={"/file": list(trouble)}, only=only) as server:
        assert fetched(server) == DATA
        assert server.trouble["/file"] == []


@pytest.mark.usefixtures("small_pieces")
def test_a_cut_costs_one_piece_and_not_the_file() -> None:
    with serving(files={"/file": DATA}, trouble={"/file": [None, "cut"]}) as server:
        assert fetched(server) == DATA
        assert server.requests["GET"] == 4  # three pieces, one of them twice


@pytest.mark.usefixtures("small_pieces")
def test_a_server_without_ranges_sends_the_whole_file() -> None:
    with serving(files={"/file": DATA}, ranges=False, trouble={"/file": ["cut"]}) as server:
        assert fetched(server) == DATA


def test_an_empty_file() -> None:
    with serving(files={"/file": b""}) as server:
        assert fetched(server) == b""


@pytest.mark.parametrize(
    "trouble, why",
    [
        ((503, None), "503"),
        ((403, None), "403"),
        ("cut", "ClientPayloadError"),
        ("short", "1,500,008 bytes came for a piece of 3,000,017"),
    ],
)
def test_it_gives_up_after_all_tries_with_one_clear_line(trouble: Any, why: str) -> None:
    with serving(files={"/file": DATA}, trouble={"/file": [trouble] * 50}) as server:
        with pytest.raises(DataError, match=f"{server.address}/file: cannot be fetched after 4 tries") as caught:
            fetched(server)
        assert why in str(caught.value) and "\n" not in str(caught.value)
        assert server.requests["GET"] <= 8


def test_a_throttled_size_is_not_taken_for_a_missing_file() -> None:
    with serving(files={"/file": DATA}, trouble={"/file": [(503, None)] * 99}, only=("HEAD", "GET")) as server:
        with pytest.raises(DataError, match=r"cannot be fetched after 4 tries .*503") as caught:
            fetched(server)
    assert not isinstance(caught.value, NotFoundError)


def test_what_is_not_there_is_known_at_once() -> None:
    with serving() as server:
        with pytest.raises(NotFoundError, match="/file: not found; check the name"):
            fetched(server)
        assert server.requests["/file"] <= 2


def test_what_is_refused_for_good_is_not_tried_again() -> None:
    with serving(files={"/file": DATA}, trouble={"/file": [(401, None)] * 99}, only=("HEAD", "GET")) as server:
        with pytest.raises(DataError, match=r"cannot be fetched after 1 try .*401"):
            fetched(server)


def test_nobody_listens() -> None:
    with serving() as server:
        pass
    with pytest.raises(DataError, match="cannot be fetched after 4 tries"):
        fetched(server)


def test_the_watch_is_told_before_each_try() -> None:
    told: list[int] = []
    with serving(files={"/file": DATA}, trouble={"/file": [(503, None), (503, None)]}) as server:
        download(f"{server.address}/file", io.BytesIO(), lambda: told.append(1), **FAST)
        assert len(told) == 4  # its size, and one piece three times


def test_local_copy_of_a_remote_file_is_gone_afterwards() -> None:
    with serving(files={"/file": DATA}) as server:
        with local_copy(f"{server.address}/file", lambda: None) as path:
            assert Path(path).read_bytes() == DATA
        assert not Path(path).exists()


def test_local_copy_of_a_local_file_is_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    with local_copy(str(tmp_path / "a"), lambda: None) as path:
        assert path == str(tmp_path / "a")
    with (
        pytest.raises(DataError, match="b: not found; it was there when the plan was made"),
        local_copy(str(tmp_path / "b"), lambda: None),
    ):
        pass


@pytest.mark.usefixtures("small_pieces")
def test_from_s3(s3: str) -> None:
    from jql.engine import storage

    storage.put(f"{s3}/fetch/file", DATA)
    with local_copy(f"{s3}/fetch/file", lambda: None) as path:
        assert Path(path).read_bytes() == DATA
    with (
        pytest.raises(NotFoundError, match=r"s3://.*/fetch/other: not found"),
        local_copy(f"{s3}/fetch/other", lambda: None),
    ):
        pass


@given(st.integers(1, 60), st.none() | st.floats(0, 120), st.floats(0, 1, exclude_max=True), st.floats(0.001, 2))
def test_waits_double_up_to_a_limit_and_never_undercut_the_server(
    tries: int, asked: float | None, jitter: float, base: float
) -> None:
    wait = wait_s(tries, asked, base, jitter)
    assert wait >= (asked or 0)
    assert base * 2 ** min(tries - 1, 6) / 2 <= wait or asked
    assert wait <= max(asked or 0, 64 * base)
    assert wait_s(tries + 1, asked, base, jitter) >= wait
