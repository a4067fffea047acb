"""Activations of a training pass computed again for the backward pass instead of kept (arXiv 1604.06174)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from alignlab.errors import ModelError
from alignlab.models.modes import training


@contextmanager
def recomputing(module: nn.Module) -> Iterator[None]:
    """For a while, blocks of every transformer in training keep their inputs only, and run twice.

    Raises ModelError for an architecture that cannot; every submodule gets its own mode back.
    """
    trained = [part for part in module.modules() if isinstance(part, PreTrainedModel) and _is_trained(part)]
    inner = {part for model in trained for part in model.modules() if part is not model}
    with ExitStack() as after:
        for model in trained:
            if model not in inner:
                after.enter_context(_recomputing(model))
        yield


def _is_trained(model: nn.Module) -> bool:
    return any(weights.requires_grad for weights in model.parameters())


@contextmanager
def _recomputing(model: PreTrainedModel) -> Iterator[None]:
    if not model.supports_gradient_checkpointing:
        raise ModelError(
            f"{type(model).__name__} cannot compute its activations again", "pass trainer.gradient_checkpointing=false"
        )
    switch: Any = model
    # transformers 5.24 renamed it. Recomputing without `use_reentrant=False` would drop gradients of frozen inputs.
    renamed = hasattr(model, "activation_checkpointing_enable")
    enable = switch.activation_checkpointing_enable if renamed else switch.gradient_checkpointing_enable
    disable = switch.activation_checkpointing_disable if renamed else switch.gradient_checkpointing_disable
    enable({"use_reentrant": False})
    switch.disable_input_require_grads()  # for adapters; here the embeddings train
    try:
        with training(model):  # blocks in eval mode would keep everything; dropout is 0 everywhere
            yield
    finally:
        disable()
