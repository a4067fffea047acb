"""One line for each thing that takes time: label, bar, done of total, rate, key metrics, time left.

On a terminal the lines of running stages sit below the messages and are redrawn at most eight times a second,
without a thread. Elsewhere (a file, a CI log) a plain line is printed about every ten seconds. Either way a
finished stage leaves one plain line behind.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from types import TracebackType
from typing import TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from alignlab.tracking import console as consoles

T = TypeVar("T")

REDRAW_SECONDS = 0.125
PLAIN_SECONDS = 10.0
PATIENCE_SECONDS = 2.0
"""What is over sooner than this is not worth a line."""


def duration(seconds: float) -> str:
    """Seconds as people write them: 4.2 s, 35 s, 2:05 min, 1:02:03 h."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def rate(value: float) -> str:
    """A positive rate in about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def figures(metrics: Mapping[str, float]) -> str:
    """Metrics in one short line, by the last part of their names."""
    return "  ".join(f"{name.rpartition('/')[2]} {value:.3g}" for name, value in metrics.items())


class Board:
    """The lines of all running stages on one console, drawn together because only one area can be live."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.stages: list[Stage] = []
        self._live: Live | None = None

    def show(self, stage: Stage) -> None:
        """Add the stage if it is new, and redraw."""
        if stage not in self.stages:
            self.stages.append(stage)
        if self._live is None:
            self._live = Live(
                console=self.console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                vertical_overflow="crop",
            )
            self._live.start()
        self._live.update(Group(*(each.line() for each in self.stages)), refresh=True)

    def drop(self, stage: Stage) -> None:
        """Remove the stage; the area goes away with its last line."""
        if stage in self.stages:
            self.stages.remove(stage)
        if self._live is not None and not self.stages:
            self._live.stop()
            self._live = None


_boards: dict[int, Board] = {}
_observers: list[Callable[[Stage], None]] = []


def observe(observer: Callable[[Stage], None]) -> None:
    """Let someone hear of every update of every stage of this process, drawn or not."""
    _observers.append(observer)


def _board(console: Console) -> Board:
    return _boards.setdefault(id(console), Board(console))


class Stage:
    """Progress of one thing. Use as a context manager; an exception leaves "stopped" instead of "in ‹time›".

    Nothing is shown before `patience` seconds, nor at all if it ends sooner. The rate counts `samples` where
    `update` is told them, else steps, from where this process began, so a resumed stage reports its own speed.
    """

    def __init__(
        self,
        label: str,
        total: float | None = None,
        *,
        unit: str = "steps",
        patience: float = PATIENCE_SECONDS,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label, self.unit = label, unit
        self.total = int(total) if total is not None and math.isfinite(total) else None
        self.done = 0
        self.metrics: Mapping[str, float] = {}
        self._console = console or consoles.messages
        self._clock, self._patience = clock, patience
        self._began = clock()
        self._next = self._began + patience
        self._from = 0
        self._counts = False
        self._mark = self._latest = (0.0, self._began)
        self._shown = False

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(stopped=kind is not None)

    def resume(self, done: int) -> None:
        """Say that `done` steps were there before this process began."""
        self.done = self._from = done

    def due(self) -> bool:
        """Whether an update now would be drawn: ask before gathering metrics that are costly to read."""
        return consoles.speaks() and self._clock() >= self._next

    def update(self, done: int, *, samples: float | None = None, metrics: Mapping[str, float] | None = None) -> None:
        """Set how far it is: `done` steps of `total`, `samples` in all. What is None stays as it was."""
        self.done = done
        self.metrics = self.metrics if metrics is None else metrics
        if samples is not None and (not self._counts or samples != self._latest[0]):
            self._latest = (samples, self._clock())
            if not self._counts and self._from:
                self._mark = self._latest
            self._counts = True
        for observer in _observers:
            observer(self)
        if self.due():
            self._draw()

    def close(self, *, stopped: bool = False) -> None:
        """Take the line away and, if it was ever shown, leave a plain one that says how it went."""
        if self._on_terminal():
            _board(self._console).drop(self)
        if not consoles.speaks() or not (self._shown or self._patience <= 0):
            return
        ending = "stopped" if stopped else f"in {duration(self._clock() - self._began)}"
        self._print([*self._parts(), ending])

    def discard(self) -> None:
        """Take the line away and leave nothing behind."""
        if self._on_terminal():
            _board(self._console).drop(self)

    def line(self) -> RenderableType:
        """The line on a terminal."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(total=self.total, completed=self.done, width=20, pulse=self.total is None)
        left = self._left()
        parts = [*self._parts()[1:], *([f"{duration(left)} left"] if left is not None else [])]
        grid.add_row(Text(self.label, style="bold"), bar, Text("  ".join(parts)))
        return grid

    def _on_terminal(self) -> bool:
        return self._console.is_terminal and not self._console.is_dumb_terminal

    def _draw(self) -> None:
        self._shown = True
        if self._on_terminal():
            self._next = self._clock() + REDRAW_SECONDS
            _board(self._console).show(self)
            return
        self._next = self._clock() + PLAIN_SECONDS
        left = self._left()
        self._print([*self._parts(), *([f"{duration(left)} left"] if left is not None else [])])

    def _print(self, parts: list[str]) -> None:
        self._console.print(Text("  ".join(part for part in parts if part)), soft_wrap=True)

    def _parts(self) -> list[str]:
        of = f"{self.done:,}/{self.total:,}" if self.total is not None else f"{self.done:,}"
        speed = self._speed()
        unit = "samples" if self._counts else self.unit
        shown = f"{rate(speed)} {unit}/s" if speed > 0 else ""
        return [part for part in (self.label, of, shown, figures(self.metrics)) if part]

    def _speed(self) -> float:
        """Samples, or steps where samples are unknown, a second; 0 while nothing is known."""
        start = self._mark if self._counts else (float(self._from), self._began)
        end = self._latest if self._counts else (float(self.done), self._clock())
        elapsed = end[1] - start[1]
        return (end[0] - start[0]) / elapsed if elapsed > 0 else 0.0

    def _left(self) -> float | None:
        done = self.done - self._from
        if self.total is None or done <= 0:
            return None
        return max(0.0, (self.total - self.done) * (self._clock() - self._began) / done)


def track(iterable: Iterable[T], label: str, total: int | None = None, *, unit: str = "batches") -> Iterator[T]:
    """Iterate with a progress line, shown only when it takes longer than two seconds.

    `total` defaults to the iterable's length where it has one.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with Stage(label, total, unit=unit) as stage:
        for count, item in enumerate(iterable, 1):
            yield item
            stage.update(count)
