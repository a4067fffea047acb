"""Typed settings of the core groups, checked before anything is loaded. Torch-free.

Hydra composes YAML into these classes; `OmegaConf.to_object` then runs every `__post_init__`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alignlab import registry
from alignlab.annotators.config import AnnotatorConfig, check_annotator
from alignlab.budget import BudgetConfig, check_budget
from alignlab.errors import ConfigError
from alignlab.evaluation.config import EvaluationConfig
from alignlab.exact.settings import ExactConfig
from alignlab.judges.config import DetectorConfig, check_judge
from alignlab.method import (
    PAIR_MODULE,
    Data,
    Method,
    MethodConfig,
    OnlinePairConfig,
    PairConfig,
    chain,
    check_ranges,
    param,
)
from alignlab.rewards.config import RewardConfig, check_reward
from alignlab.seeding import STREAMS, Seeds
from alignlab.tune import TuneConfig, check_search


class Keep(Enum):
    """Which weights of the trained policy stay in the store."""

    final = "final"
    best = "best"
    none = "none"


class EngineKind(Enum):
    """What samples completions."""

    auto = "auto"
    builtin = "builtin"
    transformers = "transformers"
    vllm = "vllm"


@dataclass(kw_only=True)
class RolloutConfig:
    """How completions are sampled, in training and for labels."""

    engine: EngineKind = EngineKind.auto
    max_new_tokens: int = param(48, "Longest completion in tokens, the end token included.", low=1)
    batch_size: int = param(1024, "Prompts sampled at once outside training steps.", low=1)

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self, "rollout")


@dataclass(kw_only=True)
class TrainerConfig:
    """Where and how training runs; apart from `precision`, none of it changes what is learned beyond rounding."""

    accelerator: str = "auto"
    devices: int = param(1, "Processes on this machine, each with its own device.", low=1)
    strategy: str = "auto"
    precision: str = "32-true"
    threads: int = param(0, "CPU threads; 0 takes one for small models and all cores for large.", low=0)
    micro_batch_size: int = param(
        0, "Rows in one forward pass; 0 takes as many of similar length as 16,384 tokens hold.", low=0
    )
    gradient_checkpointing: bool = param(
        False, "Compute activations again in the backward pass: a third more time for a fraction of the memory."
    )
    log_every: int = param(10, "Updates between logged rows, where an update takes less than a rollout.", low=1)
    checkpoint_seconds: float = param(20.0, "Time between checkpoints a killed run continues from.", low=0)
    snapshots: int = param(4, "Policies kept on the way for `keep=best`.", low=1)

    def __post_init__(self) -> None:
        """Check ranges, and refuse arithmetic that gradient clipping or float32 log-probabilities cannot bear."""
        check_ranges(self, "trainer")
        if self.accelerator not in ("auto", "cpu", "gpu", "cuda"):
            raise ConfigError(
                f"trainer.accelerator must be auto, cpu or gpu, got {self.accelerator!r}",
                "pass trainer.accelerator=auto",
            )
        if self.precision not in ("32-true", "bf16-mixed"):
            raise ConfigError(
                f"trainer.precision must be 32-true or bf16-mixed, got {self.precision!r}",
                "pass trainer.precision=bf16-mixed: bfloat16 arithmetic over float32 weights",
            )
        if self.strategy not in ("auto", "ddp_fork"):
            raise ConfigError(
                f"trainer.strategy must be auto or ddp_fork, got {self.strategy!r}: others start the whole command "
                "again for each process, and every stage would wait for itself",
                "leave it out",
            )


@dataclass(kw_only=True)
class TrackingConfig:
    """Where metrics go beside metrics.csv. Nothing reaches the network unless kind=wandb and mode=online."""

    kind: str = "csv"
    project: str = "alignlab"
    entity: str | None = None
    group: str | None = None
    name: str | None = None
    tags: list[str] = field(default_factory=list)
    mode: str = "offline"

    def __post_init__(self) -> None:
        """Refuse unknown kinds and modes."""
        choices = (("kind", self.kind, ("csv", "wandb")), ("mode", self.mode, ("offline", "online")))
        for key, value, known in choices:
            if value not in known:
                raise ConfigError(
                    f"tracking.{key} must be {' or '.join(known)}, got {value!r}", f"pass tracking.{key}={known[0]}"
                )


@dataclass(kw_only=True)
class StagesConfig:
    """Which plugin, with which settings, fills each role of the stage graph."""

    sft: Any = MISSING
    """null: the model is fine-tuned already."""
    reward: Any = MISSING
    cost: Any = MISSING
    """Trained only for methods that declare the scorer `cost`."""


@dataclass(kw_only=True)
class RunConfig:
    """One run, composed from the groups."""

    algo: Any = MISSING
    data: Any = MISSING
    model: Any = MISSING
    stages: StagesConfig = field(default_factory=StagesConfig)
    reward: RewardConfig = MISSING
    annotator: AnnotatorConfig = MISSING
    judge: DetectorConfig = MISSING
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    seed: int = 0
    stage_seed: int = 0
    streams: dict[str, int] = field(default_factory=dict)
    store: str = "store"
    keep: Keep = Keep.final
    overlap: bool = True
    """Compute stages the method does not wait for in a second process."""
    workers: int = 0
    """Jobs of a sweep at once; 0: one a core for small models, else one."""
    job_minutes: float = 0.0
    """A job of a sweep that takes longer is ended; 0: none is."""
    exact: ExactConfig | None = None
    trials: int = 0
    """Settings tried for each method of a sweep; read with `tune` alone."""
    tune: TuneConfig | None = None
    ranges: dict[str, Any] = field(default_factory=dict)
    """Ranges to search that replace a method's own, such as {lr: [1e-4, 2e-3]}, on the scale the method declares."""

    def __post_init__(self) -> None:
        """Check seeds and counts."""
        for key in ("seed", "stage_seed", "workers", "job_minutes"):
            if getattr(self, key) < 0:
                raise ConfigError(f"{key} must not be negative, got {getattr(self, key)}", f"pass {key}=0")
        check_search(self.ranges)
        unknown = sorted(set(self.streams) - set(STREAMS))
        if unknown:
            raise ConfigError(f"unknown seed stream streams.{unknown[0]}", f"choose from {', '.join(STREAMS)}")

    @property
    def seeds(self) -> Seeds:
        """Streams of the method and its evaluation."""
        return Seeds(self.seed, self.streams)

    @property
    def stage_seeds(self) -> Seeds:
        """Streams of SFT, labels and reward models, which several seeds may share."""
        return Seeds(self.stage_seed, self.streams)


def typed(cfg: DictConfig) -> RunConfig:
    """Turn a composed config into checked dataclasses.

    Raises ConfigError naming the key: unknown, without a value, of the wrong type, out of range, or at odds with
    another. PluginError for a component that does not exist.
    """
    for key in _undeclared(cfg):
        raise ConfigError(f"unknown setting {key}", "leave it out; `--cfg job` prints every setting there is")
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise ConfigError(f"{missing[0]} has no value", f"{described(cfg, missing[0])}Pass {missing[0]}=‹value›.")
    given = [*_inner_roles(cfg, "stages.sft"), "stages.sft"] if OmegaConf.select(cfg, "stages.sft") is not None else []
    for role in (*_inner_roles(cfg, "algo"), "algo", *given, "stages.reward", "stages.cost"):
        _check_role(cfg, role)
    _check_parts(cfg)
    try:
        settings = OmegaConf.to_object(cfg)
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0], "`--cfg job` prints the whole configuration") from error
    if not isinstance(settings, RunConfig):
        raise ConfigError("the composed configuration is not a run", "compose conf/config.yaml")
    _check_components(settings)
    return settings


def described(cfg: DictConfig, key: str) -> str:
    """What a dotted key means, by its field's own words; empty where there are none."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    kind = OmegaConf.get_type(node)
    specs = {spec.name: spec for spec in fields(kind)} if is_dataclass(kind) else {}
    doc = specs[name].metadata.get("doc", "") if name in specs else ""
    return f"{doc} " if doc else ""


def _undeclared(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    """Dotted keys that no dataclass declares: `+key=value` adds them past every check of Hydra's."""
    kind = OmegaConf.get_type(cfg)
    declared = {spec.name for spec in fields(kind)} if is_dataclass(kind) else {str(name) for name in cfg}
    for name in map(str, cfg):
        if name not in declared:
            yield prefix + name
        elif not OmegaConf.is_missing(cfg, name) and isinstance(cfg[name], DictConfig):
            yield from _undeclared(cfg[name], f"{prefix}{name}.")


def _inner_roles(cfg: DictConfig, role: str) -> list[str]:
    """Keys of the methods that a method builds on, innermost first."""
    inner = f"{role}.policy"
    return [*_inner_roles(cfg, inner), inner] if OmegaConf.select(cfg, inner) is not None else []


def _check_role(cfg: DictConfig, role: str) -> None:
    """A method's settings, checked under the key they were given by."""
    node = OmegaConf.select(cfg, role)
    kind = OmegaConf.get_type(node) or object
    if not issubclass(kind, MethodConfig):
        remedy = f"choose one by algo@{role}=‹method›" if "." in role else "give its YAML /schema/algo/‹method›@_here_"
        raise ConfigError(f"{role} is not a method's configuration", remedy)
    method = registry.method(node.method)
    declared = method.config
    if kind is not declared:
        raise ConfigError(
            f"{role}.method={node.method} does not fit the settings of {role}, which are those of {kind.__name__}",
            f"choose a method by {'algo' if role == 'algo' else f'algo@{role}'}={node.method}",
        )
    if role == "stages.sft" and method.needs.sft and OmegaConf.select(node, "policy") is None:
        raise ConfigError(
            f"{role}.method={node.method} starts from the SFT policy, which is what {role} makes",
            f"choose a preset that names what it starts from, or pass +algo@{role}.policy=‹method›",
        )
    if (role == "stages.sft" or role.endswith(".policy")) and not method.yields_policy:
        raise ConfigError(f"{role}.method={node.method} trains no policy", f"choose another by algo@{role}=‹method›")
    if method.sampler and method.needs.policy and node.policy is None:
        raise ConfigError(f"{role}.policy names no method", f"choose one by algo@{role}.policy=‹method›")
    if role == "stages.cost" and not method.fixes_zero:
        raise ConfigError(f"{role}.method={node.method} learns no safety labels", f"leave out algo@{role}")
    try:
        OmegaConf.to_object(node)
    except ConfigError as error:
        own = (text.replace("algo.", f"{role}.") for text in (error.message, error.remedy))
        raise ConfigError(*own) from None


def _check_parts(cfg: DictConfig, prefix: str = "") -> None:
    """Settings inside settings do not know under which key they stand: innermost first, so that errors name it."""
    for name in map(str, cfg):
        node, key = cfg[name], f"{prefix}{name}"
        if not isinstance(node, DictConfig) or not is_dataclass(OmegaConf.get_type(node)):
            continue
        _check_parts(node, f"{key}.")
        try:
            OmegaConf.to_object(node)
        except ConfigError as error:
            if key in error.message:
                raise
            raise ConfigError(f"{key}: {error.message}", error.remedy) from None


def _check_components(settings: RunConfig) -> None:
    """Everything that is named must exist, before anything is computed."""
    source = registry.component("sources", settings.data.source)
    if source.config is not None and type(settings.data) is not source.config:
        raise ConfigError(
            f"data.source={source.name} does not fit the settings of data, which are those of another source",
            f"choose a source by data={source.name}",
        )
    starts = {getattr(each, "value_init", "") for each in chain(settings.algo)}
    check_annotator(settings.annotator)
    check_reward(settings.reward, starts_value="reward" in starts)
    for each in chain(settings.algo):
        named_objective(each)
    check_budget(settings.budget, [*chain(settings.algo)])
    check_judge(settings.judge)


def check_revisions(settings: RunConfig) -> None:
    """Refuse a method that learns from revisions where nobody revises, before anything is computed."""
    given = settings.stages.sft
    for each in (*chain(settings.algo), *(chain(given) if given is not None else ())):
        if registry.method(each.method).needs.data is Data.REVISIONS and not settings.annotator.revises:
            raise ConfigError(
                f"{each.name} learns from revisions, and annotator={settings.annotator.kind} revises nothing",
                "choose who criticises and revises: annotator=policy, model, endpoint, or rules on the desk world",
            )


def preset_values(preset: str) -> dict[str, Any]:
    """The values that `algo=‹preset›` starts from: those of its YAML, over those of the presets it builds on."""
    owner = registry.presets()
    if preset not in owner:
        raise ConfigError(f"unknown method {preset!r}", registry.suggestion(preset, owner))
    folder = registry.conf_folder(registry.method(owner[preset]).conf)
    written: Any = OmegaConf.to_container(OmegaConf.load(folder / "algo" / f"{preset}.yaml"))
    values: dict[str, Any] = {}
    for base in written.pop("defaults", []):
        if isinstance(base, str) and base in owner:
            values |= preset_values(base)
        elif isinstance(base, dict) and "/algo@policy" in base:
            values["policy"] = base["/algo@policy"]
    return values | {str(key): value for key, value in written.items()}


def named_objective(config: MethodConfig) -> tuple[Method, PairConfig] | None:
    """The method whose pair objective an online method minimises, with its settings; None for all others.

    Raises ConfigError for an objective that does not exist, or that its own samples cannot be given to.
    """
    if not isinstance(config, OnlinePairConfig):
        return None
    preset_values(config.objective)  # names the nearest preset where there is none of this name
    method = registry.method(registry.presets()[config.objective])
    if not method.objective or method.couple or method.module != PAIR_MODULE:
        raise ConfigError(
            f"algo.objective={config.objective} is not the loss of a single pair from its log-probabilities",
            "choose a method that learns from pairs and says so by objective=, such as those of `methods`",
        )
    given = dict(config.settings) | ({} if config.beta is None else {"beta": config.beta})
    if given.get("reference_every"):
        raise ConfigError("algo.settings.reference_every moves a stored reference", "use the method's own settings")
    try:
        found = preset_config(config.objective, **given)
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"algo.settings: {str(error).splitlines()[0]}", f"`methods {method.name}` lists them"
        ) from error
    assert isinstance(found, PairConfig)  # what every pair objective is combined with
    return method, found


def preset_config(preset: str, **given: Any) -> MethodConfig:
    """The checked settings of a preset, some of them replaced; what another method stands for is left out."""
    values = {name: value for name, value in preset_values(preset).items() if name != "policy"} | given
    schema = OmegaConf.structured(registry.method(registry.presets()[preset]).config)
    config: MethodConfig = OmegaConf.to_object(OmegaConf.merge(schema, values))  # type: ignore[assignment]
    return config
