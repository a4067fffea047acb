"""Passes over a rollout: completions of one prompt stay together, wherever that costs less."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from alignlab.plugins.rloo.config import RLOOConfig
from alignlab.plugins.rloo.module import RLOOModule
from grouped import grouped
from online import online
from small import fit, gpt2

from alignlab.data.batch import Sequences, length_cuts, pad
from alignlab.models.policy import Policy
from alignlab.models.shared import lay_out
from alignlab.modules import experience
from alignlab.modules import rollouts as rollouts_module
from alignlab.modules.experience import Chunk, chunks


def groups() -> Sequences:
    """Eight prompts of 40 to 75 tokens with six completions of 3 to 40."""
    sizes = [(40 + 5 * group, 3 + (11 * row + 17 * group) % 38) for group in range(8) for row in range(6)]
    return pad([([prompt] * prompt, [7] * reply) for prompt, reply in sizes], 0)


def cut(sequences: Sequences, size: int, **more: Any) -> list[Chunk]:
    rows = torch.arange(sequences.rows)
    totals = (torch.tensor(1), torch.tensor(sequences.rows))
    parts = chunks(sequences, {}, rows, totals=totals, first=True, micro=0, spare=128, group_size=size, **more)
    assert sorted(torch.cat([part.part for part in parts]).tolist()) == rows.tolist()
    return parts


def cells(parts: list[Chunk]) -> int:
    """Tokens that the passes compute, padding included."""
    laid = [(part.sequences, lay_out(part.sequences)) for part in parts]
    return sum(sequences.ids.numel() if layout is None else layout.ids.numel() for sequences, layout in laid)


def test_rows_of_a_group_by_themselves_would_repeat_its_prompt() -> None:
    together, alone = cut(groups(), 6), cut(groups(), 1)
    assert cells(together) < 0.7 * cells(alone)
    for part in together:
        assert (part.part.view(-1, 6) // 6 == part.part.view(-1, 6)[:, :1] // 6).all()


def test_groups_that_run_apart_are_counted_by_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a pass could hold more tokens than it may."""
    monkeypatch.setattr(experience, "length_cuts", partial(length_cuts, tokens=1500))
    assert max(part.sequences.ids.numel() for part in cut(groups(), 6, shared=False)) <= 1500
    assert max(part.sequences.ids.numel() for part in cut(groups(), 6)) > 1500


@pytest.mark.parametrize(("micro", "size"), [(0, 4), (1, 1), (4, 4), (3, 1), (6, 4)])
def test_a_method_keeps_groups_in_one_pass(micro: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless fewer rows than a group has are asked for."""
    sizes: list[int] = []

    def noted(*args: Any, **more: Any) -> list[Chunk]:
        sizes.append(more["group_size"])
        return chunks(*args, **more)

    monkeypatch.setattr(rollouts_module, "chunks", noted)
    policy = Policy(gpt2())
    config = RLOOConfig(group_size=4, batch_size=8, lr=1e-3)
    module, batch = online(RLOOModule, config, policy, grouped(policy, 2, 4), micro=micro)
    fit(module, [batch])
    assert set(sizes) == {size}
