"""The verb `judge-check`: judges of refusals against labels of people, kept in the store for the runs that use them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignlab.errors import ConfigError

if TYPE_CHECKING:
    from alignlab.config import RunConfig
    from alignlab.judges.labels import Labelled

ABOUT = """\
Holds judges of refusals against replies that people labelled, and keeps what
comes of it in the store, where runs with the same judge find it.

  judge-check FILE … judge=phrases      one judge, with its settings
  judge-check FILE … --judges a,b       several side by side
  judge-check                           what was measured into the store

FILE: completions of XSTest, or CSV or JSON lines with prompt, completion,
verdict (refused, partial, complied) and, if known, model, family and kind. A
judge that learns is tested on prompts and families of models that it has not
learned from.
"""
USUAL = "phrases"
"""The judge that is measured where none is named."""
MATCH = "string match"
"""The column of the labels' authors."""


def main(argv: Sequence[str]) -> int:
    """Run the verb; returns the exit code. Expected failures raise AlignlabError."""
    parser = argparse.ArgumentParser(
        prog="python -m alignlab judge-check", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("given", nargs="*", metavar="FILE | key=value", help="labelled replies; settings")
    parser.add_argument("--judges", default="", metavar="A,B", help="judges to measure")
    options = parser.parse_intermixed_args(list(argv))
    files = [each for each in options.given if not _is_setting(each)]
    overrides = [each for each in options.given if _is_setting(each)]
    if not files:
        return _recorded(overrides)
    names, overrides = _judges(options.judges, overrides)
    return _measured(files, names, overrides)


def _is_setting(text: str) -> bool:
    """Whether an argument is a setting rather than the name of a file, which may hold a = as well."""
    return "=" in text and not Path(text).exists()


def _judges(listed: str, overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Judges named by --judges or judge=, and the settings without that choice."""
    chosen = [each.partition("=")[2] for each in overrides if each.partition("=")[0] == "judge"]
    if listed and chosen:
        raise ConfigError(f"--judges {listed} and judge={chosen[0]} both name judges", "leave out one of them")
    names = [name for text in [listed, *chosen] for name in text.split(",") if name]
    rest = [each for each in overrides if each.partition("=")[0] != "judge"]
    return list(dict.fromkeys(names)) or [USUAL], rest


def _measured(files: Sequence[str], names: Sequence[str], overrides: Sequence[str]) -> int:
    from alignlab.judges import labels

    rows = labels.read(files)
    settings = {name: _settings(name, overrides, files) for name in names}
    for each in settings.values():
        each.judge.check(None)
    # From here on libraries are loaded that take a while.
    from alignlab.judges.check.agreement import agreement, ceiling
    from alignlab.judges.check.report import show
    from alignlab.tracking.console import results, say

    found: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    for name, each in settings.items():
        say(f"judging {len(rows):,} replies by {name}")
        done = _one(each, rows, files)
        found[name] = done.figures
        notes += [*done.notes, *_few(name, done.figures)]
    if all(row.matched is not None for row in rows):
        found[MATCH] = agreement(rows, [row.matched for row in rows])
    notes.append("in %, with 95 % intervals; precision and recall are of refusal, full or partial")
    show(found, results, ceiling=ceiling(rows), notes=notes)
    return 0


@dataclass(frozen=True)
class Done:
    """One judge, measured."""

    figures: dict[str, Any]
    notes: list[str]


def _settings(name: str, overrides: Sequence[str], files: Sequence[str]) -> RunConfig:
    """A run's settings under one judge; those of other judges are left out, and one that learns has labels."""
    from alignlab import registry
    from alignlab.compose import composed
    from alignlab.config import typed

    declared = registry.component("judges", name).config
    if declared is None or getattr(declared, "reads_source", False) is True:
        raise ConfigError(f"judge={name} is exact for its own data: there is nothing to measure", "name another judge")
    known = {spec.name for spec in fields(declared)}
    every = {spec.name for each in _declared() for spec in fields(each)}
    own = [each for each in overrides if not _foreign(each, known, every)]
    cfg = composed([f"judge={name}", *own])
    if "labels" in cfg.judge and not cfg.judge.labels:
        cfg.judge.labels = [str(file) for file in files]
    return typed(cfg)


def _declared() -> list[type]:
    from alignlab import registry

    return [each.config for each in registry.components("judges").values() if each.config is not None]


def _foreign(override: str, known: set[str], every: set[str]) -> bool:
    """Whether a setting is one of another judge alone; what no judge knows is an error later on."""
    key = override.partition("=")[0].lstrip("+~")
    first, _, name = key.partition(".")
    name = name.partition(".")[0]
    return first == "judge" and name in every and name not in known


def _one(settings: RunConfig, rows: Sequence[Labelled], files: Sequence[str]) -> Done:
    """Verdicts of one judge on all replies, what they are worth, and a record of it in the store."""
    from alignlab.judges.check.agreement import agreement
    from alignlab.stages.files import atomic_write_json
    from alignlab.stages.graph import device
    from alignlab.stages.key import canonical
    from alignlab.stages.verdicts import SCHEMA, RunJudge

    judge, config = RunJudge(settings.judge, None, settings.store, device(settings)), settings.judge
    if config.reads_policy:
        raise ConfigError(
            f"judge={config.kind} reads the SFT policy of a run, and there is no run here",
            "name a model by judge.path=‹run›/model, and pass the same to the run",
        )
    judged, notes = _learned(settings, rows) if config.learns else (_plain(judge, rows), [])
    figures = agreement(rows, judged)
    record = {
        "schema": SCHEMA,
        "judge": config.kind,
        "address": canonical(judge.address()),
        "labels": _sources(files),
        "scheme": notes,
        "measured": figures,
    }
    atomic_write_json(judge.record([each["sha256"] for each in record["labels"]]), record)
    return Done(figures, notes)


def _few(name: str, figures: Mapping[str, Any]) -> list[str]:
    """What must be known of a measurement on little."""
    from alignlab.judges.config import FEW

    if not figures["n"]:
        return [f"{name} judged none of the replies, and counts as unmeasured"]
    return [f"{name}: measured on {figures['n']:,} replies only"] if figures["n"] < FEW else []


def _plain(judge: Any, rows: Sequence[Labelled]) -> list[Any]:
    return list(judge.verdicts([row.prompt for row in rows], [row.text for row in rows]))


def _learned(settings: RunConfig, rows: Sequence[Labelled]) -> tuple[list[Any], list[str]]:
    """Verdicts by judges that did not learn from what they judge."""
    from alignlab import registry
    from alignlab.judges import labels
    from alignlab.judges.check.folds import held_out, scheme
    from alignlab.stages.graph import device

    config: Any = settings.judge
    learned = labels.read(config.labels)
    make = registry.component("judges", config.kind).load()
    where = {"source": None, "folder": Path(settings.store), "device": device(settings)}
    judged = held_out(learned, rows, lambda part: make(config, rows=part, **where))
    return judged, [f"{config.kind}: {scheme(learned)}"]


def _sources(files: Sequence[str]) -> list[Mapping[str, str]]:
    """The labels' files by name and content."""
    from alignlab.data.files import find
    from alignlab.stages.files import sha256_file

    return [{"file": path.name, "sha256": sha256_file(path)} for file in files for path in find(file)]


def _recorded(overrides: Sequence[str]) -> int:
    """What was measured into the store before."""
    from alignlab.compose import composed
    from alignlab.judges.check.report import show
    from alignlab.stages.verdicts import PLACE, records
    from alignlab.tracking.console import results

    store = Path(composed(overrides).store)
    found = [each for folder in sorted((store / PLACE).glob("*")) for each in records(folder)]
    if not found:
        raise ConfigError(f"no judge was measured into {store}", "name files of labelled replies")
    for record in found:
        name, figures = str(record["judge"]), record["measured"]
        files = ", ".join(each["file"] for each in record["labels"])
        show({name: figures}, results, notes=[*_few(name, figures), f"on {files}"])
    return 0
