"""Parts of a method that acts at inference, over tiny models in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from small import VOCAB, parts
from torch import Tensor, nn

from alignlab.models.parts import Parts
from alignlab.models.policy import Policy
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts, Sampling
from alignlab.rollout.engine import build_engine

ENDS = (2, 9)
PROMPTS = [[3], [4, 5, 6], [3], [7, 1]]


def sampling_parts(policy: Policy, *, temperature: float = 1.0, new_tokens: int = 6, **more: Any) -> Parts:
    """As a stage builds them; `reference` and `reward` where given."""

    def engine(model: Policy, *, temperature: float = 1.0) -> Any:
        return build_engine(model.model, Sampling(max_new_tokens=new_tokens, temperature=temperature), ENDS, 0)

    policy = policy.requires_grad_(False)
    made = parts(policy, engine=engine(policy, temperature=temperature), new_engine=engine, **more)
    made.sampling, made.end_ids = Sampling(max_new_tokens=new_tokens, temperature=temperature), ENDS
    return made


def sample(sampler: Any, prompts: Sequence[Sequence[int]] = PROMPTS, seed: int = 3) -> Rollouts:
    rollouts: Rollouts = sampler.sample([None] * len(prompts), prompts, Noise(seed, torch.arange(len(prompts))))
    return rollouts


def same(one: Rollouts, other: Rollouts) -> bool:
    """Equal to the bit."""
    fields = zip((*one.sequences, one.logps, one.ended), (*other.sequences, other.logps, other.ended), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in fields)


class Favourite(nn.Module):
    """A reward that anyone can recompute: the mean over the completion of one number a token."""

    values = torch.linspace(-1, 2, VOCAB, dtype=torch.float64).sin()

    def score(self, rollouts: Rollouts, prompts: Any) -> Tensor:
        mask = rollouts.sequences.completion
        return (self.values[rollouts.sequences.ids] * mask).sum(-1) / mask.sum(-1)

    def of(self, completion: Sequence[int]) -> float:
        return float(self.values[list(completion)].mean())
