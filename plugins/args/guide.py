"""Which tokens are considered, what the reward says of them, and the distribution that follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from alignlab.data.batch import Sequences
from alignlab.rollout.batch import Rollouts

CELLS = 1 << 22
"""Token ids of prefixes laid out at once."""
ROUNDING = 1e-3
"""Nats by which a cached and an uncached forward may disagree about a logit."""


def top_tokens(logits: Tensor, k: int, drawn: Tensor | None = None) -> Tensor:
    """The k most likely tokens, the lower id first among equals: (N, V) -> (N, k) ids.

    `drawn` (N,) was drawn from such k before. Where it is now one place too low by no more than rounding, it takes
    the last place, or a token that was sampled would be called impossible.
    """
    ids = logits.sort(dim=-1, descending=True, stable=True).indices[:, :k]
    if drawn is None:
        return ids
    lowest = logits.gather(-1, ids[:, -1:]).squeeze(-1)
    close = logits.gather(-1, drawn[:, None]).squeeze(-1) >= lowest - ROUNDING
    lost = close & (ids != drawn[:, None]).all(-1)
    ids[lost, -1] = drawn[lost]
    return ids


def guided_logits(logits: Tensor, ids: Tensor, rewards: Tensor, weight: float) -> Tensor:
    """log p(v) + weight r(v) up to a constant for ids (N, k) with rewards (N, k): (N, V) -> (N, V).

    All other tokens get probability 0, by a large finite number: an infinite one would make NaN of 0 log 0.
    """
    shut = torch.full_like(logits, torch.finfo(logits.dtype).min / 2)
    return shut.scatter(-1, ids, logits.gather(-1, ids) + weight * rewards.to(logits))


def prefix_rewards(
    reward: Any, ids: Tensor, prompts: Tensor, lengths: Tensor, candidates: Tensor, end_ids: Sequence[int]
) -> Tensor:
    """Reward of every prefix with every candidate appended: (N, k).

    ids (N, W) holds each prefix in its first `lengths` (N,) columns, of which the first `prompts` (N,) are the
    prompt. The reward reads token ids alone.
    """
    k = candidates.shape[1]
    width = int(lengths.max()) + 1
    ends = torch.tensor(list(end_ids), device=ids.device)
    columns = torch.arange(width, device=ids.device)
    step = max(1, CELLS // (k * width))
    scores = []
    for part in torch.arange(len(ids), device=ids.device).split(step):
        rows = ids.new_zeros(len(part), width)
        rows[:, : min(width, ids.shape[1])] = ids[part, :width]
        rows = rows.repeat_interleave(k, 0)
        start, last = (each[part].repeat_interleave(k)[:, None] for each in (prompts, lengths))
        added = candidates[part].reshape(-1, 1)
        rows.scatter_(1, last, added)
        attention = columns <= last
        sequences = Sequences(rows, attention, attention & (columns >= start))
        drawn = torch.zeros((), device=ids.device).expand(rows.shape)
        rollouts = Rollouts(sequences, drawn, torch.isin(added.squeeze(-1), ends))
        scores.append(reward.score(rollouts, [None] * len(rows)).view(-1, k))
    return torch.cat(scores)
