"""What a terminal sees: a progress bar on stderr, tables on stdout. rich is loaded only when something is drawn."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from ..pipeline import STAGES


class Bar(Protocol):
    """A progress callback that also counts finished pictures."""

    def __call__(self, stage: str, fraction: float) -> None:
        """A stage has come this far, in [0, 1]."""

    def next(self) -> None:
        """One picture is finished."""


class Hidden:
    """A bar that is not drawn."""

    def __call__(self, stage: str, fraction: float) -> None:
        """Nothing to show."""

    def next(self) -> None:
        """Nothing to count."""


class Drawn:
    """A rich progress bar: each picture advances it by one, each stage by its share."""

    def __init__(self, bar: Any, total: int, stages: Sequence[str]) -> None:
        self._bar, self._task, self._done, self._stages = bar, bar.add_task("", total=total), 0, stages

    def __call__(self, stage: str, fraction: float) -> None:
        """Show the stage's name and move on."""
        at = self._stages.index(stage) if stage in self._stages else 0
        self._bar.update(self._task, description=stage, completed=self._done + (at + fraction) / len(self._stages))

    def next(self) -> None:
        """Count one picture."""
        self._done += 1
        self._bar.update(self._task, completed=self._done)


@contextmanager
def progress(total: int, shown: bool, stages: Sequence[str] = STAGES) -> Iterator[Bar]:
    """A bar on stderr while the work runs; nothing where stderr is no terminal."""
    if not (shown and sys.stderr.isatty()):
        yield Hidden()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:<8}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Drawn(bar, total, stages)


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on stdout."""
    from rich import box
    from rich.table import Table

    drawn = Table(*head, title=title or None, title_justify="left", box=box.SIMPLE_HEAD, show_header=any(head))
    for row in rows:
        drawn.add_row(*(str(cell) for cell in row))
    show(drawn)


def show(drawn: Any) -> None:
    """Something of rich's on stdout, at a fixed width where that is no terminal."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 120, highlight=False).print(drawn)
