"""What a plugin must tell alignlab about itself.

A method is data, not a branch: its typed configuration, where its LightningModule lives, and what must exist
before its first step. The core reads the declaration, builds exactly the parts it names, and knows no method
by name. Sources, rewards, judges and attacks declare themselves the same way with `Component`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib import import_module
from typing import Any

from alignlab.errors import ConfigError, PluginError
from alignlab.settings import check_choices, check_ranges, interval, param

__all__ = [  # what declares settings, too: a plugin imports everything it declares with from here
    "PAIR_MODULE",
    "Component",
    "Data",
    "Method",
    "MethodConfig",
    "Needs",
    "OfflineConfig",
    "OnlineConfig",
    "OnlinePairConfig",
    "Output",
    "PairConfig",
    "Reference",
    "RevisionConfig",
    "SamplerConfig",
    "TrainedConfig",
    "chain",
    "check_choices",
    "check_ranges",
    "interval",
    "param",
    "resolve",
]

PAIR_MODULE = "alignlab.modules.pairs:PairModule"
"""Trains every method that declares a pair objective and no module of its own."""


class Data(StrEnum):
    """The supervision a method learns from."""

    DEMONSTRATIONS = "demonstrations"  # prompt, completion
    PAIRS = "pairs"  # prompt, chosen, rejected (optional probability, margin, weight)
    SAFETY = "safety"  # prompt, two completions, which is more harmful, whether each is harmful
    LABELS = "labels"  # prompt, completion, desirable or not
    PROMPTS = "prompts"  # prompt only; completions are sampled
    REVISIONS = "revisions"  # prompt, the start's own completion as the run's annotator revised it


class Reference(StrEnum):
    """How a method uses the frozen copy of its starting policy."""

    NONE = "none"
    LOGPS = "logps"  # only log-probabilities of the training rows: computed once, shared, model not in memory
    MODEL = "model"  # the model itself, for completions that do not exist yet


class Output(StrEnum):
    """What training yields."""

    POLICY = "policy"
    SCORER = "scorer"  # a language model copy with a value head


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What must exist before a method takes its first step; what is not declared is never loaded."""

    data: Data
    sft: bool = True
    """Start from the SFT policy rather than from the base model."""
    reference: Reference = Reference.NONE
    scorers: tuple[str, ...] = ()
    """Named scorers of completions, such as `reward`."""
    prefixes: bool = False
    """Scorers are asked about unfinished completions too, by token ids alone."""
    rollouts: bool = False
    """Completions are sampled from the policy during training."""
    auxiliary: Data | None = None
    """A second view of the training rows, read beside `data` (`parts.auxiliary`)."""
    mismatched: bool = False
    """Labels come with a completion of another prompt beside each row, for estimating KL."""
    policy: bool = False
    """Start from the result of another method, whose settings stand under `policy`."""


@dataclass(kw_only=True)
class MethodConfig:
    """What every method can be told. A method's own dataclass adds its hyper-parameters."""

    method: str
    """The plugin. Presets of one plugin share it."""
    name: str
    """The preset, as shown in tables."""

    def needs(self, declared: Needs) -> Needs:
        """What these settings need of what the method declares; settings may ask for more, or for less."""
        return declared

    def conventions(self) -> dict[str, str]:
        """What these settings make of the method beyond what it declares."""
        return {}

    def __post_init__(self) -> None:
        """Check every declared range; subclasses call this first and then add checks of their own."""
        check_ranges(self, "algo")


def chain(config: MethodConfig) -> Iterator[MethodConfig]:
    """A method's settings, then those of the method it builds on, and so on."""
    yield config
    inner = getattr(config, "policy", None)
    if inner is not None:
        yield from chain(inner)


@dataclass(kw_only=True)
class SamplerConfig(MethodConfig):
    """A method that acts at inference: nothing is trained beside the models it is made of."""


@dataclass(kw_only=True)
class TrainedConfig(MethodConfig):
    """A method that updates weights."""

    lr: float = param(1e-5, "Peak learning rate of AdamW.", low=0, open_low=True, search=(5e-7, 3e-3, "log"))
    batch_size: int = param(32, "Rows in one update, or completions in one rollout, over all processes.", low=1)
    warmup: float = param(0.05, "Share of updates over which the learning rate rises from 0.", low=0, high=1)
    schedule: str = param("linear", "Learning rate after warm-up: constant, linear or cosine decay to 0.")
    weight_decay: float = param(0.0, "Decoupled weight decay.", low=0)
    max_grad_norm: float = param(1.0, "Gradients are scaled down to this norm; 0 switches clipping off.", low=0)

    def __post_init__(self) -> None:
        """Ranges, then the choice of a schedule."""
        super().__post_init__()
        check_choices(self, schedule=("constant", "linear", "cosine"))


@dataclass(kw_only=True)
class OfflineConfig(TrainedConfig):
    """A method that passes over stored rows."""

    epochs: int = param(1, "Passes over the training rows.", low=1)


@dataclass(kw_only=True)
class PairConfig(OfflineConfig):
    """A method that learns from pairs, with what every pair objective can be combined with."""

    sft_weight: float = param(
        0.0, "Weight of the negative log-likelihood of chosen, a mean over its tokens, added to the loss.", low=0
    )
    length_normalised: bool = param(False, "Divide each completion's log-probabilities by its number of tokens.")
    tail_weight: float = param(
        1.0, "Weight of tokens past the length of the shorter completion of the pair (LD-DPO).", low=0, high=1
    )
    on_policy_weight: bool = param(False, "Weigh each pair by how likely the policy is to write it itself (WPO).")
    reference_every: int = param(
        0, "Updates between moves of the reference towards the policy (TR-DPO); 0 keeps it where it is.", low=0
    )
    reference_mix: float = param(
        1.0, "Share of the policy in a moved reference; 1 replaces it.", low=0, open_low=True, high=1
    )

    def conventions(self) -> dict[str, str]:
        """The modifiers that are on."""
        every, mix = self.reference_every, self.reference_mix
        modifiers = (
            (self.length_normalised, "length", "log-probabilities are means over the completion's tokens"),
            (self.tail_weight < 1, "tail", f"tokens past the shorter completion weigh {self.tail_weight:g}"),
            (self.on_policy_weight, "pair weight", "likelihood of the pair under the policy, at most 1"),
            (self.sft_weight, "SFT term", f"{self.sft_weight:g} x negative log-likelihood a token of chosen"),
            (every, "reference moves", f"every {every} updates, to {mix:g} policy + {1 - mix:g} reference"),
        )
        return {name: text for on, name, text in modifiers if on}

    def needs(self, declared: Needs) -> Needs:
        """A reference that moves is a model in memory; log-probabilities from before would be stale."""
        if self.reference_every and declared.reference is Reference.NONE:
            raise ConfigError(
                f"algo.reference_every={self.reference_every} moves a reference, and {self.name} has none",
                "pass algo.reference_every=0, or choose a method with a reference",
            )
        if self.reference_every and declared.reference is Reference.LOGPS:
            return replace(declared, reference=Reference.MODEL)
        return declared

    def __post_init__(self) -> None:
        """Ranges, then modifiers that exclude each other."""
        super().__post_init__()
        if self.length_normalised and self.tail_weight < 1:
            raise ConfigError(
                f"algo.length_normalised=true and algo.tail_weight={self.tail_weight} both correct for length",
                "choose one",
            )


@dataclass(kw_only=True)
class RevisionConfig(OfflineConfig):
    """A method that imitates revisions of what its start writes (`Data.REVISIONS`)."""

    revisions: int = param(4, "Times each sample is criticised and revised, each by a principle of its own.", low=1)
    every_step: bool = param(True, "Imitate the revisions of every step; false takes the last of each sample.")


@dataclass(kw_only=True)
class OnlineConfig(TrainedConfig):
    """A method that samples its own training rows; `batch_size` counts sampled completions in one iteration."""

    steps: int = param(30, "Iterations: one rollout and the updates on it.", low=1)
    group_size: int = param(1, "Completions of one prompt.", low=1)
    rollout_epochs: int = param(1, "Passes over each rollout.", low=1)
    minibatches: int = param(1, "Updates in one pass over a rollout.", low=1)
    beta: float = param(
        0.05,
        "Price of KL(policy || reference), in reward units per nat of a whole completion.",
        low=0,
        search=(0.01, 0.5, "log"),
    )
    missing_end_penalty: float = param(
        1.0, "Taken from the score of a completion that hit the length limit without an end token.", low=0
    )

    def __post_init__(self) -> None:
        """Ranges, then that a rollout divides into groups, and those into minibatches."""
        super().__post_init__()
        if self.batch_size % self.group_size:
            raise ConfigError(
                f"algo.batch_size={self.batch_size} does not divide into groups of algo.group_size={self.group_size}",
                "choose a multiple",
            )
        groups = self.batch_size // self.group_size
        if groups % self.minibatches:
            what = f"{groups} prompts of a rollout" if self.group_size > 1 else f"algo.batch_size={groups}"
            raise ConfigError(f"{what} does not divide into algo.minibatches={self.minibatches}", "choose a divisor")


@dataclass(kw_only=True)
class OnlinePairConfig(OnlineConfig):
    """A method that learns from pairs of its own samples, by the pair objective of any installed method."""

    objective: str = param("", "Preset whose pair objective is minimised.")
    settings: dict[str, Any] = param(dict, "Settings of that objective where they differ from its preset's.")
    beta: float | None = param(  # type: ignore[assignment]
        None, "Price of KL in the objective; null takes the value of its preset.", low=0, search=(0.01, 2.0, "log")
    )
    labels: str = param(
        "hard",
        "How the reward labels a pair: hard (the higher one wins), sampled or soft (Bradley-Terry probabilities).",
    )

    def __post_init__(self) -> None:
        """Ranges, then the choice of labels."""
        super().__post_init__()
        check_choices(self, labels=("hard", "sampled", "soft"))


@dataclass(frozen=True, kw_only=True)
class Method:
    """One method's declaration: the object its entry point resolves to."""

    name: str
    summary: str
    """One line for the method table."""
    config: type[MethodConfig]
    needs: Needs
    conf: str
    """Hydra search path that holds `algo/<preset>.yaml`."""
    equation: str
    paper: str
    module: str = ""
    """`package.module:Class`, imported only when the method runs; "" where `objective` or `sampler` says all."""
    objective: str = ""
    """`package.module:function`: the loss of a pair from its log-probabilities; see `modules.objective`."""
    couple: str = ""
    """`package.module:function`: what an objective that looks at the whole batch needs to know of it."""
    sampler: str = ""
    """`package.module:Class`: how to sample, for methods that act at inference; see `rollout.sampler`."""
    exact: str = ""
    """`package.module:function`: the policy it converges to when it sees everything; see `numerics.population`."""
    failures: tuple[str, ...] = ()
    """Known ways it goes wrong, each a sentence."""
    output: Output = Output.POLICY
    conventions: Mapping[str, str] = field(default_factory=dict)
    """Reduction, baseline, KL place and estimator, …: what one name hides elsewhere. `{setting}` is filled in."""

    def __post_init__(self) -> None:
        """A declared objective is trained by the shared module for pairs."""
        if self.objective and not self.module:
            object.__setattr__(self, "module", PAIR_MODULE)
        if bool(self.module) is bool(self.sampler):
            raise PluginError(
                f"method {self.name!r} must declare how it trains or how it samples, and not both",
                "write one of objective=, module= and sampler= in its Method",
            )

    @property
    def yields_policy(self) -> bool:
        """Whether it trains a policy, which other methods can build on."""
        return bool(self.module) and self.output is Output.POLICY

    @property
    def fixes_zero(self) -> bool:
        """Whether the zero of a trained scorer is learned, as the border of harm. Differences alone leave it open."""
        return self.needs.data is Data.SAFETY

    def load_module(self) -> Any:
        """Import the LightningModule class."""
        return resolve(self.module, f"method {self.name!r}")

    def load_sampler(self) -> Any:
        """Import the sampler class."""
        return resolve(self.sampler, f"method {self.name!r}")

    def code(self) -> tuple[str, ...]:
        """Every `package.module:object` that decides what the method computes."""
        return tuple(target for target in (self.module, self.objective, self.couple, self.sampler) if target)

    def described(self, config: MethodConfig) -> dict[str, str]:
        """The conventions under given settings."""
        return {name: text.format(**vars(config)) for name, text in self.conventions.items()} | config.conventions()


@dataclass(frozen=True, kw_only=True)
class Component:
    """A source, reward, judge, attack or attacker: a name, a typed configuration, and a factory imported on use."""

    name: str
    summary: str
    target: str
    """`package.module:object`, a callable that takes the typed configuration first."""
    config: type | None = None
    conf: str | None = None
    """Hydra search path with this component's YAML, if it ships one."""

    def load(self) -> Any:
        """Import the factory."""
        return resolve(self.target, f"plugin {self.name!r}")


def resolve(target: str, what: str) -> Any:
    """Import `package.module:object`; PluginError names `what` and the target when that fails."""
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"{what} could not be imported from {target}: {error}", "fix or uninstall it") from error
