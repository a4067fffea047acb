"""The R-DPO objective as a pure function of log-probabilities and lengths."""

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms, bradley_terry


def r_dpo_loss(policy: PairLogps, reference: PairLogps, *, beta: float, length_penalty: float) -> PairTerms:
    """Negative log-likelihood of the preference when the policy serves the reward less the price of length.

        z    = beta * [(log pi(y_w) - log ref(y_w)) - (log pi(y_l) - log ref(y_l))]
        loss = -log sigmoid(z + alpha (|y_w| - |y_l|))

    (B,) -> (B,); alpha is `length_penalty`. The policy that maximises E[r - alpha |y|] - beta KL(pi || ref) has
    beta log pi/ref = r - alpha |y| + const(x), so r = beta log pi/ref + alpha |y| + const(x), and that r explains the
    label: hence the plus. Eq. 9 of arXiv 2403.19159. The margin is z, of the reward after the price.
    """
    margin = beta * (policy.margin - reference.margin)
    longer = policy.chosen_lengths - policy.rejected_lengths
    return PairTerms(bradley_terry(margin + length_penalty * longer), margin)
