"""The jobs of a sweep: every combination, each composed and checked before the first one starts.

Methods differ in what they can be told. A setting of `algo` that a method of the sweep does not have is left out for
that method, and said once; jobs that become equal by it run once. Hydra's own sweeper would stop at the first such job.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from alignlab import registry
from alignlab.compose import apart, composed, jobs
from alignlab.config import RunConfig, check_revisions, typed
from alignlab.errors import AlignlabError, ConfigError
from alignlab.method import Output
from alignlab.stages.key import canonical, dumps
from alignlab.tracking.console import say
from alignlab.tracking.progress import track

SEEDS = ("seed", "stage_seed")
GROUP = "algo"
ASIDE = ("store", "tracking", "overlap", "workers", "job_minutes", "trials", "tune", "ranges")
"""Settings that decide where and how a job runs, and nothing about its result."""


@dataclass(frozen=True, eq=False)
class Job:
    """One run of a sweep."""

    number: int
    overrides: tuple[str, ...]
    """What was typed, as far as it applies to this job."""
    settings: RunConfig
    folder: Path
    swept: tuple[str, ...] = ()
    """Those of its overrides that other jobs have otherwise, besides method and seed."""

    @property
    def name(self) -> str:
        """How people tell it from the others: `ppo steps=25 seed 3`."""
        own = [item.removeprefix(f"{GROUP}.") for item in self.swept]
        return " ".join([self.settings.algo.name, *own, f"seed {self.settings.seed}"])

    @property
    def address(self) -> str:
        """What its result depends on, as far as settings say it; canonical JSON."""
        return address(self.settings)


def address(settings: RunConfig) -> str:
    """The settings that decide a run's result, as canonical JSON."""
    kept = {name: value for name, value in asdict(settings).items() if name not in ASIDE}
    kept["trainer"] = {name: value for name, value in kept["trainer"].items() if name != "threads"}
    return dumps(canonical(kept))


@dataclass(frozen=True)
class Sweep:
    """Checked jobs and what had to be said about them."""

    jobs: tuple[Job, ...]
    notes: tuple[str, ...]
    launcher: str
    """Hydra's launcher that was asked for; `basic` where none was."""


class Composer:
    """Composes each combination once: seeds are the most frequent axis, and composing takes half a second."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[DictConfig, dict[str, Any]]] = {}

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration with Hydra's beside it. It is shared: callers set seeds and nothing else."""
        rest = tuple(item for item in overrides if key_of(item) not in SEEDS)
        if rest not in self._known:
            found = composed(rest, hydra=True)
            plain = OmegaConf.to_container(OmegaConf.masked_copy(found, list(SEEDS)), resolve=False)
            assert isinstance(plain, dict)
            self._known[rest] = found, {str(key): value for key, value in plain.items()}
        cfg, own = self._known[rest]
        typed_in = {key_of(item): item.partition("=")[2] for item in overrides if key_of(item) in SEEDS}
        for key in SEEDS:
            value = typed_in.get(key, own[key])
            cfg[key] = value if not isinstance(value, str) else _seed(key, value)
        return cfg


def _seed(key: str, value: str) -> int | str:
    """A seed as typed: a number, or a reference to another setting, which Hydra hands over escaped."""
    if "$" in value:
        return value.replace("\\", "")
    try:
        return int(value)
    except ValueError:
        raise ConfigError(f"{key}={value} is not a whole number", f"pass {key}=0") from None


def key_of(item: str) -> str:
    """The setting that an override is about."""
    return item.partition("=")[0].lstrip("+~")


def expand(overrides: Sequence[str], place: Callable[[DictConfig, Sequence[RunConfig]], Path]) -> Sweep:
    """Every job of a command line, composed, checked, without repetitions.

    `place` says where the sweep's folder is, once all settings are known. Raises ConfigError or PluginError for the
    first job that cannot run.
    """
    compose = Composer()
    asked = jobs(overrides)
    wanted, notes = _applicable(asked.jobs, compose, keeps_failing=not asked.patterned)
    found: dict[str, tuple[tuple[str, ...], RunConfig]] = {}
    repeated = 0
    for job in track(wanted, "checking every job of the sweep", unit="jobs"):
        try:
            settings = typed_of(compose(job))
        except AlignlabError as error:
            if not asked.patterned:
                raise
            notes.append(f"{_algo(job)} is left out: {error.message}")
            continue
        key = address(settings)
        repeated += key in found
        found.setdefault(key, (tuple(job), settings))
    if not found:
        raise ConfigError("no job of the sweep can run", "; ".join(notes) or "name a method: algo=…")
    if repeated:
        many = repeated > 1
        notes.append(
            f"{repeated} {'jobs' if many else 'job'} would repeat another and {'are' if many else 'is'} left out"
        )
    first = compose(next(iter(found.values()))[0])
    launcher = str(first.hydra.runtime.choices["hydra/launcher"])
    folder = place(first, [settings for _, settings in found.values()])
    values: dict[str, set[str]] = {}
    for item in {item for job, _ in found.values() for item in job}:
        values.setdefault(key_of(item), set()).add(item)
    swept = {key for key, items in values.items() if len(items) > 1} - {GROUP, *SEEDS}
    placed = tuple(
        Job(
            number,
            job,
            settings,
            folder / _subfolder(compose(job), number),
            tuple(item.lstrip("+") for item in job if key_of(item) in swept),
        )
        for number, (job, settings) in enumerate(found.values())
    )
    _refuse_shared_folders(placed)
    return Sweep(jobs=placed, notes=tuple(dict.fromkeys(notes)), launcher=launcher)


def _refuse_shared_folders(jobs: Sequence[Job]) -> None:
    """Two jobs in one folder would each remove the other's result."""
    owner: dict[Path, Job] = {}
    for job in jobs:
        if job.folder in owner:
            raise ConfigError(
                f"jobs {owner[job.folder].number} and {job.number} would both write to {job.folder}",
                "let hydra.sweep.subdir tell them apart, as by ${hydra.job.num} and ${seed}",
            )
        owner[job.folder] = job


def _algo(job: Sequence[str]) -> str:
    return next((item.partition("=")[2] for item in reversed(job) if key_of(item) == GROUP), "the default method")


def typed_of(cfg: DictConfig) -> RunConfig:
    """The run's settings, without Hydra's own beside them."""
    with apart(cfg) as run:
        settings = typed(run)
    check_revisions(settings)
    return settings


def _subfolder(cfg: DictConfig, number: int) -> str:
    with open_dict(cfg), read_write(cfg.hydra):
        cfg.hydra.job.num, cfg.hydra.job.id = number, str(number)
        return str(cfg.hydra.sweep.subdir)


def _applicable(
    wanted: Sequence[Sequence[str]], compose: Composer, *, keeps_failing: bool
) -> tuple[list[list[str]], list[str]]:
    """Job by job the settings that its method has, and sentences on those it has not."""
    kept: list[list[str]] = []
    lacking: dict[str, set[str]] = {}
    having: set[str] = set()
    notes: list[str] = []
    for job in wanted:
        if not keeps_failing and _scores_only(_algo(job)):
            notes.append(f"{_algo(job)} is left out: it trains what scores completions, not a policy")
            continue
        own = [item for item in job if key_of(item).startswith(f"{GROUP}.")]
        node = _node(job, own, compose, keeps_failing)
        absent = [item for item in own if node is not None and not _has(node, key_of(item).removeprefix(f"{GROUP}."))]
        having |= {key_of(item) for item in own if item not in absent}
        for item in absent:
            lacking.setdefault(key_of(item), set()).add(str(node.name if node is not None else ""))
        kept.append([item for item in job if item not in absent])
    for key, names in lacking.items():
        if key not in having:
            _refuse(key, wanted)
        notes.append(_lack(key, names))
    return kept, list(dict.fromkeys(notes))


def _node(job: Sequence[str], own: Sequence[str], compose: Composer, keeps_failing: bool) -> DictConfig | None:
    """The method's composed settings; None where there is nothing to look up, or composing says later what is wrong."""
    if not own:
        return None
    try:
        found: DictConfig = compose([item for item in job if item not in own]).algo
    except AlignlabError:
        if keeps_failing:
            raise
        return None
    return found


def _refuse(key: str, wanted: Sequence[Sequence[str]]) -> NoReturn:
    """Raise for a setting that no method of the sweep has."""
    composed(next(job for job in wanted if any(key_of(item) == key for item in job)))  # raises, and says why
    raise ConfigError(f"no method of the sweep has the setting {key}", "leave it out")


def _lack(key: str, names: set[str]) -> str:
    many = len(names) > 1
    verbs = ("do", "run") if many else ("does", "runs")
    return f"{', '.join(sorted(names))} {verbs[0]} not have the setting {key} and {verbs[1]} without it"


def _scores_only(preset: str) -> bool:
    owner = registry.presets().get(preset)
    return owner is not None and registry.method(owner).output is Output.SCORER


def _has(node: Any, path: str) -> bool:
    """Whether a dotted setting exists below a composed node; nodes that take any key have them all."""
    head, _, rest = path.partition(".")
    if not isinstance(node, DictConfig) or (OmegaConf.is_missing(node, head) and rest):
        return False
    if head not in list(map(str, node.keys())):
        return not OmegaConf.is_struct(node)
    return _has(node[head], rest) if rest else True


def tell(sweep: Sweep) -> None:
    """Say aloud what was left out."""
    for note in sweep.notes:
        say(note)


def described(job: Job) -> dict[str, Any]:
    """What `sweep.json` holds of a job."""
    return {
        "number": job.number,
        "folder": job.folder.name,
        "name": job.settings.algo.name,
        "seed": job.settings.seed,
        "overrides": list(job.overrides),
    }


def digest(addresses: Sequence[str]) -> str:
    """Eight digits that stand for jobs in their order, which numbers their folders."""
    return hashlib.sha256(json.dumps(list(addresses)).encode()).hexdigest()[:8]
