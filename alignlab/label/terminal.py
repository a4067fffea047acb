"""The same questions in a terminal, answered by single keys. Torch-free."""

from __future__ import annotations

import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TextIO

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from alignlab.label.items import Showing
from alignlab.label.session import Session, spoken

WIDE = 100
"""Columns from which completions stand side by side."""
END = "q"
_KEPT = "\n\t"


def label(session: Session, keys: Iterator[str], console: Console) -> None:
    """Ask until all is answered, `q` is pressed or there are no more keys."""
    while (showing := session.current()) is not None:
        console.print(view(showing, session, console.width))
        if not _ask(session, showing, keys, console):
            return
    console.print("That was all. Thank you.")


def _ask(session: Session, showing: Showing, keys: Iterator[str], console: Console) -> bool:
    """One question; False to stop. Keys that mean nothing are passed over."""
    begun, picked = time.monotonic(), Picked(len(showing.order))
    for key in keys:
        key = key.lower()
        if key == END:
            return False
        if key == "u":
            console.print(Text("taken back" if session.undo() else "there is nothing to take back", style="dim"))
            return True
        if key not in "st" and not picked.press(key):
            continue
        ranks = None if key == "s" else [1] * picked.count if key == "t" else picked.ranks()
        if key == "s" or ranks:
            session.answer(showing.id, ranks, time.monotonic() - begun)
            console.print(Text({"s": "skipped", "t": "saved as a tie"}.get(key, "saved"), style="dim"))
            return True
        console.print(Text(f"  {picked.spoken()} …", style="dim"))
    return False


class Picked:
    """Places picked so far, from best to worst; `=` lets the next one tie with the last."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._groups: list[list[int]] = []
        self._joined = False

    def press(self, key: str) -> bool:
        """Take one key; whether it meant anything."""
        if key == "=" and self._groups:
            self._joined = True
            return True
        place = int(key) - 1 if key.isdecimal() and key.isascii() else -1
        if not 0 <= place < self.count or any(place in group for group in self._groups):
            return False
        if self._joined:
            self._groups[-1].append(place)
        else:
            self._groups.append([place])
        self._joined = False
        return True

    def ranks(self) -> list[int] | None:
        """Rank of each place, 1 the best; None before it is clear. Of two, the one not picked is the worse."""
        places = range(self.count)
        rank = {place: rank for rank, group in enumerate(self._groups, start=1) for place in group}
        if self.count == 2 and len(rank) == 1 and not self._joined:
            rank[1 - next(iter(rank))] = 2
        return [rank[place] for place in places] if len(rank) == self.count else None

    def spoken(self) -> str:
        """`2 > 1 = 3`."""
        text = " > ".join(" = ".join(str(place + 1) for place in group) for group in self._groups)
        return f"{text} =" if self._joined else text


def view(showing: Showing, session: Session, width: int) -> RenderableType:
    """A question: how far, the request, the completions, the keys."""
    progress = session.progress()
    left = spoken(progress.seconds_left)
    head = Text(f"{progress.done} of {progress.total}{', ' if left else ''}{left}", style="dim")
    count = len(showing.order)
    panels = [_panel(showing, place, count, width) for place in range(count)]
    side_by_side = width >= WIDE and count <= 2
    shown: RenderableType = Columns(panels, padding=(0, 1)) if side_by_side else Group(*panels)
    return Group(Text(), head, _prompt(showing), shown, Text(_keys(count), style="dim"))


def _prompt(showing: Showing) -> Text:
    messages = showing.prompt.messages
    if len(messages) < 2:
        return Text(visible(showing.prompt.show()), style="bold")
    turns = (Text.assemble((f"{each.role}: ", "dim"), (visible(each.content), "bold")) for each in messages)
    return Text("\n").join(turns)


def _panel(showing: Showing, place: int, count: int, width: int) -> Panel:
    completion = showing.completions[showing.order[place]]
    text = Text(visible(completion.text) or "(empty)")
    if not completion.ended:
        text.append("\n(cut off at the length limit)", style="dim")
    wide = (width - 1) // 2 if width >= WIDE and count == 2 else None
    return Panel(text, title=str(place + 1), title_align="left", width=wide)


def _keys(count: int) -> str:
    choose = "1 or 2: better" if count == 2 else f"1-{count}: from best to worst, = before a key ties it with the last"
    return f"{choose}; t: {'tie' if count == 2 else 'all equal'}; s: skip; u: undo; q: stop"


def visible(text: str) -> str:
    """A stranger's text without what a terminal would obey: control and format characters become codes."""
    return "".join(each if each in _KEPT or not _obeyed(each) else f"\\u{ord(each):04x}" for each in text)


def _obeyed(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character != "\u200d"


def pressed(stream: TextIO) -> Iterator[str]:
    """Keys one by one: without waiting for Enter on a terminal, else the characters of a file but line feeds."""
    if stream is sys.stdin and stream.isatty():
        yield from _from_terminal(stream)
        return
    while character := stream.read(1):
        if not character.isspace():
            yield character


if sys.platform == "win32":
    import msvcrt

    def _from_terminal(stream: TextIO) -> Iterator[str]:
        while True:
            key = msvcrt.getwch()
            if key == "\x03":
                raise KeyboardInterrupt
            yield key

else:
    import os
    import termios
    import tty

    def _from_terminal(stream: TextIO) -> Iterator[str]:
        handle = stream.fileno()
        before = termios.tcgetattr(handle)
        try:
            tty.setcbreak(handle)
            while key := os.read(handle, 1):
                yield key.decode("ascii", "ignore")
        finally:
            termios.tcsetattr(handle, termios.TCSADRAIN, before)


def notes(lines: Sequence[str], console: Console) -> None:
    """Lines for a person, verbatim."""
    for line in lines:
        console.print(Text(line), soft_wrap=True)
