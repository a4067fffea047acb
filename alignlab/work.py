"""The work that a computation nominally takes, counted where models are called. Imports no torch by itself.

Every pass of a sequence through a model counts its prompt and completion tokens, and sampling a completion counts as
one such pass. Padding, packing, micro-batches, caches, shared prefixes and recomputed activations change seconds and
never what is counted. FLOPs are 2 N a token forward and 4 N more backward (arXiv 2001.08361, §2.1), N being the
parameters outside embeddings, and the output head whether or not it shares its weights. Attention's own products are
left out, as there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from torch import Tensor, nn

ROLES = ("policy", "reference", "reward", "cost", "value", "annotator")
"""What a model is to a method."""
FORWARD, BACKWARD = 2, 4
"""FLOPs a token and parameter."""
_ROLE = "alignlab_role"


class Work:
    """Counts that only grow: tokens through the models of each role, sampled tokens, updates, rows, FLOPs."""

    def __init__(self) -> None:
        self.forward_tokens = dict.fromkeys(ROLES, 0)
        self.backward_tokens = dict.fromkeys(ROLES, 0)
        self.parameters: dict[str, int] = {}
        """N of the largest model of each role that was called."""
        self.sampled_tokens = self.steps = self.samples = self.flops = 0
        self.peak_memory_bytes = 0

    def passed(self, model: nn.Module, tokens: int, *, backward: bool) -> None:
        """Tokens that went through a model, once."""
        role, size = role_of(model), parameters_of(model)
        self.parameters[role] = max(size, self.parameters.get(role, 0))
        self.forward_tokens[role] += tokens
        self.backward_tokens[role] += tokens if backward else 0
        self.flops += (FORWARD + (BACKWARD if backward else 0)) * size * tokens

    @property
    def counts(self) -> list[int]:
        """Everything that adds up over processes, in a fixed order; see `add_counts`."""
        sums = [self.sampled_tokens, self.steps, self.samples, self.flops]
        return [*sums, *self.forward_tokens.values(), *self.backward_tokens.values()]

    def add_counts(self, counts: list[int]) -> None:
        """Add what another's `counts` gave."""
        sampled, steps, samples, flops, *tokens = counts
        self.sampled_tokens += sampled
        self.steps += steps
        self.samples += samples
        self.flops += flops
        for place, role in enumerate(ROLES):
            self.forward_tokens[role] += tokens[place]
            self.backward_tokens[role] += tokens[place + len(ROLES)]

    def add(self, other: Work) -> None:
        """Add all of another's; memory and parameters take the larger figure."""
        self.add_counts(other.counts)
        for role, size in other.parameters.items():
            self.parameters[role] = max(size, self.parameters.get(role, 0))
        self.peak_memory_bytes = max(self.peak_memory_bytes, other.peak_memory_bytes)

    def clear(self) -> None:
        """Begin at 0 again; known sizes stay."""
        self.add_counts([-count for count in self.counts])

    def record(self) -> dict[str, Any]:
        """Plain numbers for a record or a checkpoint; roles without any work are left out."""
        tokens = {name: getattr(self, name) for name in ("forward_tokens", "backward_tokens")}
        return {
            **{name: {role: n for role, n in by_role.items() if n} for name, by_role in tokens.items()},
            "parameters": dict(self.parameters),
            **{name: getattr(self, name) for name in ("sampled_tokens", "steps", "samples", "flops")},
            "peak_memory_bytes": self.peak_memory_bytes,
        }

    @classmethod
    def recorded(cls, record: Mapping[str, Any]) -> Work:
        """What `record` gave."""
        work = cls()
        for name in ("forward_tokens", "backward_tokens", "parameters"):
            getattr(work, name).update(record[name])
        for name in ("sampled_tokens", "steps", "samples", "flops", "peak_memory_bytes"):
            setattr(work, name, int(record[name]))
        return work


_current: ContextVar[Work | None] = ContextVar("work", default=None)


def current() -> Work | None:
    """Where work is counted at present; None where nobody asked."""
    return _current.get()


@contextmanager
def counting(work: Work | None = None) -> Iterator[Work]:
    """Count what is computed inside into `work`, or a new one, and nowhere else."""
    counted = Work() if work is None else work
    token = _current.set(counted)
    try:
        yield counted
    finally:
        _current.reset(token)


@contextmanager
def uncounted(when: bool = True) -> Iterator[None]:
    """Count nothing inside: what only measures, or only keeps a graph alive, is no work of a method."""
    token = _current.set(None if when else _current.get())
    try:
        yield
    finally:
        _current.reset(token)


def passed(model: nn.Module, tokens: Tensor) -> None:
    """Count one pass of rows through a model, with its backward pass where gradients are recorded: (B, T) bool."""
    work = _current.get()
    if work is None:
        return
    import torch

    backward = torch.is_grad_enabled() and any(p.requires_grad for p in model.parameters())
    work.passed(model, int(tokens.sum()), backward=backward)


def sampled(tokens: Tensor, completion: Tensor, *models: nn.Module) -> None:
    """Count completions that were sampled from models, which all read them: masks (B, T) bool."""
    work = _current.get()
    if work is None:
        return
    work.sampled_tokens += int(completion.sum())
    for model in models:
        work.passed(model, int(tokens.sum()), backward=False)


def charge(work: Work) -> None:
    """Count what was counted elsewhere, such as in another process."""
    place = _current.get()
    if place is not None:
        place.add(work)


def stepped() -> None:
    """Count one optimiser update."""
    work = _current.get()
    if work is not None:
        work.steps += 1


def plays(model: nn.Module, role: str) -> None:
    """Say what a model is to the method that calls it; one of `ROLES`."""
    if role not in ROLES:
        raise ValueError(f"{role!r} is none of {', '.join(ROLES)}")
    setattr(model, _ROLE, role)


def role_of(model: nn.Module) -> str:
    """What a model was said to be; a policy if nothing was said."""
    return str(getattr(model, _ROLE, ROLES[0]))


_sizes: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()


def parameters_of(model: nn.Module) -> int:
    """Parameters outside embedding tables, and those of the output head, tied or not."""
    if model not in _sizes:
        _sizes[model] = _size(model)
    return _sizes[model]


def _size(model: nn.Module) -> int:
    from torch.nn import Embedding

    tables = [module for module in model.modules() if isinstance(module, Embedding)]
    embedded = {id(p) for table in tables for p in table.parameters()}
    size = sum(p.numel() for p in model.parameters() if id(p) not in embedded)
    find: Callable[[], nn.Module | None] | None = getattr(model, "get_output_embeddings", None)
    head = None if find is None else find()
    tied = getattr(head, "weight", None)
    return size + (tied.numel() if tied is not None and id(tied) in embedded else 0)


def peak_memory() -> int:
    """Most bytes this process has held since it started: on the GPU where it used one, else resident in memory."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_allocated())
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
