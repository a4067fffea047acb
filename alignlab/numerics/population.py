"""A preference problem small enough to be enumerated, and the fixed points that methods have on it.

A plugin that knows where its method converges says so as a function of a `Population`; what such functions have in
common stands here. Prompts are rows, completions columns: (X, Y).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Population(NamedTuple):
    """All there is to know: with it a method's training set has every pair, weighted by how often it is drawn."""

    reference: Tensor
    """log ref(y | x), (X, Y)."""
    reward: Tensor
    """r(x, y), (X, Y)."""
    preference: Tensor
    """P(y_i is labelled better than y_j | x), wrong labels included, (X, Y, Y)."""
    sampling: Tensor
    """mu(y | x), from which both completions of a pair are drawn independently, (X, Y)."""
    vocabulary: int
    length: int
    """Tokens of every completion: Y = vocabulary ** length, in lexicographic order."""

    @property
    def wins(self) -> Tensor:
        """p(y > mu): how often a completion is labelled better than a random one, (X, Y)."""
        return (self.preference @ self.sampling.unsqueeze(-1)).squeeze(-1)


def tilted(reference: Tensor, tilt: Tensor) -> Tensor:
    """log of ref exp(tilt), normalised: two (X, Y) -> (X, Y)."""
    return (reference + tilt).log_softmax(-1)


def root(decreasing: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, steps: int = 80) -> Tensor:
    """Where functions that decrease pass 0, by bisection, elementwise: `low`, `high` and the result of one shape."""
    for _ in range(steps):
        middle = (low + high) / 2
        positive = decreasing(middle) > 0
        low, high = torch.where(positive, middle, low), torch.where(positive, high, middle)
    return (low + high) / 2


def normalised(family: Callable[[Tensor], Tensor], rows: int, *, bound: float = 60.0) -> Tensor:
    """The member of a family of log-weights whose weights sum to 1 in every row: (rows, 1) -> (rows, Y), in (rows, Y).

    The family must decrease in its parameter, which is sought in [-bound, bound].
    """
    ends = torch.full((rows, 1), bound, dtype=torch.float64)
    return family(root(lambda level: family(level).logsumexp(-1, keepdim=True), -ends, ends, 200))


def bradley_terry_scores(preference: Tensor, sampling: Tensor, *, tolerance: float = 1e-13) -> Tensor:
    """Maximum likelihood scores s of P(i > j) = sigmoid(s_i - s_j): (X, Y, Y), (X, Y) -> (X, Y), mean 0.

    At the maximum sum_j mu_j sigmoid(s_i - s_j) = sum_j mu_j P_ij for every i, whatever P is; where P is itself of
    that form its scores are found. The minorise-maximise iteration of Zermelo (1929), as in Hunter (2004).
    """
    pairs = sampling.unsqueeze(-1) * sampling.unsqueeze(-2)
    won = (pairs * preference).sum(-1)
    strength = torch.ones_like(won)
    for _ in range(20_000):
        met = (pairs / (strength.unsqueeze(-1) + strength.unsqueeze(-2))).sum(-1)
        new = won / met
        new = new / new.log().mean(-1, keepdim=True).exp()
        moved = (new / strength - 1).abs().amax()
        strength = new
        if moved < tolerance:
            break
    return strength.log()


def is_bradley_terry(preference: Tensor, scores: Tensor) -> bool:
    """Whether preferences are sigmoid(s_i - s_j) to rounding: (X, Y, Y), (X, Y)."""
    fitted = (scores.unsqueeze(-1) - scores.unsqueeze(-2)).sigmoid()
    return bool((fitted - preference).abs().amax() < 1e-9)


def apart(world: Population, slope: Callable[[Tensor], Tensor]) -> Tensor:
    """Minimum over policies of sum_y mu(y) phi_y(rho(y)), rho = log pi/ref, with every phi_y convex: (X, Y).

    `slope` is -phi', elementwise in rho, (X, Y) -> (X, Y). Completions meet only in sum_y pi(y) = 1, so that a
    multiplier is all there is to find: mu slope(rho) = multiplier * pi, whose left side decreases in rho.
    """
    bound = torch.full_like(world.reference, 40.0)

    def ratios(multiplier: Tensor) -> Tensor:
        def excess(rho: Tensor) -> Tensor:
            return world.sampling * slope(rho) - multiplier * (world.reference + rho).exp()

        return root(excess, -bound, bound)

    level = torch.full_like(world.reference[:, :1], 10.0)

    def too_much(multiplier: Tensor) -> Tensor:
        return (world.reference + ratios(multiplier)).logsumexp(-1, keepdim=True)

    return world.reference + ratios(root(too_much, -level, level))


def kept_winners(world: Population, lead: Tensor, beta: float) -> Tensor:
    """Maximum over policies of sum_y mu(y) lead(y) sigmoid(beta log pi/ref(y)) for 0 < beta < 1: (X, Y).

    With x = pi/ref, sigmoid(beta log x) = x^beta / (1 + x^beta) is concave with infinite slope at 0. So every
    completion with a negative lead loses all its probability, to which its log-probability, -inf here, runs for ever;
    the others share it as mu lead beta sigmoid' = multiplier * pi says.
    """
    kept, bound = lead > 0, torch.full_like(lead, 60.0)
    gain = (world.sampling * lead.clamp_min(torch.finfo(lead.dtype).tiny) * beta).log() - world.reference

    def family(level: Tensor) -> Tensor:
        def excess(rho: Tensor) -> Tensor:
            z = beta * rho
            spread = torch.nn.functional.logsigmoid(z) + torch.nn.functional.logsigmoid(-z)
            return gain + spread - level - rho

        return torch.where(kept, world.reference + root(excess, -bound, bound), -math.inf)

    return normalised(family, len(lead))


def conditionals(logps: Tensor, vocabulary: int, length: int) -> list[Tensor]:
    """Next-token log-probabilities of a distribution over completions: (X, Y) -> (X, V), (X, V, V), ... by position."""
    whole = logps.view(-1, *[vocabulary] * length)
    later = [tuple(range(place + 2, length + 1)) for place in range(length)]
    return [(whole.logsumexp(dims) if dims else whole).log_softmax(-1) for dims in later]


def joined(tokens: list[Tensor]) -> Tensor:
    """Log-probabilities of completions from those of their tokens, as `conditionals` gives them: -> (X, Y)."""
    whole = tokens[0]
    for each in tokens[1:]:
        whole = whole.unsqueeze(-1) + each
    return whole.flatten(1)


def token_by_token(world: Population, reward: Tensor, respond: Callable[[Tensor, Tensor, int], Tensor]) -> Tensor:
    """The policy that is locally right at every prefix, given what it does after it: (X, Y) -> (X, Y).

    `respond` yields log-probabilities of the next token, (..., V), from the values Q of all next tokens, those of the
    reference, and the position. Q is the expected reward of what follows, found from the last token backwards.
    """
    values = reward.view(-1, *[world.vocabulary] * world.length)
    found = []
    for place, known in reversed(list(enumerate(conditionals(world.reference, world.vocabulary, world.length)))):
        found.append(respond(values, known, place))
        values = (found[-1].exp() * values).sum(-1)
    return joined(found[::-1])


def inverse_tilt(values: Tensor, reference: Tensor, beta: float) -> Tensor:
    """log of beta ref / (level - value), the level making it sum to 1: (..., V), (..., V) -> (..., V).

    The maximum of E[value] - beta KL(ref || pi), where beta ref / pi = level - value.
    """
    flat, known = values.reshape(-1, values.shape[-1]), reference.reshape(-1, values.shape[-1])
    top = flat.amax(-1, keepdim=True)

    def family(log_gap: Tensor) -> Tensor:
        return math.log(beta) + known - (log_gap.exp() + top - flat).log()

    return normalised(family, len(flat)).view_as(values)
