"""The preference and quality parts of MPO as a pure function of log-probabilities."""

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms, bradley_terry


def mpo_loss(
    policy: PairLogps, reference: PairLogps, *, beta: float, preference_weight: float, quality_weight: float
) -> PairTerms:
    """Order of the pair and quality of each completion, weighted: (B,) -> (B,).

        r    = beta * [log pi(y) - log ref(y)]
        loss = - w_p log sigmoid(r_w - r_l) - w_q [log sigmoid(r_w) + log sigmoid(-r_l)]

    §3.2 of arXiv 2411.10442 with the reward shift of the quality part at 0. The generation part is `sft_weight`.
    """
    chosen, rejected = (beta * ratio for ratio in policy.minus(reference))
    margin = chosen - rejected
    quality = bradley_terry(chosen) + bradley_terry(-rejected)
    return PairTerms(preference_weight * bradley_terry(margin) + quality_weight * quality, margin)
