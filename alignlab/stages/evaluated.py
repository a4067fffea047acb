"""The evaluation stage: one frozen set of prompts, one decoding, every measure on every reply.

It knows no method: a policy goes in, samples with their scores come out. Sampling noise belongs to (seed, prompt,
position), so all policies of a seed meet the same random numbers, which narrows every paired difference.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from alignlab.data.batch import over_rows
from alignlab.data.schema import Prompt, Split
from alignlab.data.table import chosen_few
from alignlab.evaluation import measure_tokens as measures
from alignlab.evaluation.config import EvaluationConfig
from alignlab.evaluation.record import Sample, read_samples, write_samples
from alignlab.rollout.sampler import Sampler
from alignlab.stages.artefact import Artefact
from alignlab.stages.protocol import Stages
from alignlab.stages.replies import Replies, golds, numbered, replies, tokenised
from alignlab.stages.store import Workspace
from alignlab.work import Work, charge

FILE = "samples.jsonl"


class Evaluator:
    """Evaluates any number of policies under one protocol; scorers, reference and prompts are loaded once."""

    def __init__(self, graph: Stages, config: EvaluationConfig) -> None:
        self.graph, self.config = graph, config

    def __call__(self, policy: Artefact, label: str) -> Artefact:
        """Samples of a stored policy, found or computed."""
        graph, config = self.graph, self.config
        fields: dict[str, Any] = {
            "policy": policy.content,
            "reference": graph.sft.content,
            "protocol": [config.split, config.prompts, config.temperature],
            "judge": graph.judge.address(),
            **self.fields(),
        }
        key = graph.key("evaluation", fields, "alignlab.stages.evaluated")
        return graph.store.produce(key, lambda work: self._build(policy, label, work), label=f"evaluation of {label}")

    def fields(self) -> dict[str, Any]:
        """What every stage depends on that scores replies to the evaluation prompts."""
        graph = self.graph
        return {
            "scorers": {name: scorer.content for name, scorer in self.scorers.items()},
            "data": graph.source_address("evaluation"),
            "seeds": graph.settings.seeds.key("evaluation"),
            **graph.sampling_fields(),
        }

    @property
    def scorers(self) -> dict[str, Artefact]:
        """Reward models by the field their score goes to; none where there are no labels to train one on."""
        if not self.graph.scored:
            return {}
        return {"proxy": self.graph.reward(), "judge_score": self.graph.reward(Split.HELD_OUT)}

    def prompts(self) -> list[Prompt]:
        """Held-out prompts."""
        source, config = self.graph.source, self.config
        return chosen_few(source.prompts(Split(config.split), self.graph.settings.seeds), config.prompts)

    def _build(self, artefact: Artefact, label: str, work: Workspace) -> Mapping[str, Any]:
        graph, began, inference = self.graph, time.perf_counter(), Work()
        sampler, reference = graph.sampler(artefact, self.config.temperature), graph.policy(graph.sft)
        scorers = {name: graph.scorer(scorer) for name, scorer in self.scorers.items()}
        prompts, samples = self.prompts(), list[Sample]()
        seed, numbers = graph.settings.seeds.of("evaluation", FILE), numbered(prompts)
        for batch in replies(graph, sampler, tokenised(graph, prompts), seed, f"evaluating {label}", work=inference):
            samples += self._samples(batch, numbers, sampler, reference, scorers)
        write_samples(work.out / FILE, samples)
        charge(inference)
        return {
            "sampled_tokens": inference.sampled_tokens,
            "inference_flops_per_reply": inference.flops / len(samples),
            "judge": graph.judge.name,
            "seconds": round(time.perf_counter() - began, 1),
        }

    @torch.no_grad()
    def _samples(
        self,
        batch: Replies,
        numbers: Sequence[int],
        sampler: Sampler,
        reference: Any,
        scorers: Mapping[str, Any],
    ) -> list[Sample]:
        sequences = batch.rollouts.sequences
        columns: dict[str, list[Any]] = self._drift(sampler, reference, sequences)
        for name, scorer in scorers.items():
            columns[name] = over_rows(sequences, scorer).tolist()
        columns["gold"] = golds(self.graph, batch)
        columns["verdict"] = self.graph.judge.verdicts(batch.prompts, batch.texts)
        columns |= {"length": sequences.lengths.tolist(), "ended": batch.ended, "text": batch.texts}
        columns |= {"prompt": batch.prompts, "attempt": [numbers[row] for row in batch.rows]}
        return [Sample(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]

    def _drift(self, sampler: Sampler, reference: Any, sequences: Any) -> dict[str, list[Any]]:
        """What is known of KL to the reference: exact for each prefix, or a bound that is the same for every reply."""
        if sampler.kl_bound is not None:
            return {"kl": [sampler.kl_bound] * sequences.rows} if self.config.temperature == 1 else {}
        tokens = measures.measure_tokens(sampler.completion_logits, reference.completion_logits, sequences)
        # KL is an expectation under the policy itself: samples at another temperature do not estimate it.
        known = ("kl", "k1", "k3", "entropy", "logp") if self.config.temperature == 1 else ("entropy", "logp")
        return {name: getattr(tokens, name).tolist() for name in known}


def read(artefact: Artefact) -> list[Sample]:
    """Samples on held-out prompts."""
    return read_samples(artefact.file(FILE))
