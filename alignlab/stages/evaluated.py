"""The evaluation stage: one frozen set of prompts and attacks, one decoding, every measure on every reply.

It knows no method: a policy goes in, samples with their scores come out. Sampling noise belongs to (seed, prompt,
position), so all policies of a seed meet the same random numbers, which narrows every paired difference.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from alignlab import registry
from alignlab.config import EvaluationConfig
from alignlab.data.batch import over_rows
from alignlab.data.schema import Prompt, Split
from alignlab.data.table import chosen_few
from alignlab.data.tokens import tokenise_prompts
from alignlab.evaluation import measure_tokens as measures
from alignlab.evaluation.record import Sample, read_samples, write_samples
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.sampler import Sampler
from alignlab.rollout.texts import texts_of
from alignlab.stages.artefact import Artefact
from alignlab.stages.protocol import Stages
from alignlab.stages.store import Workspace
from alignlab.tracking.progress import track
from alignlab.work import Work, charge, counting

FILES = ("samples.jsonl", "posture.jsonl")
"""Replies to held-out prompts; replies to repeated attacks on held-out harmful requests."""


class Evaluator:
    """Evaluates any number of policies under one protocol; scorers, reference and prompts are loaded once."""

    def __init__(self, graph: Stages, config: EvaluationConfig) -> None:
        self.graph, self.config = graph, config
        self.judge_name = config.judge or graph.source.judge()

    def __call__(self, policy: Artefact, label: str) -> Artefact:
        """Samples of a stored policy, found or computed."""
        graph, config = self.graph, self.config
        fields: dict[str, Any] = {
            "policy": policy.content,
            "reference": graph.sft.content,
            "scorers": {name: scorer.content for name, scorer in self.scorers.items()},
            "data": graph.source_address("evaluation"),
            "seeds": graph.settings.seeds.key("evaluation"),
            "protocol": [
                config.split,
                config.prompts,
                config.attempts,
                config.goals,
                config.temperature,
                self.judge_name,
            ],
            **graph.sampling_fields(),
        }
        key = graph.key("evaluation", fields, "alignlab.stages.evaluated", *self._judge_code())
        return graph.store.produce(key, lambda work: self._build(policy, label, work), label=f"evaluation of {label}")

    @property
    def scorers(self) -> dict[str, Artefact]:
        """Reward models by the field their score goes to; none where there are no labels to train one on."""
        if not self.graph.scored:
            return {}
        return {"proxy": self.graph.reward(), "judge_score": self.graph.reward(Split.HELD_OUT)}

    def _judge_code(self) -> list[str]:
        return [registry.component("judges", self.judge_name).target] if self.judge_name else []

    def prompts(self) -> tuple[list[Prompt], list[Prompt]]:
        """Held-out prompts; then every attempt on every held-out harmful request, where the source has any."""
        source, config = self.graph.source, self.config
        held_out = chosen_few(source.prompts(Split(config.split), self.graph.settings.seeds), config.prompts)
        if not hasattr(source, "goals") or not config.goals:
            return held_out, []
        goals, kinds = chosen_few(source.goals(Split.EVALUATION), config.goals), sorted(source.attack_kinds)
        return held_out, [one for goal in goals for one in source.attempts(goal, config.attempts, kinds)]

    def rows(self, prompts: Sequence[Prompt]) -> Sequence[Any]:
        """Tokenised prompts."""
        base = self.graph.base
        if not prompts:
            return []
        return tokenise_prompts(prompts, base.tokenizer, base.limits(prompts=True), base.template)[0]

    def _build(self, artefact: Artefact, label: str, work: Workspace) -> Mapping[str, Any]:
        graph, began = self.graph, time.perf_counter()
        sampler, reference = graph.sampler(artefact, self.config.temperature), graph.policy(graph.sft)
        scorers = {name: graph.scorer(scorer) for name, scorer in self.scorers.items()}
        inference, replies = Work(), 0
        for name, prompts in zip(FILES, self.prompts(), strict=True):
            samples: list[Sample] = []
            seed = graph.settings.seeds.of("evaluation", name)
            attempts = _numbered(prompts)
            rows = self.rows(prompts)
            size = graph.settings.rollout.batch_size
            for start in track(range(0, len(rows), size), f"evaluating {label}"):
                part = rows[start : start + size]
                noise = Noise(seed, torch.tensor([row.row for row in part]))
                sources = [row.source for row in part]
                with counting(inference):
                    rollouts = sampler.sample(sources, [row.prompt.tolist() for row in part], noise)
                numbers = [attempts[row.row] for row in part]
                samples += self._samples(sources, numbers, rollouts, sampler, reference, scorers)
            replies += len(samples)
            write_samples(work.out / name, samples)
        charge(inference)
        return {
            "sampled_tokens": inference.sampled_tokens,
            "inference_flops_per_reply": inference.flops / replies,
            "judge": self.judge_name,
            "seconds": round(time.perf_counter() - began, 1),
        }

    @torch.no_grad()
    def _samples(
        self,
        prompts: Sequence[Prompt],
        attempts: Sequence[int],
        rollouts: Rollouts,
        sampler: Sampler,
        reference: Any,
        scorers: Mapping[str, Any],
    ) -> list[Sample]:
        sequences = rollouts.sequences
        columns = self._drift(sampler, reference, sequences)
        for name, scorer in scorers.items():
            columns[name] = over_rows(sequences, scorer).tolist()
        texts, ended = texts_of(rollouts, self.graph.base.tokenizer), rollouts.ended.tolist()
        columns["gold"] = [self.graph.source.gold(*row) for row in zip(prompts, texts, ended, strict=True)]
        columns["verdict"] = self._verdicts(prompts, texts)
        columns |= {"length": sequences.lengths.tolist(), "ended": ended, "text": texts}
        rows = zip(*columns.values(), strict=True)
        return [
            Sample(prompt=prompt, attempt=attempt, **dict(zip(columns, row, strict=True)))
            for prompt, attempt, row in zip(prompts, attempts, rows, strict=True)
        ]

    def _drift(self, sampler: Sampler, reference: Any, sequences: Any) -> dict[str, list[float]]:
        """What is known of KL to the reference: exact for each prefix, or a bound that is the same for every reply."""
        if sampler.kl_bound is not None:
            return {"kl": [sampler.kl_bound] * sequences.rows} if self.config.temperature == 1 else {}
        tokens = measures.measure_tokens(sampler.completion_logits, reference.completion_logits, sequences)
        # KL is an expectation under the policy itself: samples at another temperature do not estimate it.
        known = ("kl", "k1", "k3", "entropy", "logp") if self.config.temperature == 1 else ("entropy", "logp")
        return {name: getattr(tokens, name).tolist() for name in known}

    def _verdicts(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Any]:
        if self.judge_name is None:
            return [None] * len(texts)
        judge = registry.component("judges", self.judge_name).load()
        return [judge(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]


def _numbered(prompts: Sequence[Prompt]) -> list[int]:
    """The n-th time a prompt occurs is attempt n."""
    seen: Counter[str] = Counter()
    numbers = []
    for prompt in prompts:
        numbers.append(seen[prompt.id])
        seen[prompt.id] += 1
    return numbers


def read(artefact: Artefact) -> tuple[list[Sample], list[Sample]]:
    """Samples on held-out prompts, and attempts on harmful requests."""
    held_out, posture = (read_samples(artefact.file(name)) for name in FILES)
    return held_out, posture
