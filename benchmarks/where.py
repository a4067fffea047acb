"""Where the time of a training goes, method by method, on the desk world: shares of processor time of whole steps.

    python benchmarks/where.py [METHOD …] [--steps 20]

A method runs as it always does, from SFT and reward model on, and is stopped once enough of its steps were looked at.
Functions are timed from outside; what one calls inside another counts for the inner one alone, so that the columns
sum to 1. `ref` is every log-probability without gradient, the policy's own among them. `method` is the rest of a
training step: advantages, losses, cuts, checks. `trainer` is what lies between steps: Lightning, logging, checkpoints.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import lightning as L
import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table

from alignlab.__main__ import main as alignlab
from alignlab.data.loader import Batches
from alignlab.models.policy import Policy
from alignlab.models.scorer import Scorer
from alignlab.rollout.llama_engine import LlamaEngine
from alignlab.stages import training
from alignlab.tracking.console import results

METHODS = ("sft", "reward_model", "dpo", "kto", "orpo", "ppo", "rloo", "grpo", "online_dpo", "nash_md")
PHASES = ("batch", "sample", "score", "ref", "fwd", "bwd", "adamw", "method", "trainer")
WARM = 2
"""Steps before the first that counts."""


class Enough(BaseException):
    """All steps that were asked for were looked at."""


class Clock:
    """Processor seconds by phase; the innermost phase has them."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.open = ["trainer"]
        self.last = time.process_time()

    def mark(self) -> None:
        now = time.process_time()
        self.seconds[self.open[-1]] += now - self.last
        self.last = now

    def timed(self, phase: Callable[[], str], call: Callable[..., Any]) -> Callable[..., Any]:
        """The same function; its time counts for the phase."""

        def run(*args: Any, **kwargs: Any) -> Any:
            self.mark()
            self.open.append(phase())
            try:
                return call(*args, **kwargs)
            finally:
                self.mark()
                self.open.pop()

        return run


def watch(clock: Clock) -> None:
    """Time what every method is made of."""

    def on(owner: Any, name: str, phase: str, quiet: str = "") -> None:
        chosen = lambda: phase if torch.is_grad_enabled() or not quiet else quiet  # noqa: E731
        setattr(owner, name, clock.timed(chosen, getattr(owner, name)))

    on(Batches, "batch", "batch")
    on(LlamaEngine, "sample", "sample")
    on(Policy, "forward", "fwd", "ref")
    on(Policy, "completion_logits", "fwd", "ref")
    on(Scorer, "forward", "fwd", "score")
    on(Scorer, "state_values", "fwd", "score")
    on(L.LightningModule, "manual_backward", "bwd")
    on(torch.nn.utils, "clip_grad_norm_", "adamw")
    on(torch.optim.AdamW, "step", "adamw")


def profile(method: str, store: str, steps: int) -> tuple[Counter[str], int]:
    """Processor seconds by phase, and over how many steps."""
    clock, seen = Clock(), [0]
    fit, start = training.fit, training.SeedEachStep.on_train_batch_start

    def begin(callback: Any, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        clock.mark()
        if batch_idx == WARM:
            clock.seconds.clear()
        seen[0] = max(0, batch_idx - WARM)
        if seen[0] == steps:
            raise Enough
        start(callback, trainer, module, batch, batch_idx)

    def fitted(module: Any, data: Any, job: Any) -> Any:
        if not job.label.startswith(f"{method},"):  # a stage before it
            return fit(module, data, job)
        module.training_step = clock.timed(lambda: "method", module.training_step)
        training.SeedEachStep.on_train_batch_start = begin  # type: ignore[method-assign]
        return fit(module, data, job)

    training.fit = fitted
    watch(clock)
    with tempfile.TemporaryDirectory() as folder, suppress(Enough):
        alignlab([f"algo={method}", f"store={store}", f"hydra.run.dir={folder}/run", "evaluation=quick"])
    return clock.seconds, seen[0]


def _child(method: str, store: str, steps: int, queue: Any) -> None:
    queue.put(profile(method, store, steps))


def main() -> None:
    """One process a method, since what is wrapped stays wrapped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", default=METHODS)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    spawn = torch.multiprocessing.get_context("spawn")
    title = "shares of processor time; milliseconds a step"
    table = Table("", *PHASES, "ms", title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    with tempfile.TemporaryDirectory() as store:
        for method in given.methods:
            queue = spawn.SimpleQueue()
            child = spawn.Process(target=_child, args=(method, store, given.steps, queue))
            child.start()
            seconds, steps = queue.get()
            child.join()
            whole = sum(seconds.values())
            shares = [f"{seconds[phase] / whole:.0%}" if seconds[phase] / whole >= 0.005 else "" for phase in PHASES]
            table.add_row(method, *shares, f"{1000 * whole / steps:,.0f}")
    results.print(table)


if __name__ == "__main__":
    main()
