"""The models a method asked for, and a clear refusal for those it did not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from alignlab.errors import MissingPartError
from alignlab.models.frozen import Frozen
from alignlab.models.policy import Policy
from alignlab.models.scorer import Scorer
from alignlab.models.size import spare_tokens
from alignlab.seeding import Seeds

T = TypeVar("T")


@dataclass
class Parts:
    """What a LightningModule receives; each part exists only if the method declares it."""

    method: str
    model: Policy | Scorer
    """What is trained: a Policy, or a Scorer for methods that produce one."""
    seeds: Seeds
    tokenizer: Any
    micro_batch_size: int = 0
    log_every: int = 1
    total: int = 0
    """Batches in the whole run, for learning-rate schedules; an estimate where a budget ends it."""
    pace: Any = None
    """How much of a budget is spent, a `modules.pace.Pace`; None where training ends after `total` batches."""
    sampling: Any = None
    """How completions are drawn, for methods that decode by themselves."""
    end_ids: tuple[int, ...] = ()
    """Tokens that end a completion."""
    pad_id: int = 0
    _reference: Frozen[Policy] | None = None
    _scorers: Mapping[str, Any] = field(default_factory=dict)
    _engine: Any | None = None
    _new_value: Callable[[str], Scorer] | None = None
    _new_engine: Callable[..., Any] | None = None
    _objective: Any | None = None
    _auxiliary: Callable[[int, int, int], Any] | None = None

    @property
    def spare(self) -> int:
        """Tokens of padding that cutting a batch once more must save: see `data.batch.length_cuts`."""
        return spare_tokens(sum(weights.numel() for weights in self.model.parameters()))

    @property
    def policy(self) -> Policy:
        """What is trained or sampled from, by methods that produce a policy."""
        return self._declared(self.model if isinstance(self.model, Policy) else None, "policy", "output=Output.POLICY")

    @property
    def reference(self) -> Frozen[Policy]:
        """Frozen copy of the starting policy."""
        return self._declared(self._reference, "reference", "Needs(reference=Reference.MODEL)")

    @property
    def objective(self) -> Any:
        """The declared pair objective with its settings, a `modules.objective.PairObjective`."""
        return self._declared(self._objective, "objective", 'objective="…"')

    def auxiliary(self, step: int, rank: int = 0, world: int = 1) -> Any:
        """Batch of the second view of rows for a step, this process's share; a pure function of (seed, step)."""
        return self._declared(self._auxiliary, "auxiliary", "Needs(auxiliary=Data.…)")(step, rank, world)

    @property
    def engine(self) -> Any:
        """Samples completions from the policy."""
        return self._declared(self._engine, "engine", "Needs(rollouts=True)")

    def new_engine(self, model: Policy, *, temperature: float = 1.0) -> Any:
        """What samples completions from another policy, or from this one at another temperature."""
        return self._declared(self._new_engine, "new_engine", "Needs(rollouts=True)")(model, temperature=temperature)

    @property
    def scorers(self) -> Mapping[str, Any]:
        """Every declared scorer by name."""
        return self._scorers

    @property
    def has_reference(self) -> bool:
        """Whether the reference model is in memory."""
        return self._reference is not None

    def scorer(self, name: str) -> Any:
        """A declared scorer of completions."""
        return self._declared(self._scorers.get(name), f"scorer({name!r})", f"Needs(scorers=({name!r},))")

    def new_value(self, start: str) -> Scorer:
        """A trainable value model, copied from a declared scorer's weights or from the SFT policy (`start`)."""
        build = self._declared(self._new_value, "new_value", "Needs(rollouts=True)")
        return build(start)

    def _declared(self, value: T | None, part: str, declaration: str) -> T:
        if value is None:
            raise MissingPartError(
                f"method {self.method!r} uses parts.{part} but does not declare it",
                f"write {declaration} in its Method, or stop using parts.{part}",
            )
        return value
