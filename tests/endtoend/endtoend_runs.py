"""Run the command line in processes of its own that start at once, so that they can be stopped at any moment.

Each run is forked from a process that has the libraries loaded. Before it starts, hooks of `endtoend_hooks` may
watch it or harm it.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TINY = [
    "model.hidden=16",
    "model.layers=1",
    "model.heads=2",
    "model.intermediate=32",
    "rollout.max_new_tokens=12",
    "data.demonstrations=160",
    "data.pairs=64",
    "data.held_out_pairs=40",
    "data.evaluation_prompts=12",
    "evaluation.goals=2",
    "evaluation.attempts=2",
    "evaluation.frontier=2",
    "evaluation.posture.turns=2",
    "evaluation.posture.harmless=2",
    "trainer.log_every=1",
    "overlap=false",
    "stages.sft.epochs=1",
    "stages.sft.batch_size=32",
    "stages.sft.lr=3e-3",
    "stages.reward.epochs=2",
    "stages.reward.batch_size=32",
    "stages.reward.lr=1e-3",
]
PPO = ["algo=ppo", "algo.steps=4", "algo.batch_size=8", "algo.rollout_epochs=2", "algo.minibatches=2", "algo.lr=1e-3"]
DPO = ["algo=dpo", "algo.epochs=1", "algo.batch_size=8", "algo.lr=1e-3"]
SFT = ["algo=sft", "algo.epochs=2", "algo.batch_size=32", "algo.lr=3e-3"]
REWARD = ["algo=reward_model", "algo.epochs=2", "algo.batch_size=16", "algo.lr=1e-3"]
Hook = Callable[[], None]
RUN_FILES = {
    *("attacks.jsonl", "harmless.jsonl", "conversations.jsonl", "samples.jsonl"),
    *("config.yaml", "metrics.csv", "model", "result.json", "scores.json"),
}


def command(arguments: Sequence[str], folder: Path, store: Path) -> list[str]:
    """Arguments of a tiny run; those given win."""
    return [*TINY, *arguments, f"store={store}", f"hydra.run.dir={folder}"]


@dataclass
class Run:
    """One process of the command line, and what it left."""

    folder: Path
    store: Path
    process: Any
    log: Path
    steps_file: Path
    started: float = field(default_factory=time.monotonic)

    def wait(self, seconds: float = 60) -> int:
        """Exit code; negative for the signal that ended the process."""
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            raise AssertionError(f"still running after {seconds} s:\n{self.said}")
        return int(self.process.exitcode)

    def done(self) -> Run:
        """Wait for success."""
        code = self.wait()
        assert code == 0, f"exit code {code}:\n{self.said}{self.printed}"
        return self

    def until(self, condition: Callable[[Run], Any], seconds: float = 30) -> Any:
        """Wait for something to become true while the run goes on."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = condition(self)
            if found:
                return found
            if not self.process.is_alive():
                found = condition(self)
                assert found, f"ended with {self.process.exitcode} before it happened:\n{self.said}"
                return found
            time.sleep(0.005)
        raise AssertionError(f"did not happen within {seconds} s:\n{self.said}")

    def signal(self, number: int) -> None:
        """Send a signal to this process alone."""
        os.kill(self.process.pid, number)

    @property
    def said(self) -> str:
        """Standard error."""
        return self.log.with_suffix(".err").read_text()

    @property
    def printed(self) -> str:
        """Standard output."""
        return self.log.with_suffix(".out").read_text()

    @property
    def steps(self) -> list[str]:
        """Training steps that this process began, as label:number."""
        return self.steps_file.read_text().splitlines() if self.steps_file.exists() else []

    @cached_property
    def result(self) -> dict[str, Any]:
        """Content of result.json."""
        return json.loads((self.folder / "result.json").read_text())

    def artefact(self, kind: str) -> str:
        """Content hash of the stored stage that the result names."""
        digest = self.result["fingerprints"][kind]
        [manifest] = self.store.glob(f"objects/*-{digest}/manifest.json")
        return json.loads(manifest.read_text())["content"]

    @property
    def work(self) -> list[Path]:
        """Checkpoints in the store."""
        return sorted(self.store.glob("work/*/last.ckpt"))

    @property
    def bits(self) -> dict[str, Any]:
        """Everything that has to be the same bits in every repetition."""
        names = ("metrics.csv", "samples.jsonl", "attacks.jsonl", "model/model.safetensors")
        files = {name: _hash(self.folder / name) for name in names if (self.folder / name).exists()}
        stored = {name: self.result.get(name) for name in ("metrics", "errors", "wins", "health", "flags")}
        return {**files, **stored}


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Runs:
    """Starts runs below one folder and ends those still there afterwards."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.running: list[Run] = []

    def start(
        self, arguments: Sequence[str], store: str = "store", *, folder: str | None = None, hooks: Sequence[Hook] = ()
    ) -> Run:
        """Start a run in a new run directory, or in the one named."""
        number = len(self.running)
        where, stores = self.root / (folder or f"run{number}"), self.root / store
        log = self.root / f"log{number}"
        steps = log.with_suffix(".steps")
        process = _context().Process(target=_main, args=(command(arguments, where, stores), log, steps, list(hooks)))
        process.start()
        run = Run(where, stores, process, log, steps)
        self.running.append(run)
        return run

    def __call__(self, arguments: Sequence[str], store: str = "store", **more: Any) -> Run:
        """Run to success."""
        return self.start(arguments, store, **more).done()

    def prepare(self, run: Run, store: str = "store", *, lost: Sequence[str] = ()) -> None:
        """Make a store that holds all that a run made except the policy it was about, its evaluation and `lost`."""
        prints = run.result["fingerprints"]
        gone = (prints["policy"], prints["evaluation"], *lost)
        shutil.copytree(
            run.store, self.root / store, ignore=lambda _, names: [name for name in names if name.endswith(gone)]
        )

    def end(self) -> None:
        """Kill what still runs."""
        for run in self.running:
            if run.process.is_alive():
                run.process.kill()
            run.process.join()


class Undisturbed:
    """Runs that nothing happened to, each made once on a fresh store."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self.made: dict[tuple[str, ...], Run] = {}

    def __call__(self, arguments: Sequence[str]) -> Run:
        """The run of these arguments."""
        key = tuple(arguments)
        if key not in self.made:
            self.made[key] = self.runs(arguments, f"store{len(self.made)}")
        return self.made[key]


def _context() -> Any:
    importlib.import_module("endtoend_preload")  # which fails here: multiprocessing says nothing, and is slow
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["endtoend_preload"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before
    return context


def _main(arguments: list[str], log: Path, steps: Path, hooks: list[Hook]) -> None:
    os.setsid()
    for number, suffix in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(log.with_suffix(suffix), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
    os.chdir(log.parent)
    import endtoend_hooks

    from alignlab.__main__ import main

    for hook in hooks:
        hook()
    endtoend_hooks.write_steps(steps)
    sys.exit(main(arguments))
