"""Fair tuning: every row of the sweep gets the same number of trials, and its winner runs on the sweep's own seeds.

Trials are ordinary jobs, evaluated on validation requests with unreported seeds. They are found again like any job.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from alignlab.config import RunConfig
from alignlab.errors import AlignlabError, ConfigError
from alignlab.launch import record
from alignlab.launch.jobs import Composer, Job, key_of, typed_of
from alignlab.launch.search import Sampler, ranges, sampler
from alignlab.stages.files import atomic_write_json
from alignlab.tracking.console import say
from alignlab.tune import TuneConfig

TRIALS, TUNING = "trials", "tuning.json"
PROTOCOL = ("evaluation.split=validation", "evaluation.goals=0", "keep=none")
"""How a trial is judged: never on what the winner will be reported on."""
SEED = "seed"
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


def _metrics(job: Job) -> Mapping[str, Any]:
    try:
        content = json.loads((job.folder / record.RESULT).read_text(encoding="utf-8"))
        return dict(content.get("metrics") or {})
    except (OSError, ValueError, AttributeError):
        return {}


def check(jobs: Sequence[Job], tune: TuneConfig, trials: int) -> None:
    """Refuse a search that would report what it was tuned on, or that has nothing to try."""
    if trials < 1:
        raise ConfigError(f"trials={trials} tries nothing", "pass trials=8")
    both = sorted({job.settings.seed for job in jobs} & set(tune.seeds))
    if both:
        raise ConfigError(f"seed {both[0]} is both tuned on and reported", f"pass tune.seeds=[{max(both) + 1000}]")
    settings = jobs[0].settings
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
        self.arms: dict[str, Arm] = {}
        for job in jobs:
            self._add(job)

    def _add(self, job: Job) -> None:
        overrides = tuple(item for item in job.overrides if key_of(item) != SEED)
        label = " ".join([job.settings.algo.name, *(item for item in overrides if "." in key_of(item))])
        if label not in self.arms:
            fixed = [key_of(item).removeprefix("algo.") for item in overrides if key_of(item).startswith("algo.")]
            config = job.settings.algo
            search = sampler(config, self.tune, ranges(config, job.settings.ranges, fixed))
            self.arms[label] = Arm(label, overrides, search)

    def rounds(self) -> Sequence[range]:
        """Trials that can run at the same time: all of a random search, one after another of one that learns."""
        whole = range(self.count)
        return [whole] if self.tune.sampler == "random" else [range(number, number + 1) for number in whole]

    def draw(self, numbers: range) -> list[Job]:
        """The jobs of the next trials, all methods' first before any method's second."""
        drawn = [self._trial(arm, number) for number in numbers for arm in self.arms.values()]
        return [job for trial in drawn for job in trial.jobs]

    def _trial(self, arm: Arm, number: int) -> Trial:
        trial = Trial(number, arm.search.draw(number), [])
        given = [f"algo.{name}={value!r}" for name, value in trial.settings.items()]
        place = list(self.arms).index(arm.label)
        try:
            for seed in self.tune.seeds:
                overrides = (*arm.overrides, *given, *PROTOCOL, f"seed={seed}")
                settings = typed_of(self._compose(overrides))
                name = f"{place}-{settings.algo.name}-trial{number}-seed{seed}"
                trial.jobs.append(Job(number, overrides, settings, self.folder / TRIALS / name))
        except AlignlabError as error:
            trial.jobs, trial.error = [], error.message
        arm.trials.append(trial)
        return trial

    def tell(self, numbers: range) -> None:
        """Let the searches know what came of those trials."""
        for arm in self.arms.values():
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
        best = {label: self.chosen(arm) for label, arm in self.arms.items()}
        for label, trial in best.items():
            if trial is None:
                notes.append(f"no trial of {label} has a result: it runs with its defaults")
            elif self._score(trial) is None:
                notes.append(f"no trial of {label} stayed within a KL of {self.tune.kl_limit:g}: the nearest is taken")
        for job in jobs:
            label = next(name for name, arm in self.arms.items() if _of(arm, job))
            trial = best[label]
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
            "methods": {label: self._told(arm) for label, arm in self.arms.items()},
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


def _of(arm: Arm, job: Job) -> bool:
    return arm.overrides == tuple(item for item in job.overrides if key_of(item) != SEED)


def announce(tuning: Tuning) -> None:
    """Say what the search costs before it starts."""
    count = tuning.count * len(tuning.tune.seeds)
    say(f"tuning {len(tuning.arms)} rows: {count} trials each, then the winners on the sweep's seeds")
