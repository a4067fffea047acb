"""The Bradley-Terry objective of a reward model, as a pure function of scores."""

from torch import Tensor

from alignlab.numerics.preference import bradley_terry


def reward_loss(
    chosen: Tensor,
    rejected: Tensor,
    *,
    probability: Tensor | float = 1.0,
    margin: Tensor | float = 0.0,
    centring: float = 0.0,
) -> Tensor:
    """Negative log-likelihood of each preference.

        d    = r_w - r_l - margin
        loss = -p log sigmoid(d) - (1 - p) log sigmoid(-d) + centring (r_w + r_l)^2

    chosen, rejected (B,) -> (B,). Eq. 1 of arXiv 2203.02155; margin: arXiv 2307.09288 §3.2.2; centring squares the
    sum of both scores, arXiv 2312.09244.
    """
    likelihood = bradley_terry(chosen - rejected - margin, probability)
    return likelihood + centring * (chosen + rejected) ** 2
