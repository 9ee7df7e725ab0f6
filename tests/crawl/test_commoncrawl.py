"""Common Crawl by dump id, from a loopback mirror that throttles and cuts, up to a whole crawl."""

import gzip
import random
from pathlib import Path
from typing import Any

import pytest
from crawl_help import ENGLISH, GERMAN, Server, article, page_record, serving, zipped

from jql.crawl.commoncrawl import check_dump, dump_files
from jql.crawl.crawl import run_crawl
from jql.engine.run import Run
from jql.errors import DataError, RecipeError
from jql.pipeline import run_recipe
from jql.recipe import make_recipe

DUMP = "CC-MAIN-2025-05"
LISTING = f"/crawl-data/{DUMP}/warc.paths.gz"
PATHS = [f"crawl-data/{DUMP}/segments/1736{i % 4}.5/warc/CC-MAIN-{i:05d}.warc.gz" for i in range(200)]
FAST: dict[str, Any] = {"tries": 4, "base_s": 0.002}


def listing(paths: list[str]) -> bytes:
    return gzip.compress(("\n".join(paths) + "\n").encode())


def files(server: Server, count: int | None = None, seed: int = 0, dump: str = DUMP, kind: str = "warc") -> list[str]:
    return dump_files(server.address, dump, kind, count, seed, **FAST)


def test_all_files_in_the_order_of_the_list() -> None:
    with serving(files={LISTING: listing(PATHS)}) as server:
        assert files(server) == [f"{server.address}/{path}" for path in PATHS]


def test_a_sample_is_the_same_twice_and_differs_with_the_seed() -> None:
    with serving(files={LISTING: listing(PATHS)}) as server:
        first = files(server, 20, seed=1)
        assert first == files(server, 20, seed=1) != files(server, 20, seed=2)
        assert len(set(first)) == 20 and first == sorted(first, key=files(server).index)
        assert files(server, 200, seed=3) == files(server)


def test_a_listing_that_is_throttled_and_cut_arrives() -> None:
    trouble: list[Any] = [(403, None), (429, 0), (503, None)]
    with serving(files={LISTING: listing(PATHS)}, trouble={LISTING: [*trouble]}) as server:
        assert len(files(server)) == 200
    with serving(files={LISTING: listing(PATHS)}, trouble={LISTING: ["cut", "cut", "cut"]}) as server:
        assert len(files(server)) == 200


@pytest.mark.parametrize("dump", ["CC-MAIN-2025", "cc-main-2025-05", "CC-MAIN-2025-05/", "", "../CC-MAIN-2025-05"])
def test_what_is_no_dump_id(dump: str) -> None:
    with pytest.raises(RecipeError, match=r"crawl\.dump: expected an id such as CC-MAIN-2025-05, got '"):
        check_dump(dump)


def test_a_dump_that_does_not_exist_is_the_users_mistake() -> None:
    with serving(files={LISTING: listing(PATHS)}) as server:
        with pytest.raises(RecipeError, match=r"crawl\.dump: no dump CC-MAIN-2031-01 at http://127.*check the id"):
            files(server, dump="CC-MAIN-2031-01")
        with pytest.raises(RecipeError, match=r"wet\.paths\.gz is not there"):
            files(server, kind="wet")
        assert server.requests["GET"] == 2  # known at once


def test_more_files_than_there_are() -> None:
    with serving(files={LISTING: listing(PATHS[:3])}) as server:
        with pytest.raises(RecipeError, match=r"crawl\.files: 4 asked for, CC-MAIN-2025-05 has 3 warc files"):
            files(server, 4)


@pytest.mark.parametrize(
    "data, message",
    [
        (b"<html>Sorry</html>", "not a list of files"),
        (listing(PATHS)[:-9], "not a list of files"),
        (listing([]), "an empty list, expected the paths"),
        (b"", "an empty list, expected the paths"),
    ],
)
def test_a_damaged_listing(data: bytes, message: str) -> None:
    with serving(files={LISTING: data}) as server:
        with pytest.raises(DataError, match=rf"warc\.paths\.gz: {message}.*crawl\.base"):
            files(server)


def test_a_listing_that_never_comes() -> None:
    with serving(files={LISTING: listing(PATHS)}, trouble={LISTING: [(503, None)] * 9}) as server:
        with pytest.raises(DataError, match=r"warc\.paths\.gz: cannot be fetched after 4 tries .*503"):
            files(server)


def recipe(server: Server, output: Path, *more: str) -> Any:
    settings = [f"output={output}", f"crawl.base={server.address}", f"crawl.dump={DUMP}", "engine.backend=inline"]
    return make_recipe({"stages": ["crawl"], "crawl": {"url_filter": False}}, [*settings, *more])


def test_a_whole_crawl_by_dump_id_through_trouble(tmp_path: Path) -> None:
    paths = PATHS[:3]
    contents = {
        f"/{path}": zipped([page_record(article(*ENGLISH, *GERMAN[:1], f"Ferry {i}."), i)])
        for i, path in enumerate(paths)
    }
    trouble: dict[str, list[Any]] = {LISTING: ["cut"], f"/{paths[0]}": ["cut"], f"/{paths[1]}": [(503, None)]}
    with serving(files={LISTING: listing(paths), **contents}, trouble=trouble) as server:
        result = run_recipe(recipe(server, tmp_path / "run"))
        assert result.summary["total"]["documents"] == 3
        made = recipe(server, tmp_path / "run")
        before = sum(server.requests[f"/{path}"] for path in paths)
        with Run(made.output, made.engine) as run:
            stage = run_crawl(made, run)
            rows = [row for table in stage.tables() for row in table.to_pylist()]
        assert sum(server.requests[f"/{path}"] for path in paths) == before  # what is done is not fetched again
    assert [row["file_path"] for row in rows] == [f"{server.address}/{path}" for path in paths]
    assert {row["dump"] for row in rows} == {DUMP} and {row["language"] for row in rows} == {"eng_Latn"}


def test_a_sample_of_the_dump_is_crawled(tmp_path: Path) -> None:
    chosen = sorted(random.Random(7).sample(range(200), 2))
    contents = {f"/{PATHS[i]}": zipped([page_record(article(*ENGLISH), i)]) for i in chosen}
    with serving(files={LISTING: listing(PATHS), **contents}) as server:
        result = run_recipe(recipe(server, tmp_path / "run", "crawl.files=2", "seed=7"))
    assert result.summary["total"]["documents"] == 2


def test_input_and_dump_together_are_refused(tmp_path: Path) -> None:
    with serving() as server, pytest.raises(RecipeError, match=r"crawl\.input: /w and crawl\.dump .* name one of them"):
        run_recipe(recipe(server, tmp_path / "run", "crawl.input=[/w]"))
