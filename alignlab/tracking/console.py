"""What a person reads while a run goes on: messages and progress on stderr, results on stdout.

One console for each stream, so that messages print above a running progress line instead of through it. Colour
follows NO_COLOR and the terminal; width follows COLUMNS and the terminal, and is 80 where there is neither.
"""

from __future__ import annotations

import os

from rich.console import Console
from rich.text import Text

messages = Console(stderr=True, highlight=False)
"""Progress, notes and warnings."""
results = Console(highlight=False)
"""Tables and figures a person may want to pipe elsewhere."""


def speaks() -> bool:
    """Whether this process is the one of its group that talks (rank 0)."""
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) in ("", "0")


def say(text: str, style: str = "") -> None:
    """Print a note on stderr, verbatim (no markup), wrapped by the terminal only."""
    if speaks():
        messages.print(Text(text, style=style), soft_wrap=True)


def warn(text: str) -> None:
    """Print a warning on stderr: something works, but probably not as meant."""
    if speaks():
        messages.print(Text.assemble(("warning: ", "bold yellow"), text), soft_wrap=True)
