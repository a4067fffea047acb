"""Agreement between two computations of the same log-probabilities.

In full precision they may differ by rounding alone, far below 1e-4 nats. In half precision, mixed or not, single
tokens differ by tenths of a nat, and only the mean tells a wrong model from rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from alignlab.errors import TrainingError

FULL = 1e-4
"""Largest difference of a token's log-probability that rounding may cause in float32 or float64, nats."""
HALF = 0.05
"""Largest mean difference over tokens that rounding may cause in bfloat16 or float16, nats."""


@torch.no_grad()
def disagreement(logps: Tensor, other: Tensor, mask: Tensor, model: nn.Module, slack: float = 1) -> str:
    """What is wrong when two (B, T) log-probabilities of the same tokens differ by more than rounding; else "".

    `model` computed them: its weights, and autocast where it is on, say how far rounding reaches. `slack` multiplies
    the limit in full precision.
    """
    gaps = (logps - other).abs()[mask.bool()]
    if half(model, logps.device.type):
        mean = float(gaps.mean())
        return f"a mean of {mean:.2g} nats a token (limit {HALF:g} in half precision)" if mean > HALF else ""
    largest, limit = float(gaps.amax()), slack * FULL
    return f"up to {largest:.2g} nats a token (limit {limit:g})" if largest > limit else ""


def gate_reference(method: str, logps: Tensor, reference: Tensor | None, mask: Tensor, policy: nn.Module) -> None:
    """Stop a method on stored rows whose policy does not start at its reference, (B, T) log-probabilities each.

    Every implicit reward would be wrong. Without a reference nothing is checked. Raises TrainingError.
    """
    if reference is None:
        return
    gap = disagreement(logps, reference, mask, policy)
    if gap:
        raise TrainingError(
            f"{method}: at step 0 the policy's log-probabilities differ from the cached reference's by {gap}, so that "
            "KL is not 0 and the loss not at its known start",
            "the reference must be the policy the method starts from: rebuild it with `cache prune reference`",
        )


def half(model: nn.Module, device: str) -> bool:
    """Whether a model computes in half precision, by its weights or by autocast."""
    short = (torch.float16, torch.bfloat16)
    return torch.is_autocast_enabled(device) or any(p.dtype in short for p in model.parameters())
