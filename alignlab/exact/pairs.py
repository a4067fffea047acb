"""The loss of a declared pair objective over every pair there is, with its curvature.

A label says y_i is better than y_j with probability P_ij, so that the expected loss is

    sum_ij mu_i mu_j [P_ij loss(i, j) + P_ji loss(j, i)] = 2 sum_ij mu_i mu_j P_ij loss(chosen = i, rejected = j)

Each term reads two log-probabilities only; its second derivatives are those of a function of two
numbers, and all of them together are the Hessian of the whole.
"""

from __future__ import annotations

import torch
from torch import Tensor

from alignlab.data.batch import Sequences
from alignlab.exact.descent import Local
from alignlab.method import PairConfig
from alignlab.models.policy import TokenOutputs
from alignlab.modules.objective import PairObjective, on_policy_weight
from alignlab.numerics.logps import PairLogps
from alignlab.numerics.population import Population
from alignlab.worlds import exact


class PairPopulation:
    """Expected loss of a pair objective, and of what its settings combine with it, as `descent.Loss`."""

    def __init__(self, objective: PairObjective, config: PairConfig, world: Population) -> None:
        self.objective, self.config, self.world = objective, config, world
        drawn = world.sampling.unsqueeze(-1) * world.sampling.unsqueeze(-2)
        self.weights = 2 * drawn * world.preference
        self.typical = torch.ones_like(self.weights)
        """Weight of each pair by the policy of the last `local`."""

    def value(self, logps: Tensor, rows: Tensor) -> Tensor:
        """Expected loss of each prompt: (n, Y), (n,) -> (n,)."""
        return self._loss(*both(logps), rows)

    def local(self, logps: Tensor, rows: Tensor) -> Local:
        """Value, gradient and curvature: (n, Y), (n,)."""
        if self.config.on_policy_weight:
            self.typical[rows] = pair_weights(logps)
        chosen, rejected = (side.detach().requires_grad_() for side in both(logps))
        value = self._loss(chosen, rejected, rows)
        first, second = torch.autograd.grad(value.sum(), (chosen, rejected), create_graph=True)
        chosen_chosen, mixed = _derivatives(first, (chosen, rejected))
        (rejected_rejected,) = _derivatives(second, (rejected,))
        own = torch.diag_embed(chosen_chosen.sum(-1) + rejected_rejected.sum(-2))
        gradient = (first.sum(-1) + second.sum(-2)).detach()
        return Local(value.detach(), gradient, own + mixed + mixed.transpose(-1, -2))

    def _loss(self, chosen: Tensor, rejected: Tensor, rows: Tensor) -> Tensor:
        """(n, Y, Y) of chosen completion i and rejected j -> (n,)."""
        policy, reference = self._pair(chosen, rejected), self._pair(*both(self.world.reference[rows]))
        loss = self.objective.terms(policy, reference, None, {}).loss.view_as(chosen) * self.typical[rows]
        if self.config.sft_weight:
            loss = loss - self.config.sft_weight * chosen / self.world.length
        return (loss * self.weights[rows]).sum((-1, -2))

    def _pair(self, chosen: Tensor, rejected: Tensor) -> PairLogps:
        lengths = torch.full((chosen.numel(),), float(self.world.length), dtype=chosen.dtype)
        pair = PairLogps(chosen.reshape(-1), rejected.reshape(-1), lengths, lengths)
        return pair.averaged if self.config.length_normalised else pair


def both(logps: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the chosen and of the rejected completion of every pair: (n, Y) -> two (n, Y, Y)."""
    size = (*logps.shape, logps.shape[-1])
    return logps.unsqueeze(-1).expand(size), logps.unsqueeze(-2).expand(size)


def pair_weights(logps: Tensor) -> Tensor:
    """How typical of a policy both completions of every pair are: (n, Y) -> (n, Y, Y)."""
    table = exact.table(logps)
    picked = exact.contexts()
    tokens = exact.token_logps(table)
    collision = (2 * table).logsumexp(-1)[:, picked]
    first, second = torch.meshgrid(torch.arange(logps.shape[1]), torch.arange(logps.shape[1]), indexing="ij")
    order = torch.cat([first.flatten(), second.flatten()])
    columns = [each[:, order].transpose(0, 1).reshape(-1, picked.shape[1]) for each in (tokens, collision)]
    here = torch.ones(columns[0].shape, dtype=torch.bool)
    outputs = TokenOutputs(columns[0], collision=columns[1])
    weights = on_policy_weight(outputs, Sequences(here.long(), here, here))
    return weights.view(*first.shape, len(logps)).permute(2, 0, 1)


def _derivatives(gradient: Tensor, by: tuple[Tensor, ...]) -> list[Tensor]:
    """Elementwise derivatives of an elementwise gradient; 0 where it is constant."""
    if not gradient.requires_grad:
        return [torch.zeros_like(each) for each in by]
    found = torch.autograd.grad(gradient.sum(), by, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(each) if one is None else one for one, each in zip(found, by, strict=True)]
