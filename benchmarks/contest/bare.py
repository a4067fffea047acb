"""Loops by hand that do nothing but the work: no checks, no metrics, no checkpoints, nothing configurable.

The padded one runs a row for each completion, the shared one a row for each prompt with all its completions behind
it under a mask. Both run the head on the positions that predict completion tokens only.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid
from transformers import LlamaForCausalLM, LlamaForSequenceClassification

from contest.laid import Laid, padded, shared
from contest.material import BETA, BETA_ONLINE, BETAS, CLIP, END, LR, PAD, read
from contest.shapes import GENERATIONS, Shape
from contest.turns import Turns

Group = tuple[list[int], list[list[int]]]
Lay = Callable[[list[Group]], Laid]


def token_logps(model: Any, laid: Laid) -> Tensor:
    """Log-probability of every completion token, (N,), row after row."""
    states = laid.states(model.model)[laid.source]
    return -cross_entropy(model.lm_head(states), laid.target, reduction="none")


def summed(model: Any, laid: Laid) -> Tensor:
    """Log-probability of every completion, (B,)."""
    found = token_logps(model, laid)
    return found.new_zeros(laid.rows).index_add(0, laid.row, found)


def update(model: Any, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimiser.step()


def run(contender: str, task: str, shape: Shape, folder: Path, turns: Turns) -> None:
    """Take steps until there are no more."""
    turns.ready()
    pairs, lay = read(folder), shared if contender == "bare shared" else padded
    kind = LlamaForSequenceClassification if task == "reward" else LlamaForCausalLM
    model = kind.from_pretrained(folder / ("scorer" if task == "reward" else "policy")).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=LR, betas=BETAS, weight_decay=0.0, fused=True)
    loss_of = LOSSES[task](model, shape, pairs, lay)
    while True:
        turns()
        loss = loss_of()
        update(model, optimiser, loss)
        turns.loss = loss.detach()


def sft(model: Any, shape: Shape, pairs: list[Any], lay: Lay) -> Callable[[], Tensor]:
    groups = [(pair.prompt, [pair.both[0]]) for pair in pairs]
    return lambda: -token_logps(model, lay(groups)).mean()


def reward(model: Any, shape: Shape, pairs: list[Any], lay: Lay) -> Callable[[], Tensor]:
    groups = [(pair.prompt, list(pair.both)) for pair in pairs]

    def loss() -> Tensor:
        laid = lay(groups)
        chosen, rejected = model.score(laid.states(model.model)[laid.last]).view(-1, 2).unbind(-1)
        return -logsigmoid(chosen - rejected).mean()

    return loss


def dpo(model: Any, shape: Shape, pairs: list[Any], lay: Lay, *, live: bool = False) -> Callable[[], Tensor]:
    groups = [(pair.prompt, list(pair.both)) for pair in pairs]
    reference = copy.deepcopy(model).eval().requires_grad_(False)
    cached = None if live else _without_gradient(reference, lay(groups))

    def loss() -> Tensor:
        laid = lay(groups)
        known = _without_gradient(reference, laid) if cached is None else cached
        chosen, rejected = (summed(model, laid) - known).view(-1, 2).unbind(-1)
        return -logsigmoid(BETA * (chosen - rejected)).mean()

    return loss


def dpo_live(model: Any, shape: Shape, pairs: list[Any], lay: Lay) -> Callable[[], Tensor]:
    return dpo(model, shape, pairs, lay, live=True)


def kto(model: Any, shape: Shape, pairs: list[Any], lay: Lay) -> Callable[[], Tensor]:
    groups = [(pair.prompt, list(pair.both)) for pair in pairs]
    others = [(pair.prompt, list(pairs[place - 1].both)) for place, pair in enumerate(pairs)]
    reference = copy.deepcopy(model).eval().requires_grad_(False)
    known, known_others = (_without_gradient(reference, lay(each)) for each in (groups, others))

    def loss() -> Tensor:
        point = (_without_gradient(model, lay(others)) - known_others).mean().clamp_min(0)
        chosen, rejected = (summed(model, lay(groups)) - known).view(-1, 2).unbind(-1)
        return torch.cat([(BETA * (point - chosen)).sigmoid(), (BETA * (rejected - point)).sigmoid()]).mean()

    return loss


def rollouts(model: Any, shape: Shape, pairs: list[Any]) -> tuple[list[Group], Tensor]:
    """Groups of sampled completions and the reward of each, (G, 4): the share of even ids."""
    prompts = [pair.prompt for pair in pairs[: shape.completions // GENERATIONS]]
    width = max(map(len, prompts))
    ids = torch.tensor([[PAD] * (width - len(prompt)) + prompt for prompt in prompts])
    real = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    out = model.generate(
        ids.repeat_interleave(GENERATIONS, 0),
        attention_mask=real.repeat_interleave(GENERATIONS, 0),
        do_sample=True,
        top_k=0,
        max_new_tokens=shape.completion[1],
        pad_token_id=PAD,
        eos_token_id=END,
    )[:, width:].tolist()
    replies = [row[: row.index(END) + 1] if END in row else row for row in out]
    groups = [(prompt, replies[k * GENERATIONS : (k + 1) * GENERATIONS]) for k, prompt in enumerate(prompts)]
    even = [sum(token % 2 == 0 for token in reply) / len(reply) for reply in replies]
    return groups, torch.tensor(even).view(-1, GENERATIONS)


def grpo(model: Any, shape: Shape, pairs: list[Any], lay: Lay) -> Callable[[], Tensor]:
    reference = copy.deepcopy(model).eval().requires_grad_(False)

    def loss() -> Tensor:
        groups, rewards = rollouts(model, shape, pairs)
        laid = lay(groups)
        with torch.no_grad():
            known = token_logps(reference, laid)
        advantage = ((rewards - rewards.mean(-1, keepdim=True)) / (rewards.std(-1, keepdim=True) + 1e-4)).flatten()
        logps = token_logps(model, laid)
        ratio = (logps - logps.detach()).exp()
        gap = known - logps
        return (BETA_ONLINE * (gap.exp() - gap - 1) - ratio * advantage[laid.row]).mean()

    return loss


def rloo(model: Any, shape: Shape, pairs: list[Any], lay: Lay) -> Callable[[], Tensor]:
    reference = copy.deepcopy(model).eval().requires_grad_(False)

    def loss() -> Tensor:
        groups, rewards = rollouts(model, shape, pairs)
        laid = lay(groups)
        logps, known = summed(model, laid), _without_gradient(reference, laid)
        paid = rewards - BETA_ONLINE * (logps.detach() - known).view(-1, GENERATIONS)
        others = (paid.sum(-1, keepdim=True) - paid) / (GENERATIONS - 1)
        return -((paid - others).flatten() * logps).mean()

    return loss


@torch.no_grad()
def _without_gradient(model: Any, laid: Laid) -> Tensor:
    return summed(model, laid)


LOSSES = {"sft": sft, "reward": reward, "dpo": dpo, "dpo-live": dpo_live, "kto": kto, "grpo": grpo, "rloo": rloo}
