"""What a stage's requests cost, over all its worker processes on all machines, and the end of it at a budget.

Every process keeps its own sum in a small file; the total is the sum over the files, and they stay, so that a run that
is stopped and started again goes on counting.
"""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from jql.engine import storage
from jql.errors import OutputError, RecipeError, one_line

WRITE_S = 1.0
READ_S = 1.0
IDLE = 20.0  # and no sooner than this many times what the last reading took: a thousand workers read a thousand files
TOGETHER = 32  # files read at a time
UNTOLD = 20  # requests without one token counted: the server does not tell


class BudgetError(OutputError):
    """The budget is used up: the run must stop."""


@dataclass(frozen=True)
class Spent:
    """Tokens sent and answered, money in the unit of the prices, requests."""

    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    requests: int = 0

    @property
    def tokens(self) -> int:
        """Tokens in both directions."""
        return self.tokens_in + self.tokens_out


class Spending:
    """Counts what this process spends, and knows the total. Made in the process that uses it.

    The total is read at most every second and lags by what others spent since (every process writes its sum at most
    every second), so a budget may be overdrawn by a few seconds of all workers and by the requests under way. A killed
    process forgets its last second.
    """

    def __init__(
        self,
        folder: str,
        budget_tokens: int | None,
        budget_money: float | None,
        price_in: float,
        price_out: float,
        section: str = "judge",
    ) -> None:
        """Prices are for a million tokens; None is no budget; `section` is where the recipe has these settings.

        Raises:
            RecipeError: a budget of money, and no prices.
        """
        if budget_money is not None and price_in <= 0 and price_out <= 0:
            raise RecipeError(f"{section}.budget_money: set {section}.price_in and {section}.price_out too")
        self.folder, self.section = folder, section
        self.budget_tokens, self.budget_money = budget_tokens, budget_money
        self.price_in, self.price_out = price_in, price_out
        self._path = storage.join(folder, f"{uuid.uuid4().hex}.json")
        self._mine, self._others = Spent(), Spent()
        self._unwritten = False
        self._write_at = self._read_at = 0.0

    def add(self, tokens_in: int, tokens_out: int) -> None:
        """Count a request.

        Raises:
            OutputError: the folder cannot be written.
        """
        self._mine = self._sum(self._mine, Spent(tokens_in, tokens_out, 0.0, 1))
        self._unwritten = True
        if time.monotonic() >= self._write_at:
            self.flush()

    def flush(self) -> None:
        """Write this process's sum now."""
        if self._unwritten:
            counts = {name: value for name, value in asdict(self._mine).items() if name != "money"}
            storage.put(self._path, json.dumps(counts).encode())
            self._unwritten = False
            self._write_at = time.monotonic() + WRITE_S

    def total(self) -> Spent:
        """What all processes have spent, of all runs in this folder.

        Raises:
            OutputError: a file in the folder is none of these.
        """
        if time.monotonic() >= self._read_at:
            began = time.monotonic()
            others = [storage.join(self.folder, name) for name in storage.find(self.folder) if name.endswith(".json")]
            with ThreadPoolExecutor(TOGETHER) as threads:
                read = threads.map(_read, [path for path in others if path != self._path])
                self._others = self._sum(*read)
            now = time.monotonic()
            self._read_at = now + max(READ_S, IDLE * (now - began))
        return self._sum(self._others, self._mine)

    def check(self) -> None:
        """Whether there is budget left.

        Raises:
            BudgetError: there is none, or it cannot be known, as the server tells no token counts.
        """
        if time.monotonic() >= self._write_at:
            self.flush()
        if self.budget_tokens is None and self.budget_money is None:
            return
        spent = self.total()
        if spent.requests >= UNTOLD and not spent.tokens:
            raise BudgetError(
                f"{spent.requests:,} requests and not one token counted: the server does not tell, so no budget can be "
                f"kept; take {self.section}.budget_tokens and {self.section}.budget_money out"
            )
        if self.budget_tokens is not None and spent.tokens >= self.budget_tokens:
            self._stop(spent, "tokens", f"{spent.tokens:,} of {self.budget_tokens:,} tokens")
        if self.budget_money is not None and spent.money >= self.budget_money:
            self._stop(spent, "money", f"{spent.money:,.2f} of {self.budget_money:,.2f}")

    def _stop(self, spent: Spent, name: str, what: str) -> None:
        raise BudgetError(
            f"the budget is used up: {what} in {spent.requests:,} requests; raise {self.section}.budget_{name} and run "
            "the same command again, nothing is lost"
        )

    def _sum(self, *parts: Spent) -> Spent:
        tokens_in, tokens_out = sum(p.tokens_in for p in parts), sum(p.tokens_out for p in parts)
        money = (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6
        return Spent(tokens_in, tokens_out, money, sum(p.requests for p in parts))


def _read(path: str) -> Spent:
    try:
        counts = json.loads(storage.read_bytes(path))
        return Spent(int(counts["tokens_in"]), int(counts["tokens_out"]), 0.0, int(counts["requests"]))
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{path}: no record of spending ({one_line(error)}); remove it, what it counted is then forgotten"
        ) from error
