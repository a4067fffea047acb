"""An engine and a reward that are known in advance, and PPO around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from alignlab.plugins.ppo.config import PPOConfig
from alignlab.plugins.ppo.module import PPOModule
from small import gpt2, parts, scorer, texts
from torch import Tensor, nn

from alignlab.data.batch import PromptBatch, pad
from alignlab.models.policy import Policy
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts


class Replay:
    """An engine that returns completions fixed in advance, one set a step: the rows whose noise it is given.

    Their log-probabilities are those of `policy` at the time, where one is given, as they are of a real engine.
    """

    def __init__(self, *steps: Rollouts, policy: Policy | None = None) -> None:
        self.steps, self.policy = list(steps), policy
        self.calls = 0

    def sample(self, prompts: Sequence[Sequence[int]], noise: Noise) -> Rollouts:
        self.calls += 1
        found = self.steps[(self.calls - 1) % len(self.steps)].select(noise.rows)
        if self.policy is None:
            return found
        with torch.no_grad():
            return found._replace(logps=self.policy(found.sequences).logps)


class Checksum(nn.Module):
    """A reward that anyone can recompute: a number in [-1, 1] from the ids of the completion."""

    def score(self, rollouts: Rollouts, prompts: Any) -> Tensor:
        sequences = rollouts.sequences
        return ((sequences.ids * sequences.completion).sum(-1) % 7 - 3).double() / 3


def rollouts(policy: Policy, rows: int, seed: int = 0) -> Rollouts:
    """Random completions with the log-probabilities the policy gives them; every third was cut."""
    sequences = pad(texts(rows, seed), 0)
    with torch.no_grad():
        logps = policy(sequences).logps
    return Rollouts(sequences, logps, torch.arange(rows) % 3 != 2)


def prompts(rollout: Rollouts) -> PromptBatch:
    given = [prompt for prompt, _ in rollout.sequences.split()]
    return PromptBatch(torch.arange(len(given)), given, [None] * len(given))


def learner(
    policy: Policy, rollout: Rollouts, *, micro: int = 0, order: Tensor | None = None, total: int = 1, **settings: Any
) -> tuple[PPOModule, PromptBatch]:
    """PPO for one pass and one minibatch over a fixed rollout, unless `settings` say otherwise."""
    order = torch.arange(rollout.rows) if order is None else order
    chosen = rollout.select(order)
    settings = dict(rollout_epochs=1, minibatches=1, batch_size=rollout.rows, lr=1e-3) | settings
    more = dict(reference=settings.pop("reference", None) or Policy(gpt2()), value=scorer(5))
    given = parts(policy, micro=micro, total=total, engine=Replay(chosen, policy=policy), reward=Checksum(), **more)
    return PPOModule(PPOConfig(**settings), given), prompts(chosen)
