"""The ranking part of the RRHF objective on pairs, as a pure function of log-probabilities.

The paper ranks several responses of a prompt by the score of a reward model; a pair is the case of two. The likelihood
of the best is what `sft_weight` adds to any pair loss.
"""

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms


def rrhf_loss(policy: PairLogps) -> PairTerms:
    """Hinge at 0 on the difference of mean token log-probabilities: (B,) each.

    loss = max(0, log pi(y_l) / |y_l| - log pi(y_w) / |y_w|)

    L_rank of arXiv 2304.05302, §3.1, for two responses. Its slope at a tie is taken to be 0.
    """
    margin = policy.averaged.margin
    return PairTerms((-margin).relu(), margin)
