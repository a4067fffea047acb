"""Hydra's entry point, once everything that can be known to be wrong has been ruled out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import hydra
from hydra._internal.callbacks import Callbacks
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import run_job
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, read_write

from alignlab.compose import CONFIG_NAME, check, composed, conf_folder, entered, register
from alignlab.config import typed
from alignlab.errors import ConfigError
from alignlab.launch.jobs import Sweep
from alignlab.launch.outcome import outcome
from alignlab.launch.sweep import announce_jobs, planned, sweep
from alignlab.stages.files import disk_error


def launch(arguments: Sequence[str]) -> int:
    """Run or sweep. Returns the exit code: of the run, or 1 when a job of the sweep failed."""
    options = _parsed(arguments)
    overrides: list[str] = options.overrides
    register()
    if options.multirun and not (_foreign(options) or options.cfg or options.info):
        found = planned(overrides)
        if found.launcher == "basic" and not _other_sweeper(overrides):
            return sweep(overrides, found)
        _refuse_for_launchers(found)
        announce_jobs(overrides, found)
    elif options.cfg or options.info:
        composed(overrides)
    elif options.resolve or options.package:
        raise ConfigError("--resolve and --package say how a configuration is printed", "add --cfg job")
    elif not _foreign(options):
        checked = check(overrides)
        if checked.hydra.mode in (None, RunMode.RUN):
            return _alone(checked)
    return _by_hydra(arguments, overrides)


def _refuse_for_launchers(found: Sweep) -> None:
    """A launcher of Hydra's runs what was typed, job by job: there is nobody to leave out, to tune or to choose."""
    if found.jobs[0].settings.tune is not None:
        raise ConfigError(f"a search of settings does not run by hydra/launcher={found.launcher}", "leave that out")
    if found.notes:
        raise ConfigError(
            f"hydra/launcher={found.launcher} runs every job as typed, and {found.notes[0]}", "type only what applies"
        )


def _other_sweeper(overrides: Sequence[str]) -> bool:
    """Whether another of Hydra's sweepers is to choose the jobs."""
    return any(item.lstrip("+").startswith("hydra/sweeper=") for item in overrides)


def _alone(cfg: DictConfig) -> int:
    """One run of a configuration that was checked, as `Hydra.run` does it: its entry composes it twice more."""
    done: list[tuple[Path, int]] = []
    with read_write(cfg.hydra):
        cfg.hydra.mode = RunMode.RUN
    with _told_as_ours():
        callbacks = Callbacks(cfg)
        with entered() as inside:
            context = HydraContext(config_loader=inside.config_loader, callbacks=callbacks)
        callbacks.on_run_start(config=cfg, config_name=CONFIG_NAME)
        job = run_job(
            lambda run: done.append(_job(run)),
            config=cfg,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
            hydra_context=context,
        )
        callbacks.on_run_end(config=cfg, config_name=CONFIG_NAME, job_return=job)
        _ = job.return_value  # raises what the job raised
    return done[0][1]


def _by_hydra(arguments: Sequence[str], overrides: Sequence[str]) -> int:
    """One run; or many, by a launcher or sweeper of Hydra's."""
    done: list[tuple[Path, int]] = []
    flags = [item for item in arguments if item not in overrides]
    code = _hydra(lambda cfg: done.append(_job(cfg)), [*flags, *overrides])
    return code or max((code for _, code in done), default=0)


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Hydra's own flags, in any order among the overrides."""

    def refuse(message: str) -> NoReturn:
        raise ConfigError(message, "`python -m alignlab --hydra-help` explains Hydra's flags")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    options, unknown = parser.parse_known_intermixed_args(list(arguments))
    if unknown:
        raise ConfigError(f"unknown flag {unknown[0]}", "settings are written key=value; `--hydra-help` lists flags")
    return options


def _foreign(options: argparse.Namespace) -> bool:
    """Whether Hydra does something that composing the given overrides would not check."""
    other = (options.config_dir, options.config_path, options.config_name, options.experimental_rerun)
    return bool(options.hydra_help or options.shell_completion or any(other))


def _hydra(task: Callable[[DictConfig], None], arguments: Sequence[str]) -> int:
    """Hand over to Hydra, which reads sys.argv and ends some requests by SystemExit."""
    before = sys.argv
    sys.argv = [before[0], *arguments]
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # else it prints its own short traceback of a full disk too
    try:
        with _told_as_ours():
            hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=CONFIG_NAME)(task)()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


@contextmanager
def _told_as_ours() -> Iterator[None]:
    """What Hydra refuses, and a full disk, as errors with a remedy."""
    try:
        with disk_error(Path("runs")):
            yield
    except HydraException as error:
        raise ConfigError(str(error).splitlines()[0], "`python -m alignlab --hydra-help` explains Hydra") from error


def _job(cfg: DictConfig) -> tuple[Path, int]:
    """One run: its folder and exit code, of several never more than 1."""
    context = HydraConfig.get()
    many = context.mode == RunMode.MULTIRUN
    folder = Path(context.runtime.output_dir)
    code, _ = outcome(typed(cfg), folder, list(context.overrides.task), Path(context.sweep.dir).name if many else "")
    return folder, min(code, 1) if many else code
