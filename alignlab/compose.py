"""From a command line to a composed configuration: Hydra's search path and schemas, and errors people can use.

Imports no torch, so that `--help` and every mistake in an override answer at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from alignlab import config, registry
from alignlab.errors import AlignlabError, ConfigError
from alignlab.explain import explained
from alignlab.models import config as models

CONFIG_NAME = "config"


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
        for conf, name in registry.conf_places().items():
            search_path.append(f"alignlab.{name}", f"file://{registry.conf_folder(conf)}")


def register() -> None:
    """Make plugins and schemas visible to Hydra. Safe to call again."""
    Plugins.instance().register(AlignlabSearchPath)
    OmegaConf.register_new_resolver("chosen", _chosen, replace=True)
    OmegaConf.register_new_resolver("sweep_name", lambda: _names["sweep"], replace=True)
    _store("schema", "run", config.RunConfig)
    _store("schema/model", "tiny", models.TinyModel)
    _store("schema/model", "hf", models.HfModel)
    for name, declared in registry.methods().items():
        _store("schema/algo", name, declared.config)
    groups = (("data", "sources"), ("reward", "rewards"), ("annotator", "annotators"), ("judge", "judges"))
    for group, kind in groups:
        for name, component in registry.components(kind).items():
            if component.config is not None:
                _store(f"schema/{group}", name, component.config)


_stored: dict[tuple[str, str], type] = {}


def _store(group: str, name: str, kind: type) -> None:
    """Let YAML extend a dataclass. Once for each: a sweep composes hundreds of jobs in one process."""
    if _stored.get((group, name)) is not kind:
        ConfigStore.instance().store(group=group, name=name, node=_open(kind))
        _stored[group, name] = kind


_names = {"sweep": time.strftime("%Y-%m-%d_%H-%M-%S")}


def name_sweep(name: str) -> None:
    """What `${sweep_name:}` stands for from now on; the time until then."""
    _names["sweep"] = name


def _chosen(group: str, *, _root_: DictConfig) -> str:
    """In a list of defaults: the option of a group whose key has dots, such as `algo@algo.policy`."""
    return str(_root_.get(group))


def _open(kind: Any) -> Any:
    """A schema whose `dict` fields accept any key, such as `streams.data=7`; all others refuse unknown ones."""
    cfg = kind if isinstance(kind, DictConfig) else OmegaConf.structured(kind)
    for name in cfg:
        if OmegaConf.is_missing(cfg, name):
            continue
        if isinstance(cfg[name], DictConfig) and OmegaConf.get_type(cfg[name]) is dict:
            OmegaConf.set_struct(cfg[name], False)
        elif isinstance(cfg[name], DictConfig):
            _open(cfg[name])
    return cfg


def composed(overrides: Sequence[str], *, hydra: bool = False) -> DictConfig:
    """The configuration of one run, with Hydra's own beside it if asked for.

    Raises ConfigError or PluginError that name the key and the remedy.
    """
    register()
    try:
        return _compose(overrides, hydra=hydra)
    except AlignlabError:
        raise
    except (HydraException, OmegaConfBaseException, ValueError, AssertionError) as error:
        raise explained(error, overrides, _compose) from error


def _compose(overrides: Sequence[str], *, hydra: bool = False) -> DictConfig:
    with entered():
        cfg = compose(CONFIG_NAME, overrides=list(overrides), return_hydra_config=hydra)
    OmegaConf.set_struct(cfg, True)
    return cfg


@contextmanager
def entered() -> Iterator[Hydra]:
    """Hydra over the core's configuration. The innermost may be entered again: it is set up from nothing."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_folder()), version_base="1.3", job_name="alignlab"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        yield hydra


class Combinations(NamedTuple):
    """What a multirun sweeps over."""

    jobs: list[list[str]]
    """Every combination, as override lists."""
    patterned: bool
    """Whether methods are chosen by a pattern, which takes what fits, and not by their names."""


def jobs(overrides: Sequence[str]) -> Combinations:
    """Every combination that a multirun sweeps over."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    register()
    try:
        with entered() as hydra:
            parser = OverridesParser.create(config_loader=hydra.config_loader)  # which knows what glob(*) finds
            parsed = parser.parse_overrides(overrides=list(overrides))
            named = _sweep_file(parsed)
            swept = parser.parse_overrides([f"{key}={value}" for key, value in named.items()])
            patterned = any(isinstance(each.value(), Glob) for each in (*swept, *parsed) if each.key_or_group == "algo")
            split = BasicSweeper.split_arguments([*swept, *parsed], None)
            return Combinations([list(job) for batch in split for job in batch], patterned)
    except AlignlabError:
        raise
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise explained(error, overrides, _compose) from error


def _sweep_file(parsed: Sequence[Override]) -> Mapping[str, str]:
    """What `+sweep=‹name›` sweeps over; a method's own settings do not decide that, and may not fit the default one."""
    fixed = [item for item in parsed if not item.is_sweep_override() and not item.key_or_group.startswith("algo.")]
    named = _compose([item.input_line or "" for item in fixed], hydra=True).hydra.sweeper.get("params")
    return named or {}


def check(overrides: Sequence[str]) -> DictConfig:
    """Compose and type one run before anything is loaded for it: its configuration, with Hydra's own beside it."""
    cfg = composed(overrides, hydra=True)
    with apart(cfg) as run:
        settings = config.typed(run)
    if settings.tune is not None:
        raise ConfigError("+tune= describes many runs", "add -m to run them, as in -m +tune=equal algo=…")
    for item in overrides:
        # A file of sweep parameters without -m would run one job with none of them.
        if item.lstrip("+").startswith("sweep=") and cfg.hydra.sweeper.get("params"):
            raise ConfigError(f"{item} describes several jobs", "add -m to run them, as in -m " + item)
    return cfg


@contextmanager
def apart(cfg: DictConfig) -> Iterator[DictConfig]:
    """The run's configuration without Hydra's own, which is put back afterwards."""
    with open_dict(cfg):
        hydra = cfg.pop("hydra")
    try:
        yield cfg
    finally:
        with open_dict(cfg):
            cfg.hydra = hydra
