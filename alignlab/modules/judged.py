"""Pairs of sampled completions, labelled by their rewards: what online preference methods share.

The loss of a pair is any declared pair objective, with whatever composes with it; see `modules.objective`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from alignlab.data.batch import Sequences
from alignlab.modules.experience import Chunk
from alignlab.modules.optimise import all_sum
from alignlab.modules.pairs import TIE
from alignlab.modules.rollouts import RolloutModule
from alignlab.numerics.logps import sequence_logps


class Judgement(NamedTuple):
    """Labels of pairs, (P,) each."""

    first: Tensor
    """Whether the first completion is the chosen one, bool."""
    probability: Tensor
    """P(chosen preferred): 1 for hard labels."""
    weight: Tensor
    """1, or 0 where the pair carries no preference."""


def judge(first: Tensor, second: Tensor, same: Tensor, u: Tensor, *, labels: str) -> Judgement:
    """Labels from the rewards of both completions, (P,) each.

        P(first preferred) = sigmoid(r(first) - r(second))

    `hard` chooses the higher reward and leaves out ties; `sampled` draws the label from P by the uniforms `u`;
    `soft` keeps P as it is. Identical completions (`same`) never count.
    """
    difference = first - second
    ones, different = torch.ones_like(difference), (~same).to(difference.dtype)
    if labels == "sampled":
        return Judgement(u < difference.sigmoid(), ones, different)
    if labels == "soft":
        return Judgement(difference >= 0, difference.abs().sigmoid(), different)
    return Judgement(difference >= 0, ones, different * (difference != 0))


def identical(sequences: Sequences) -> Tensor:
    """Whether both rows of each pair of neighbours hold the same completion: 2P rows -> (P,) bool."""
    tokens = torch.where(sequences.completion, sequences.ids, -1)
    return (tokens[::2] == tokens[1::2]).all(-1)


Added = Callable[[Tensor, Mapping[str, Tensor]], Tensor]
"""What a method adds to the loss of each pair, (p,), from log-probabilities and columns of rows [chosen; rejected]."""


def learn_from_pairs(
    module: RolloutModule,
    sequences: Sequences,
    columns: Mapping[str, Tensor],
    rewards: Tensor,
    batch_idx: int,
    *,
    labels: str,
    added: Added | None = None,
) -> dict[str, float]:
    """Label neighbouring rows as pairs, one a prompt, and take every update of an iteration on them.

    2P rows. `columns` hold at least `logps` under the policy that is updated, and `reference`, (2P, T) each. The loss
    is the module's declared pair objective. Returns metrics.
    """
    first, second = rewards[::2], rewards[1::2]
    u = module.noise(len(first), "labels", batch_idx).uniform(0)[:: module.config.group_size].to(rewards.device)
    found = judge(first, second, identical(sequences), u, labels=labels)
    places = torch.arange(len(rewards), device=rewards.device).view(-1, 2)
    order = torch.where(found.first[:, None], places, places.flip(1)).flatten()
    known = {name: column[order] for name, column in columns.items()}
    known |= {name: getattr(found, name).repeat_interleave(2) for name in ("probability", "weight")}
    loss = partial(_loss, module, soft=labels == "soft", added=added)
    metrics = module.passes(sequences.select(order), known, batch_idx, loss, together=2)
    gap = (first - second).abs()
    counted = torch.stack([torch.ones_like(gap).sum(), (1 - found.weight).sum(), gap.sum()])
    pairs, ties, gaps = all_sum(counted.double()).tolist()
    return metrics | {"train/ties": ties / pairs, "train/score_gap": gaps / pairs}


def _loss(module: RolloutModule, chunk: Chunk, *, soft: bool, added: Added | None) -> tuple[Tensor, dict[str, Tensor]]:
    """Losses of some pairs, each a share of the mean over the minibatch's pairs, those without preference too."""
    rows = torch.arange(len(chunk.part), device=chunk.part.device).view(-1, 2).T.flatten()  # [chosen; rejected]
    sequences, objective = chunk.sequences.select(rows), module.parts.objective
    known = {name: column[rows] for name, column in chunk.columns.items()}
    outputs = module.policy(sequences, collision=objective.config.on_policy_weight)
    if chunk.first:
        module.gate_ratio(outputs.logps, known["logps"], sequences.completion)
    half = len(rows) // 2
    weight, probability = known["weight"][:half], known["probability"][:half] if soft else None
    terms = objective(outputs, known["reference"], sequences, probability)
    logps = sequence_logps(outputs.logps, sequences.completion)
    losses = weight * terms.loss
    if added is not None:
        losses = losses + added(logps, known)
    chosen, rejected = logps.detach().chunk(2)
    margin = weight * terms.implicit_margin
    metrics = {
        "margin": margin,
        "accuracy": (margin > TIE).double() + 0.5 * (margin.abs() <= TIE).double(),
        "chosen_logps": chosen,
        "rejected_logps": rejected,
    }
    pairs = chunk.rows / 2
    return losses.sum() / pairs, {name: value.sum() / pairs for name, value in metrics.items()}
