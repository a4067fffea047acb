"""What a person should look at before believing a result: sentences drawn from measured figures.

Each rule reads metrics by name and stays silent about what was not measured. A threshold is a judgement, so each
is a named constant; a flag is a reason to look, not a verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

CHOSEN_FALL_NATS = 5.0
"""Fall of the mean log-probability of chosen completions, in nats, that counts as displacement."""
SATURATED_ACCURACY = 0.98
SATURATED_LOSS = 0.05
"""Above this accuracy and below this loss training pairs no longer teach anything."""
ENTROPY_SHARE = 0.3
"""Entropy below this share of the SFT policy's is a collapse."""
DISTINCT_SHARE = 0.5
"""Distinct bigrams below this share of the SFT policy's."""
LENGTH_DRIFT = 0.5
"""Relative change of mean length against SFT."""
CLIP_FRACTION = 0.3
"""Share of tokens whose ratio was clipped, mean over the last quarter of training."""
ENDED_SHARE = 0.95
"""Share of replies that must have ended by themselves."""
PAIR_ACCURACY = 0.55
"""Reward-model accuracy on labels it was not trained on."""
KL_FACTOR = 1.5
"""How far, as a factor, KL may lie from a target that was set."""
ENGINE_GAP = 0.1
"""Nats by which sampling and training may disagree about one token's log-probability."""
ERRORS = 2.0
"""Standard errors by which a change must differ from 0 to be called one."""


class Flag(NamedTuple):
    """One thing to look at."""

    name: str
    text: str
    """A sentence with the measured number in it."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was measured, by metric name."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    """The method's `eval/…` figures."""
    sft: Mapping[str, float] = field(default_factory=dict)
    """The same figures of the SFT policy."""
    change: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Paired change against SFT and its standard error."""
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Columns of metrics.csv in order, blanks left out."""
    missing: Mapping[str, int] = field(default_factory=dict)
    """How many values each figure lacks."""
    reward_accuracy: float | None = None
    """Pair accuracy of the training reward model on labels it did not see."""
    pair_accuracy_limit: float = PAIR_ACCURACY
    kl_target: float | None = None
    """Target of an adaptive controller, in nats per completion."""


Rule = Callable[[Evidence], str | None]


def diagnose(evidence: Evidence) -> list[Flag]:
    """Every flag that is raised, in a fixed order."""
    found = ((name, rule(evidence)) for name, rule in RULES.items())
    return [Flag(name, text) for name, text in found if text is not None]


def _late(values: Sequence[float]) -> float:
    """Mean over the last quarter of training, at least one value."""
    last = values[-max(1, len(values) // 4) :]
    return sum(last) / len(last)


def _displacement(evidence: Evidence) -> str | None:
    values = evidence.history.get("train/chosen_logps", ())
    if len(values) < 2 or values[0] - _late(values) < CHOSEN_FALL_NATS:
        return None
    return (
        f"The log-probability of chosen replies fell from {values[0]:.1f} to {_late(values):.1f} nats: the margin grew "
        "by pushing rejected replies down further, and probability went to replies nobody compared."
    )


def _saturation(evidence: Evidence) -> str | None:
    accuracy, loss = evidence.history.get("train/accuracy", ()), evidence.history.get("train/loss", ())
    if not accuracy or not loss or _late(accuracy) < SATURATED_ACCURACY or _late(loss) > SATURATED_LOSS:
        return None
    return (
        f"Training pairs are ordered right in {_late(accuracy):.1%} of cases at a loss of {_late(loss):.3g}: they "
        "teach nothing more, and further steps only widen margins."
    )


def _entropy(evidence: Evidence) -> str | None:
    now, before = evidence.metrics.get("eval/entropy"), evidence.sft.get("eval/entropy")
    if now is None or not before or now >= ENTROPY_SHARE * before:
        return None
    return (
        f"Entropy collapsed to {now:.2f} nats a token from {before:.2f} in SFT: the policy says nearly the same each "
        "time it is asked."
    )


def _diversity(evidence: Evidence) -> str | None:
    now, before = evidence.metrics.get("eval/distinct_2"), evidence.sft.get("eval/distinct_2")
    if now is None or not before or now >= DISTINCT_SHARE * before:
        return None
    return f"Only {now:.1%} of word pairs are distinct, against {before:.1%} in SFT: replies have grown alike."


def _length(evidence: Evidence) -> str | None:
    now, before = evidence.metrics.get("eval/length"), evidence.sft.get("eval/length")
    if now is None or not before or abs(now / before - 1) <= LENGTH_DRIFT:
        return None
    way = "longer" if now > before else "shorter"
    return (
        f"Replies are {abs(now / before - 1):.0%} {way} than SFT's ({now:.1f} tokens against {before:.1f}): part of "
        "any gain may be length."
    )


def _clipping(evidence: Evidence) -> str | None:
    values = evidence.history.get("train/clip_fraction", ())
    if not values or _late(values) <= CLIP_FRACTION:
        return None
    return (
        f"{_late(values):.0%} of token ratios were clipped late in training: each rollout is used for more or larger "
        "updates than the clip allows."
    )


def _value(evidence: Evidence) -> str | None:
    values = evidence.history.get("train/explained_variance", ())
    if not values or _late(values) >= 0:
        return None
    return f"The value model explains {_late(values):.2f} of the variance of returns: a constant would do better."


def _engine(evidence: Evidence) -> str | None:
    values = evidence.history.get("train/engine_gap", ())
    if not values or max(values) <= ENGINE_GAP:
        return None
    return (
        f"Sampling and training disagreed by up to {max(values):.2f} nats about a token's log-probability: rollouts "
        "were partly off-policy."
    )


def _target(evidence: Evidence) -> str | None:
    now, target = evidence.metrics.get("eval/kl"), evidence.kl_target
    if now is None or target is None or target / KL_FACTOR <= now <= target * KL_FACTOR:
        return None
    return f"KL is {now:.2f} nats per reply where {target:.2f} was the target."


def _endings(evidence: Evidence) -> str | None:
    now = evidence.metrics.get("eval/ended")
    if now is None or now >= ENDED_SHARE:
        return None
    return (
        f"{1 - now:.1%} of replies hit the length limit without an end token: their scores judge a cut text, and the "
        "lengths are too short."
    )


def _reward_model(evidence: Evidence) -> str | None:
    now = evidence.reward_accuracy
    if now is None or now >= evidence.pair_accuracy_limit:
        return None
    return (
        f"The reward model orders {now:.1%} of unseen pairs right (expected at least "
        f"{evidence.pair_accuracy_limit:.0%}): what it pays for is mostly noise."
    )


def _overoptimised(evidence: Evidence) -> str | None:
    gold, proxy = evidence.change.get("eval/gold"), evidence.change.get("eval/proxy")
    if gold is None or proxy is None or gold[0] >= -ERRORS * gold[1] or proxy[0] <= ERRORS * proxy[1]:
        return None
    return (
        f"Gold fell by {-gold[0]:.3f} ± {gold[1]:.3f} while the reward model's score rose by {proxy[0]:.3f} ± "
        f"{proxy[1]:.3f}: the reward model was exploited."
    )


def _incomplete(evidence: Evidence) -> str | None:
    gaps = {name: count for name, count in evidence.missing.items() if count}
    if not gaps:
        return None
    listed = ", ".join(f"{name.rpartition('/')[2]} {count}" for name, count in sorted(gaps.items()))
    return f"Some replies could not be measured and are left out of the means: {listed}."


RULES: Mapping[str, Rule] = {
    "reward_model": _reward_model,
    "overoptimised": _overoptimised,
    "displacement": _displacement,
    "saturation": _saturation,
    "entropy": _entropy,
    "diversity": _diversity,
    "length": _length,
    "endings": _endings,
    "engine": _engine,
    "clipping": _clipping,
    "value": _value,
    "kl_target": _target,
    "incomplete": _incomplete,
}
"""Every rule by the name of its flag."""
