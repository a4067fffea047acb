"""TRL's side: its trainers in float32, without gradient checkpointing, on the CPU, reporting to nobody.

Its fused AdamW gets the constants of the others; everything else is as it comes. A callback before each step takes
the turns. `TRL defaults` leaves gradient checkpointing and bfloat16 on.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("CI", "true")  # TRL tells its makers of each trainer that is built, except there

import trl
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback

from contest.material import BETA, BETA_ONLINE, BETAS, CLIP, LR, Pair, read, spelled
from contest.shapes import ASIDE, GENERATIONS, Shape
from contest.turns import Turns

SAMPLING = ("grpo", "rloo")
STEPS = 1 << 10
"""Steps that rows are laid out for; more than any contest has."""
COMMON: dict[str, Any] = dict(
    learning_rate=LR,
    lr_scheduler_type="constant",
    weight_decay=0.0,
    max_grad_norm=CLIP,
    adam_beta1=BETAS[0],
    adam_beta2=BETAS[1],
    max_steps=STEPS,
    logging_steps=10,
    save_strategy="no",
    report_to="none",
    use_cpu=True,
    disable_tqdm=True,
)
PLAIN: dict[str, Any] = dict(bf16=False, gradient_checkpointing=False)


class Watch(TrainerCallback):
    """Takes turns before each step."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.turns()


def run(contender: str, task: str, shape: Shape, folder: Path, turns: Turns) -> None:
    """Take steps until there are no more."""
    turns.ready()
    kind = AutoModelForSequenceClassification if task == "reward" else AutoModelForCausalLM
    place = folder / ("scorer" if task == "reward" else "policy")
    model = kind.from_pretrained(place, dtype="float32")
    pairs = read(folder)
    kept = pairs[: shape.completions // GENERATIONS] if task in SAMPLING else pairs
    trainer_of, config_of, rows, settings, more = TASKS[task](shape, kept)
    settings |= {} if contender == ASIDE else PLAIN
    settings |= dict(precompute_ref_log_probs=True) if contender == "TRL cached" else {}
    with tempfile.TemporaryDirectory() as work:
        trainer = trainer_of(
            model=model,
            args=config_of(output_dir=work, **COMMON, **settings),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(place),
            callbacks=[Watch(turns)],
            **more,
        )
        watch(trainer, turns)
        trainer.train()


def watch(trainer: Any, turns: Turns) -> None:
    """Tell the loss of each step."""
    compute = trainer.compute_loss

    def told(*args: Any, **kwargs: Any) -> Any:
        loss = compute(*args, **kwargs)
        turns.loss = (loss[0] if isinstance(loss, tuple) else loss).detach()
        return loss

    trainer.compute_loss = told


def sft(shape: Shape, pairs: list[Pair]) -> tuple[Any, ...]:
    rows = [dict(prompt=spelled(pair.prompt), completion=" " + spelled(pair.chosen)) for pair in pairs]
    return trl.SFTTrainer, trl.SFTConfig, rows, _stored(shape.pairs, shape), {}


def reward(shape: Shape, pairs: list[Pair]) -> tuple[Any, ...]:
    return trl.RewardTrainer, trl.RewardConfig, _pairs(pairs), _stored(shape.pairs, shape), {}


def dpo(shape: Shape, pairs: list[Pair]) -> tuple[Any, ...]:
    settings = _stored(shape.pairs, shape) | dict(beta=BETA)
    return trl.DPOTrainer, trl.DPOConfig, _pairs(pairs), settings, {}


def kto(shape: Shape, pairs: list[Pair]) -> tuple[Any, ...]:
    rows = [
        dict(prompt=spelled(pair.prompt), completion=" " + spelled(reply), label=good)
        for pair in pairs
        for reply, good in ((pair.chosen, True), (pair.rejected, False))
    ]
    return trl.KTOTrainer, trl.KTOConfig, rows, _stored(shape.completions, shape) | dict(beta=BETA), {}


def grpo(shape: Shape, pairs: list[Pair]) -> tuple[Any, ...]:
    return trl.GRPOTrainer, trl.GRPOConfig, *_online(shape, pairs)


def rloo(shape: Shape, pairs: list[Pair]) -> tuple[Any, ...]:
    return trl.RLOOTrainer, trl.RLOOConfig, *_online(shape, pairs)


def _online(shape: Shape, pairs: list[Pair]) -> tuple[Any, ...]:
    settings = dict(
        per_device_train_batch_size=shape.completions,
        num_generations=GENERATIONS,
        max_completion_length=shape.completion[1],
        beta=BETA_ONLINE,
    )
    rows = [dict(prompt=spelled(pair.prompt)) for pair in pairs]
    return rows, settings, dict(reward_funcs=even)


def even(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """A reward that costs nothing: the share of even ids in a completion."""
    return [sum(token % 2 == 0 for token in reply) / len(reply) for reply in completion_ids]


def _pairs(pairs: list[Pair]) -> list[dict[str, str]]:
    return [
        dict(prompt=spelled(p.prompt), chosen=" " + spelled(p.chosen), rejected=" " + spelled(p.rejected))
        for p in pairs
    ]


def _stored(batch: int, shape: Shape) -> dict[str, Any]:
    return dict(per_device_train_batch_size=batch, max_length=shape.positions)


TASKS: dict[str, Callable[..., tuple[Any, ...]]] = {
    "sft": sft,
    "reward": reward,
    "dpo": dpo,
    "dpo-live": dpo,
    "kto": kto,
    "grpo": grpo,
    "rloo": rloo,
}
