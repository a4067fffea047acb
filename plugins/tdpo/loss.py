"""The TDPO objective as pure functions of log-probabilities."""

from torch import Tensor

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms, bradley_terry


def forward_kl(logps: Tensor, reference_logps: Tensor) -> Tensor:
    """KL(reference || policy) of next-token distributions: normalised log-probabilities (..., V) twice -> (...)."""
    return (reference_logps.exp() * (reference_logps - logps)).sum(-1)


def tdpo_loss(
    policy: PairLogps,
    reference: PairLogps,
    *,
    beta: float,
    kl_weight: float,
    chosen_kl_constant: bool,
    chosen_kl: Tensor,
    rejected_kl: Tensor,
) -> PairTerms:
    """DPO's loss with the difference of KL along both completions in its margin: (B,) -> (B,).

        z    = beta * [rho_w - rho_l - alpha * (K_l - K_w)],    rho = log pi(y) - log ref(y)
        K    = sum_t KL(ref(. | x, y_<t) || pi(. | x, y_<t))
        loss = -log sigmoid(z)

    The losses of arXiv 2404.11999, alpha written `kl_weight`: TDPO1 at alpha = 1 with gradient through both K, TDPO2
    with K_w a constant. Where K_w has a gradient, descent raises it. `chosen_kl` and `rejected_kl`, (B,), are K.
    """
    chosen = chosen_kl.detach() if chosen_kl_constant else chosen_kl
    margin = beta * (policy.margin - reference.margin - kl_weight * (rejected_kl - chosen))
    return PairTerms(bradley_terry(margin), margin)
