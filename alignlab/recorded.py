"""A finished run as it was recorded: its settings become the same typed settings again.

They come from the resolved configuration in config.yaml, never from the command, whose meaning moves with today's
defaults. Torch-free, so that a record that no longer fits is refused at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from alignlab import registry
from alignlab.annotators.config import AnnotatorConfig
from alignlab.config import RunConfig, StagesConfig, typed
from alignlab.errors import ConfigError
from alignlab.judges.config import DetectorConfig
from alignlab.models.config import HfModel, TinyModel
from alignlab.rewards.config import RewardConfig

CONFIG, RESULT = "config.yaml", "result.json"
MODELS: Mapping[str, type] = {"tiny": TinyModel, "hf": HfModel}
ROLES = ("sft", "reward", "cost")


@dataclass(frozen=True)
class Record:
    """What config.yaml of a run folder says."""

    folder: Path
    command: str
    config: Mapping[str, Any]
    """The resolved settings as plain values."""
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Preset and seed, as in the names of run folders."""
        algo = self.config.get("algo")
        return f"{algo.get('name') if isinstance(algo, Mapping) else None}-seed{self.config.get('seed')}"


def read_record(target: Path | str) -> Record:
    """The record of a run, by its folder or a file in it. ConfigError when there is none."""
    path = Path(target).expanduser()
    folder = path.parent if path.is_file() else path
    try:
        content: Any = OmegaConf.to_container(OmegaConf.load(folder / CONFIG))
    except (OSError, YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise ConfigError(
            f"{target} is not the folder of a run: {folder / CONFIG} cannot be read", "name a folder below runs/"
        ) from error
    if not isinstance(content, Mapping) or not isinstance(content.get("config"), Mapping):
        raise ConfigError(f"{folder / CONFIG} holds no resolved configuration", "name a folder that alignlab wrote")
    return Record(
        folder=folder,
        command=str(content.get("command", "")),
        config=content["config"],
        versions=content.get("versions") or {},
        machine=content.get("machine") or {},
    )


def restored(record: Record) -> tuple[RunConfig, list[str]]:
    """The typed settings of a recorded run, and one line for each setting that did not exist then.

    Raises ConfigError for a recorded setting that no longer exists or no longer fits, PluginError for a method or
    component that is not installed.
    """
    where = record.folder / CONFIG
    notes: list[str] = []
    try:
        cfg = OmegaConf.structured(RunConfig)
        for name, value in _known(RunConfig, record.config, "", notes).items():
            cfg[name] = _part(name, value, cfg, notes)
        return typed(cfg), notes
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}", error.remedy) from error
    except (OmegaConfBaseException, AttributeError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"{where} does not fit the settings there are now: {reason}", _then(record)) from error


def _then(record: Record) -> str:
    return f"use alignlab {record.versions.get('alignlab', 'of that time')}, which wrote it"


def _part(name: str, value: Any, cfg: DictConfig, notes: list[str]) -> Any:
    """One group of settings, as the dataclass that its own choice stands for."""
    if not isinstance(value, Mapping):
        return value
    if name == "stages":
        given = _known(StagesConfig, value, "stages.", notes)
        roles = {role: _method(given[role], f"stages.{role}.", notes) for role in ROLES if given.get(role) is not None}
        return OmegaConf.merge(cfg.stages, given | roles)
    if name == "algo":
        return _method(value, "algo.", notes)
    kind = _kind(name, value) or OmegaConf.get_type(cfg[name])
    return _node(kind, value, f"{name}.", notes) if is_dataclass(kind) else dict(value)


def _kind(name: str, value: Mapping[str, Any]) -> type | None:
    """The dataclass of a group whose settings depend on what is chosen; None for the others."""
    if name == "exact":
        raise ConfigError("it is an experiment on the exact world, not a run", "give the command it holds again")
    if name == "model":
        return MODELS[str(value["kind"])]
    if name == "data":
        return registry.component("sources", str(value["source"])).config
    if name == "reward":
        return registry.component("rewards", str(value["kind"])).config or RewardConfig
    if name == "annotator":
        return registry.component("annotators", str(value["kind"])).config or AnnotatorConfig
    if name == "judge":
        return registry.component("judges", str(value["kind"])).config or DetectorConfig
    return None


def _method(value: Mapping[str, Any], where: str, notes: list[str]) -> DictConfig:
    """Settings of a method, and of the one it builds on."""
    inner = value.get("policy")
    node = _node(
        registry.method(str(value["method"])).config, {**value, "policy": None} if inner else value, where, notes
    )
    if inner:
        node.policy = _method(inner, f"{where}policy.", notes)
    return node


def _node(kind: type, value: Mapping[str, Any], where: str, notes: list[str]) -> DictConfig:
    node: DictConfig = OmegaConf.merge(OmegaConf.structured(kind), _known(kind, value, where, notes))  # type: ignore[assignment]
    return node


def _known(kind: type, value: Mapping[str, Any], where: str, notes: list[str]) -> dict[str, Any]:
    """The values, once each is known to be a setting still. Settings that came later are noted."""
    declared = {spec.name for spec in fields(kind)}
    gone = sorted(set(value) - declared)
    if gone:
        raise ConfigError(
            f"the recorded setting {where}{gone[0]} no longer exists, so the run cannot be repeated by this version",
            "use the version of alignlab that the file names",
        )
    notes += [
        f"{where}{name} did not exist then and takes its present default" for name in sorted(declared - set(value))
    ]
    return dict(value)


def store_of(record: Record, settings: RunConfig, given: Path | str | None = None) -> Path:
    """The store a run used: the one that is named, else the recorded one, sought from here and from the run upwards.

    ConfigError when there is none.
    """
    places = [Path(given).expanduser()] if given else list(_places(record.folder.resolve(), settings.store))
    for place in places:
        if (place / "objects").is_dir():
            return place
    raise ConfigError(
        f"there is no store at {places[0]}", "name the store that the run used: --store DIR, or run its command again"
    )


def _places(folder: Path, store: str) -> Iterator[Path]:
    named = Path(store).expanduser()
    yield named
    if not named.is_absolute():
        yield from (parent / named for parent in folder.parents)


def changed(
    then: Mapping[str, Any], now: Mapping[str, Any], names: Sequence[str] | None = None
) -> dict[str, tuple[Any, Any]]:
    """Entries of two flat mappings that differ: name -> (then, now). `names` narrows it."""
    every = names if names is not None else sorted({*then, *now})
    return {name: (then.get(name), now.get(name)) for name in every if then.get(name) != now.get(name)}
