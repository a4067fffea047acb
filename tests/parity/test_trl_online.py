"""TRL's experimental OnlineDPOTrainer against our pair objectives, on the pairs it samples itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small import llama, texts
from trl_side import BETA, F32, LETTERS, arguments, build, pair_losses, spelled

from alignlab.data.batch import pad

online = pytest.importorskip("trl.experimental.online_dpo", reason="this release of TRL has no such trainer any more")
END = 1


class Sum:
    """A reward that keeps what it judged, and finds all completions equal where told to."""

    __name__ = "sum"

    def __init__(self, tied: bool) -> None:
        self.tied = tied

    def __call__(self, completion_ids: list[list[int]], **_: Any) -> list[float]:
        self.seen = [ids[: ids.index(END) + 1] if END in ids else ids for ids in completion_ids]
        return [0.0 if self.tied else float(sum(ids)) for ids in self.seen]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("loss_type", "name"), [("sigmoid", "dpo"), ("ipo", "ipo")])
def test_same_step(loss_type: str, name: str, tied: bool, tmp_path: Path) -> None:
    """IPO is over sums here, unlike in DPOTrainer. Of two equal completions TRL calls the first chosen; float32."""
    prompts = [prompt for prompt, _ in texts(4, 7, len(LETTERS))]
    given = dict(loss_type=loss_type, beta=BETA, max_new_tokens=6, max_length=32, temperature=1.0)
    args = arguments(online.OnlineDPOConfig, tmp_path, **given)
    rows, reward = [dict(prompt=spelled(prompt)) for prompt in prompts], Sum(tied)
    trainer = build(online.OnlineDPOTrainer, args, rows, llama(0, F32), ref_model=llama(1, F32), reward_funcs=reward)
    theirs = trainer.training_step(trainer.model, dict(prompt=[row["prompt"] for row in rows]))
    ids = [[2 + letter for letter in prompt] for prompt in prompts]
    both = list(zip(reward.seen[:4], reward.seen[4:], strict=True))
    ordered = [(a, b) if tied or sum(a) >= sum(b) else (b, a) for a, b in both]
    sequences = pad(
        [*zip(ids, [w for w, _ in ordered], strict=True), *zip(ids, [x for _, x in ordered], strict=True)], 0
    )
    policy = llama(0, F32)
    ours = pair_losses(name, dict(beta=BETA), policy, llama(1, F32), sequences).mean()
    ours.backward()
    torch.testing.assert_close(theirs, ours.detach(), rtol=1e-4, atol=1e-5)
    for one, other in zip(trainer.model.parameters(), policy.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-3)
