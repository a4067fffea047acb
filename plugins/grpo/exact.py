"""Where GRPO converges with unlimited samples."""

from torch import Tensor

from alignlab.numerics.population import Population, inverse_tilt, tilted, token_by_token


def fixed_point(
    world: Population,
    *,
    beta: float,
    group_size: int,
    baseline: str,
    advantage_std: str,
    kl_place: str,
    kl_estimator: str,
    kl_weight: str,
) -> Tensor | None:
    """pi* with KL in the reward; with KL in the loss, beta' ref(a | s) / (lambda_s - Q(s, a)) at every prefix.

    This is without division by a deviation, and Q is the expected reward to come, without KL.
    The mean of a group of G, the completion's own reward included, shrinks the reward's part of the gradient by
    (G - 1) / G, so that beta acts as beta' = beta G / (G - 1); leave_one_out shrinks nothing. Per token, the expected
    gradient of k3 is that of KL(ref || pi) of the next token, whose price makes the form above. That of k2, and of k1
    or k3 weighted by the ratio, is that of KL(pi || ref) of the next token: ref exp(Q / beta') per prefix. Neither
    knows that the policy chooses the prefixes, hence Q without KL. KL to come in the advantage gives
    ref exp(r / beta') / Z, and KL in the reward pi*, since the baseline then shrinks both parts. Division by a
    deviation turns beta into a price in units of it, which differ from prompt to prompt and as the policy moves: no
    closed form.
    """
    if advantage_std != "none" or kl_place == "none" or not beta:
        return None
    price = beta * group_size / (group_size - 1) if baseline == "mean" else beta
    if kl_place == "reward":
        return tilted(world.reference, world.reward / beta) if kl_estimator == "k1" else None
    if kl_place == "advantage":
        return tilted(world.reference, world.reward / price) if kl_estimator == "k1" else None
    if kl_estimator == "k3" and kl_weight == "none":
        return token_by_token(world, world.reward, lambda q, ref, place: inverse_tilt(q, ref, price))
    if (kl_estimator == "k2") is (kl_weight == "none"):
        return token_by_token(world, world.reward, lambda q, ref, place: (ref + q / price).log_softmax(-1))
    return None  # k1 in the loss has no expected gradient; k2 weighted by the ratio has that of no KL
