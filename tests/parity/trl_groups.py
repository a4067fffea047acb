"""What GRPOTrainer and RLOOTrainer are compared on: rollouts laid out as theirs, and the trainers themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from small import gpt2, llama, texts
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from trl_side import F32, LETTERS, Exact, arguments, build, spelled, trl

from alignlab.data.batch import Sequences, pad
from alignlab.models.policy import Policy

LIMIT = 8
"""Most tokens of a completion."""
SEED = 7
"""Of prompts whose lengths differ, so that some are padded."""


class Rollout:
    """Random completions of ours, and what policy, old policy and reference, GPT-2s in float64, make of them."""

    def __init__(self, prompts: int = 2, size: int = 4) -> None:
        drawn = texts(prompts * size, SEED, len(LETTERS))
        self.pairs = [
            ([2 + i for i in drawn[row - row % size][0]], [2 + i for i in drawn[row][1]]) for row in range(len(drawn))
        ]
        self.size = size
        self.rows = pad(self.pairs, 0)
        self.policy, old = gpt2(0), gpt2(0)
        with torch.no_grad():
            for weight in old.parameters():
                weight.mul_(1.1)
            self.old = Policy(old)(self.rows).logps
            self.reference = Policy(gpt2(1))(self.rows).logps
        draw = torch.Generator().manual_seed(0)
        self.advantages = torch.randn(len(drawn), generator=draw, dtype=torch.float64)

    def select(self, part: slice) -> dict[str, Tensor]:
        """Some rows as TRL's inputs: prompts padded on the left, completions on the right."""
        pairs, mask = self.pairs[part], self.rows.completion[part]

        def completions(values: Tensor) -> Tensor:
            return pad_sequence([row[own] for row, own in zip(values[part], mask, strict=True)], batch_first=True)

        prompts = [torch.tensor(prompt) for prompt, _ in pairs]
        return dict(
            prompt_ids=pad_sequence(prompts, batch_first=True, padding_side="left"),
            prompt_mask=pad_sequence([torch.ones_like(ids) for ids in prompts], batch_first=True, padding_side="left"),
            completion_ids=completions(self.rows.ids),
            completion_mask=completions(self.rows.completion.long()),
            advantages=self.advantages[part],
            old_per_token_logps=completions(self.old),
            ref_per_token_logps=completions(self.reference),
            old_logps=self.old[part].sum(-1),
            num_items_in_batch=self.rows.completion.sum(),
        )

    def loss(self, trainer: Any, part: slice = slice(None)) -> Tensor:
        """A trainer's own loss of some rows."""
        loss: Tensor = trainer.compute_loss(Exact(self.policy), self.select(part))
        return loss


def group_trainer(kind: str, folder: Path, reward: Any = None, *, size: int = 4, **settings: Any) -> Any:
    """A trainer in train mode whose policy is Llama 0 and whose reference, where it has one, is Llama 1."""
    llama(1, F32).save_pretrained(folder / "reference")
    rows = 2 * size
    given = dict(per_device_train_batch_size=rows, num_generations=size, max_completion_length=LIMIT) | settings
    args = arguments(getattr(trl, f"{kind}Config"), folder, **given)
    model = llama(0, F32)
    model.config._name_or_path = str(folder / "reference")
    prompts = [dict(prompt=spelled(prompt)) for prompt, _ in texts(2, SEED, len(LETTERS))]
    reward = reward or (lambda completions, **_: [0.0] * len(completions))
    trainer = build(getattr(trl, f"{kind}Trainer"), args, prompts, model, reward_funcs=reward)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = args.gradient_accumulation_steps
    return trainer


def rolled_out(trainer: Any) -> tuple[dict[str, Tensor], Sequences]:
    """What a trainer makes of its prompts with its own samples, and the same completions as rows of ours."""
    prompts = [row for row in trainer.train_dataset for _ in range(trainer.num_generations)]
    made = trainer._generate_and_score_completions(prompts)
    sides = [
        [ids[mask.bool()].tolist() for ids, mask in zip(made[f"{side}_ids"], made[f"{side}_mask"], strict=True)]
        for side in ("prompt", "completion")
    ]
    return made, pad(list(zip(*sides, strict=True)), 0)
