"""The verbs of `python -m alignlab cache`: list, verify, prune and explain what the stage store holds."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from alignlab.stages.artefact import Artefact
from alignlab.stages.store import Store
from alignlab.stages.upkeep import Rules, contrast, digests_in, find

OK, DAMAGED, USAGE = 0, 1, 2
"""Exit codes."""

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def main(argv: Sequence[str]) -> int:
    """Run one verb and return its exit code: 0 fine, 1 damage found, 2 wrong usage.

    The store is `--store`, else the environment variable ALIGNLAB_STORE, else `./store`. Expected failures
    raise AlignlabError.
    """
    try:
        options = _parser().parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)
    # Text is for people on a terminal and for pipes: never folded, digests must stay whole.
    console = Console(soft_wrap=True, highlight=False, markup=False)
    store = Store(options.store, console.print)
    if not store.root.is_dir():
        console.print(f"there is no store at {store.root} yet")
        return OK
    return int(options.verb(store, options, console))


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    default = os.environ.get("ALIGNLAB_STORE", "store")
    common.add_argument("--store", type=Path, default=Path(default), help=f"folder of the store (now {default})")
    parser = argparse.ArgumentParser(prog="python -m alignlab cache", description="Look after the stage store.")
    verbs = parser.add_subparsers(required=True, metavar="ls|verify|prune|why")

    ls = verbs.add_parser("ls", parents=[common], help="what is stored")
    ls.add_argument("--kind", help="only results of this kind of stage")
    ls.set_defaults(verb=_ls)

    verify = verbs.add_parser("verify", parents=[common], help="read everything again; exit code 1 when damaged")
    verify.set_defaults(verb=_verify)

    prune = verbs.add_parser("prune", parents=[common], help="show what may go; --delete removes it")
    prune.add_argument("--older-than", type=age, metavar="AGE", help="not used for this long: 90m, 12h, 30d, 4w")
    prune.add_argument("--kind", help="only results of this kind of stage")
    prune.add_argument("--unreachable", type=Path, metavar="RUNS", help="what no run below this folder came from")
    prune.add_argument("--all", action="store_true", help="everything, unfinished and damaged results included")
    prune.add_argument("--delete", action="store_true", help="remove it")
    prune.set_defaults(verb=_prune, parser=prune)

    why = verbs.add_parser("why", parents=[common], help="the key of a result, or how two differ")
    why.add_argument("what", help="a kind (compares its two newest) or the start of a digest")
    why.add_argument("other", nargs="?", help="the start of a second digest to compare with")
    why.set_defaults(verb=_why)
    return parser


def age(text: str) -> timedelta:
    """A duration from `90m`, `12h`, `30d` or `4w`; argparse's own error for anything else."""
    match = re.fullmatch(r"(\d+)([mhdw])", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no age; write 90m, 12h, 30d or 4w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def size(count: int) -> str:
    """Bytes for people, in powers of 1000."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" or value >= 99.95 else f"{value:.1f} {units[0]}"


def since(moment: datetime) -> str:
    """Time passed since a moment, for people, in one unit."""
    minutes = (datetime.now(UTC) - moment).total_seconds() / 60
    if minutes < 60:
        return f"{max(minutes, 0):.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 48 * 60 else f"{minutes / 1440:.0f} d"


def _ls(store: Store, options: argparse.Namespace, console: Console) -> int:
    table = Table(box=None, pad_edge=False)
    for title, side in (("kind", "left"), ("id", "left"), ("size", "right"), ("used", "right"), ("took", "right")):
        table.add_column(title, justify="right" if side == "right" else "left", no_wrap=True)
    table.add_column("stage", overflow="fold")
    shown = [artefact for artefact in store if options.kind in (None, artefact.kind)]
    for artefact in shown:
        table.add_row(*_row(store, artefact))
    if shown:
        console.print(table, soft_wrap=False)
    console.print(f"{len(shown)} artefacts, {size(sum(artefact.size for artefact in shown))}, in {store.root}")
    for place, meaning in (("work", "unfinished"), ("quarantine", "damaged")):
        count = len(store.folders(place))
        if count:
            console.print(f"{count} {meaning} in {store.root / place}; `cache prune` can remove them")
    return OK


def _row(store: Store, artefact: Artefact) -> tuple[str, ...]:
    used = since(store.last_used(artefact.path.name) or artefact.created)
    return artefact.kind, artefact.key.short, size(artefact.size), used, _took(artefact), artefact.label


def _took(artefact: Artefact) -> str:
    seconds = artefact.info.get("seconds")
    return "" if seconds is None else f"{float(seconds):.0f} s"


def _verify(store: Store, options: argparse.Namespace, console: Console) -> int:
    damaged = store.verify()
    for damage in damaged:
        console.print(f"damaged: {damage.path}: {damage.file} {damage.reason}")
    count = len(store.folders("objects"))
    if damaged:
        console.print(
            f"{len(damaged)} of {count} artefacts are damaged; each is set aside and computed again on next use"
        )
        return DAMAGED
    console.print(f"{count} artefacts are as they were written")
    return OK


def _prune(store: Store, options: argparse.Namespace, console: Console) -> int:
    if not _rules_given(vars(options)):
        options.parser.print_usage()
        console.print("say what may go: --older-than, --kind, --unreachable RUNS (they narrow one another), or --all")
        return USAGE
    rules = Rules(
        older_than=options.older_than,
        kind=options.kind,
        reachable=digests_in(options.unreachable, store) if options.unreachable else None,
        everything=options.all,
    )
    gone = store.prune(rules, dry_run=not options.delete)
    for entry in gone:
        console.print(f"{size(entry.size):>8}  {entry.place:<10}  {entry.name}  unused for {since(entry.used)}")
    total = f"{len(gone)} folders, {size(sum(entry.size for entry in gone))}"
    console.print(f"removed {total}" if options.delete else f"would remove {total}; add --delete to do it")
    return OK


def _rules_given(options: Mapping[str, Any]) -> bool:
    narrowing = any(options[name] is not None for name in ("older_than", "kind", "unreachable"))
    return narrowing is not bool(options["all"])


def _why(store: Store, options: argparse.Namespace, console: Console) -> int:
    if options.other is None:
        lines = store.why(options.what)
    else:
        lines = contrast(find(store, options.what), find(store, options.other))
    for line in lines:
        console.print(line)
    return OK
