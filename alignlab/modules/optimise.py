"""One optimiser update, for every method: micro-batches, exact normalisation, clipping, schedule, finite checks.

Optimisation is manual in Lightning's sense. Each micro-batch contributes a loss that is already divided by the
whole batch's denominator, so cutting a batch differently changes nothing but rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from alignlab.errors import TrainingError
from alignlab.method import TrainedConfig
from alignlab.models.parts import Parts
from alignlab.work import stepped

if TYPE_CHECKING:
    from alignlab.modules.pace import Pace

T = TypeVar("T")


def adamw(config: TrainedConfig, *models: tuple[nn.Module, float]) -> torch.optim.AdamW:
    """AdamW over (model, learning-rate factor) groups; rates are set before each update.

    The gradient of each model is clipped on its own, so that a steep value loss cannot slow the policy.
    """
    groups = [
        {"params": [p for p in model.parameters() if p.requires_grad], "lr_scale": scale} for model, scale in models
    ]
    return torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay, betas=(0.9, 0.95), fused=True)


def learning_rate(config: TrainedConfig, step: int, total: int, ahead: int = 1) -> float:
    """Rate at update `step` of `total`: linear warm-up, then constant, linear or cosine decay towards 0.

    Both may be of any unit, such as FLOPs, of which this update takes `ahead`.
    """
    warmup = max(1, math.ceil(config.warmup * total)) if config.warmup else 0
    if step < warmup:
        return config.lr * min(step + ahead, warmup) / warmup
    if config.schedule == "constant":
        return config.lr
    done = (step - warmup) / max(1, total - warmup)
    shape = 1 - done if config.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return config.lr * shape


def all_sum(value: Tensor) -> Tensor:
    """Sum over processes, without gradient; the value itself in a single process."""
    total = value.detach().clone()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(total)
    return total


def all_rows(values: Tensor) -> tuple[Tensor, slice]:
    """Rows of every process, (B,) -> (sum of B,), and which of them are this one's; without gradient."""
    own = values.detach()
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return own, slice(0, len(own))
    world, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
    count = torch.tensor([len(own)], device=own.device)
    counts = [torch.zeros_like(count) for _ in range(world)]
    torch.distributed.all_gather(counts, count)
    sizes = [int(each) for each in counts]
    padded = own.new_zeros(max(sizes))
    padded[: len(own)] = own
    parts = [torch.zeros_like(padded) for _ in range(world)]
    torch.distributed.all_gather(parts, padded)
    start = sum(sizes[:rank])
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)]), slice(start, start + len(own))


def update(
    module: L.LightningModule,
    chunks: Sequence[T],
    loss_of: Callable[[T], Tensor],
    config: TrainedConfig,
    *,
    step: int,
    total: int,
    pace: Pace | None = None,
) -> tuple[float, float]:
    """Accumulate `loss_of` over chunks and take one optimiser step. Returns (loss, gradient norm of the first group).

    The learning rate follows `step` of `total`, or a pace where training ends with a budget.
    `loss_of(chunk)` must already be divided by the denominator of the whole batch over all processes.
    Raises TrainingError naming the step when loss or gradient is not finite; the weights are then untouched.
    """
    optimiser: Any = module.optimizers()
    optimiser.zero_grad()
    world = module.trainer.world_size
    loss = torch.zeros((), device=module.device, dtype=torch.float64)
    for number, chunk in enumerate(chunks, start=1):
        with _quiet(module) if number < len(chunks) else nullcontext():
            part = loss_of(chunk)
            module.manual_backward(part * world)  # DDP averages what must be summed
        loss += part.detach()
    limit = config.max_grad_norm or math.inf
    norms = [torch.nn.utils.clip_grad_norm_(group["params"], limit) for group in optimiser.param_groups]
    values = torch.stack([all_sum(loss), *(norm.double() for norm in norms)]).tolist()
    if not all(map(math.isfinite, values)):
        raise TrainingError(
            f"{config.name}: loss {values[0]:g} and gradient norm {max(values[1:]):g} at update {step} of {total}",
            f"lower algo.lr (now {config.lr:g}) or algo.max_grad_norm (now {config.max_grad_norm:g})",
        )
    rate = learning_rate(config, step, total) if pace is None else _rate(config, pace, module.device)
    for group in optimiser.param_groups:
        group["lr"] = rate * group["lr_scale"]
    optimiser.step()
    stepped()
    return values[0], values[1]


def _rate(config: TrainedConfig, pace: Pace, device: torch.device) -> float:
    before, now, limit = pace.update(device)
    return learning_rate(config, min(before, limit), limit, now - before)


def _quiet(module: L.LightningModule) -> AbstractContextManager[Any]:
    """Leave gradients unsynchronised between processes until the last micro-batch."""
    wrapped = module.trainer.strategy.model
    return wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) else nullcontext()


def due(parts: Parts, batch_idx: int) -> bool:
    """Whether this update is logged: every so many, and the last."""
    last = batch_idx + 1 == parts.total if parts.pace is None else parts.pace.over
    return batch_idx % parts.log_every == 0 or last


def record(module: L.LightningModule, step: int, samples: int, metrics: dict[str, float]) -> None:
    """One row of metrics over the x-axis `samples` (training rows seen so far, PPO epochs not counted again)."""
    if module.logger is not None:
        module.logger.log_metrics({"samples": float(samples), **metrics}, step)
