"""Hydra's entry point, once everything that can be known to be wrong has been ruled out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from alignlab.compose import CONFIG_NAME, check, conf_folder, register
from alignlab.errors import AlignlabError

FLAGS_ALONE = ("--cfg", "-c", "--info", "-i", "--hydra-help", "--version", "--shell-completion", "-sc", "--resolve")


def launch(arguments: Sequence[str]) -> int:
    """Run or sweep. Returns the exit code: that of the worst job."""
    register()
    overrides = [item for item in arguments if not item.startswith("-")]
    if not any(item.split("=")[0] in FLAGS_ALONE for item in arguments):
        check(overrides, multirun=bool({"-m", "--multirun"} & set(arguments)))
    outcomes: list[int] = []

    def task(cfg: DictConfig) -> None:
        outcomes.append(_job(cfg))

    sys.argv = ["alignlab", *arguments]
    hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=CONFIG_NAME)(task)()
    return max(outcomes, default=0)


def _job(cfg: DictConfig) -> int:
    """One run. An expected failure ends this job with a message and leaves the others to go on."""
    from alignlab.config import typed
    from alignlab.run import run

    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    try:
        run(typed(cfg), folder, overrides=list(settings.overrides.task))
    except AlignlabError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0
