"""A causal language model as annotator: log-probabilities of two answers, and text where it criticises and revises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from alignlab.annotators import wording
from alignlab.annotators.feedback import Comparison, Draft, Revision
from alignlab.annotators.kinds import AskedConfig, ModelConfig, PolicyConfig
from alignlab.data.encode import end_ids
from alignlab.models.answers import GivenAnswers, turn_of
from alignlab.models.load import named_policy
from alignlab.models.policy import Policy
from alignlab.numerics.noise import Noise
from alignlab.rollout.engine import build_engine
from alignlab.rollout.sampling import Sampling
from alignlab.rollout.texts import texts_of
from alignlab.work import plays


class LanguageModelAnnotator:
    """Asks a model by its chat template, one turn a question."""

    def __init__(
        self, config: AskedConfig, policy: Policy, tokenizer: Any, template: str, ends: Sequence[int], pad_id: int
    ) -> None:
        self.config, self.policy, self.tokenizer = config, policy, tokenizer
        self.given = GivenAnswers(policy, tokenizer, template, pad_id, config.answers, "annotator.answers")
        plays(policy.model, "annotator")
        sampling = Sampling(max_new_tokens=config.max_new_tokens, temperature=config.temperature)
        self.engine = build_engine(policy.model, sampling, ends, pad_id)

    @torch.no_grad()
    def judge(self, comparisons: Sequence[Comparison]) -> list[float | None]:
        """softmax over the log-probabilities of the two answers; None where a question is longer than the context."""
        places, logps = self.given.logps([wording.question(self.config, asked) for asked in comparisons])
        found: list[float | None] = [None] * len(comparisons)
        for place, preferred in zip(places, logps.softmax(-1)[:, 0].tolist(), strict=True):
            found[place] = preferred
        return found

    @torch.no_grad()
    def revise(self, drafts: Sequence[Draft]) -> list[Revision | None]:
        """Criticism, then a revision in its light, both sampled."""
        seeds = [draft.seed for draft in drafts]
        criticism = self._said([wording.critique(self.config, draft) for draft in drafts], seeds)
        asked = zip(drafts, criticism, strict=True)
        requests = [None if said is None else wording.revision(self.config, draft, said) for draft, said in asked]
        replies = self._said(requests, [seed ^ 1 for seed in seeds])
        return [
            None if said is None or not reply else Revision(said, reply)
            for said, reply in zip(criticism, replies, strict=True)
        ]

    def _said(self, requests: Sequence[str | None], seeds: Sequence[int]) -> list[str | None]:
        """What the model says to each request; None where there is none, or it leaves no room for an answer."""
        room = self.policy.max_positions - self.config.max_new_tokens
        turns = [[] if request is None else self.given.encoder.prompt(turn_of(request)) for request in requests]
        places = [place for place, turn in enumerate(turns) if 0 < len(turn) <= room]
        said: list[str | None] = [None] * len(requests)
        if not places:
            return said
        rollouts = self.engine.sample(
            [turns[place] for place in places], Noise(0, torch.tensor([seeds[place] for place in places]))
        )
        for place, text in zip(places, texts_of(rollouts, self.tokenizer), strict=True):
            said[place] = text
        return said


def policy_annotator(
    config: PolicyConfig,
    *,
    policy: Policy,
    tokenizer: Any,
    template: str,
    end_ids: Sequence[int],
    pad_id: int,
    **given: Any,
) -> LanguageModelAnnotator:
    """The policy whose completions are judged."""
    return LanguageModelAnnotator(config, policy, tokenizer, template, end_ids, pad_id)


def model_annotator(config: ModelConfig, *, device: str, **given: Any) -> LanguageModelAnnotator:
    """A model of its own, with its own tokenizer and chat template."""
    policy, tokenizer = named_policy(config.path, config.commit, "annotator.path", device)
    ends = end_ids(tokenizer, policy.model.generation_config)
    pad_id = tokenizer.pad_token_id
    return LanguageModelAnnotator(config, policy, tokenizer, "auto", ends, 0 if pad_id is None else pad_id)
