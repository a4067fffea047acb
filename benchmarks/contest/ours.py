"""alignlab's side: its stored rows, batches, modules and the trainer that every stage uses, as they are.

`alignlab.stages.training.fit` runs the module with all that a run has: metrics, checkpoints, checks. Nothing is
switched off and nothing is replaced; the module's hook before a batch takes the turns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from alignlab import registry
from alignlab.config import TrainerConfig
from alignlab.data.batch import over_rows, pad
from alignlab.data.module import PreferenceData, mismatch
from alignlab.data.schema import Prompt
from alignlab.data.tokens import DemonstrationTokens, LabelTokens, PairTokens, PromptTokens
from alignlab.method import Data
from alignlab.models.frozen import Frozen
from alignlab.models.load import settled
from alignlab.models.parts import Parts
from alignlab.models.policy import Policy
from alignlab.models.scorer import stored_scorer
from alignlab.modules.objective import PairObjective
from alignlab.rollout.engine import build_engine
from alignlab.rollout.sampling import Sampling
from alignlab.seeding import Seeds
from alignlab.stages.training import Job, fit
from contest.material import BETA, BETA_ONLINE, CLIP, END, LR, PAD, Pair, read
from contest.shapes import GENERATIONS, Shape
from contest.turns import Turns

STEPS = 1 << 20
"""More than any contest has; rates stay constant."""
COMMON: dict[str, Any] = dict(lr=LR, warmup=0.0, schedule="constant", max_grad_norm=CLIP)
Row = tuple[Any, Any]


class Built(NamedTuple):
    """A task: the method, its settings, the parts it asks for, and how its rows reach it."""

    method: str
    settings: dict[str, Any]
    parts: dict[str, Any]
    view: Data
    rows: Sequence[Any]
    data: dict[str, Any]
    batch: int
    """Rows of one batch."""


class Even(nn.Module):
    """A reward that costs nothing: the share of even ids in a completion."""

    def score(self, rollouts: Any, prompts: Any) -> Tensor:
        ids, mask = rollouts.sequences.ids, rollouts.sequences.completion
        return ((ids % 2 == 0) & mask).sum(-1) / mask.sum(-1)


def run(contender: str, task: str, shape: Shape, folder: Path, turns: Turns) -> None:
    """Take steps until there are no more."""
    turns.ready()
    model: Any
    model = stored_scorer(folder / "scorer") if task == "reward" else policy_of(folder)
    built = TASKS[task](model, shape, read(folder), folder)
    method = registry.method(built.method)
    config = method.config(**COMMON, **built.settings)
    objective = {"_objective": PairObjective(method, config)} if method.objective else {}
    seeds = Seeds(0)
    parts = Parts(
        method=method.name,
        model=model,
        seeds=seeds,
        tokenizer=None,
        total=STEPS,
        **_logged(task),
        **built.parts,
        **objective,
    )
    module = method.load_module()(config, parts)
    watch(module, turns)
    data = PreferenceData(built.view, built.rows, built.batch, seeds=seeds, steps=STEPS, pad_id=PAD, **built.data)
    with tempfile.TemporaryDirectory() as work:
        fit(module, data, Job(task, Path(work), TrainerConfig(accelerator="cpu"), seeds))


def policy_of(folder: Path) -> Policy:
    return Policy(settled(LlamaForCausalLM.from_pretrained(folder / "policy")))


def watch(module: Any, turns: Turns) -> None:
    """Take turns before each batch, and tell the loss of each step."""
    backward = module.manual_backward

    def turn(batch: Any, batch_idx: int) -> None:
        turns()

    def told(loss: Tensor) -> None:
        turns.loss = loss.detach() + (0 if turns.loss is None else turns.loss)
        backward(loss)

    module.on_train_batch_start, module.manual_backward = turn, told


def sft(model: Any, shape: Shape, pairs: list[Pair], folder: Path) -> Built:
    rows = [DemonstrationTokens(i, _ids(pair.prompt), _ids(pair.both[0]), False) for i, pair in enumerate(pairs)]
    return Built("sft", {}, {}, Data.DEMONSTRATIONS, rows, {}, len(rows))


def reward(model: Any, shape: Shape, pairs: list[Pair], folder: Path) -> Built:
    return Built("reward_model", {}, {}, Data.PAIRS, _pairs(pairs), {}, len(pairs))


def dpo(model: Any, shape: Shape, pairs: list[Pair], folder: Path) -> Built:
    values = _logps(model, [(pair.prompt, reply) for pair in pairs for reply in pair.both])
    known = list(zip(values[::2], values[1::2], strict=True))
    return Built("dpo", dict(beta=BETA), {}, Data.PAIRS, _pairs(pairs), dict(reference=known), len(pairs))


def dpo_live(model: Any, shape: Shape, pairs: list[Pair], folder: Path) -> Built:
    """A reference that may move is computed in every step."""
    settings = dict(beta=BETA, reference_every=STEPS)
    return Built("dpo", settings, dict(_reference=Frozen(policy_of(folder))), Data.PAIRS, _pairs(pairs), {}, len(pairs))


def kto(model: Any, shape: Shape, pairs: list[Pair], folder: Path) -> Built:
    flat = [(pair.prompt, reply) for pair in pairs for reply in pair.both]
    rows = [LabelTokens(i, _ids(prompt), _ids(reply), i % 2 == 0, False) for i, (prompt, reply) in enumerate(flat)]
    others = mismatch(rows, shape.positions)
    data = dict(reference=_logps(model, flat), mismatched=others, mismatched_reference=_logps(model, others))
    return Built("kto", dict(beta=BETA), {}, Data.LABELS, rows, data, len(rows))


def grpo(model: Any, shape: Shape, pairs: list[Pair], folder: Path) -> Built:
    return _online("grpo", dict(aggregate="token"), model, shape, pairs, folder)


def rloo(model: Any, shape: Shape, pairs: list[Pair], folder: Path) -> Built:
    return _online("rloo", {}, model, shape, pairs, folder)


def _online(name: str, own: dict[str, Any], model: Any, shape: Shape, pairs: list[Pair], folder: Path) -> Built:
    prompts = pairs[: shape.completions // GENERATIONS]
    rows = [PromptTokens(i, Prompt(str(i), text=str(i)), _ids(pair.prompt), False) for i, pair in enumerate(prompts)]
    sampling = Sampling(max_new_tokens=shape.completion[1])
    parts = dict(
        _reference=Frozen(policy_of(folder)),
        _scorers={"reward": Even()},
        _engine=build_engine(model.model, sampling, (END,), PAD),
        end_ids=(END,),
        pad_id=PAD,
    )
    settings = dict(batch_size=shape.completions, group_size=GENERATIONS, beta=BETA_ONLINE, steps=STEPS)
    settings |= dict(missing_end_penalty=0.0) | own
    return Built(name, settings, parts, Data.PROMPTS, rows, {}, len(rows))


def _logged(task: str) -> dict[str, Any]:
    """How often a run logs by default: every rollout, or every tenth update."""
    return {"log_every": 1 if task in ("grpo", "rloo") else TrainerConfig().log_every}


def _pairs(pairs: list[Pair]) -> list[PairTokens]:
    return [PairTokens(i, _ids(pair.prompt), *map(_ids, pair.both), None, None, False) for i, pair in enumerate(pairs)]


def _ids(ids: Sequence[int]) -> np.ndarray:
    return np.array(ids, np.int32)


@torch.no_grad()
def _logps(policy: Policy, rows: Sequence[Row]) -> list[np.ndarray]:
    """The reference's log-probabilities, as the stage before a training computes them."""
    sequences = pad(rows, PAD)
    return sequences.gather(over_rows(sequences, lambda part: policy(part).logps))


TASKS: dict[str, Callable[..., Built]] = {
    "sft": sft,
    "reward": reward,
    "dpo": dpo,
    "dpo-live": dpo_live,
    "kto": kto,
    "grpo": grpo,
    "rloo": rloo,
}
