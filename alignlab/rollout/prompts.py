"""Prompts on their way into a model: checked, deduplicated, left padded.

Left padding puts the last token of every prompt into one column, so that all rows generate in step. Repeated
prompts (the groups of group-relative methods) are laid out once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from alignlab.errors import DataError


class Prompts(NamedTuple):
    """Distinct prompts, left padded, and which of them each row asks for."""

    ids: Tensor
    """(U, P) long."""
    attention: Tensor
    """True on tokens, (U, P) bool."""
    source: Tensor
    """Distinct prompt of each row, (B,) long in [0, U)."""

    @property
    def repeated(self) -> bool:
        """Some prompt is asked for more than once."""
        return len(self.source) > len(self.ids)

    def rows(self) -> tuple[Tensor, Tensor]:
        """Left-padded ids and attention of every row: (B, P), (B, P)."""
        return self.ids[self.source], self.attention[self.source]


def lay_out(prompts: Sequence[Sequence[int]], pad_id: int, device: torch.device | str = "cpu") -> Prompts:
    """Prompts in order of first appearance; `pad_id` may be any valid id, the end token's too."""
    first: dict[tuple[int, ...], int] = {}
    source = [first.setdefault(tuple(prompt), len(first)) for prompt in prompts]
    lengths = torch.tensor([len(prompt) for prompt in first])
    width = int(lengths.max())
    attention = torch.arange(width) >= width - lengths[:, None]
    ids = torch.full(attention.shape, pad_id, dtype=torch.long)
    ids[attention] = torch.tensor([token for prompt in first for token in prompt])
    return Prompts(ids.to(device), attention.to(device), torch.tensor(source, device=device))


def check_prompts(
    prompts: Sequence[Sequence[int]], *, max_new_tokens: int, max_positions: int, vocabulary: int
) -> None:
    """DataError, naming the row, for prompts that cannot be completed by a model of this size."""
    if not prompts:
        raise DataError("there are no prompts to complete", "pass at least one prompt")
    for row, prompt in enumerate(prompts):
        if len(prompt) == 0:
            raise DataError(
                f"prompt {row} is empty: nothing predicts its first token",
                "give it at least one token, such as the beginning-of-sequence token",
            )
        if len(prompt) + max_new_tokens > max_positions:
            raise DataError(
                f"prompt {row} has {len(prompt)} tokens and max_new_tokens is {max_new_tokens}, together "
                f"{len(prompt) + max_new_tokens}, but the model has {max_positions} positions",
                f"shorten the prompt or set sampling.max_new_tokens to {max_positions - len(prompt)} or less"
                if len(prompt) < max_positions
                else f"shorten the prompt to less than {max_positions} tokens",
            )
        if min(prompt) < 0 or max(prompt) >= vocabulary:
            wrong = next(token for token in prompt if not 0 <= token < vocabulary)
            raise DataError(
                f"prompt {row} holds token id {wrong}, but the model has {vocabulary} token ids",
                "use the tokenizer that belongs to the model",
            )
