"""Completions of one rollout with their scores, and the pieces of it that a training pass sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from alignlab.data.batch import Sequences, length_cuts
from alignlab.data.schema import Prompt
from alignlab.errors import PluginError


class Experience(NamedTuple):
    """One rollout, scored. Rows are completions; those of one prompt are neighbours."""

    sequences: Sequences
    logps: Tensor
    """Log-probabilities under the policy that sampled, by the trainer's own forward pass, (B, T)."""
    reference_logps: Tensor | None
    """Under the reference, (B, T); None for methods that declare none."""
    scores: Mapping[str, Tensor]
    """By each declared scorer, (B,); `reward` after the missing-end penalty."""
    ended: Tensor
    """Whether the end token was produced, (B,) bool."""
    group_size: int
    prompts: list[Prompt]

    @property
    def reference(self) -> Tensor:
        """`reference_logps` of a method that declares a reference, (B, T)."""
        if self.reference_logps is None:
            raise PluginError(
                "the method reads a reference that it does not declare",
                "write Needs(reference=Reference.MODEL) in its Method",
            )
        return self.reference_logps

    @property
    def rewards(self) -> Tensor:
        """Score of each completion by the reward, after the missing-end penalty, (B,)."""
        return self.scores["reward"]

    @property
    def grouped(self) -> Tensor:
        """The rewards with one prompt a row, (B / G, G)."""
        return self.rewards.view(-1, self.group_size)


class Chunk(NamedTuple):
    """Some rows of a minibatch, trimmed, with what is known of them and the minibatch's denominators."""

    sequences: Sequences
    columns: Mapping[str, Tensor]
    """Per token, (b, t), or per row, (b,)."""
    tokens: Tensor
    """Completion tokens of the whole minibatch over all processes, a scalar."""
    rows: Tensor
    """Rows of the whole minibatch over all processes, a scalar."""
    first: bool
    """Whether the policy is still the one that sampled."""
    part: Tensor
    """Which rows of the rollout these are, (b,)."""


def minibatches(groups: int, count: int, seed: int) -> Iterator[Tensor]:
    """A random division of the groups of a rollout into equal parts: (groups / count,) each."""
    order = torch.randperm(groups, generator=torch.Generator().manual_seed(seed))
    yield from order.tensor_split(count)


def own_rows(groups: Tensor, group_size: int, rank: int, world: int) -> Tensor:
    """Rows of this process that belong to some groups of the global rollout, which is dealt out in turn."""
    mine = groups[groups % world == rank] // world
    return (mine[:, None] * group_size + torch.arange(group_size)).flatten()


def chunks(
    sequences: Sequences,
    columns: Mapping[str, Tensor],
    rows: Tensor,
    *,
    totals: tuple[Tensor, Tensor],
    first: bool,
    micro: int,
    spare: int,
    group_size: int = 1,
    shared: bool = True,
) -> list[Chunk]:
    """Micro-batches of some rows, of similar cost; groups of `group_size` neighbours, of one prompt, stay together.

    `shared` says whether a group's prompt runs once for all its completions, which decides what it costs.
    """
    groups = rows.view(-1, group_size)
    rows_apart = sequences.attention.sum(-1)[groups]
    lengths = sequences.shared_lengths(groups) if shared else rows_apart.amax(-1) * group_size
    pieces = []
    for cut in length_cuts(lengths, _groups(micro, group_size), spare=spare):
        part = groups[cut].flatten()
        selected = sequences.select(part).trim()
        width = selected.ids.shape[1]
        cells = {name: column[part, :width] if column.dim() > 1 else column[part] for name, column in columns.items()}
        pieces.append(Chunk(selected, cells, *totals, first, part))
    return pieces


def _groups(micro: int, group_size: int) -> int:
    return max(1, micro // group_size) if micro else 0
