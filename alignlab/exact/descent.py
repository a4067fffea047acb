"""Downhill from the reference to where nothing pulls any more, for losses of a whole population.

Steps are Newton's, with three precautions. Curvature counts by its size, so that no step climbs to a saddle; damping
grows until no logit moves by more than `STRIDE`, so that of several valleys the one is found that descent from the
reference enters; and a step that does not lower the loss is not taken. Where kinks hold such steps up, or a loss has
straight pieces and no curvature, many small steps are taken instead.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

STRIDE = 1.0
"""Furthest that one step moves a logit, in nats."""
STEPS = 300
FLAT = 1e-11
"""Sum of absolute gradients at which a prompt is done."""
STIFFEST = 1e15
"""Damping at which a prompt is given up: no step of any size lowers its loss."""
AWAY = 40.0
"""Distance from the start in nats at which a completion has left for good, and its prompt is left alone."""
SMALL, LARGEST, SMALLEST = 400, 0.1, 1e-4
"""Number and size of the small steps, which shrink geometrically."""
POLISH = 200
"""Most evaluations of the quasi-Newton steps that follow them."""


class Local(NamedTuple):
    """A loss around one policy, by prompt."""

    value: Tensor
    """(n,)."""
    gradient: Tensor
    """By log-probabilities of completions, taken as free, (n, Y)."""
    hessian: Tensor
    """(n, Y, Y)."""


class Loss(Protocol):
    """A loss of the log-probabilities of all completions of some prompts."""

    def local(self, logps: Tensor, rows: Tensor) -> Local:
        """Value, gradient and curvature: (n, Y), prompts (n,)."""

    def value(self, logps: Tensor, rows: Tensor) -> Tensor:
        """The value alone, differentiable: (n, Y), (n,) -> (n,)."""


class Found(NamedTuple):
    """Where a descent ended."""

    logps: Tensor
    """(X, Y)."""
    steps: int
    slope: float
    """Largest sum of absolute gradients of a prompt: 0 at a smooth minimum."""
    away: bool
    """Whether some log-probability ran away, so that there is no minimum to arrive at."""


def descend(loss: Loss, start: Tensor) -> Found:
    """From log-probabilities (X, Y) to a minimum of the loss over policies."""
    logits = start.clone()
    damping = torch.full(start.shape[:1], 1e-3, dtype=start.dtype)
    slope = torch.full_like(damping, torch.inf)
    rows, steps = torch.arange(len(start)), 0
    while steps < STEPS and len(rows):
        steps += 1
        local = loss.local(logits[rows].log_softmax(-1), rows)
        if not bool(local.hessian.any()):
            return _small_steps(loss, start)
        gradient, curvature = of_logits(logits[rows].softmax(-1), local)
        slope[rows] = gradient.abs().sum(-1)
        here = (slope[rows] > FLAT) & (damping[rows] < STIFFEST) & (_distance(logits, start)[rows] < AWAY)
        rows, kept = rows[here], here.nonzero().squeeze(-1)
        if len(rows):
            step = _Step(gradient[kept], curvature[kept])
            logits[rows], damping[rows] = _lower(loss, logits[rows], rows, local.value[kept], step, damping[rows])
    if bool(((slope > 1e-6) & (damping >= STIFFEST)).any()):
        return _small_steps(loss, start)
    away = bool((_distance(logits, start) >= AWAY).any())
    return Found(logits.log_softmax(-1), steps, float(slope.amax()), away)


def _distance(logits: Tensor, start: Tensor) -> Tensor:
    """Largest change of a log-probability, in nats: two (X, Y) -> (X,)."""
    return (logits.log_softmax(-1) - start).abs().amax(-1)


def of_logits(policy: Tensor, local: Local) -> tuple[Tensor, Tensor]:
    """Gradient (n, Y) and Hessian (n, Y, Y) by the logits whose softmax the policy (n, Y) is."""
    total = local.gradient.sum(-1, keepdim=True)
    gradient = local.gradient - policy * total
    inner = local.hessian - local.hessian.sum(-1, keepdim=True) * policy.unsqueeze(-2)
    inner = inner - policy.unsqueeze(-1) * inner.sum(-2, keepdim=True)
    spread = torch.diag_embed(policy) - policy.unsqueeze(-1) * policy.unsqueeze(-2)
    return gradient, inner - total.unsqueeze(-1) * spread


class _Step:
    """Damped steps against one gradient."""

    def __init__(self, gradient: Tensor, curvature: Tensor) -> None:
        eigenvalues: Tensor
        self.basis: Tensor
        eigenvalues, self.basis = torch.linalg.eigh(curvature)
        self.size = eigenvalues.abs()
        self.unit = self.size.amax(-1).clamp_min(1e-9)
        self.slopes = (self.basis.transpose(-1, -2) @ gradient.unsqueeze(-1)).squeeze(-1)

    def __call__(self, damping: Tensor) -> Tensor:
        """(n,) -> (n, Y)."""
        lengths = self.slopes / (self.size + (damping * self.unit).unsqueeze(-1))
        return -(self.basis @ lengths.unsqueeze(-1)).squeeze(-1)

    def within(self, damping: Tensor) -> Tensor:
        """Damping raised until no logit moves further than a stride."""
        while bool((far := self(damping).abs().amax(-1) > STRIDE).any()):
            damping = torch.where(far, damping * 3, damping)
        return damping


def _lower(
    loss: Loss, logits: Tensor, rows: Tensor, value: Tensor, step: _Step, damping: Tensor
) -> tuple[Tensor, Tensor]:
    """Logits after one step that does not raise the loss, where there is one, and the damping for the next."""
    new, done = logits, torch.zeros(len(rows), dtype=torch.bool)
    while not bool(done.all()):
        damping = torch.where(done, damping, step.within(damping))
        tried = logits + step(damping)
        with torch.no_grad():
            better = loss.value(tried.log_softmax(-1), rows) <= value + 1e-15 * value.abs()
        new = torch.where((better & ~done).unsqueeze(-1), tried, new)
        damping = torch.where(done, damping, torch.where(better, damping / 10, damping * 10))
        done |= better | (damping >= STIFFEST)
    return new - new.mean(-1, keepdim=True), damping


def _small_steps(loss: Loss, start: Tensor) -> Found:
    """Adam, then L-BFGS: these come near the minimum of a loss with kinks, and not to rest."""
    logits, rows = start.clone().requires_grad_(), torch.arange(len(start))

    def closure() -> Tensor:
        logits.grad = None
        total = loss.value(logits.log_softmax(-1), rows).sum()
        total.backward()
        return total

    adam = torch.optim.Adam([logits], betas=(0.9, 0.99))
    for step in range(SMALL):
        adam.param_groups[0]["lr"] = LARGEST * (SMALLEST / LARGEST) ** (step / SMALL)
        closure()
        adam.step()
    torch.optim.LBFGS(
        [logits],
        max_iter=POLISH,
        max_eval=POLISH,
        history_size=30,
        tolerance_grad=FLAT,
        tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    ).step(closure)
    assert logits.grad is not None
    found = logits.detach()
    away = bool((_distance(found, start) >= AWAY).any())
    return Found(found.log_softmax(-1), SMALL + POLISH, float(logits.grad.abs().sum(-1).amax()), away)
