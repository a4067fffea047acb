"""What a language model makes of a reply: its last hidden states, averaged over the reply's tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alignlab.data.batch import Sequences, length_cuts, pad
from alignlab.data.encode import Encoder
from alignlab.data.schema import Completion, Prompt
from alignlab.judges.kinds import ClassifierConfig
from alignlab.models.load import named_policy
from alignlab.models.policy import Policy

Floats = np.ndarray[Any, np.dtype[np.float64]]


class HiddenStates:
    """Prompts and replies -> mean last hidden states: (N, H). A reply is cut where the model's context ends."""

    def __init__(self, policy: Policy, tokenizer: Any, template: str = "auto") -> None:
        self.policy, self.encoder = policy, Encoder(tokenizer, template)
        self.pad_id = 0 if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)

    @torch.no_grad()
    def __call__(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> Floats:
        """Float64, one row for each reply."""
        rows = [self._row(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
        sequences = pad(rows, self.pad_id)
        found = torch.empty(len(rows), self.policy.model.config.get_text_config().hidden_size, dtype=torch.float64)
        for part in length_cuts(sequences.attention.sum(-1)):
            found[part] = self._means(sequences.select(part).trim().to(self.policy.device)).double().cpu()
        return found.numpy()

    def _row(self, prompt: Prompt, text: str) -> tuple[list[int], list[int]]:
        """Ids within the context: the end of the prompt, then as much of the reply as still fits."""
        longest = self.policy.max_positions
        start = self.encoder.prompt(prompt)[-max(1, longest // 2) :]
        return start, self.encoder.answer(prompt, Completion(text))[: longest - len(start)]

    def _means(self, part: Sequences) -> Tensor:
        states = self.policy.hidden(part.ids, part.attention)
        kept = part.completion[..., None].to(states.dtype)
        return (states * kept).sum(1) / kept.sum(1).clamp_min(1)


def hidden_states(
    config: ClassifierConfig,
    prompts: Sequence[Prompt],
    texts: Sequence[str],
    *,
    device: str,
    policy: Policy | None = None,
    tokenizer: Any = None,
    template: str = "auto",
    **given: Any,
) -> Callable[[Sequence[Prompt], Sequence[str]], Floats]:
    """States of the model that the settings name, else of `policy`, each scaled by its spread over these replies."""
    if config.path is not None:
        policy, tokenizer = named_policy(config.path, config.commit, "judge.path", device)
        template = "auto"
    assert policy is not None
    states = HiddenStates(policy, tokenizer, template)
    seen = states(prompts, texts)
    centre, spread = seen.mean(0), seen.std(0)
    spread[spread == 0] = 1.0
    return lambda prompts, texts: (states(prompts, texts) - centre) / spread
