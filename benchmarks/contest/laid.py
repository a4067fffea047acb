"""Rows of token ids for the bare loops, written plainly and apart from alignlab: padded, or behind shared prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Laid:
    """Groups of (prompt, completions) as a grid of tokens, and where completions stand in it."""

    ids: Tensor
    """(R, L) long."""
    positions: Tensor | None
    """(R, L) long; None counts along the row."""
    mask: Tensor | None
    """Added to attention scores, (R, 1, L, L); None is causal."""
    source: Tensor
    """Flat places whose states predict completion tokens, (N,), row after row."""
    target: Tensor
    """Those tokens, (N,)."""
    row: Tensor
    """The completion each belongs to, (N,), counted through all groups."""
    last: Tensor
    """Flat place of the last token of each completion, (B,)."""
    rows: int
    """B."""

    def states(self, model: Any) -> Tensor:
        """Last hidden states, (R L, H)."""
        mask = None if self.mask is None else self.mask.to(model.dtype)  # torch misreads a mask of another type
        found = model(input_ids=self.ids, attention_mask=mask, position_ids=self.positions, use_cache=False)
        return found.last_hidden_state.flatten(0, 1)


def padded(groups: list[tuple[list[int], list[list[int]]]]) -> Laid:
    """Each completion behind a prompt of its own."""
    rows = [(prompt, reply) for prompt, replies in groups for reply in replies]
    width = max(len(prompt) + len(reply) for prompt, reply in rows)
    ids = torch.tensor([prompt + reply + [0] * (width - len(prompt) - len(reply)) for prompt, reply in rows])
    source, target, row, last = [], [], [], []
    for number, (prompt, reply) in enumerate(rows):
        start = number * width + len(prompt)
        source += range(start - 1, start - 1 + len(reply))
        target += reply
        row += [number] * len(reply)
        last.append(start + len(reply) - 1)
    return Laid(ids, None, None, *map(torch.tensor, (source, target, row, last)), rows=len(rows))


def shared(groups: list[tuple[list[int], list[list[int]]]]) -> Laid:
    """All completions of a prompt behind one copy of it; each sees the prompt and itself."""
    width = max(len(prompt) + sum(map(len, replies)) for prompt, replies in groups)
    grid, places, owners, source, target, row, last = [], [], [], [], [], [], []
    number = 0
    for place, (prompt, replies) in enumerate(groups):
        line, spots, owner = list(prompt), list(range(len(prompt))), [0] * len(prompt)
        for member, reply in enumerate(replies, 1):
            start = place * width + len(line)
            source += [place * width + len(prompt) - 1, *range(start, start + len(reply) - 1)]
            target += reply
            row += [number] * len(reply)
            last.append(start + len(reply) - 1)
            line += reply
            spots += range(len(prompt), len(prompt) + len(reply))
            owner += [member] * len(reply)
            number += 1
        spare = width - len(line)
        grid.append(line + [0] * spare)
        places.append(spots + [0] * spare)
        owners.append(owner + [-1] * spare)
    own = torch.tensor(owners)
    seen = ((own[:, :, None] == own[:, None, :]) | (own == 0)[:, None, :]) & torch.ones(width, width).tril().bool()
    mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[:, None]
    found = map(torch.tensor, (source, target, row, last))
    return Laid(torch.tensor(grid), torch.tensor(places), mask, *found, rows=number)
