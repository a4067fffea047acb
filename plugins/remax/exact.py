"""Where ReMax converges with unlimited samples."""

from torch import Tensor

from alignlab.numerics.population import Population, token_by_token


def fixed_point(world: Population, *, beta: float, discount: float, kl_credit: str) -> Tensor | None:
    """Per prefix ref(a | s) exp(Q(s, a) / beta) / Z, Q without KL; pi* itself where a token answers for all later KL.

    The greedy reward depends on the prompt alone and changes no expectation. A token that answers for its own KL only
    does not know that it also chooses the prefixes at which later KL is paid, so that Q is the expected reward alone,
    times discount^(T - t). With return-to-go, KL is what is still to come, and Q the soft value of E[r] - beta KL.
    """
    if not beta:
        return None
    if kl_credit == "to_go":
        return (world.reference + world.reward / beta).log_softmax(-1) if discount == 1 else None

    def respond(values: Tensor, reference: Tensor, place: int) -> Tensor:
        return (reference + discount ** (world.length - 1 - place) * values / beta).log_softmax(-1)

    return token_by_token(world, world.reward, respond)
