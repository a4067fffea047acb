"""What is particular to PPO in language models, as pure functions."""

from typing import NamedTuple

from torch import Tensor

from alignlab.numerics.advantage import gae, returns, shaped_rewards
from alignlab.numerics.logps import sequence_logps


class Targets(NamedTuple):
    """What one rollout teaches policy and value, (B, T) each."""

    advantages: Tensor
    returns: Tensor


def targets(
    scores: Tensor,
    logps: Tensor,
    reference_logps: Tensor,
    values: Tensor,
    mask: Tensor,
    *,
    beta: float | Tensor,
    discount: float,
    gae_lambda: float,
) -> Targets:
    """Advantages and returns of rewards with the KL price: scores (B,), the rest (B, T).

    Returns are taken before any whitening of the advantages.
    """
    rewards = shaped_rewards(scores, logps, reference_logps, mask, beta=beta)
    advantages = gae(rewards, values, mask, discount=discount, gae_lambda=gae_lambda)
    return Targets(advantages, returns(advantages, values, mask))


def imitation(logps: Tensor, mask: Tensor) -> Tensor:
    """Negative log-likelihood of each demonstration, a mean over its tokens: (B, T) -> (B,).

    The pretraining term of PPO-ptx, eq. 2 of arXiv 2203.02155.
    """
    return -sequence_logps(logps, mask) / mask.sum(-1)


def adapted_beta(beta: float, kl: float, target: float, samples: int, horizon: float) -> float:
    """Next beta of the proportional controller: beta (1 + clip(kl / target - 1, +-0.2) samples / horizon).

    kl and target in nats a completion. Eq. 3 of arXiv 1909.08593.
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return beta * (1 + error * samples / horizon)
