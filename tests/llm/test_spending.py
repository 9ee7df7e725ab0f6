"""A budget over many processes, kept in files."""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jql.errors import OutputError, RecipeError
from jql.llm import spending
from jql.llm.spending import BudgetError, Spending, Spent


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write and read without waiting."""
    monkeypatch.setattr(spending, "WRITE_S", 0.0)
    monkeypatch.setattr(spending, "READ_S", 0.0)
    monkeypatch.setattr(spending, "IDLE", 0.0)


def spend(folder: str | Path, tokens: int | None = None, money: float | None = None, **prices: float) -> Spending:
    return Spending(str(folder), tokens, money, prices.get("price_in", 0.0), prices.get("price_out", 0.0))


def test_the_total_is_over_all_processes(tmp_path: Path) -> None:
    one, two = (spend(tmp_path, price_in=2.0, price_out=10.0) for _ in range(2))
    one.add(500_000, 100_000)
    two.add(1_000_000, 0)
    two.add(0, 50_000)
    # 1.5 million in at 2, 0.15 million out at 10
    assert one.total() == two.total() == Spent(1_500_000, 150_000, 4.5, 3)
    assert one.total().tokens == 1_650_000


def test_nothing_spent(tmp_path: Path) -> None:
    assert spend(tmp_path / "new").total() == Spent()
    spend(tmp_path / "new", tokens=1).check()
    assert not (tmp_path / "new").exists()


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**12), st.integers(0, 10**12)), max_size=20))
def test_who_spends_and_in_what_order_is_no_matter(adds: list[tuple[int, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workers = [spend(folder) for _ in range(4)]
        for worker, tokens_in, tokens_out in random.Random(0).sample(adds, len(adds)):
            workers[worker].add(tokens_in, tokens_out)
        expected = Spent(sum(a[1] for a in adds), sum(a[2] for a in adds), 0.0, len(adds))
        assert {worker.total() for worker in [*workers, spend(folder)]} == {expected}


def test_a_budget_of_tokens(tmp_path: Path) -> None:
    one, two = spend(tmp_path, tokens=1000), spend(tmp_path, tokens=1000)
    one.add(600, 0)
    two.add(0, 399)
    one.check()
    two.add(0, 1)
    for worker in (one, two):
        with pytest.raises(BudgetError) as caught:
            worker.check()
    assert isinstance(caught.value, OutputError)
    assert str(caught.value) == (
        "the budget is used up: 1,000 of 1,000 tokens in 3 requests; raise judge.budget_tokens and run the same command "
        "again, nothing is lost"
    )


def test_a_budget_of_money(tmp_path: Path) -> None:
    worker = Spending(str(tmp_path), None, 1.5, 3.0, 15.0, section="translate")
    worker.add(499_999, 0)
    worker.check()
    worker.add(1, 0)
    with pytest.raises(BudgetError, match=r"1\.50 of 1\.50 in 2 requests; raise translate\.budget_money and run"):
        worker.check()


def test_it_goes_on_after_a_restart(tmp_path: Path) -> None:
    spend(tmp_path, tokens=100).add(100, 0)
    with pytest.raises(BudgetError):
        spend(tmp_path, tokens=100).check()
    spend(tmp_path, tokens=101).check()  # the raised budget


def test_without_a_budget_it_only_counts(tmp_path: Path) -> None:
    worker = spend(tmp_path)
    worker.add(10**15, 10**15)
    worker.check()


def test_money_needs_prices(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"judge\.budget_money: set judge\.price_in and judge\.price_out too"):
        spend(tmp_path, money=5.0)
    spend(tmp_path, money=5.0, price_out=1.0)


def test_a_server_that_tells_no_tokens_cannot_be_budgeted(tmp_path: Path) -> None:
    worker = spend(tmp_path, tokens=10**9)
    for _ in range(spending.UNTOLD - 1):
        worker.add(0, 0)
    worker.check()
    worker.add(0, 0)
    with pytest.raises(BudgetError, match=r"20 requests and not one token counted: .* take judge\.budget_tokens"):
        worker.check()
    counting = spend(tmp_path)
    counting.check()  # no budget, no matter


def test_files_are_written_and_read_at_most_every_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "WRITE_S", 0.3)
    monkeypatch.setattr(spending, "READ_S", 0.3)
    worker, other = spend(tmp_path, tokens=10**9), spend(tmp_path)
    worker.add(1, 1)  # the first at once
    worker.add(2, 2)
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text()) == {"tokens_in": 1, "tokens_out": 1, "requests": 1}
    assert worker.total().requests == 2  # what is one's own is known at once
    other.add(5, 5)
    assert worker.total().requests == 2
    time.sleep(0.35)
    worker.check()  # writes what is left, though nothing is added
    assert json.loads(path.read_text()) == {"tokens_in": 3, "tokens_out": 3, "requests": 2}
    assert worker.total().requests == 3
    worker.add(1, 0)
    worker.flush()
    assert json.loads(path.read_text())["tokens_in"] == 4


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"tokens_in": "many", "tokens_out": 1, "requests": 1}'])
def test_a_file_that_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(OutputError, match=r"odd\.json: no record of spending .* remove it"):
        spend(tmp_path).total()


WORKER = """
import sys
from jql.llm.spending import Spending
worker = Spending(sys.argv[1], None, None, 0, 0)
for number in range(200):
    worker.add(10, 1)
worker.flush()
"""


def test_real_processes(tmp_path: Path) -> None:
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)]) for _ in range(3)]
    watcher, seen = spend(tmp_path), []
    while any(worker.poll() is None for worker in workers):
        seen.append(watcher.total().requests)
        time.sleep(0.01)
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert seen == sorted(seen)
    assert watcher.total() == Spent(6000, 600, 0.0, 600)


def test_on_object_storage(s3: str) -> None:
    one, two = (spend(f"{s3}/spending", tokens=100) for _ in range(2))
    one.add(60, 0)
    two.add(0, 40)
    assert one.total().tokens == 100
    with pytest.raises(BudgetError, match="100 of 100 tokens"):
        one.check()
