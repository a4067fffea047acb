"""`python -m alignlab wandb-sync runs/sweeps/…`: send the offline records below a folder, then save its panels.

This is the one command of alignlab that exists to reach the network; `--dry-run` says what it would send.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from alignlab.config import TrackingConfig
from alignlab.errors import ConfigError, StoreError
from alignlab.stages.files import atomic_write_text
from alignlab.tracking import workspace
from alignlab.tracking.comparison import log_comparison
from alignlab.tracking.console import say, warn

COMPARISON = "leaderboard.json"
"""The content of a comparison, where one was made; its tables are sent unless an offline record holds them."""
SENT = "wandb_comparison.sent"
LONGEST = 300
"""Characters of what wandb said that are repeated."""


def main(arguments: Sequence[str]) -> int:
    """Send, and return the exit code. StoreError when the server refuses, ConfigError when there is nothing to send."""
    options = _parser().parse_args(list(arguments))
    send(options.folder, dry_run=options.dry_run)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m alignlab wandb-sync",
        description="Send the wandb records that runs below a folder kept offline, then save the panels of the "
        "sweep's comparison. Log in first with `wandb login`.",
    )
    parser.add_argument("folder", type=Path, help="folder of a sweep, or of one run")
    parser.add_argument("--dry-run", action="store_true", help="say what would be sent, and send nothing")
    return parser


def send(folder: Path, *, dry_run: bool = False) -> None:
    """Send offline records, then the tables of a comparison that has none yet, then the panels.

    ConfigError when there is nothing to send or wandb-workspaces is missing; StoreError when the server refuses.
    """
    records, file = unsent(folder), folder / workspace.FILE
    panels = workspace.read_definition(file) if file.is_file() else None
    tables = _tables(folder, panels)
    if not records and panels is None:
        raise ConfigError(
            f"nothing to send below {folder}: no offline record of wandb, no {workspace.FILE}",
            "run with tracking=wandb, or name another folder",
        )
    for path in records:
        say(f"{'would send' if dry_run else 'sending'} {path}")
    if panels is not None:
        workspace.workspace(panels, panels["entity"] or "")  # a missing package, before anything is sent
    if dry_run:
        say(f"would save {len(panels['sections'])} sections of panels as {panels['name']!r}" if panels else "no panels")
        return
    for path in records:
        _sync(path)
    if panels is not None and tables is not None:
        log_comparison(tables, folder, _online(panels), panels["group"])
        atomic_write_text(folder / SENT, "the tables of the comparison were sent\n")
    if panels is not None:
        say(f"panels: {workspace.save(panels)}")


def unsent(folder: Path) -> list[Path]:
    """Folders of offline records below a folder that were not sent yet, in the order of their names."""
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}", "name the folder of a sweep, such as runs/sweeps/…")
    found = (path.parent for path in folder.rglob("offline-run-*/run-*.wandb"))
    return sorted(path for path in found if not any(path.glob("*.wandb.synced")))


def _sync(path: Path) -> None:
    """Have wandb's own command send one record. StoreError with what it said last when it could not."""
    command = [sys.executable, "-m", "wandb", "sync", str(path)]
    loud = {**os.environ, "WANDB_SILENT": "false"}  # else it keeps its errors to itself
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=loud)
    if done.returncode or not any(path.glob("*.wandb.synced")):
        raise StoreError(
            f"wandb did not send {path}: {_reason(done.stderr or done.stdout)}",
            "log in first with `wandb login`, then repeat this",
        )


def _reason(said: str) -> str:
    """What wandb calls errors, in one line: servers answer with whole pages, and the exit code may still be 0."""
    lines = [line.removeprefix("wandb: ").strip() for line in said.splitlines()]
    marked = (line.partition(" ")[2] for line in lines if line.upper().startswith("ERROR"))
    errors = [re.sub(r"<[^>]*>", "", line).strip() for line in marked]
    told = dict.fromkeys(each for each in errors or lines if each)
    return ", ".join(told)[:LONGEST] or "it gave no reason"


def _tables(folder: Path, panels: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The content of a comparison that no record holds yet."""
    path = folder / COMPARISON
    if (
        panels is None
        or not path.is_file()
        or (folder / SENT).exists()
        or any((folder / "wandb").glob("offline-run-*"))
    ):
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        warn(f"{path} cannot be read, so that its tables are not sent: {error}")
        return None
    return content if isinstance(content, dict) else None


def _online(panels: Mapping[str, Any]) -> TrackingConfig:
    settings = TrackingConfig(kind="wandb", project=panels["project"], entity=panels["entity"])
    return replace(settings, mode="online")
