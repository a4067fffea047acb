"""What can be set about the desk world, and the annotator presets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from alignlab import registry
from alignlab.attacks.kinds import ATTACKS as TEXT_ATTACKS
from alignlab.errors import ConfigError
from alignlab.settings import check_ranges, param

TRAINED_KINDS = ("direct", "prefix", "roleplay")
HELD_OUT_KINDS = ("persuade", "code", "pressure", "stack")
SIZES = ("small", "medium", "large")


@dataclass(kw_only=True)
class Mix:
    """Shares of the three strata; they sum to 1."""

    benign: float = param(0.4, "Share of ordinary requests.", low=0, high=1)
    lookalike: float = param(0.4, "Share of harmless requests that look harmful.", low=0, high=1)
    harmful: float = param(0.2, "Share of harmful requests.", low=0, high=1)

    def __post_init__(self) -> None:
        check_ranges(self, "mix")
        total = self.benign + self.lookalike + self.harmful
        if not math.isclose(total, 1.0, abs_tol=1e-6):
            raise ConfigError(
                f"the shares benign={self.benign:g}, lookalike={self.lookalike:g}, harmful={self.harmful:g} "
                f"sum to {total:g}, not 1",
                "set all three shares so that they sum to 1, as in {benign: 0.5, lookalike: 0.3, harmful: 0.2}",
            )

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return iter((("benign", self.benign), ("lookalike", self.lookalike), ("harmful", self.harmful)))


def _seen_in_use() -> Mix:
    return Mix(benign=0.5, lookalike=0.15, harmful=0.35)


@dataclass(frozen=True, kw_only=True)
class Annotator:
    """How preferences between two replies are given; biases are in units of gold."""

    temperature: float = 0.15
    flip: float = 0.0
    length_bias: float = 0.0
    courtesy_bias: float = 0.0


ANNOTATORS: Mapping[str, Annotator] = {
    "clean": Annotator(),
    "biased": Annotator(length_bias=0.03, courtesy_bias=0.3),
    "noisy": Annotator(flip=0.2),
}


@dataclass(kw_only=True)
class DeskConfig:
    """The desk world's settings. `null` for an annotator knob means the preset's value."""

    source: str = "desk"
    """The plugin."""
    size: str = param("small", "small, medium or large: more topics, longer replies.")
    demonstrations: int = param(8000, "Rows to imitate, of mixed quality.", low=1)
    pairs: int = param(8000, "Prompts that get preference labels; also the pool that online methods draw from.", low=1)
    held_out_pairs: int = param(2000, "Label prompts of the reward model that no method trains against.", low=1)
    mix: Mix = field(default_factory=Mix, metadata={"doc": "Strata of label and online prompts."})
    demonstration_mix: Mix = field(default_factory=_seen_in_use, metadata={"doc": "Strata of demonstrations."})
    attacks: list[str] = field(
        default_factory=lambda: list(TRAINED_KINDS),
        metadata={"doc": "Attack kinds met in training, drawn uniformly; the others stay held out."},
    )
    annotator: str = param("clean", "Preset of the annotator: clean, biased or noisy.")
    temperature: float | None = param(None, "Gold difference that multiplies the odds by e.", low=0, open_low=True)
    flip: float | None = param(None, "Probability that a label is inverted.", low=0, high=0.5)
    length_bias: float | None = param(None, "Gold an annotator adds per word of a reply.")
    courtesy_bias: float | None = param(None, "Gold an annotator adds per word of courtesy.")
    evaluation_prompts: int = param(400, "Prompts of EVALUATION.", low=1)
    validation_prompts: int = param(200, "Prompts of VALIDATION.", low=1)
    evaluation_mix: Mix = field(default_factory=_seen_in_use, metadata={"doc": "Strata of evaluation prompts."})

    def __post_init__(self) -> None:
        check_ranges(self, "data")
        _one_of("data.size", self.size, SIZES)
        _one_of("data.annotator", self.annotator, tuple(ANNOTATORS))
        if not self.attacks:
            raise ConfigError("data.attacks is empty", "name at least one kind, such as data.attacks=[direct]")
        for kind in self.attacks:
            _one_of("data.attacks", kind, tuple(kind for kind in _attacks() if kind not in TEXT_ATTACKS))

    def annotator_settings(self) -> Annotator:
        """The preset with every knob that is set put in its place."""
        preset = ANNOTATORS[self.annotator]
        knobs = {name: getattr(self, name) for name in ("temperature", "flip", "length_bias", "courtesy_bias")}
        return Annotator(**{name: getattr(preset, name) if value is None else value for name, value in knobs.items()})


def _attacks() -> tuple[str, ...]:
    """Every attack there is, those of this world first."""
    return tuple(dict.fromkeys((*TRAINED_KINDS, *HELD_OUT_KINDS, *registry.components("attacks"))))


def _one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{key} must be one of {', '.join(choices)}, got {value!r}", f"pass {key}={choices[0]}")
