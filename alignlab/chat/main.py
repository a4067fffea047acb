"""`python -m alignlab chat runs/…`: on a terminal a conversation, in a pipe one turn a line.

Exit codes: 0 every turn was answered, 2 the model cannot be had or a turn could not be asked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from alignlab.errors import AlignlabError, ConfigError, DataError
from alignlab.recorded import CONFIG, read_record
from alignlab.tracking.console import results, say, warn

if TYPE_CHECKING:
    from alignlab.chat.room import Room

COMMANDS = "/new  /temperature X  /sft off|on  /quit"
YOU = "you> "


def main(arguments: Sequence[str]) -> int:
    """Talk until the end of input. Returns the exit code; AlignlabError when the model cannot be had."""
    options = _parser().parse_args(list(arguments))
    try:
        talk = _open(options)
        talk.greet(interactive=options.prompt is None and sys.stdin.isatty())
        return 0 if talk.all_of(_turns(options.prompt)) else 2
    except AlignlabError as error:
        error.exit_code = 2
        raise


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m alignlab chat",
        description="Talk to the model of a run beside its SFT version, or to any model directory. "
        f"Commands while talking: {COMMANDS}.",
    )
    parser.add_argument("run", type=Path, help="a run folder, or a directory with a model")
    parser.add_argument("--prompt", action="append", metavar="TEXT", help="say this and end; several: one conversation")
    parser.add_argument("--temperature", metavar="T", help="0 is greedy; default: that of the run's evaluation, else 1")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the sampling (default %(default)s)")
    parser.add_argument("--max-new-tokens", type=_count, metavar="N", help="longest reply; default: that of the run")
    parser.add_argument("--store", type=Path, metavar="DIR", help="store of the run, where it is not found by itself")
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _open(options: argparse.Namespace) -> Talk:
    """The conversation with what was named: a run where there is a record of one, else a model directory."""
    target = options.run.expanduser()
    bare = target.is_dir() and not (target / CONFIG).is_file()
    if bare and not (target / "config.json").is_file():
        raise ConfigError(
            f"{options.run} is neither the folder of a run nor a model directory",
            "name a folder below runs/, or one written by save_pretrained",
        )
    record = None if bare else read_record(target)
    asked = None if options.temperature is None else check_temperature(options.temperature)
    from alignlab.chat import directory, runs

    if record is None:
        return Talk(directory.room(target, max_new_tokens=options.max_new_tokens), options.seed, _or(asked, 1.0))
    room = runs.room(record, store=options.store, max_new_tokens=options.max_new_tokens)
    evaluated = float(record.config.get("evaluation", {}).get("temperature", 1.0))
    return Talk(room, options.seed, _or(asked, evaluated))


def _or(asked: float | None, default: float) -> float:
    return default if asked is None else asked


def check_temperature(text: str) -> float:
    """A temperature, 0 for greedy. ConfigError for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ConfigError(f"temperature {text!r} is not a number from 0 on", "0 is greedy, 1 is how models are trained")
    return value


def _turns(given: Sequence[str] | None) -> Iterator[str]:
    """What is said: by --prompt, typed on a terminal, or a line each of a pipe."""
    if given is not None:
        yield from given
    elif sys.stdin.isatty():
        with suppress(ImportError):
            import readline  # noqa: F401  (gives input() a history)
        with suppress(EOFError, KeyboardInterrupt):
            while True:
                yield input(YOU)
    else:
        for line in sys.stdin:
            results.print(Text(YOU + line.rstrip("\n")), soft_wrap=True)
            yield line


@dataclass
class Talk:
    """A conversation and its settings."""

    room: Room
    seed: int
    temperature: float
    sft: bool = True
    turn: int = 0
    _commands: dict[str, Callable[[str], None]] = field(init=False)

    def __post_init__(self) -> None:
        self._commands = {"/new": self._new, "/temperature": self._warm, "/sft": self._beside}

    def greet(self, *, interactive: bool) -> None:
        """Say who is there and, to a person, what can be said."""
        say(self.room.title)
        for note in self.room.notes:
            warn(note)
        if not self.room.remembers:
            say("the template has no turns: each request stands alone")
        if interactive:
            say(f"commands: {COMMANDS}", "dim")
            for example in self.room.examples:
                say(f"  {example}", "dim")

    def all_of(self, turns: Iterable[str]) -> bool:
        """Answer each turn until `/quit`. Whether every one could be."""
        fine = True
        for line in turns:
            text = line.strip()
            if text == "/quit":
                break
            if text:
                fine = self._answered(text) and fine
        return fine

    def _answered(self, text: str) -> bool:
        try:
            if text.startswith("/"):
                self._command(text)
            else:
                return self._asked(text)
        except (ConfigError, DataError) as error:
            say(str(error))
            return False
        return True

    def _command(self, text: str) -> None:
        name, _, rest = text.partition(" ")
        if name not in self._commands:
            raise ConfigError(f"there is no command {name}", COMMANDS)
        self._commands[name](rest.strip())

    def _new(self, rest: str) -> None:
        self.room.forget()
        say("a new conversation", "dim")

    def _warm(self, rest: str) -> None:
        self.temperature = check_temperature(rest)
        say(f"temperature {self.temperature:g}", "dim")

    def _beside(self, rest: str) -> None:
        if rest not in ("on", "off"):
            raise ConfigError(f"/sft {rest} is neither on nor off", "/sft off leaves SFT out of the conversation")
        if rest == "on" and not self.sft:
            self.room.forget()  # it has not heard what was said meanwhile
            say("a new conversation, with SFT", "dim")
        self.sft = rest == "on"

    def _asked(self, text: str) -> bool:
        """Ask everybody. False when the model cannot read the words."""
        from alignlab.chat.show import show
        from alignlab.chat.words import advice

        lines = advice(text, self.room.tokenizer, self.room.examples)
        for line in lines:
            say(line)
        if lines and self.room.closed:
            return False
        speakers = self.room.speakers if self.sft else self.room.speakers[:1]
        ask = partial(self.room.ask, seed=self.seed, turn=self.turn, temperature=self.temperature)
        show([ask(speaker, text) for speaker in speakers], results)
        self.turn += 1
        return True
