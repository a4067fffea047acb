"""How completions are drawn. Configuration only: importable without torch."""

from __future__ import annotations

from dataclasses import dataclass

from alignlab.errors import ConfigError
from alignlab.settings import check_ranges, param


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Decoding settings; frozen, so that every method is evaluated under the very same ones."""

    max_new_tokens: int = param(24, "Longest completion in tokens, the end token included.", low=1)
    temperature: float = param(1.0, "Logits are divided by this before the softmax; 0 is greedy.", low=0)
    top_p: float = param(
        1.0, "Sample from the fewest most likely tokens that hold this share of the mass.", low=0, open_low=True, high=1
    )
    top_k: int = param(0, "Sample from the k most likely tokens only; 0 keeps all.", low=0)

    def __post_init__(self) -> None:
        check_ranges(self, "sampling")

    @property
    def greedy(self) -> bool:
        """Always the most likely token; top_p, top_k and the noise are then irrelevant."""
        return self.temperature == 0

    @property
    def truncated(self) -> bool:
        """Some tokens can never be drawn, so the distribution sampled from is not the policy's own."""
        return self.top_p < 1 or self.top_k > 0


def check_training_sampling(sampling: Sampling) -> None:
    """Refuse settings under which samples do not come from the policy that is being trained.

    A policy gradient is an expectation under the policy. Samples from a truncated or reheated distribution bias
    it, and ratios between log-probabilities of the two distributions are off by the kept mass.
    """
    for name, needed, why in (
        ("temperature", 1.0, "samples come from another distribution than the policy's"),
        ("top_p", 1.0, "tokens outside the nucleus are never drawn, and log-probabilities shift by the kept mass"),
        ("top_k", 0, "tokens outside the top k are never drawn, and log-probabilities shift by the kept mass"),
    ):
        value = getattr(sampling, name)
        if value != needed:
            raise ConfigError(
                f"sampling.{name}={value} cannot be used for training: {why}",
                f"train with sampling.{name}={needed}; other values are for evaluation",
            )
