"""The reward of a run: which reward models it reads, how it is built, what its scores depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from torch import nn

from alignlab import registry
from alignlab.errors import ConfigError
from alignlab.method import MethodConfig, Needs
from alignlab.models.scorer import Scorer
from alignlab.rewards.config import RewardConfig, trained_models
from alignlab.seeding import Seeds
from alignlab.stages.artefact import Artefact
from alignlab.stages.fingerprint import source_hashes
from alignlab.stages.protocol import Stages

MOVED = ("init", "data")
"""Seed streams in which the members of an ensemble differ: weights of the fresh head, order of rows."""


def member_seeds(seeds: Seeds, member: int) -> Seeds:
    """Streams of one reward model of an ensemble; the first is the one that every other reward reads."""
    if not member:
        return seeds
    return replace(seeds, streams={**seeds.streams, **{name: seeds.of(name, "member", member) for name in MOVED}})


def check(graph: Stages, config: MethodConfig, needs: Needs) -> None:
    """Refuse a reward that this data source or this method cannot be given, before anything is computed."""
    reward = graph.settings.reward
    if needs.prefixes and reward.reads_text:
        raise ConfigError(
            f"{config.name} scores unfinished replies, and reward={reward.kind} judges whole texts",
            "pass reward=learned",
        )
    if "reward" in needs.scorers:
        reward.check(graph.source)


def models(graph: Stages) -> list[Artefact]:
    """The trained reward models that the run's reward reads."""
    return [graph.reward(member=member) for member in range(trained_models(graph.settings.reward))]


def build(graph: Stages, device: str) -> Any:
    """The run's reward, ready to score rollouts; what it has to say is told."""
    reward = _build(graph, graph.settings.reward, cache(lambda member: graph.scorer(graph.reward(member=member))))
    return reward.to(device) if isinstance(reward, nn.Module) else reward


def _build(graph: Stages, config: RewardConfig, scorer: Callable[[int], Scorer]) -> Any:
    component = registry.component("rewards", config.kind)
    given: dict[str, Any] = {"scorer": None, "source": graph.source, "tokenizer": graph.base.tokenizer}
    if config.models == 1:
        given["scorer"] = scorer(0)
    elif config.models:
        given["scorers"] = [scorer(member) for member in range(config.models)]
    if config.inner:
        given["parts"] = [_build(graph, each, scorer) for each in config.inner]
    reward = component.load()(*((config,) if component.config else ()), **given)
    for note in getattr(reward, "notes", ()):
        graph.announce(note)
    return reward


def address(graph: Stages) -> dict[str, Any]:
    """What a stage that uses the run's reward depends on."""
    return _address(graph, graph.settings.reward)


def _address(graph: Stages, config: RewardConfig) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "kind": config.kind,
        "settings": config.address(),
        "code": source_hashes(registry.component("rewards", config.kind).target),
    }
    if config.models:
        fields["models"] = [graph.reward(member=member).content for member in range(config.models)]
    if config.reads_text:
        fields["tokenizer"] = _tokenizer_hash(graph.base.tokenizer)
    if config.reads_source:
        fields["data"] = graph.source_address()
    if config.inner:
        fields["parts"] = [_address(graph, each) for each in config.inner]
    return fields


def _tokenizer_hash(tokenizer: Any) -> str:
    """What decides how ids become text, and text ids: the whole of a fast tokenizer, else its vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    core = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(repr((core, tokenizer.eos_token_id, tokenizer.chat_template)).encode()).hexdigest()
