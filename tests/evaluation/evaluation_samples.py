"""Made-up samples for the tests of this folder."""

from __future__ import annotations

from typing import Any

from alignlab.data.schema import Message, Prompt, Verdict
from alignlab.evaluation.record import Sample

REFUSED, PARTIAL, COMPLIED = Verdict.REFUSED, Verdict.PARTIAL, Verdict.COMPLIED


def prompt(name: str, kind: str = "benign", attack: str = "", base: str = "") -> Prompt:
    return Prompt(name, (Message("user", f"ask {name}"),), kind=kind, attack=attack, base=base)


def sample(name: str, kind: str = "benign", *, attack: str = "", base: str = "", **values: Any) -> Sample:
    defaults: dict[str, Any] = {"text": "a short reply", "length": 4, "ended": True}
    return Sample(prompt=prompt(name, kind, attack, base), **{**defaults, **values})
