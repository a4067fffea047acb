"""Rollouts with several completions of a prompt, fixed in advance, and modules that learn from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from doubles import Checksum, Replay
from small import gpt2, parts, texts

from alignlab.data.batch import PromptBatch, pad
from alignlab.models.policy import Policy
from alignlab.rollout.batch import Rollouts


def fixed(policy: Policy, rows: Sequence[tuple[list[int], list[int]]]) -> Rollouts:
    """Rows (prompt, completion) as if the policy had written them; every third was cut."""
    sequences = pad(rows, 0)
    with torch.no_grad():
        logps = policy(sequences).logps
    return Rollouts(sequences, logps, torch.arange(len(rows)) % 3 != 2)


def grouped(policy: Policy, prompts: int, size: int, seed: int = 0, *, same: Sequence[int] = ()) -> Rollouts:
    """`size` random completions of each prompt; rows in `same` repeat the one before."""
    rows = texts(prompts * size, seed)
    rows = [(rows[i - i % size][0], reply) for i, (_, reply) in enumerate(rows)]
    for row in same:
        rows[row] = rows[row - 1]
    return fixed(policy, rows)


def rivalled(policy: Policy, prompts: int, seed: int = 0, *, same: Sequence[int] = ()) -> tuple[Rollouts, Rollouts]:
    """Two rollouts of different widths that answer the same prompts; prompts in `same` get one answer twice."""
    both = grouped(policy, prompts, 2, seed, same=[2 * prompt + 1 for prompt in same]).sequences.split()
    return fixed(policy, both[::2]), fixed(policy, both[1::2])


def prompts_of(rollout: Rollouts, size: int) -> PromptBatch:
    given = [prompt for prompt, _ in rollout.sequences.split()][::size]
    return PromptBatch(torch.arange(len(given)), given, [None] * len(given))


def scores(rollout: Rollouts, penalty: float = 1.0) -> list[float]:
    """What `Checksum` and the penalty for a missing end give each row."""
    rows = zip(rollout.completions(), rollout.ended.tolist(), strict=True)
    return [(sum(reply) % 7 - 3) / 3 - (0 if ended else penalty) for reply, ended in rows]


def summed(policy: Policy, rollout: Rollouts) -> torch.Tensor:
    """Log-probability of each completion, one unpadded row at a time, with gradient: (B,)."""
    total = []
    for prompt, reply in rollout.sequences.split():
        logps = policy.model(torch.tensor([prompt + reply])).logits[0].log_softmax(-1)
        total.append(sum(logps[len(prompt) + t - 1, v] for t, v in enumerate(reply)))
    return torch.stack(total)


def made(kind: Any, config: Any, *steps: Rollouts, policy: Policy | None = None, total: int = 1, **more: Any) -> Any:
    """A module over `policy`, which replays the given rollouts; a GPT-2 is its policy and its reference."""
    policy = policy or Policy(gpt2())
    given = dict(reference=Policy(gpt2()), engine=Replay(*steps, policy=policy), reward=Checksum()) | more
    given = {name: value for name, value in given.items() if value is not None}
    return kind(config, parts(policy, total=total, **given))
