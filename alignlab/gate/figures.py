"""Figures of posture by goal, from the samples that a run's folder holds. Torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alignlab.compare.attempts import breach_at_k
from alignlab.data.schema import Verdict
from alignlab.errors import DataError
from alignlab.evaluation.conversation import Conversation, read_conversations
from alignlab.evaluation.posture import HARMLESS
from alignlab.evaluation.record import Sample, read_samples

Of = Callable[[Sample], bool | None]


@dataclass(frozen=True)
class Figure:
    """One share: what it counts, and (hits, attempts) of each goal."""

    name: str
    label: str
    counts: Mapping[str, tuple[float, float]]
    unknown: Mapping[str, int] = field(default_factory=dict)
    """How many of each goal were not judged: they may be hits or not."""
    pairs: Mapping[tuple[str, str, int], float] = field(default_factory=dict)
    """Hit or not by goal, prompt and attempt, for comparing the same attempts of two models."""


@dataclass(frozen=True)
class Evidence:
    """Everything a run's folder says of posture."""

    samples: list[Sample]
    attempts: list[Sample]
    harmless: list[Sample]
    conversations: list[Conversation]

    @classmethod
    def read(cls, folder: Path) -> Evidence:
        """From a run's folder. DataError, with a remedy, where the run measured no posture."""
        attempts = read_samples(folder / "attacks.jsonl")
        harmless = read_samples(folder / "harmless.jsonl")
        if not any(sample.verdict is not None for sample in (*attempts, *harmless)):
            raise DataError(
                f"{folder} holds no judged attacks",
                "run it with evaluation=posture on data with harmful requests, or name prompt sets: --set xstest=FILE",
            )
        talks = read_conversations(folder / "conversations.jsonl")
        return cls(read_samples(folder / "samples.jsonl"), attempts, harmless, talks)

    def breach(self) -> Figure:
        """Attempts at harmful goals that were answered."""
        return _figure("breach", "attacks answered", self.attempts, _is(Verdict.COMPLIED))

    def breach_at(self, k: int) -> Figure:
        """Goals answered in at least one of k attempts. DataError where a goal has fewer, or some were not judged."""
        found = self.breach()
        counts = found.counts
        if found.unknown:
            raise DataError(
                f"{sum(found.unknown.values()):,} attacks were not judged, so that breach@{k} is not known",
                "attack what fits the model's context, by a judge that answers; or limit --max-breach",
            )
        values = {goal: (breach_at_k(round(hits), round(n), k), 1.0) for goal, (hits, n) in counts.items()}
        return Figure(f"breach_at_{k}", f"any of {k} attacks answered", values)

    def pressed(self) -> Figure:
        """Conversations that ended in a breach; of those that were cut before one it is not known."""
        counts: dict[str, tuple[float, float]] = {}
        unknown: Counter[str] = Counter()
        for talk in self.conversations:
            if talk.cut:
                unknown[talk.goal] += 1
            else:
                hits, n = counts.get(talk.goal, (0.0, 0.0))
                counts[talk.goal] = hits + talk.breached, n + 1
        return Figure("pressed", "conversations that end in an answer", counts, unknown)

    def over_refusal(self, kind: str = "lookalike") -> Figure:
        """Plain harmless requests of a kind that were refused."""
        label = "look-alikes refused" if kind == "lookalike" else f"{kind} requests refused"
        chosen = [s for s in (*self.samples, *self.harmless) if s.prompt.kind == kind and not s.prompt.attack]
        return _figure(f"refusal_{kind}", label, chosen, _is(Verdict.REFUSED))

    def wrapped(self) -> Figure:
        """Harmless requests in the wording of an attack that were refused."""
        found = [s for s in (*self.samples, *self.harmless) if s.prompt.kind in HARMLESS and s.prompt.attack]
        return _figure("refusal_wrapped", "harmless, worded as attack, refused", found, _is(Verdict.REFUSED))


def _is(verdict: Verdict) -> Of:
    return lambda sample: None if sample.verdict is None else sample.verdict is verdict


def _figure(name: str, label: str, samples: Iterable[Sample], hit: Of) -> Figure:
    counts: dict[str, tuple[float, float]] = {}
    unknown: Counter[str] = Counter()
    pairs: dict[tuple[str, str, int], float] = {}
    for sample in samples:
        found, goal = hit(sample), sample.prompt.base
        if found is None:
            unknown[goal] += 1
            continue
        hits, n = counts.get(goal, (0.0, 0.0))
        counts[goal] = hits + found, n + 1
        key = (goal, *sample.key)
        pairs[key if key not in pairs else (*key[:2], -1 - key[2])] = float(found)  # asked again beside the attacks
    return Figure(name, label, counts, unknown, pairs)


def changes(own: Figure, base: Figure) -> list[tuple[float, float]]:
    """(sum of changes, pairs) of each goal. DataError where the two were not asked the same."""
    shared = own.pairs.keys() & base.pairs.keys()
    unknown = sum(own.unknown.values()) + sum(base.unknown.values())
    if len(shared) + unknown < max(len(own.pairs), len(base.pairs)):
        raise DataError(
            f"{own.label}: {len(shared):,} of {len(own.pairs):,} attempts are those of the baseline",
            "measure both on the same data with the same settings of evaluation",
        )
    found: dict[str, tuple[float, float]] = {}
    for key in sorted(shared):
        total, n = found.get(key[0], (0.0, 0.0))
        found[key[0]] = total + own.pairs[key] - base.pairs[key], n + 1
    return list(found.values())
