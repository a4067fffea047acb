"""Fair tuning: every row of the sweep gets the same number of trials, and its winner runs on the sweep's own seeds.

Trials are ordinary jobs, evaluated on validation requests with unreported seeds. They are found again like any job.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from alignlab.compare.runs import read_json
from alignlab.config import Keep, RunConfig
from alignlab.errors import AlignlabError, ConfigError
from alignlab.launch import record
from alignlab.launch.jobs import Composer, Job, key_of, typed_of
from alignlab.launch.search import Range, Sampler, ranges, sampler
from alignlab.stages.files import atomic_write_json
from alignlab.tracking.console import say
from alignlab.tune import TuneConfig

TRIALS, TUNING = "trials", "tuning.json"
PROTOCOL = ("evaluation.split=validation", "evaluation.goals=0", "evaluation.best_of=0", "evaluation.frontier=0")
"""How a trial is judged: never on what the winner will be reported on."""
SEED = "seed"
FRESH = "lr"
"""Searched over a range of its own for fresh models, whether or not a method of the sweep searches it."""
JUDGES = {
    "gold": "the true score (an oracle: no user has it)",
    "judge_score": "a reward model no method trains on",
    "proxy": "the score that methods train on, which favours whoever optimises it",
}
"""What a score is, in words."""


@dataclass
class Arm:
    """One row of the sweep: what is tuned, and its trials so far."""

    label: str
    overrides: tuple[str, ...]
    """Without seeds."""
    searched: Sequence[Range]
    search: Sampler
    trials: list[Trial] = field(default_factory=list)


@dataclass
class Trial:
    """Settings that were tried, and what came of them."""

    number: int
    settings: dict[str, float]
    jobs: list[Job]
    error: str = ""

    def mean(self, name: str) -> float | None:
        """A figure over the trial's seeds; None unless every seed has it."""
        found = [_metrics(job).get(f"eval/{name}") for job in self.jobs]
        known = [float(value) for value in found if value is not None]
        return statistics.fmean(known) if known and len(known) == len(self.jobs) else None

    @property
    def done(self) -> bool:
        """Whether every seed of it has figures."""
        return bool(self.jobs) and all(_metrics(job) for job in self.jobs)


def _metrics(job: Job) -> Mapping[str, Any]:
    return dict(read_json(record.result_of(job)).get("metrics") or {})


def check(jobs: Sequence[Job], tune: TuneConfig, trials: int) -> None:
    """Refuse a search that would report what it was tuned on, or that has nothing to try."""
    if trials < 1:
        raise ConfigError(f"trials={trials} tries nothing", "pass trials=8")
    both = sorted({job.settings.seed for job in jobs} & set(tune.seeds))
    if both:
        raise ConfigError(f"seed {both[0]} is both tuned on and reported", f"pass tune.seeds=[{max(both) + 1000}]")
    if any(key_of(item) == "stage_seed" and "$" not in item for job in jobs for item in job.overrides):
        raise ConfigError(
            f"stage_seed={jobs[0].settings.stage_seed} would let trials share SFT, labels and the held-out reward "
            "model with the runs that are reported",
            "leave stage_seed out",
        )
    settings = jobs[0].settings
    if tune.kl_limit is not None and settings.evaluation.temperature != 1:
        raise ConfigError(
            f"evaluation.temperature={settings.evaluation.temperature:g} leaves KL unknown, and tune.kl_limit needs it",
            "pass evaluation.temperature=1, or tune.kl_limit=null",
        )
    if tune.select == "judge_score" and not settings.evaluation.reward_models:
        raise ConfigError(
            "tune.select=judge_score needs the held-out reward model", "leave out evaluation.reward_models=false"
        )


class Tuning:
    """The search over all rows of a sweep. `run` computes jobs and returns when all have ended."""

    def __init__(self, jobs: Sequence[Job], settings: RunConfig) -> None:
        assert settings.tune is not None
        self.tune, self.count = settings.tune, settings.trials
        check(jobs, self.tune, self.count)
        self.folder = jobs[0].folder.parent
        self._compose = Composer()
        self.arms: dict[tuple[str, ...], Arm] = {}
        common = set.intersection(*({*_row(job)} for job in jobs))
        for job in jobs:
            self._add(job, common)
        declared = {each.name for arm in self.arms.values() for each in arm.searched}
        unknown = sorted(set(settings.ranges) - declared - {FRESH})
        if unknown:
            raise ConfigError(
                f"no method of the sweep searches ranges.{unknown[0]}", f"known: {', '.join(sorted(declared))}"
            )

    def _add(self, job: Job, common: set[str]) -> None:
        overrides, config = _row(job), job.settings.algo
        if overrides not in self.arms:
            fixed = [key_of(item).removeprefix("algo.") for item in overrides if key_of(item).startswith("algo.")]
            searched = ranges(config, job.settings.ranges, fixed)
            own = [item for item in overrides if item not in common and key_of(item) != "algo"]
            label = " ".join([config.name, *own])
            self.arms[overrides] = Arm(label, overrides, searched, sampler(config, self.tune, searched))

    def rounds(self) -> Sequence[range]:
        """Trials that can run at the same time: of a random search all but the first, which shows that it can work."""
        whole = range(self.count)
        if self.tune.sampler == "random":
            return [each for each in (whole[:1], whole[1:]) if each]
        return [whole[number : number + 1] for number in whole]

    def draw(self, numbers: range) -> list[Job]:
        """The jobs of the next trials, all methods' first before any method's second."""
        drawn = [self._trial(arm, number) for number in numbers for arm in self.arms.values()]
        return [job for trial in drawn for job in trial.jobs]

    def _trial(self, arm: Arm, number: int) -> Trial:
        trial = Trial(number, arm.search.draw(number), [])
        given = [f"algo.{name}={value!r}" for name, value in trial.settings.items()]
        place = list(self.arms).index(arm.overrides)
        try:
            for seed in self.tune.seeds:
                overrides = (*arm.overrides, *given, *PROTOCOL, f"seed={seed}")
                settings = typed_of(self._compose(overrides))
                if settings.keep is Keep.final:
                    settings.keep = Keep.none  # of a trial only the figures are wanted
                name = f"{place}-{settings.algo.name}-trial{number}-seed{seed}"
                trial.jobs.append(Job(number, overrides, settings, self.folder / TRIALS / name))
        except AlignlabError as error:
            trial.jobs, trial.error = [], error.message
        arm.trials.append(trial)
        return trial

    def tell(self, numbers: range) -> None:
        """Let the searches know what came of those trials. ConfigError where runs lack the score that decides."""
        for arm in self.arms.values():
            if any(arm.trials[number].done and arm.trials[number].mean(self.tune.select) is None for number in numbers):
                raise ConfigError(
                    f"runs of {arm.label} have no {self.tune.select}, by which tune.select chooses",
                    f"choose another score: tune.select={' or '.join(set(JUDGES) - {self.tune.select})}",
                )
            for number in numbers:
                arm.search.tell(number, self._score(arm.trials[number]))

    def _score(self, trial: Trial) -> float | None:
        """What decides; None for a trial that failed or drifted too far."""
        score, kl = trial.mean(self.tune.select), trial.mean("kl")
        if score is None or (self.tune.kl_limit is not None and (kl is None or kl > self.tune.kl_limit)):
            return None
        return score

    def chosen(self, arm: Arm) -> Trial | None:
        """The best trial within the limit; where none is, the one that drifted least; None where all failed."""
        near = [trial for trial in arm.trials if self._score(trial) is not None]
        if near:
            return max(near, key=lambda trial: self._score(trial) or 0.0)
        done = [trial for trial in arm.trials if trial.mean("kl") is not None]
        return min(done, key=lambda trial: trial.mean("kl") or 0.0) if done else None

    def winners(self, jobs: Sequence[Job]) -> tuple[list[Job], list[str]]:
        """The sweep's own jobs with the chosen settings; and what has to be said."""
        found, notes = [], []
        best = {key: self.chosen(arm) for key, arm in self.arms.items()}
        for key, trial in best.items():
            label = self.arms[key].label
            if trial is None:
                notes.append(f"no trial of {label} has a result: it runs with its defaults")
            elif self._score(trial) is None:
                notes.append(f"no trial of {label} stayed within a KL of {self.tune.kl_limit:g}: the nearest is taken")
        for job in jobs:
            trial = best[_row(job)]
            given = [f"algo.{name}={value!r}" for name, value in trial.settings.items()] if trial else []
            overrides = (*job.overrides, *given)
            found.append(replace(job, overrides=overrides, settings=typed_of(self._compose(overrides))))
        return found, notes

    def write(self) -> None:
        """tuning.json: every trial, and the choice."""
        oracle = self.tune.select == "gold"
        seeds = ", ".join(map(str, self.tune.seeds))
        limit = "" if self.tune.kl_limit is None else f" within a KL of {self.tune.kl_limit:g} nats"
        sentence = (
            f"{self.count} trials for every method by {self.tune.sampler} search over its declared ranges, on "
            f"validation requests of seed {seeds}, chosen by {JUDGES[self.tune.select]}{limit}; the winners ran on the "
            "seeds shown here."
        )
        content = {
            "schema": 1,
            "trials": self.count,
            "sampler": self.tune.sampler,
            "select": self.tune.select,
            "oracle": oracle,
            "sentence": sentence,
            "methods": {arm.label: self._told(arm) for arm in self.arms.values()},
        }
        atomic_write_json(self.folder / TUNING, content)

    def _told(self, arm: Arm) -> dict[str, Any]:
        best = self.chosen(arm)
        rows = [
            {
                "number": trial.number,
                "settings": trial.settings,
                "selection": self._score(trial),
                "reported": trial.mean("gold") if trial.mean("gold") is not None else trial.mean(self.tune.select),
                "score": trial.mean(self.tune.select),
                "kl": trial.mean("kl"),
                **({"error": trial.error} if trial.error else {}),
            }
            for trial in arm.trials
        ]
        picked = None if best is None else rows[arm.trials.index(best)]
        kept = ("settings", "score", "kl")
        return {"trials": rows, "chosen": {name: picked[name] for name in kept} if picked else None}


def _row(job: Job) -> tuple[str, ...]:
    """What was typed for the job, seeds left out: equal for the jobs of one row."""
    return tuple(item for item in job.overrides if key_of(item) != SEED)


def announce(tuning: Tuning) -> None:
    """Say what the search costs before it starts."""
    count = tuning.count * len(tuning.tune.seeds)
    say(f"tuning {len(tuning.arms)} rows: {count} trials each, then the winners on the sweep's seeds")
