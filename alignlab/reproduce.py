"""`python -m alignlab reproduce runs/…`: run a recorded row again, and say whether the same came out.

The settings are those of the record, the store is empty unless another is named, and nothing is sent to a tracker.
Exit codes: 0 the same bits, or within the tolerance where versions, processor or threads differ; 1 something
differs; 2 the row cannot be run again here.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from alignlab.config import RunConfig, TrackingConfig
from alignlab.errors import AlignlabError, ConfigError, DataError, TrainingError
from alignlab.recorded import RESULT, Record, changed, read_record, restored
from alignlab.tracking.console import say, warn

if TYPE_CHECKING:
    from alignlab.reproduced import Comparison

SAME, DIFFERS, CANNOT = 0, 1, 2
"""Exit codes."""
RUNS = Path("runs") / "reproduced"
TOLERANCE = 1e-6


def main(arguments: Sequence[str]) -> int:
    """Run the row again, print the comparison, return the exit code. Failures to run it raise AlignlabError."""
    options = _parser().parse_args(list(arguments))
    try:
        found = reproduce(options.run, store=options.store, fresh=options.fresh, tolerance=options.tolerance)
    except TrainingError:
        raise
    except AlignlabError as error:
        error.exit_code = CANNOT
        raise
    return SAME if found.same else DIFFERS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m alignlab reproduce",
        description="Run a recorded row again from its config.yaml, and compare every figure, the policy and every "
        "reply. Exit code 0: the same; 1: something differs; 2: it cannot be run again here.",
    )
    parser.add_argument("run", type=Path, help="a run folder, or its result.json or config.yaml")
    parser.add_argument(
        "--tolerance", type=_tolerance, default=TOLERANCE, metavar="X",
        help="relative difference allowed where versions, processor or threads differ (default %(default)g)",
    )  # fmt: skip
    parser.add_argument("--store", type=Path, metavar="DIR", help="find stages in this store; default: an empty one")
    parser.add_argument("--fresh", action="store_true", help="insist that the store is empty, also with --store")
    return parser


def _tolerance(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("must be a number that is not negative")
    return value


def reproduce(
    target: Path, *, store: Path | None = None, fresh: bool = False, tolerance: float = TOLERANCE
) -> Comparison:
    """Run a recorded row again in a new folder, and print what became of every figure.

    Without `store` the stages are computed in an empty one beside that folder, which stays only when something
    differs. Raises AlignlabError when the row cannot be run: a plugin is missing, data moved or changed.
    """
    record = read_record(target)
    then = _result(record)
    settings, notes = restored(record)
    for note in notes:
        warn(note)
    folder = _new_folder(record)
    place = _store(store, fresh) or folder.with_name(f"{folder.name}-store")
    settings = replace(settings, store=str(place), tracking=TrackingConfig())
    _check_data(record, settings, then)
    _announce(record, settings)

    from alignlab.reproduced import compare, show
    from alignlab.run import run

    run(settings, folder, overrides=["reproduce", str(target)])
    found = compare(record, read_record(folder), tolerance)
    show(found)
    if store is None and found.same:
        shutil.rmtree(place, ignore_errors=True)
    elif store is None:
        say(f"the stages of this second run are kept in {place}")
    return found


def _result(record: Record) -> dict[str, object]:
    if not (record.folder / RESULT).is_file():
        raise ConfigError(
            f"{record.folder} holds no {RESULT}: that run never finished", "give its own command again; it goes on"
        )
    from alignlab.evaluation.result import read_result

    return read_result(record.folder / RESULT)


def _new_folder(record: Record) -> Path:
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{record.title}"
    taken = {path.name for path in RUNS.glob(f"{name}*")}
    return RUNS / next(each for each in (name, *(f"{name}-{n}" for n in range(2, len(taken) + 3))) if each not in taken)


def _store(given: Path | None, fresh: bool) -> Path | None:
    if given is not None and fresh and (given / "objects").exists() and any((given / "objects").iterdir()):
        raise ConfigError(f"--fresh: the store {given} holds results", "leave out --store, or name an empty folder")
    return given


def _check_data(record: Record, settings: RunConfig, then: dict[str, object]) -> None:
    """Refuse data that changed: whatever came out would say nothing about the run."""
    from alignlab.stages.graph import Graph

    graph = Graph(settings, quiet=True)
    graph.base.check()
    prints = then.get("fingerprints")
    recorded = prints.get("data") if isinstance(prints, dict) else None
    present = graph.source.fingerprint()
    if recorded is not None and recorded != present:
        raise DataError(
            f"data={settings.data.source} is no longer what {record.folder} was made from: its fingerprint was "
            f"{str(recorded)[:12]} and is {present[:12]}",
            "put back the files, or the version of alignlab, of that time",
        )


def _announce(record: Record, settings: RunConfig) -> None:
    """Differences that may change numbers, before time is spent."""
    import torch

    from alignlab.run_folder import machine, versions

    torch.set_num_threads(settings.trainer.threads or 1)
    differing = changed(record.versions, versions()) | changed(record.machine, machine())
    for name, (before, now) in differing.items():
        warn(f"{name} was {before} and is {now}: the bits may differ")
