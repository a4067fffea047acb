"""One job to its end: the exit code, and why it is not 0. A failure ends this job and leaves others to go on."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from alignlab.config import RunConfig
from alignlab.errors import AlignlabError


def outcome(settings: RunConfig, folder: Path, overrides: Sequence[str], group: str) -> tuple[int, str]:
    """Run, or run the experiment on the exact world. Returns exit code and reason."""
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
