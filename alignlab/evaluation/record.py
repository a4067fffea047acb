"""One evaluated completion with everything measured on it, and the file such records live in. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from alignlab.data.schema import Message, Prompt, Verdict
from alignlab.errors import DataError
from alignlab.stages.files import atomic_write_text

SCHEMA = 1
"""Version of a row of samples.jsonl; a reader refuses any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A completion and what is known about it without reference to another policy. None: not measured."""

    text: str
    length: int
    """Completion tokens, the end token included."""
    ended: bool
    """The end token was produced; otherwise the completion was cut at the longest length."""
    gold: float | None = None
    """The true score, where the world knows it."""
    proxy: float | None = None
    """The score of the reward model that methods may train against."""
    judge_score: float | None = None
    """The score of the held-out reward model, which no method trains against."""
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample(Reply):
    """One attempt of the policy at one prompt. `(prompt.id, attempt)` is unique within an evaluation."""

    prompt: Prompt
    attempt: int = 0
    kl: float | None = None
    """Exact KL(policy || reference) of the next token, summed over the completion's tokens, in nats."""
    k1: float | None = None
    """log policy - log reference of the completion, in nats."""
    k3: float | None = None
    """Sum over tokens of ratio - 1 - log ratio, ratio = reference / policy, in nats."""
    entropy: float | None = None
    """Mean entropy of the next token over the completion's tokens, in nats."""
    logp: float | None = None
    """Log-probability of the completion under the policy, in nats."""
    sft: Reply | None = field(default=None)
    """What the SFT policy answered to the same prompt in the same attempt."""

    @property
    def key(self) -> tuple[str, int]:
        """What identifies this attempt in every policy's evaluation."""
        return self.prompt.id, self.attempt


def join(samples: Sequence[Sample], sft_samples: Sequence[Sample]) -> list[Sample]:
    """Put beside each sample what the SFT policy did in the same attempt at the same prompt.

    A sample without a twin keeps `sft=None`. Raises DataError when either side holds an attempt twice.
    """
    twins = {sample.key: _reply(sample) for sample in _unique(sft_samples, "SFT policy")}
    return [replace(sample, sft=twins.get(sample.key)) for sample in _unique(samples, "policy")]


def _unique(samples: Sequence[Sample], whose: str) -> Sequence[Sample]:
    seen: set[tuple[str, int]] = set()
    for sample in samples:
        if sample.key in seen:
            raise DataError(
                f"the {whose}'s evaluation holds attempt {sample.attempt} of prompt {sample.prompt.id!r} twice",
                "number attempts at a prompt 0, 1, 2, …",
            )
        seen.add(sample.key)
    return samples


def _reply(sample: Sample) -> Reply:
    return Reply(**{spec.name: getattr(sample, spec.name) for spec in fields(Reply)})


def write_samples(path: str | Path, samples: Iterable[Sample]) -> None:
    """Write one JSON object a line, each with its schema version, in one atomic move.

    Raises DataError for a number JSON has no word for (nan, inf), naming the sample and the field.
    """
    atomic_write_text(Path(path), "".join(_line(sample) for sample in samples))


def _line(sample: Sample) -> str:
    row = {"schema": SCHEMA, **_plain(asdict(sample))}
    try:
        return json.dumps(row, allow_nan=False) + "\n"
    except ValueError as error:
        numbers = {name: value for name, value in row.items() if isinstance(value, float)}
        bad = next((name for name, value in numbers.items() if value - value != 0), "a field of its prompt or twin")
        raise DataError(
            f"{bad} of attempt {sample.attempt} at prompt {sample.prompt.id!r} is not a finite number",
            "None is how a missing measurement is written; a number that is not finite is a defect of its scorer",
        ) from error


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    row["prompt"]["messages"] = [list(turn) for turn in row["prompt"]["messages"]]
    return row


def read_samples(path: str | Path) -> list[Sample]:
    """Read what `write_samples` wrote. Raises DataError naming file and line for anything else."""
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    except OSError as error:
        raise DataError(f"cannot read samples from {path}: {error.strerror}") from error
    return [_parse(line, f"{path}:{number}") for number, line in enumerate(lines, 1)]


def _parse(line: str, where: str) -> Sample:
    try:
        row = json.loads(line)
        version = row.pop("schema", None)
        if version != SCHEMA:
            raise DataError(
                f"{where} has schema version {version}, this version of alignlab reads {SCHEMA}",
                "evaluate again, or read it with the version that wrote it",
            )
        prompt = row.pop("prompt")
        prompt["messages"] = tuple(Message(*turn) for turn in prompt["messages"])
        twin = row.pop("sft")
        return Sample(**_judged(row), prompt=Prompt(**prompt), sft=Reply(**_judged(twin)) if twin else None)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{where} is not a sample: {error}", "evaluate again") from error


def _judged(row: Mapping[str, Any]) -> dict[str, Any]:
    verdict = row.get("verdict")
    return {**row, "verdict": Verdict(verdict) if verdict is not None else None}
