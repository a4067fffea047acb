"""Any rollout method around an engine and a reward that are known in advance, and the gradient it ought to have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from doubles import Checksum, Replay, prompts
from small import gpt2, gradients, parts
from torch import Tensor, nn

from alignlab.data.batch import PromptBatch, Sequences
from alignlab.models.policy import Policy
from alignlab.modules.rollouts import Experience, RolloutModule
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.sampling import Sampling

LIMIT = 6  # tokens of the longest completion in `doubles.rollouts`


class Given(nn.Module):
    """A reward of so much for each row, in order."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = torch.tensor(scores, dtype=torch.float64)

    def score(self, rollouts: Rollouts, prompts: Any) -> Tensor:
        return self.scores


def online(
    kind: type[RolloutModule],
    config: Any,
    policy: Policy,
    *steps: Rollouts,
    micro: int = 0,
    total: int = 1,
    **more: Any,
) -> tuple[Any, PromptBatch]:
    """The method over fixed rollouts, one a step, and the prompts of one step; the reference is the policy's twin."""
    engine = Replay(*steps, policy=policy)
    engine.sampling = Sampling(max_new_tokens=LIMIT)  # type: ignore[attr-defined]
    reference = more.pop("reference", Policy(gpt2()))
    known = dict(reward=Checksum(), engine=engine) | ({} if reference is None else dict(reference=reference)) | more
    module = kind(config, parts(policy, micro=micro, total=total, **known))
    every, size = prompts(steps[0]), config.group_size
    return module, PromptBatch(every.index[::size], every.prompts[::size], every.rows[::size])


def watched(module: RolloutModule) -> list[Experience]:
    """A list that will hold every rollout the module learns from."""
    seen, learn = [], module.learn

    def spy(experience: Experience, batch_idx: int) -> dict[str, float]:
        seen.append(experience)
        return learn(experience, batch_idx)

    module.learn = spy  # type: ignore[method-assign]
    return seen


def weighted(sequences: Sequences, weights: Sequence[tuple[int, int, float]]) -> dict[str, Tensor]:
    """Gradient of minus the sum of weight x log pi over (row, token, weight), for a policy as `gpt2()` makes it."""
    plain = Policy(gpt2())
    logps = plain(sequences).logps
    (-sum(weight * logps[row, token] for row, token, weight in weights)).backward()
    return gradients(plain)


def places(sequences: Sequences) -> list[list[int]]:
    """Columns of the completion tokens of each row."""
    return [row.nonzero().flatten().tolist() for row in sequences.completion]
