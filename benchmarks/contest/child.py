"""A contender's process: `python -m contest.child CONTENDER TASK SHAPE FOLDER THREADS`, spoken to over stdin."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from contest.shapes import OURS, SHAPES
from contest.turns import line


def main(arguments: list[str]) -> None:
    contender, task, shape, folder, threads = arguments
    turns = line()
    import torch

    torch.set_num_threads(int(threads))
    module = "ours" if contender == OURS else "theirs" if contender.startswith("TRL") else "bare"
    run = import_module(f"contest.{module}").run
    run(contender, task, SHAPES[shape], Path(folder), turns)


if __name__ == "__main__":
    main(sys.argv[1:])
