"""What may happen to a run: watchers and injuries, put in place in its process before it starts."""

from __future__ import annotations

import builtins
import errno
import hashlib
import importlib
import io
import itertools
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook

from alignlab.errors import TrainingError
from alignlab.stages import training

Moment = tuple[str, int]
"""A stage by the start of its label, and a step of its training."""

_stage = ""


def wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Replace `owner.name` by a function that gets the original first."""
    original = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: around(original, *args, **kwargs))


def write_steps(path: Path) -> None:
    """Append a line at the start of every training step."""

    def fit(original: Any, module: Any, data: Any, job: Any) -> Any:
        global _stage
        _stage = job.label
        return original(module, data, job)

    def step(original: Any, callback: Any, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        with path.open("a") as file:
            file.write(f"{_stage}:{batch_idx}\n")
        original(callback, trainer, module, batch, batch_idx)

    wrap(training, "fit", fit)
    wrap(training.SeedEachStep, "on_train_batch_start", step)


def at_step(moment: Moment, act: Callable[[], None], *, when: str = "on_train_batch_start") -> None:
    """Act once when a step begins (`on_train_batch_start`) or, before any checkpoint of it, ends (`_end`)."""

    def step(original: Any, callback: Any, trainer: Any, *rest: Any) -> None:
        if _stage.startswith(moment[0]) and rest[-1] == moment[1]:
            act()
        original(callback, trainer, *rest)

    owner = training.SeedEachStep if when == "on_train_batch_start" else training.Resumable
    wrap(owner, when, step)


def only_checkpoints_after(*steps: int) -> None:
    """Let checkpoints be written at the end of these steps alone."""

    def end(original: Any, callback: Any, trainer: Any, *rest: Any) -> None:
        callback._due = 0.0 if rest[-1] in steps else float("inf")
        original(callback, trainer, *rest)

    wrap(training.Resumable, "on_train_batch_end", end)


def at_call(place: str, act: Callable[[], None], count: int = 1) -> None:
    """Act before the `count`-th call of `module:name` or `module:Class.name`."""
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    owner = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    calls = itertools.count(1)

    def called(original: Any, *args: Any, **kwargs: Any) -> Any:
        if next(calls) == count:
            act()
        return original(*args, **kwargs)

    wrap(owner, name, called)


def send(*numbers: int) -> None:
    """Send signals to the process itself."""
    for number in numbers:
        os.kill(os.getpid(), number)


def kill() -> None:
    """End without any clearing up."""
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for(folder: Path, pattern: str) -> None:
    """Pause until another process has made such a file."""
    _wait(lambda: any(folder.glob(pattern)))


def wait_for_text(path: Path, text: str) -> None:
    """Pause until another process has written this."""
    _wait(lambda: path.exists() and text in path.read_text())


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 40
    while time.monotonic() < end and not condition():
        time.sleep(0.05)


def spoil() -> None:
    """Let training fail as it does when numbers are no longer finite."""
    raise TrainingError("spoiled at update 1", "none")


WRITES = ("open", "write", "fsync", "ftruncate", "rename", "replace", "mkdir", "link", "utime")


def fail_write(below: Path, number: int, *, onwards: bool = False) -> None:
    """Let one change of the disk below a folder, or every one from it on, fail as on a full disk."""
    counts = itertools.count(1)
    inside = str(below)

    def change(original: Any, *args: Any, **kwargs: Any) -> Any:
        if _place(args[0]).startswith(inside) and _changes(original.__name__, *args, **kwargs):
            count = next(counts)
            if count == number or (onwards and count > number):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), _place(args[0]))
        return original(*args, **kwargs)

    for name in WRITES:
        wrap(os, name, change)
    wrap(io, "open", change)
    builtins.open = io.open


def _place(target: Any) -> str:
    if isinstance(target, int):
        try:
            return os.readlink(f"/proc/self/fd/{target}")
        except OSError:
            return ""
    return os.path.abspath(os.fspath(target))


def _changes(name: str, target: Any, mode: Any = "r", *rest: Any, **named: Any) -> bool:
    if name != "open":
        return True
    return bool(mode & (os.O_WRONLY | os.O_RDWR)) if isinstance(mode, int) else set(mode) & set("wax+") != set()


def limit_files(size: int) -> None:
    """Let no file grow beyond `size` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def no_number(module: str, method: str, update: int) -> None:
    """Let the losses of a module be NaN at one update, in however many passes it is computed."""
    updates = itertools.count()
    now = next(updates)

    def updated(*_: Any) -> None:
        nonlocal now
        now = next(updates)

    def loss(original: Any, *args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        if now != update:
            return found
        return found._replace(loss=found.loss * float("nan")) if hasattr(found, "loss") else found * float("nan")

    register_optimizer_step_post_hook(updated)
    owner, _, name = method.rpartition(".")
    target: Any = importlib.import_module(module)
    wrap(getattr(target, owner) if owner else target, name, loss)


def kill_parent() -> None:
    """End the process that started this one, as the system does when memory runs out."""
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(0.5)


def write_weights(path: Path, moment: Moment) -> None:
    """Write a hash of the module's weights after a step, for each process of the training."""

    def step(original: Any, callback: Any, trainer: Any, module: Any, *rest: Any) -> None:
        original(callback, trainer, module, *rest)
        if _stage.startswith(moment[0]) and rest[-1] == moment[1]:
            content = b"".join(value.detach().numpy().tobytes() for value in module.state_dict().values())
            path.with_suffix(f".{trainer.global_rank}").write_text(hashlib.sha256(content).hexdigest())

    wrap(training.Resumable, "on_train_batch_end", step)
