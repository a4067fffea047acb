"""A language model that is asked in words what a reply did: a local one by log-probabilities, or an endpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alignlab.data.schema import Prompt, Verdict
from alignlab.endpoint.client import Endpoint
from alignlab.judges.kinds import EndpointConfig, ModelConfig
from alignlab.judges.verdicts import VERDICTS
from alignlab.judges.wording import question
from alignlab.models.answers import GivenAnswers
from alignlab.models.load import named_policy


class ModelJudge:
    """The answer to which a causal language model gives the highest log-probability."""

    def __init__(self, config: ModelConfig, given: GivenAnswers) -> None:
        self.config, self.given = config, given

    def __call__(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Verdict | None]:
        """The likeliest of three answers; None where a question is longer than the context."""
        asked = [question(self.config, prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
        places, logps = self.given.logps(asked)
        found: list[Verdict | None] = [None] * len(texts)
        for place, best in zip(places, logps.argmax(-1).tolist() if places else [], strict=True):
            found[place] = VERDICTS[best]
        return found


def model_judge(config: ModelConfig, *, device: str, **given: Any) -> ModelJudge:
    """A model of its own, with its own tokenizer and chat template."""
    policy, tokenizer = named_policy(config.path, config.commit, "judge.path", device)
    pad_id = 0 if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return ModelJudge(config, GivenAnswers(policy, tokenizer, "auto", pad_id, config.answers, "judge.answers"))


class EndpointJudge:
    """The likeliest answer of a model behind an endpoint, or the one it gives where no probabilities come."""

    def __init__(
        self,
        config: EndpointConfig,
        *,
        folder: Path,
        sleep: Callable[[float], None] = time.sleep,
        **given: Any,
    ) -> None:
        self.config, self.endpoint = config, Endpoint(config, folder, sleep)

    def __call__(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Verdict | None]:
        """One question a reply; None where the answer is none of the three."""
        return self.endpoint.each([*zip(prompts, texts, strict=True)], self._verdict)

    def _verdict(self, row: tuple[Prompt, str]) -> Verdict | None:
        shares = self.endpoint.chosen(question(self.config, *row), self.config.answers)
        return None if shares is None else VERDICTS[shares.index(max(shares))]
