"""Hydra's and OmegaConf's messages, turned into what is wrong as it was typed and what to type instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from alignlab import registry
from alignlab.config import described
from alignlab.errors import AlignlabError, ConfigError
from alignlab.registry import suggestion

GROUPS = {"algo": "method", "data": "data source"}
"""Groups whose options come from plugins, with what their options are called."""
VERBS = (
    "methods",
    "plan",
    "cache",
    "compare",
    "recommend",
    "reproduce",
    "chat",
    "label",
    "judge-check",
    "wandb-sync",
    "posture",
    "run",
)
"""First words that ask for something else than a run, and the one that asks for it."""
LISTED = 12
"""More names than this are not listed in a message."""
WRONG = (
    (r"Value '(.*)' of type '.*' could not be converted to Float", "{0!r} is not a number"),
    (r"Value '(.*)' of type '.*' could not be converted to Integer", "{0!r} is not a whole number"),
    (r"Value '(.*)' is not a valid bool", "{0!r} is neither true nor false"),
    (r"Invalid value '(.*)', expected one of \[(.*)\]", "must be one of {1}"),
    (r"field '(.*)' is not Optional", "cannot be null"),
    (r"(\w+) is not a ListConfig, list or tuple", "must be a list, as in [a,b]"),
    (r"Cannot convert '(.*)' to string", "must be one text, not a {0}"),
    (r"Invalid type assigned: (\w+) is not a subclass of (\w+)", "holds several settings; set them one by one"),
)
"""Patterns of OmegaConf's type errors, with what they mean."""

Compose = Callable[[Sequence[str]], DictConfig]


def explained(error: Exception, overrides: Sequence[str], compose: Compose) -> AlignlabError:
    """The error in the user's terms. `compose` composes the overrides that are not at fault."""
    own = error.__cause__
    if isinstance(own, AlignlabError):
        return own
    text = "\n".join(str(part) for part in (error, own) if part)
    for explain in (_grammar, _unknown_option, _clash, _unset, _unknown_key, _wrong_value):
        found = explain(text, overrides, compose)
        if found is not None:
            return found
    return ConfigError(str(error).strip().splitlines()[0], "`python -m alignlab --help` lists groups and options")


def _key(item: str) -> str:
    return item.partition("=")[0].lstrip("+~")


def _grammar(text: str, overrides: Sequence[str], compose: Compose) -> AlignlabError | None:
    item = next((item for item in overrides if not _readable(item)), None)
    if item is None:
        return None
    if "=" in item:
        return ConfigError(
            f"cannot read {item!r}: {text.splitlines()[0]}",
            "close every bracket and quote, and put the whole in quotes for the shell: 'key=[a,b]'",
        )
    if item in registry.presets():
        return ConfigError(f"cannot read {item!r}: settings are written key=value", f"did you mean algo={item}?")
    near = difflib.get_close_matches(item, VERBS, n=1, cutoff=0.7)
    return ConfigError(
        f"cannot read {item!r}: it is neither a verb nor key=value",
        f"did you mean the verb {near[0]!r}?" if near else "`python -m alignlab --help` lists verbs and settings",
    )


def _readable(item: str) -> bool:
    try:
        OverridesParser.create().parse_override(item)
    except (HydraException, ValueError):
        return False
    return bool(_key(item))


def _unknown_option(text: str, overrides: Sequence[str], compose: Compose) -> AlignlabError | None:
    match = re.search(r"Could not find '([\w/@.]+)/([^'/]*)'", text)
    if match is None:
        return None
    group, name = match[1].split("@")[0], match[2]
    if group == "algo" and name in registry.catalogue(registry.METHODS).broken:
        registry.method(name)
    known = [line.strip() for line in re.findall(r"^\t([^\s=]+)$", text, re.MULTILINE)]
    what = GROUPS.get(group, group)
    if not name:
        return ConfigError(f"{group}= names no {what}", suggestion("", known))
    return ConfigError(f"unknown {what} {group}={name}", suggestion(name, known))


def _clash(text: str, overrides: Sequence[str], compose: Compose) -> AlignlabError | None:
    sweep = re.search(r"Ambiguous value for argument '([^']+)'", text)
    if sweep:
        return ConfigError(f"{sweep[1]} names several values", "add -m to run one job for each")
    twice = re.search(r"Multiple values for (\S+?)\.? ", text)
    if twice:
        return ConfigError(f"{twice[1]} has a value already", f"write {twice[1]}=‹name› without the +")
    gone = next((item for item in overrides if item.startswith("~")), None)
    if gone and "interpolation" in text:
        return ConfigError(f"{gone} removes what a run needs", "leave it out")
    return None


def _unset(text: str, overrides: Sequence[str], compose: Compose) -> AlignlabError | None:
    """A setting inside one that is null, for which OmegaConf has but an assertion."""
    if "Unexpected type" not in text:
        return None
    cfg = compose([item for item in overrides if "." not in _key(item)])
    for key in map(_key, overrides):
        parent = key.partition(".")[0]
        if parent != key and parent in cfg and OmegaConf.select(cfg, parent) is None:
            remedy = "set it by a group or an experiment first: `python -m alignlab --help` lists them"
            return ConfigError(f"{key} has nothing to change: {parent} is not set", remedy)
    return None


def _unknown_key(text: str, overrides: Sequence[str], compose: Compose) -> AlignlabError | None:
    match = re.search(r"Could not override '([^']+)'", text) or re.search(r"Key '([^']+)' (?:is )?not in", text)
    if match is None:
        return None
    full = re.search(r"full_key: (\S+)", text)
    key = full[1] if full else match[1]
    place = re.search(r"In '([^']+)'", text)
    typed = any(key == _key(item) or (key.startswith(f"{_key(item)}.") and "={" in item) for item in overrides)
    where = "" if typed or place is None else f" in {place[1]}.yaml"
    return ConfigError(f"unknown setting {key}{where}", _key_remedy(key, _without(key, overrides, compose)))


def _without(key: str, overrides: Sequence[str], compose: Compose) -> DictConfig | None:
    """The configuration of the choices between groups alone, which knows every key."""
    try:
        return compose([item for item in overrides if "." not in _key(item).split("@")[0] and _key(item) != key])
    except Exception:  # a second mistake; the first is being explained
        return None


def _key_remedy(key: str, cfg: DictConfig | None) -> str:
    more = "`--cfg job` prints every setting there is"
    if key.startswith("hydra."):
        return "`--cfg hydra` prints the settings of Hydra itself"
    if cfg is None:
        return more
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    siblings = [str(each) for each in node] if isinstance(node, DictConfig) else []
    near = difflib.get_close_matches(name, siblings, n=1, cutoff=0.6)
    exact, alike = _elsewhere(name, _leaves(cfg)), [f"{parent}.{near[0]}" if parent else near[0]] if near else []
    dotted = alike or exact if parent else exact or alike  # a whole name without its group beats a slip of the pen
    if dotted:
        return f"did you mean {dotted[0]}?"
    if key.startswith("algo.") and "method" in siblings:
        return f"`python -m alignlab methods {node.method}` explains the settings of {node.name}"
    return f"{parent} has {', '.join(siblings)}" if parent and 0 < len(siblings) <= LISTED else more


def _elsewhere(name: str, leaves: Sequence[str]) -> list[str]:
    """Dotted keys that end in a name typed without its group; those of the method first."""
    return sorted((leaf for leaf in leaves if leaf.rpartition(".")[2] == name), key=lambda leaf: leaf[:5] != "algo.")


def _leaves(cfg: DictConfig, prefix: str = "") -> list[str]:
    found: list[str] = []
    for name in map(str, cfg):
        node = None if OmegaConf.is_missing(cfg, name) or OmegaConf.is_interpolation(cfg, name) else cfg[name]
        found += _leaves(node, f"{prefix}{name}.") if isinstance(node, DictConfig) and node else [f"{prefix}{name}"]
    return found


def _wrong_value(text: str, overrides: Sequence[str], compose: Compose) -> AlignlabError | None:
    full = re.search(r"full_key: (\S+)", text)
    found = next(((match, means) for pattern, means in WRONG if (match := re.search(pattern, text))), None)
    if full is None or found is None:
        return None
    key, (match, means) = full[1], found
    given = next((item.partition("=")[2] for item in overrides if _key(item) == key), None)
    shown = f"{key}={given}" if given is not None else key
    return ConfigError(
        f"{shown}: {means.format(*match.groups())}", _value_remedy(key, _without(key, overrides, compose))
    )


def _value_remedy(key: str, cfg: DictConfig | None) -> str:
    if cfg is None or OmegaConf.select(cfg, key) is None:
        return f"{described(cfg, key) if cfg is not None else ''}`--cfg job` prints the whole configuration."
    value = OmegaConf.select(cfg, key)
    if isinstance(value, DictConfig):
        return f"such as {key}.{next(map(str, value), '')}=‹value›"
    shown = str(getattr(value, "name", value)).replace("'", "").replace(", ", ",")
    return (
        f"{described(cfg, key)}Without this override it is {key}={shown.lower() if value in (True, False) else shown}."
    )
