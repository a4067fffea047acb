"""From a command line to a composed configuration: Hydra's search path and schemas, and errors people can use.

Imports no torch, so that `--help` and every mistake in an override answer at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alignlab import config, registry
from alignlab.errors import AlignlabError, ConfigError
from alignlab.registry import suggestion

CONFIG_NAME = "config"
GROUPS = {"algo": "method", "data": "data source"}
"""Groups whose options come from plugins, with what their options are called."""


def conf_folder() -> Path:
    """The core groups: `conf/` of the checkout, or the copy inside the wheel."""
    package = Path(__file__).resolve().parent
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "conf" / "config.yaml").is_file():
        return checkout / "conf"
    return package / "conf"


class AlignlabSearchPath(SearchPathPlugin):
    """Let `algo=‹name›` and `data=‹name›` find the YAML that each plugin ships beside its code."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append every plugin's folder once."""
        registry.presets()
        places = {declared.conf: name for name, declared in registry.methods().items()}
        for kind in ("sources", "rewards"):
            places |= {part.conf: name for name, part in registry.components(kind).items() if part.conf}
        for conf, name in places.items():
            search_path.append(f"alignlab.{name}", conf)


def register() -> None:
    """Make plugins and schemas visible to Hydra. Safe to call again."""
    Plugins.instance().register(AlignlabSearchPath)
    store = ConfigStore.instance()
    store.store(group="schema", name="run", node=config.RunConfig)
    store.store(group="schema/model", name="tiny", node=config.TinyModel)
    store.store(group="schema/model", name="hf", node=config.HfModel)
    for name, declared in registry.methods().items():
        store.store(group="schema/algo", name=name, node=declared.config)
    for name, source in registry.components("sources").items():
        if source.config is not None:
            store.store(group="schema/data", name=name, node=source.config)


def composed(overrides: Sequence[str]) -> DictConfig:
    """The configuration of one run. Raises ConfigError or PluginError that name the key and the remedy."""
    register()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_folder()), version_base="1.3", job_name="alignlab"):
            cfg = compose(CONFIG_NAME, overrides=list(overrides))
    except AlignlabError:
        raise
    except (HydraException, OmegaConfBaseException) as error:
        raise explained(error, overrides) from error
    OmegaConf.set_struct(cfg, True)
    return cfg


def jobs(overrides: Sequence[str]) -> list[list[str]]:
    """Every combination that a multirun sweeps over, as override lists."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    try:
        parsed = OverridesParser.create().parse_overrides(overrides=list(overrides))
        return [list(job) for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]
    except HydraException as error:
        raise explained(error, overrides) from error


def check(overrides: Sequence[str], *, multirun: bool) -> None:
    """Compose and type every job before the first one starts."""
    for job in jobs(overrides) if multirun else [list(overrides)]:
        config.typed(composed(job))


def explained(error: Exception, overrides: Sequence[str]) -> AlignlabError:
    """Hydra's and OmegaConf's messages, shortened to what is wrong and what to type instead."""
    text = "\n".join(str(part) for part in (error, error.__cause__) if part)
    for explain in (_unknown_option, _unknown_key, _wrong_value):
        found = explain(text, overrides)
        if found is not None:
            return found
    own = error.__cause__
    if isinstance(own, AlignlabError):
        return own
    return ConfigError(str(error).strip().splitlines()[0], "`python -m alignlab --help` lists groups and options")


def _unknown_option(text: str, overrides: Sequence[str]) -> AlignlabError | None:
    match = re.search(r"Could not find '([\w/@.]+)/([^'/]+)'", text)
    if match is None:
        return None
    group, name = match[1].split("@")[0], match[2]
    if group == "algo" and name in registry.catalogue(registry.METHODS).broken:
        registry.method(name)
    known = [line.strip() for line in re.findall(r"^\t(\S+)$", text, re.MULTILINE)]
    return ConfigError(f"unknown {GROUPS.get(group, group)} {group}={name}", suggestion(name, known))


def _unknown_key(text: str, overrides: Sequence[str]) -> AlignlabError | None:
    match = re.search(r"Could not override '([^']+)'", text) or re.search(r"Key '([^']+)' (?:is )?not in", text)
    full = re.search(r"full_key: (\S+)", text)
    if match is None:
        return None
    key = full[1] if full else match[1]
    return ConfigError(f"unknown setting {key}", suggestion(key, known_keys(overrides, key)))


def _wrong_value(text: str, overrides: Sequence[str]) -> AlignlabError | None:
    match = re.search(r"(Value .*|Invalid value .*|.*could not be converted.*)", text)
    full = re.search(r"full_key: (\S+)", text)
    if match is None or full is None:
        return None
    given = next((item.partition("=")[2] for item in overrides if item.partition("=")[0].lstrip("+") == full[1]), None)
    wanted = match[1].strip().rstrip(".")
    return ConfigError(
        f"{full[1]}={given}: {wanted[0].lower()}{wanted[1:]}" if given is not None else f"{full[1]}: {wanted}",
        f"`python -m alignlab {' '.join(item for item in overrides if item.startswith(('algo=', 'data=')))} --cfg job`"
        " shows the types of all settings by their values",
    )


def known_keys(overrides: Sequence[str], near: str) -> list[str]:
    """Dotted keys of the configuration without the faulty override, for a suggestion."""
    groups = [item for item in overrides if "." not in item.partition("=")[0] and near not in item]
    try:
        with initialize_config_dir(str(conf_folder()), version_base="1.3", job_name="alignlab"):
            cfg = compose(CONFIG_NAME, overrides=groups)
    except (HydraException, OmegaConfBaseException):
        return []
    parent = near.rpartition(".")[0]
    node = OmegaConf.select(cfg, parent) if parent else cfg
    if not isinstance(node, DictConfig):
        return _leaves(cfg)
    return [f"{parent}.{name}" if parent else str(name) for name in node]


def _leaves(cfg: DictConfig, prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, value in OmegaConf.to_container(cfg, resolve=False).items():  # type: ignore[union-attr]
        dotted = f"{prefix}{name}"
        found += _leaves(OmegaConf.create(value), f"{dotted}.") if isinstance(value, dict) else [dotted]
    return found
