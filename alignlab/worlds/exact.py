"""The exact world: 8 prompts, 6 tokens, 3 positions, so that everything about it can be enumerated.

A policy is a table of next-token logits over 43 contexts; its 216 completions have no end token. The optimum
of E[r] - beta KL(policy || reference) is known in closed form, which tells where each method ought to go.
All arrays are float64; completions are in lexicographic order.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from alignlab.numerics.population import Population

PROMPTS, VOCABULARY, LENGTH = 8, 6, 3
COMPLETIONS = VOCABULARY**LENGTH
CONTEXTS = 1 + VOCABULARY + VOCABULARY**2
BETA = 0.5


def completions() -> Tensor:
    """Every completion, (216, 3) long; row 36 y0 + 6 y1 + y2 is (y0, y1, y2)."""
    return torch.cartesian_prod(*[torch.arange(VOCABULARY)] * LENGTH)


def contexts() -> Tensor:
    """Context index of each token of each completion, (216, 3) long: 0, then 1 + y0, then 7 + 6 y0 + y1."""
    y = completions()
    first = torch.zeros(COMPLETIONS, dtype=torch.long)
    return torch.stack((first, 1 + y[:, 0], 1 + VOCABULARY + VOCABULARY * y[:, 0] + y[:, 1]), dim=1)


def rewards() -> Tensor:
    """r(x, y), (8, 216): sin(1.7 + 0.9x + 1.3 y0 + 0.7 y1 + 2.1 y2) + [y0 = x mod 6] / 2 + [y1 = y2] / 2."""
    x = torch.arange(PROMPTS, dtype=torch.float64)[:, None]
    y0, y1, y2 = completions().to(torch.float64).unbind(1)
    wave = torch.sin(1.7 + 0.9 * x + 1.3 * y0 + 0.7 * y1 + 2.1 * y2)
    return wave + 0.5 * (y0 == x % VOCABULARY) + 0.5 * (y1 == y2)


def reference_logits() -> Tensor:
    """The reference policy's table, (8, 43, 6): cos(0.4x + 1.1c + 0.8v) for context c and token v."""
    x = torch.arange(PROMPTS, dtype=torch.float64)[:, None, None]
    c = torch.arange(CONTEXTS, dtype=torch.float64)[:, None]
    v = torch.arange(VOCABULARY, dtype=torch.float64)
    return torch.cos(0.4 * x + 1.1 * c + 0.8 * v)


def token_logps(logits: Tensor) -> Tensor:
    """Log-probability of each token of each completion under a table: (8, 43, 6) -> (8, 216, 3)."""
    return logits.log_softmax(-1)[:, contexts(), completions()]


def sequence_logps(logits: Tensor) -> Tensor:
    """Log-probability of each completion under a table: (8, 43, 6) -> (8, 216)."""
    return token_logps(logits).sum(-1)


def table(logps: Tensor) -> Tensor:
    """The table of next-token log-probabilities of any distribution over completions: (8, 216) -> (8, 43, 6).

    Inverse of `sequence_logps`: every distribution over completions is reachable by a tabular policy. Some prompts
    alone will do.
    """
    last = logps.reshape(-1, VOCABULARY, VOCABULARY, VOCABULARY)
    middle, first = last.logsumexp(-1), last.logsumexp((-1, -2))
    mass = (first[:, None], middle, last.reshape(-1, VOCABULARY**2, VOCABULARY))
    return torch.cat(mass, dim=1).log_softmax(-1)


def log_partition(reference: Tensor, reward: Tensor, beta: float = BETA) -> Tensor:
    """log Z(x) = log sum_y ref(y|x) exp(r(x, y) / beta): two (8, 216) -> (8,)."""
    return (reference + reward / beta).logsumexp(-1)


def optimum(reference: Tensor, reward: Tensor, beta: float = BETA) -> Tensor:
    """log pi*(y|x) = log ref(y|x) + r(x, y) / beta - log Z(x): two (8, 216) -> (8, 216)."""
    return reference + reward / beta - log_partition(reference, reward, beta)[:, None]


def divergence(logps: Tensor, other: Tensor) -> Tensor:
    """KL(p || q) for each prompt, in nats: two (8, 216) -> (8,)."""
    return (logps.exp() * (logps - other)).sum(-1)


def objective(logps: Tensor, reference: Tensor, reward: Tensor, beta: float = BETA) -> Tensor:
    """J = mean over prompts of E[r] - beta KL(policy || reference): three (8, 216) -> ()."""
    return ((logps.exp() * reward).sum(-1) - beta * divergence(logps, reference)).mean()


def best_value(reference: Tensor, reward: Tensor, beta: float = BETA) -> Tensor:
    """J* = beta times the mean of log Z: two (8, 216) -> ()."""
    return beta * log_partition(reference, reward, beta).mean()


def preferences(reward: Tensor) -> Tensor:
    """Bradley-Terry P(y_i preferred to y_j | x) = sigmoid(r_i - r_j): (8, 216) -> (8, 216, 216)."""
    return torch.sigmoid(reward[:, :, None] - reward[:, None, :])


def population(*, flip: float = 0.0, on_policy: bool = False) -> Population:
    """The world as methods meet it: pairs drawn uniformly, or from the reference, a share `flip` labelled wrongly."""
    reference, reward = sequence_logps(reference_logits()), rewards()
    uniform = torch.full_like(reference, 1 / COMPLETIONS)
    return Population(
        reference=reference,
        reward=reward,
        preference=flip + (1 - 2 * flip) * preferences(reward),
        sampling=reference.exp() if on_policy else uniform,
        vocabulary=VOCABULARY,
        length=LENGTH,
    )


class TabularPolicy(nn.Module):
    """A policy with one free logit for each prompt, context and token; it starts as the reference."""

    def __init__(self, logits: Tensor | None = None) -> None:
        super().__init__()
        self.logits = nn.Parameter(reference_logits() if logits is None else logits.clone())

    def forward(self) -> Tensor:
        """Log-probability of every completion, (8, 216)."""
        return sequence_logps(self.logits)
