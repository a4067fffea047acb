"""Which of a few given answers a causal language model finds likely: log-probabilities of whole answers.

Answers may be of several tokens: those of the whole answer are summed, the end token left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from alignlab.data.batch import over_rows, pad
from alignlab.data.encode import Encoder
from alignlab.data.schema import Completion, Message, Prompt
from alignlab.errors import ModelError
from alignlab.models.policy import Policy


class GivenAnswers:
    """Asks a model by its chat template, one turn a question. `key` names the setting that has the answers."""

    def __init__(
        self, policy: Policy, tokenizer: Any, template: str, pad_id: int, answers: Sequence[str], key: str
    ) -> None:
        self.policy, self.tokenizer, self.pad_id = policy, tokenizer, pad_id
        self.answers, self.key = list(answers), key
        self.encoder = Encoder(tokenizer, template)

    @torch.no_grad()
    def logps(self, questions: Sequence[str]) -> tuple[list[int], Tensor]:
        """Places of the questions that fit into the context, and log p(answer | question) for them: (N, answers)."""
        rows: list[tuple[list[int], list[int]]] = []
        places = []
        for place, question in enumerate(questions):
            turn, answers = self._ids(turn_of(question))
            if len(turn) + max(map(len, answers)) <= self.policy.max_positions:
                rows += [(turn, answer) for answer in answers]
                places.append(place)
        if not rows:
            return [], torch.empty(0, len(self.answers), dtype=torch.float64)
        sequences = pad(rows, self.pad_id).to(self.policy.device)
        logps = over_rows(sequences, lambda part: self.policy(part).logps).double().sum(-1)
        return places, logps.view(-1, len(self.answers))

    def _ids(self, turn: Prompt) -> tuple[list[int], list[list[int]]]:
        """Ids of a question and of its answers without the end token."""
        answers = [self.encoder.answer(turn, Completion(answer))[:-1] for answer in self.answers]
        unknown = self.tokenizer.unk_token_id
        alike = len({tuple(answer) for answer in answers}) < len(answers)
        if alike or any(unknown is not None and unknown in answer for answer in answers):
            count = {2: "two", 3: "three"}.get(len(answers), str(len(answers)))
            example = ",".join(("yes", "no", "partly")[: len(answers)])
            raise ModelError(
                f"{self.key}={self.answers} are no {count} words of the model's vocabulary",
                f"name {count} words that it knows, as in {self.key}=[{example}]",
            )
        return self.encoder.prompt(turn), answers


def turn_of(text: str) -> Prompt:
    """A text as the one turn of a user."""
    return Prompt(id="asked", messages=(Message("user", text),))
