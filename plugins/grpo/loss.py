"""What is particular to GRPO and its variants, as pure functions; the settings that are names pick among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from alignlab.data.batch import Sequences
from alignlab.numerics.advantage import (
    group_mean,
    leave_one_out,
    leave_one_out_std,
    rewards_to_go,
    sample_std,
    standardised,
)
from alignlab.numerics.masked import Total, masked_var, own
from alignlab.numerics.surrogate import (
    Whole,
    cispo_surrogate,
    clipped_surrogate,
    mean_ratio,
    sequence_mean,
    sequence_sum,
    token_mean,
    token_ratio,
)


def batch_std(rewards: Tensor, *, total: Total = own) -> Tensor:
    """Sample standard deviation of all rewards of a rollout, over all processes: (N, G) -> scalar."""
    return masked_var(rewards, torch.ones_like(rewards), total=total).sqrt()


def _clipped(
    ratio: Tensor, logps: Tensor, advantages: Tensor, *, clip_low: float, clip_high: float, dual_clip: float
) -> Tensor:
    return clipped_surrogate(ratio, advantages, clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip)


def _cispo(
    ratio: Tensor, logps: Tensor, advantages: Tensor, *, clip_low: float, clip_high: float, dual_clip: float
) -> Tensor:
    return cispo_surrogate(ratio, logps, advantages, clip_low=clip_low, clip_high=clip_high)


BASELINES: Mapping[str, Callable[[Tensor], Tensor]] = {"mean": group_mean, "leave_one_out": leave_one_out}
SPREADS: Mapping[str, Callable[[Tensor, Total], Tensor]] = {
    "group": lambda rewards, total: sample_std(rewards),
    "leave_one_out": lambda rewards, total: leave_one_out_std(rewards),
    "batch": lambda rewards, total: batch_std(rewards, total=total),
    "none": lambda rewards, total: torch.zeros_like(rewards),  # where it is 0 nothing is divided
}
RATIOS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"token": token_ratio, "sequence": mean_ratio}
SURROGATES: Mapping[str, Callable[..., Tensor]] = {"clipped": _clipped, "cispo": _cispo}
AGGREGATES: Mapping[str, Callable[[Tensor, Tensor, Whole], Tensor]] = {
    "sequence": sequence_mean,
    "token": token_mean,
    "constant": sequence_sum,
}


def group_advantages(
    rewards: Tensor, *, baseline: str, advantage_std: str, std_eps: float, total: Total = own
) -> Tensor:
    """(R - baseline) / (std + eps) of each completion: (N, G) -> (N, G). Section 4.1 of arXiv 2402.03300."""
    spread = SPREADS[advantage_std](rewards, total)
    return standardised(rewards - BASELINES[baseline](rewards), spread, eps=std_eps)


def token_advantages(
    rewards: Tensor,
    kl: Tensor,
    mask: Tensor,
    *,
    group_size: int,
    beta: float,
    kl_place: str,
    baseline: str,
    advantage_std: str,
    std_eps: float,
    total: Total = own,
) -> Tensor:
    """Advantage of every token: rewards (B,) and estimates of KL (B, T), mask (B, T) -> (B, T).

    A price of KL in the `reward` is that of the whole completion, before the baseline; one in the `advantage` is
    what is still to come at each token, after normalisation. Elsewhere `kl` counts for nothing here.
    """
    if kl_place == "reward":
        rewards = rewards - beta * (kl * mask).sum(-1)
    grouped = rewards.view(-1, group_size)
    compared = group_advantages(grouped, baseline=baseline, advantage_std=advantage_std, std_eps=std_eps, total=total)
    advantages = compared.flatten().unsqueeze(-1) * mask
    if kl_place == "advantage":
        advantages = advantages - beta * rewards_to_go(kl, mask)
    return advantages


def overlong(lengths: Tensor, *, limit: int, buffer: float) -> Tensor:
    """0 up to the last `buffer` share of the limit, from there rising to 1 at it: (B,) -> (B,).

        clamp((|y| - (1 - buffer) limit) / (buffer limit), 0, 1)

    The soft overlong punishment of arXiv 2503.14476, with the sign of a cost.
    """
    return ((lengths - (1 - buffer) * limit) / (buffer * limit)).clamp(0, 1)


def flat(rewards: Tensor) -> Tensor:
    """Groups whose rewards are all the same: (N, G) -> (N,) bool."""
    return rewards.amax(-1) == rewards.amin(-1)


def without(sequences: Sequences, dropped: Tensor) -> Sequences:
    """The same rows, of which some have no completion token that counts: dropped (B,) bool."""
    return sequences._replace(completion=sequences.completion & ~dropped.unsqueeze(-1))
