"""Completions of another policy beside the trained one's own, for methods that compare the two."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from alignlab.modules.experience import Experience
from alignlab.modules.rollouts import RolloutModule
from alignlab.rollout.batch import Rollouts


class Rivals(NamedTuple):
    """One completion of another policy for each row of a rollout, scored the same way."""

    rollouts: Rollouts
    rewards: Tensor
    """By the reward, after the missing-end penalty, (B,)."""


@torch.no_grad()
def rivals(module: RolloutModule, engine: Any, experience: Experience, batch_idx: int) -> Rivals:
    """Sample from `engine` for every row's prompt, with random numbers the policy's own samples do not share."""
    prompts = [prompt for prompt, _ in experience.sequences.split()]
    rollouts = engine.sample(prompts, module.noise(len(prompts) // experience.group_size, "rivals", batch_idx))
    scores = module.parts.scorer("reward").score(rollouts, experience.prompts)
    return Rivals(rollouts, scores - module.config.missing_end_penalty * (~rollouts.ended))


def neighbours(first: Tensor, second: Tensor) -> Tensor:
    """Rows of both in turn, filled with 0 on the right: (B, T), (B, T') or (B,), (B,) -> (2B, ...)."""
    if first.dim() > 1:
        width = max(first.shape[1], second.shape[1])
        first, second = (pad(each, (0, width - each.shape[1])) for each in (first, second))
    return torch.stack([first, second], 1).flatten(0, 1)
