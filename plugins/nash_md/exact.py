"""Where Nash-MD converges with unlimited samples."""

from torch import Tensor

from alignlab.numerics.population import Population, conditionals, joined, tilted, token_by_token

ROUNDS = 200


def fixed_point(world: Population, *, beta: float, mixture: float, kl_discount: float) -> Tensor | None:
    """ref exp(P(y > y') / beta) / Z, y' from the mixture of that very policy and the reference.

    Against a fixed opponent the expected update is the gradient of P(y > y') - beta KL(pi || ref), whose maximum tilts
    the reference by the chance to win; the policy that is its own opponent's answer is found by going half of the way
    there, many times. Where a token pays for its own KL alone the same holds at every prefix, for the chance to win
    without KL.
    """
    if kl_discount not in (0.0, 1.0) or not beta:
        return None
    better = (world.reward.unsqueeze(-1) - world.reward.unsqueeze(-2)).sigmoid()
    policy = world.reference
    for _ in range(ROUNDS):
        chance = (better @ _mixed(world, policy, mixture).exp().unsqueeze(-1)).squeeze(-1)
        if kl_discount:
            answer = tilted(world.reference, chance / beta)
        else:
            answer = token_by_token(world, chance, lambda q, ref, place: (ref + q / beta).log_softmax(-1))
        policy = tilted(policy, (answer - policy) / 2)
    return policy


def _mixed(world: Population, policy: Tensor, mixture: float) -> Tensor:
    """The opponent: at every prefix pi^(1 - c) ref^c, normalised, (X, Y) -> (X, Y)."""
    sides = (conditionals(logps, world.vocabulary, world.length) for logps in (policy, world.reference))
    return joined([((1 - mixture) * own + mixture * ref).log_softmax(-1) for own, ref in zip(*sides, strict=True)])
