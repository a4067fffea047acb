"""What is particular to ReMax, as pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from alignlab.numerics.advantage import rewards_to_go, shaped_rewards


def _own(price: Tensor, mask: Tensor, discount: float) -> Tensor:
    return price * mask


def _to_go(price: Tensor, mask: Tensor, discount: float) -> Tensor:
    return rewards_to_go(price, mask, discount=discount)


CREDITS: Mapping[str, Callable[[Tensor, Tensor, float], Tensor]] = {"immediate": _own, "to_go": _to_go}
"""From the price of each token to what a token answers for, (B, T) -> (B, T)."""


def advantages(
    rewards: Tensor,
    greedy: Tensor,
    log_ratio: Tensor,
    mask: Tensor,
    *,
    beta: float,
    discount: float,
    kl_credit: str,
) -> Tensor:
    """Reward over the greedy completion's, and the price of KL: rewards, greedy (B,), the rest (B, T) -> (B, T).

        A_t = discount^(T - t) (R(y) - R(greedy)) - beta KL_t

    KL_t is log(pi/ref) of the token alone where credit is `immediate`, as in the authors' code, and of all that
    follow where it is `to_go`. arXiv 2310.10505.
    """
    none = torch.zeros_like(log_ratio)
    gain = rewards_to_go(shaped_rewards(rewards - greedy, none, none, mask, beta=0.0), mask, discount=discount)
    return gain - beta * CREDITS[kl_credit](log_ratio, mask, discount)
