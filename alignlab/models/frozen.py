"""Models that a LightningModule reads and no optimiser writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


class Frozen(nn.Module, Generic[M]):
    """Hold a reference or reward model inside a LightningModule without owning it.

    It follows `.to(device)`, and that is all: it stays in eval mode when its owner calls `.train()`, shows the
    optimiser no parameters, adds nothing to checkpoints, and its calls record no gradient.
    """

    model: M

    def __init__(self, model: M) -> None:
        super().__init__()
        object.__setattr__(self, "model", model.eval().requires_grad_(False))  # not a submodule

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        model: nn.Module = self.model
        model._apply(fn, recurse)
        return self

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model without gradient."""
        return self.model(*args, **kwargs)


class Moving(nn.Module):
    """A reference that is moved towards the policy now and then (arXiv 2404.09656).

    Unlike a frozen one it is part of checkpoints, since it cannot be found anywhere else.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model without gradient."""
        return self.model(*args, **kwargs)

    @torch.no_grad()
    def follow(self, policy: nn.Module, mix: float) -> None:
        """weights <- mix policy + (1 - mix) weights; mix = 1 copies to the bit."""
        for own, new in zip(self.model.parameters(), policy.parameters(), strict=True):
            own.copy_(new) if mix == 1 else own.lerp_(new, mix)
