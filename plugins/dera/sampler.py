"""Sampling from a mixture of the reference and an aligned policy, token by token.

The paper also mixes policies aligned to different rewards; that is left out, since a run has one reward.
"""

from __future__ import annotations

from alignlab.models.parts import Parts
from alignlab.rollout.mixture import MixtureEngine
from alignlab.rollout.sampler import PolicySampler

from .config import DeRaConfig


class DeRaSampler(PolicySampler):
    """Draws every token from softmax[(1 - w) log ref + w log aligned] (arXiv 2402.02992)."""

    def __init__(self, config: DeRaConfig, parts: Parts) -> None:
        weight, aligned, reference = config.aligned_weight, parts.policy, parts.reference.model
        if weight in (0, 1):  # one model alone, on its own engine: the same bits as without this method
            alone = aligned if weight else reference
            super().__init__(alone, parts.new_engine(alone, temperature=parts.sampling.temperature))
            return
        options = dict(sampling=parts.sampling, end_ids=parts.end_ids, pad_id=parts.pad_id)
        mixture = MixtureEngine([reference, aligned], [1 - weight, weight], **options)
        super().__init__(mixture, mixture)
