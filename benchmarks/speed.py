"""How long the same work takes alignlab, TRL and loops by hand.

    pip install -e '.[bench]'
    python benchmarks/speed.py [short long desk scaling start rollouts sweep] [--repeats 9] [--out FILE]

Contenders take turns, each in a process of its own, on the same tokens, model, optimiser and threads; warm-up steps
are left out. The table shows medians of the ratio to alignlab within a round (above 1: slower than alignlab), with
quartiles; `CPU` is the same of processor time, which a busy machine disturbs less. docs/performance.md has more.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from contest import figures, rollouts, rows, start, sweep
from contest.material import drawn, tokens, write
from contest.referee import contest
from contest.shapes import ASIDE, OURS, SCALING, SHAPES, TASKS

from alignlab.errors import AlignlabError
from alignlab.stages.files import atomic_write_json
from alignlab.tracking.console import messages, results

OTHERS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "rows": rows.measure,
    "start": start.measure,
    "rollouts": rollouts.measure,
    "sweep": sweep.measure,
}
SHOWN: dict[str, Callable[[dict[str, Any]], Any]] = {
    "rows": rows.table,
    "start": start.table,
    "rollouts": rollouts.table,
    "sweep": sweep.table,
}


def asked(given: argparse.Namespace) -> list[str]:
    """Names of shapes, with `scaling` spelled out."""
    return [each for name in given.shapes for each in ((*SCALING, "rows") if name == "scaling" else (name,))]


def known() -> list[str]:
    """Every name that can be asked for; `sweep` is also the shape that its trainings have."""
    return list(dict.fromkeys((*SHAPES, *OTHERS, "scaling")))


def contenders(task: str, given: argparse.Namespace) -> list[str]:
    """Who takes part; alignlab always does, since ratios are to it."""
    everyone = [*TASKS[task], *([ASIDE] if given.defaults else [])]
    return [name for name in everyone if name == OURS or not given.only or name in given.only]


def contests(shape: str, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One record for each task of a shape."""
    sizes = SHAPES[shape]
    with tempfile.TemporaryDirectory() as folder:
        write(sizes, Path(folder))
        for task in given.tasks or sizes.tasks:
            messages.print(f"{shape} {task} …")
            lanes = contest(
                shape, task, contenders(task, given), Path(folder), rounds=given.repeats, threads=given.threads
            )
            yield figures.summary(shape, task, tokens(sizes, task, drawn(sizes)), lanes)


def measured(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All records, each shown as soon as it is there."""
    for name in asked(given):
        for found in [OTHERS[name](given)] if name in OTHERS else contests(name, given):
            results.print(SHOWN.get(name, figures.table)(found))
            yield found


def machine() -> dict[str, Any]:
    """What the seconds are of."""
    return {"system": platform.platform(), "processor": platform.processor(), "cores": os.cpu_count()}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = known()
    out.add_argument("shapes", nargs="*", metavar="SHAPE", default=["short"], help=f"of {', '.join(names)}")
    out.add_argument("--repeats", type=int, default=9, help="rounds that count")
    out.add_argument("--threads", type=int, default=1, help="of every contender")
    out.add_argument("--tasks", nargs="+", choices=TASKS, help="only these")
    out.add_argument("--only", nargs="+", metavar="CONTENDER", help="alignlab and these, such as TRL 'bare shared'")
    out.add_argument("--defaults", action="store_true", help="TRL with its own precision and checkpointing beside")
    out.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000, 1_000_000], help="of shape rows")
    out.add_argument("--steps", type=int, default=20, help="updates of each method in the sweep")
    out.add_argument("--out", type=Path, help="JSON with every figure")
    return out


def main(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    wrong = [name for name in asked(given) if name not in SHAPES and name not in OTHERS]
    if wrong:
        parser().error(f"unknown shape {wrong[0]!r}, choose from {', '.join(known())}")
    found: list[dict[str, Any]] = []
    try:
        for each in measured(given):
            found.append(each)
            if given.out:
                facts = {"machine": machine(), "versions": figures.versions(), "threads": given.threads}
                atomic_write_json(given.out, facts | {"command": ["benchmarks/speed.py", *arguments], "found": found})
    except AlignlabError as error:
        messages.print(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
