"""What is particular to RLOO, as pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from alignlab.numerics.advantage import leave_one_out, rewards_to_go
from alignlab.numerics.logps import sequence_logps
from alignlab.numerics.masked import last_index
from alignlab.numerics.surrogate import (
    Whole,
    clipped_policy_loss,
    clipped_surrogate,
    sequence_ratio,
    sequence_sum,
    token_mean,
)


def advantages(
    rewards: Tensor, log_ratio: Tensor, mask: Tensor, *, group_size: int, beta: float, kl_place: str
) -> Tensor:
    """R - mean of the others' R, at every token: rewards (B,), log pi/ref and mask (B, T) -> (B, T).

    In the `reward`, beta prices the log-ratio of the whole completion before it is compared (arXiv 2402.14740); in
    the `advantage` it prices what is still to come at each token, after the comparison.
    """
    if kl_place == "reward":
        rewards = rewards - beta * sequence_logps(log_ratio, mask)
    grouped = rewards.view(-1, group_size)
    compared = (grouped - leave_one_out(grouped)).flatten().unsqueeze(-1) * mask
    return compared - beta * rewards_to_go(log_ratio, mask) if kl_place == "advantage" else compared


def reinforce(logps: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, whole: Whole, *, clip: float) -> Tensor:
    """-A log pi(y), summed over tokens: share of the mean over completions, a scalar. `old` and `clip` are not read."""
    return sequence_sum(-advantages * logps, mask, whole)


def sequence_clip(logps: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, whole: Whole, *, clip: float) -> Tensor:
    """PPO's bound on the ratio of whole completions: share of the mean over completions, a scalar.

    The advantage is that of a row's last token; all its tokens have the same.
    """
    one = advantages.gather(-1, last_index(mask).unsqueeze(-1))
    loss = clipped_surrogate(sequence_ratio(logps, old, mask), one, clip_low=clip, clip_high=clip)
    return loss.sum() / whole.rows


def token_clip(logps: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, whole: Whole, *, clip: float) -> Tensor:
    """PPO's bound on the ratio of each token: share of the mean over tokens, a scalar."""
    return token_mean(clipped_policy_loss(logps, old, advantages, clip=clip), mask, whole)


SURROGATES: Mapping[str, Callable[..., Tensor]] = {
    "reinforce": reinforce,
    "sequence_clip": sequence_clip,
    "token_clip": token_clip,
}
