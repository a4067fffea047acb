"""Training and evaluation mode, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout off for a while; every submodule gets its own mode back, also after an error."""
    with _kept(model):
        model.eval()
        yield


@contextmanager
def training(model: nn.Module) -> Iterator[None]:
    """Switch everything on that a model does in training only; every submodule gets its own mode back."""
    with _kept(model):
        model.train()
        yield


@contextmanager
def _kept(model: nn.Module) -> Iterator[None]:
    modes = [(part, part.training) for part in model.modules()]
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
