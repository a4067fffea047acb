"""Sampling from a policy whose weights lie on the line through two others.

WARP (arXiv 2406.16768) interpolates spherically between several policies before it moves towards their start; with
one policy only that last step is left, which `weight_interpolation` is.
"""

from __future__ import annotations

import copy

import torch

from alignlab.errors import ModelError
from alignlab.models.parts import Parts
from alignlab.models.policy import Policy
from alignlab.rollout.sampler import PolicySampler

from .config import ExPOConfig


class ExPOSampler(PolicySampler):
    """The policy in between, or beyond."""

    def __init__(self, config: ExPOConfig, parts: Parts) -> None:
        policy = between(parts.reference.model, parts.policy, config.aligned_weight)
        super().__init__(policy, parts.new_engine(policy, temperature=parts.sampling.temperature))


@torch.no_grad()
def between(start: Policy, end: Policy, weight: float) -> Policy:
    """A new policy with theta = start + weight (end - start); weights 0 and 1 give both ends to the bit.

    ModelError where the two do not have the same parameters.
    """
    made, given = copy.deepcopy(end), dict(start.named_parameters())
    own = dict(made.named_parameters())
    shapes = ({name: each.shape for name, each in side.items()} for side in (given, own))
    first, second = shapes
    if first != second:
        strange = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
        raise ModelError(
            f"{strange[0]} is not the same parameter in both policies, so their weights have no line between them",
            "start the aligned policy from this SFT policy",
        )
    for name, parameter in own.items():
        parameter.copy_(torch.lerp(given[name], parameter, weight))
    return made
