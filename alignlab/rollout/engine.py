"""What samples completions, and the choice of it.

Engine log-probabilities are trusted as those of the policy only while they agree with what the trainer computes
for the same tokens: to 1e-4 nats in float32. Lower precision, another kernel or another process can exceed that;
from then on a method takes the trainer's own log-probabilities as the old ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor
from transformers import PreTrainedModel

from alignlab.errors import ConfigError, ModelError
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.decode import Decoder
from alignlab.rollout.sampling import Sampling

TOLERANCE = 1e-4
"""Largest difference, in nats a token, up to which engine log-probabilities pass for the trainer's."""
KINDS = ("auto", "builtin", "transformers", "vllm")


class Engine(Protocol):
    """Samples completions from the present weights of one policy."""

    reason: str
    """Which engine this is and why it was chosen, for people."""

    def sample(self, prompts: Sequence[Sequence[int]], noise: Noise) -> Rollouts:
        """One completion for each prompt of token ids; row i draws the random numbers of `noise.rows[i]`."""


def build_engine(
    model: PreTrainedModel, sampling: Sampling, end_ids: Sequence[int], pad_id: int, *, kind: str = "auto"
) -> Engine:
    """An engine over a live model; its weights are read anew by every call of `sample`.

    `auto` takes the built-in engine where it supports the model, and transformers otherwise; `reason` says
    which and why. ConfigError for an unknown kind, ModelError where the kind asked for cannot run the model.
    """
    if kind not in KINDS:
        raise ConfigError(f"rollout.engine={kind!r} is unknown", f"choose from {', '.join(KINDS)}")
    build: Callable[..., Engine]
    build, reason = _choose(model, kind)
    options: dict[str, Any] = dict(sampling=sampling, end_ids=tuple(end_ids), pad_id=pad_id, reason=reason)
    return build(model, **options)


def _choose(model: PreTrainedModel, kind: str) -> tuple[Callable[..., Engine], str]:
    from alignlab.rollout.llama_engine import LlamaEngine
    from alignlab.rollout.llama_weights import unsupported
    from alignlab.rollout.transformers_engine import TransformersEngine

    if kind == "vllm":
        from alignlab.rollout.vllm_engine import VLLMEngine

        return VLLMEngine, "vLLM engine, as configured"
    if kind == "transformers":
        return TransformersEngine, "transformers engine, as configured"
    problem = unsupported(model)
    if not problem:
        chosen = "as configured" if kind == "builtin" else f"which supports this {type(model).__name__}"
        return LlamaEngine, f"built-in engine, {chosen}"
    if kind == "builtin":
        raise ModelError(
            f"the built-in engine cannot run this model: {problem}", "set rollout.engine=auto or =transformers"
        )
    return TransformersEngine, f"transformers engine, since the built-in one does not fit: {problem}"


def new_decoder(model: PreTrainedModel, new_tokens: int) -> Decoder:
    """What decodes a batch step by step, for engines that change the distribution of every token."""
    from alignlab.rollout.llama_engine import _LlamaDecoder
    from alignlab.rollout.llama_weights import LlamaWeights, unsupported
    from alignlab.rollout.transformers_engine import _CachedModel

    return _CachedModel(model) if unsupported(model) else _LlamaDecoder(LlamaWeights.of(model), new_tokens)


def consistency(rollouts: Rollouts, token_logps: Tensor) -> float:
    """Largest difference between the engine's log-probabilities and recomputed ones, nats a token.

    token_logps (B, T) aligned with `rollouts.sequences.ids`. NaN anywhere on a completion yields NaN.
    """
    difference = (rollouts.logps - token_logps.detach().to(rollouts.logps)).abs()
    return float(difference[rollouts.sequences.completion].amax())
