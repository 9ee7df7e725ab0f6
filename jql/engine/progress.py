"""What a person sees while units run: a bar on a terminal, a line every half minute elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EVERY_S = 30.0


class StageProgress:
    """Units done of a stage, documents a second, time left."""

    def __init__(self, stage: str, units: int, done: int, console: Console) -> None:
        self.stage, self.units, self.done, self.console = stage, units, done, console
        self.rows = 0
        self.failed = 0
        self.started = time.monotonic()
        self._said = self.started
        self._bar: Progress | None = None

    def __enter__(self) -> "StageProgress":
        if self.console.is_terminal and self.units > self.done:
            self._bar = Progress(
                TextColumn("{task.description:<20}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("units  {task.fields[speed]}"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self._task = self._bar.add_task(self.stage, total=self.units, completed=self.done, speed="")
            self._bar.start()
        return self

    def advance(self, done: int, failed: int, rows: int) -> None:
        """`done` and `failed` units so far, and `rows` more rows."""
        self.done, self.failed = done, failed
        self.rows += rows
        seconds = time.monotonic() - self.started
        speed = f"{self.rows / max(seconds, 1e-3):,.0f} docs/s" + (f", {self.failed} failed" if self.failed else "")
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, speed=speed)
        elif time.monotonic() - self._said >= EVERY_S:
            self._said = time.monotonic()
            self.console.print(f"{self.stage}: {self.done:,} of {self.units:,} units, {speed}", highlight=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def console(quiet: bool = False) -> Console:
    """The console for people: standard error, so that standard output stays for results."""
    # A log has no width of its own, and tables would be folded to rich's 80 columns.
    width = None if sys.stderr.isatty() else 140
    return Console(stderr=True, quiet=quiet, soft_wrap=width is not None, width=width)
