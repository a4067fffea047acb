"""Replies on a terminal: side by side where it is wide, one below the other where it is not."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from alignlab.chat.room import Said

WIDE = 100
"""Columns from which two replies stand side by side."""


def show(replies: Sequence[Said], console: Console) -> None:
    """Print the replies of one turn."""
    if len(replies) > 1 and console.width >= WIDE:
        grid = Table.grid(padding=(0, 2), expand=True)
        for _ in replies:
            grid.add_column(ratio=1, overflow="fold")
        grid.add_row(*map(_head, replies))
        grid.add_row(*map(_body, replies))
        console.print(grid)
    else:
        for reply in replies:
            console.print(_head(reply))
            console.print(Padding(_body(reply), (0, 0, 0, 2)))
    console.print()


def _head(reply: Said) -> Text:
    scores = ", ".join(f"{name} {value:+.2f}" for name, value in reply.scores.items())
    return Text.assemble((reply.speaker, "bold"), (f"  {scores}" if scores else "", "dim"))


def _body(reply: Said) -> RenderableType:
    text = Text(printable(reply.text) or "(empty)", overflow="fold")
    if not reply.ended:
        text.append(" (cut at the length limit)", style="dim")
    if reply.cut:
        text.append(" (the beginning of the conversation no longer fits)", style="dim")
    return text


def printable(text: str) -> str:
    """The text with everything that would steer a terminal spelled out: a model may write escape sequences."""
    return "".join(letter if letter.isprintable() or letter == "\n" else _spelled(letter) for letter in text)


def _spelled(letter: str) -> str:
    return letter.encode("unicode_escape").decode()
