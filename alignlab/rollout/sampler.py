"""What evaluation sees of any method: prompts in, completions out, and how far from the reference they are.

A trained policy is one kind of sampler. Methods that act at inference declare a class of their own, which is built
from the same `Parts` that training gets and decides completion by completion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from alignlab.data.batch import Sequences
from alignlab.data.schema import Prompt
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts


class Sampler(Protocol):
    """A source of completions with what is known of its distribution."""

    kl_bound: float | None
    """An upper bound of KL to the reference in nats a completion, where next-token distributions are not known."""

    def sample(self, prompts: Sequence[Prompt], ids: Sequence[Sequence[int]], noise: Noise) -> Rollouts:
        """One completion for each prompt; row i draws the random numbers of `noise.rows[i]`."""

    def completion_logits(self, sequences: Sequences) -> Tensor:
        """Logits of the distribution each completion token was drawn from, (N, V); only where `kl_bound` is None."""


class PolicySampler:
    """A policy, sampled by an engine."""

    kl_bound: float | None = None

    def __init__(self, policy: Any, engine: Any) -> None:
        self.policy, self.engine = policy, engine

    def sample(self, prompts: Sequence[Prompt], ids: Sequence[Sequence[int]], noise: Noise) -> Rollouts:
        """Completions of the policy at the engine's temperature."""
        rollouts: Rollouts = self.engine.sample(ids, noise)
        return rollouts

    def completion_logits(self, sequences: Sequences) -> Tensor:
        """The policy's own."""
        logits: Tensor = self.policy.completion_logits(sequences)
        return logits
