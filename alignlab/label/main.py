"""The verb `label`: ask a person which completions are better, and turn what was said into figures and pairs."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alignlab.errors import DataError, StoreError

if TYPE_CHECKING:
    from alignlab.label.items import Plan
    from alignlab.label.session import Session
    from alignlab.label.store import Judgement, LabelFile

ABOUT = """\
Shows completions of several methods to the same request, without saying whose
they are, and asks which is better. Every answer is on the disk before the next
question comes; the same command goes on where the last one stopped.

  label RUNS …                          ask on a local page
  label summary FILE                    who wins, how reliable the labels are
  label export FILE --pairs OUT.jsonl   pairs for data=files data.path=OUT.jsonl
"""
MOST_SHARE = 0.5
"""Of exported pairs, the share in TRAIN below which a word about splits is due."""


def main(argv: Sequence[str]) -> int:
    """Run the verb; returns the exit code. Expected failures raise AlignlabError."""
    arguments = list(argv)
    named = arguments[0] if arguments[:1] in (["summary"], ["export"]) else ""
    options = _PARSERS[named]().parse_args(arguments[1:] if named else arguments)
    return {"summary": _summary, "export": _export, "": _label}[named](options)


def _label_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m alignlab label", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUNS", help="runs, sweeps, or files of completions")
    parser.add_argument("--out", type=Path, default=Path("labels.jsonl"), help="file of labels (labels.jsonl)")
    parser.add_argument("--count", type=_count, default=100, metavar="N", help="questions at most (100)")
    parser.add_argument("--rank", action="store_true", help="rank all methods at once, up to 6, instead of two")
    parser.add_argument("--kinds", type=_names, default=(), metavar="A,B", help="only requests of these kinds")
    parser.add_argument("--with-sft", action="store_true", help="the SFT policy takes part beside several methods")
    parser.add_argument("--repeat", type=_share, default=0.1, metavar="R", help="share that is asked again (0.1)")
    parser.add_argument("--seed", type=int, default=0, help="decides questions, places and repeats (0)")
    parser.add_argument("--annotator", default="", metavar="NAME", help="who labels (the name you are logged in by)")
    parser.add_argument("--reveal", action="store_true", help="take in completions to real harmful requests")
    parser.add_argument("--terminal", action="store_true", help="ask here instead of on a page")
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="port of the page (a free one)")
    parser.add_argument("--no-open", action="store_true", help="do not open the page in the browser")
    return parser


def _summary_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m alignlab label summary")
    parser.add_argument("labels", nargs="+", type=Path, metavar="FILE", help="files of labels")
    return parser


def _export_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m alignlab label export")
    parser.add_argument("labels", nargs="+", type=Path, metavar="FILE", help="files of labels")
    parser.add_argument("--pairs", type=Path, required=True, metavar="OUT", help="JSON lines to write")
    return parser


_PARSERS = {"": _label_parser, "summary": _summary_parser, "export": _export_parser}


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of questions; write 1 or more")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; write 1 to 65535")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share; write a number from 0 to 1")
    return value


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _label(options: argparse.Namespace) -> int:
    from alignlab.label.inputs import load
    from alignlab.label.items import plan
    from alignlab.label.session import Session
    from alignlab.tracking.console import say

    inputs = load(options.runs, reveal=options.reveal, kinds=options.kinds, with_sft=options.with_sft)
    asked = plan(
        inputs.requests,
        inputs.methods,
        count=options.count,
        repeat=options.repeat,
        seed=options.seed,
        rank=options.rank,
    )
    for note in [*inputs.notes, *_about(asked, len(inputs.methods), options.count)]:
        say(note)
    with _opened(options.out) as file:
        session = Session(asked, file, options.annotator or _user())
        done = session.progress().done
        for note in [*file.notes, *([f"{done} answered already; going on"] if done else [])]:
            say(note)
        try:
            _in_terminal(session) if options.terminal else _on_page(session, options)
        except KeyboardInterrupt:
            say("stopped; the same command goes on here")
        with session.lock:  # an answer that is being saved is saved
            labels = list(file.rows)
    say(f"labels: {options.out}")
    _show(labels)
    return 0


def _about(asked: Plan, methods: int, count: int) -> Iterator[str]:
    fresh = sum(showing.repeat_of is None for showing in asked.showings)
    if not fresh:
        raise DataError(
            f"all {asked.identical} comparisons are between identical completions", "give methods that differ"
        )
    yield f"{fresh} questions about {methods} methods, {len(asked.showings) - fresh} of them asked again"
    if asked.identical:
        yield f"{asked.identical} comparisons of identical completions were passed over"
    if fresh < count:
        yield f"there are no more than {fresh} different comparisons"


@contextmanager
def _opened(path: Path) -> Iterator[LabelFile]:
    """The file of labels, which no other session may write meanwhile."""
    from alignlab.label.store import LabelFile
    from alignlab.stages.lock import attempted

    with attempted(path.with_name(f".{path.name}.lock"), str(path)) as free:
        if not free:
            raise StoreError(f"another session writes {path}", "end it, or name another file: --out")
        file = LabelFile(path)
        try:
            yield file
        finally:
            file.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in containers
        return "annotator"


def _in_terminal(session: Session) -> None:
    from alignlab.label.terminal import label, pressed
    from alignlab.tracking.console import results

    label(session, pressed(sys.stdin), results)


def _on_page(session: Session, options: argparse.Namespace) -> None:
    from alignlab.label.server import LabelServer
    from alignlab.tracking.console import results, say

    with LabelServer(session, options.port) as server:
        results.print(server.url, soft_wrap=True, markup=False)
        say("open this address to label; it works on this machine only. Ctrl-C ends it.")
        if not options.no_open and _graphical():
            _open(server.url)
        server.serve_forever(poll_interval=0.1)


def _graphical() -> bool:
    """Whether a browser would open a window rather than take over the terminal."""
    if not sys.stdout.isatty():
        return False
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open(url: str) -> None:
    import webbrowser

    webbrowser.open(url)


def _summary(options: argparse.Namespace) -> int:
    from alignlab.label.store import read_labels

    _show([label for path in options.labels for label in read_labels(path)])
    return 0


def _export(options: argparse.Namespace) -> int:
    from alignlab.label.export import export, places
    from alignlab.label.store import read_labels
    from alignlab.tracking.console import results, say

    labels = [label for path in options.labels for label in read_labels(path)]
    count = export(labels, options.pairs)
    results.print(f"{count} pairs in {options.pairs}", soft_wrap=True, markup=False)
    try:
        splits = places(options.pairs)
    except DataError as error:
        say(f"too few to train on yet: {error.message}")
        return 0
    say("data=files divides them into " + ", ".join(f"{n} {split.value}" for split, n in splits.items()))
    if splits[next(iter(splits))] < MOST_SHARE * count:
        say(
            "most are on evaluation prompts of their data, which stay so. To train on them all the\n"
            "same: data.evaluation=0.01 data.validation=0.005 data.held_out=0.01"
        )
    return 0


def _show(labels: Sequence[Judgement]) -> None:
    from alignlab.label.report import show
    from alignlab.tracking.console import results

    show(labels, results)
