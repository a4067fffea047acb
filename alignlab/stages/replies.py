"""Completions of a sampler, batch by batch: the one loop of everything that evaluates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch

from alignlab.data.schema import Prompt
from alignlab.data.tokens import PromptTokens, tokenise
from alignlab.method import Data
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.sampler import Sampler
from alignlab.rollout.texts import texts_of
from alignlab.stages.protocol import Stages
from alignlab.tracking.progress import track
from alignlab.work import Work, counting


class Replies(NamedTuple):
    """One completion for each of some prompts."""

    rows: list[int]
    """Places of the prompts in what was asked for."""
    prompts: list[Prompt]
    rollouts: Rollouts
    texts: list[str]
    ended: list[bool]


def tokenised(graph: Stages, prompts: Sequence[Prompt]) -> list[PromptTokens]:
    """Prompts as ids, cut where training rows are cut; `row` is a prompt's place."""
    base = graph.base
    if not prompts:
        return []
    return tokenise(Data.PROMPTS, prompts, base.tokenizer, base.limits(prompts=True), base.template)[0]


def replies(
    graph: Stages,
    sampler: Sampler,
    rows: Sequence[PromptTokens],
    seed: int,
    label: str,
    *,
    copies: int = 1,
    work: Work | None = None,
) -> Iterator[Replies]:
    """`copies` completions of each prompt; the noise of one depends on the seed, its row and its number alone.

    The work of sampling, and of nothing that is done with a batch, is added to `work`.
    """
    wanted = [(row, row.row * copies + copy) for row in rows for copy in range(copies)]
    size = graph.settings.rollout.batch_size
    for start in track(range(0, len(wanted), size), label):
        part = wanted[start : start + size]
        prompts = [row.source for row, _ in part]
        noise = Noise(seed, torch.tensor([number for _, number in part]))
        with counting(work) if work is not None else nullcontext():
            rollouts = sampler.sample(prompts, [row.prompt.tolist() for row, _ in part], noise)
        texts, ended = texts_of(rollouts, graph.base.tokenizer), rollouts.ended.tolist()
        yield Replies([row.row for row, _ in part], prompts, rollouts, texts, ended)


def numbered(prompts: Sequence[Prompt]) -> list[int]:
    """The n-th time a prompt occurs is attempt n."""
    seen: Counter[str] = Counter()
    numbers = []
    for prompt in prompts:
        numbers.append(seen[prompt.id])
        seen[prompt.id] += 1
    return numbers


def golds(graph: Stages, batch: Replies) -> list[Any]:
    """The true score of each reply; None where it is not known."""
    return [graph.source.gold(*each) for each in zip(batch.prompts, batch.texts, batch.ended, strict=True)]
