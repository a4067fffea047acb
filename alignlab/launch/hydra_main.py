"""Hydra's entry point, once everything that can be known to be wrong has been ruled out."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from alignlab.compose import CONFIG_NAME, check, composed, conf_folder, register
from alignlab.config import RunConfig, typed
from alignlab.errors import AlignlabError, ConfigError
from alignlab.launch.sweep import Job, show
from alignlab.stages.files import disk_error


def launch(arguments: Sequence[str]) -> int:
    """Run or sweep. Returns the exit code: of the run, or 1 when a job of the sweep failed."""
    options = _parsed(arguments)
    overrides: list[str] = options.overrides
    register()
    if not _foreign(options):
        if options.cfg or options.info:
            composed(overrides)
        else:
            check(overrides, multirun=options.multirun)
    done: list[Job] = []

    def task(cfg: DictConfig) -> None:
        done.append(_job(cfg))

    flags = [item for item in arguments if item not in overrides]
    try:
        code = _hydra(task, [*flags, *overrides])
    finally:
        if options.multirun and done:
            show(done)
    return code or max((_code(job, options.multirun) for job in done), default=0)


def _code(job: Job, multirun: bool) -> int:
    return min(job.code, 1) if multirun else job.code


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Hydra's own flags, in any order among the overrides."""

    def refuse(message: str) -> NoReturn:
        raise ConfigError(message, "`python -m alignlab --hydra-help` explains Hydra's flags")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign,assignment]
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
        with disk_error(Path("runs")):
            hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=CONFIG_NAME)(task)()
    except HydraException as error:
        raise ConfigError(str(error).splitlines()[0], "`python -m alignlab --hydra-help` explains Hydra") from error
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


def _job(cfg: DictConfig) -> Job:
    """One run. A failure ends this job with a message and leaves the others to go on."""
    context = HydraConfig.get()
    sweep = Path(context.sweep.dir) if context.mode == RunMode.MULTIRUN else None
    folder, overrides = Path(context.runtime.output_dir), list(context.overrides.task)
    settings = typed(cfg)
    code, reason = _outcome(settings, folder, overrides, sweep.name if sweep else "")
    return Job(settings.algo.name, settings.seed, overrides, folder, sweep, code, reason)


def _outcome(settings: RunConfig, folder: Path, overrides: Sequence[str], group: str) -> tuple[int, str]:
    """Exit code, and why it is not 0."""
    try:
        if settings.exact is not None:
            from alignlab.exact.experiment import run_exact

            run_exact(settings.exact, folder, seed=settings.seed, overrides=overrides)
        else:
            from alignlab.run import run

            run(settings, folder, overrides=overrides, group=group)
    except AlignlabError as error:
        print(f"error: {error}", file=sys.stderr)
        with suppress(OSError):
            folder.rmdir()  # nothing was written: leave nothing behind
        return error.exit_code, error.message
    except Exception as error:  # a defect, of alignlab or of a plugin: shown whole, and no reason to stop other jobs
        traceback.print_exc()
        return 1, f"{type(error).__name__}: {error}"
    return 0, ""
