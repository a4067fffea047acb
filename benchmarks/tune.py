"""Settings of each method for the desk world, by seeded random search with the same number of trials for each.

    python benchmarks/tune.py dpo ipo kto --trials 4 --record benchmarks/tuned.jsonl --write

A trial draws every setting that the method declares a search range for, trains on stages that all trials share, and
samples validation requests. Kept is the trial with the highest score by the held-out reward model, against which no
method trains, among those within a KL limit; a method that no trial keeps within it gets as many again at a tenth of
the learning rate. The true score is recorded beside it and chooses nothing. What a trial costs is the same for all
methods of a kind: one pass over the pairs, or so many rollouts of so many completions.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

KL_LIMIT = 3.0
"""Nats a reply; further away the held-out reward model, too, is told what it likes to hear."""
LEARNING_RATES = (1e-4, 2e-3)
"""For fresh tiny models; the ranges that methods declare are for models of every size."""
OFFLINE = {"epochs": 1, "batch_size": 64}
ONLINE = {"steps": 40, "batch_size": 128}
GROUPS = 8
"""Completions of one prompt at most, so that a rollout still holds many prompts."""
EXTRA: dict[str, dict[str, Any]] = {"spin": {"reference_every": 40}, "tr_dpo_hard": {"reference_every": 40}}
"""What a run of this size needs for a method to be itself: a reference that moves three times in 125 updates."""
BASE = ("data=desk", "model=tiny", "overlap=false", "trainer.threads=1", "trainer.accelerator=cpu")


def budget(preset: str) -> dict[str, Any]:
    """What every trial of a method is given, whatever it draws."""
    from alignlab import registry
    from alignlab.config import preset_values
    from alignlab.method import OnlineConfig

    if not issubclass(registry.method(registry.presets()[preset]).config, OnlineConfig):
        return {**OFFLINE, **EXTRA.get(preset, {})}
    size = int(preset_values(preset).get("group_size", 1))
    return {**ONLINE, "group_size": min(size, GROUPS)}


def draw(preset: str, trial: int, seed: int, *, slow: bool = False) -> dict[str, Any]:
    """Settings of one trial: a function of (method, trial, seed) alone; `slow` at a tenth of the learning rate."""
    from alignlab import registry
    from alignlab.config import preset_values

    own, settings = preset_values(preset), dict[str, Any]()
    for spec in fields(registry.method(registry.presets()[preset]).config):
        search = spec.metadata.get("search")
        if search is None or own.get(spec.name, spec.default) is None:
            continue
        low, high, scale = (*LEARNING_RATES, "log") if spec.name == "lr" else search
        # Each setting has numbers of its own, so that a new setting of a method moves no other.
        u = random.Random(f"{preset}/{spec.name}/{trial}/{seed}").random()
        value = math.exp(math.log(low) + u * math.log(high / low)) if scale == "log" else low + u * (high - low)
        settings[spec.name] = float(f"{value / (10 if slow and spec.name == 'lr' else 1):.2g}")
    return settings


def overrides(preset: str, settings: dict[str, Any], store: str, seed: int) -> list[str]:
    given = [f"++algo.{name}={value}" for name, value in settings.items()]
    return [f"algo={preset}", *BASE, f"store={store}", f"seed={seed}", "keep=none", *given]


def trial(job: tuple[str, dict[str, Any], str, int]) -> dict[str, Any]:
    """Train once; the figures on validation requests."""
    import torch

    from alignlab.compose import composed
    from alignlab.config import typed
    from alignlab.data.batch import over_rows
    from alignlab.data.schema import Split
    from alignlab.errors import AlignlabError
    from alignlab.evaluation.measure_tokens import measure_tokens
    from alignlab.numerics.noise import Noise
    from alignlab.rollout.texts import texts_of
    from alignlab.stages.graph import Graph

    preset, settings, store, seed = job
    torch.set_num_threads(1)
    began = time.perf_counter()
    found = {"preset": preset, "seed": seed, "settings": settings}
    try:
        graph = Graph(typed(composed(overrides(preset, settings, store, seed))), quiet=True)
        trained = graph.policy_of_method
    except AlignlabError as error:
        return {**found, "error": str(error).splitlines()[0]}
    rows = graph.prompt_rows(Split.VALIDATION, graph.settings.seeds)
    noise = Noise(graph.settings.seeds.of("evaluation", "tuning"), torch.arange(len(rows)))
    policy, reference = graph.policy(trained), graph.policy(graph.sft)
    rollouts = graph.engine(policy).sample([row.prompt.tolist() for row in rows], noise)
    with torch.no_grad():
        kl = measure_tokens(policy.completion_logits, reference.completion_logits, rollouts.sequences).kl
        score = over_rows(rollouts.sequences, graph.scorer(graph.reward(Split.HELD_OUT)))
    columns = [row.source for row in rows], texts_of(rollouts, graph.base.tokenizer), rollouts.ended.tolist()
    gold = [graph.source.gold(*row) for row in zip(*columns, strict=True)]
    if trained.content != graph.sft.content:
        graph.store.discard(trained)
    return {
        **found,
        "held_out": round(float(score.mean()), 4),
        "kl": round(float(kl.mean()), 4),
        "gold": round(statistics.fmean(gold), 4),
        "seconds": round(time.perf_counter() - began, 1),
    }


def within(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Trials that succeeded and stayed near."""
    return [row for row in rows if "error" not in row and row["kl"] <= KL_LIMIT]


def chosen(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The best trial within the KL limit; the one that drifted least where none is within."""
    done, near = [row for row in rows if "error" not in row], within(rows)
    if near:
        return max(near, key=lambda row: row["held_out"])
    return min(done, key=lambda row: row["kl"]) if done else None


def yaml(row: dict[str, Any], trials: int) -> str:
    head = (
        f"# Best of {trials} random trials (benchmarks/tune.py): held-out score {row['held_out']:.2f}, "
        f"KL {row['kl']:.1f}, on validation requests.\n"
    )
    lines = (f"{name}: {_typed(value)}\n" for name, value in row["settings"].items())
    return head + "".join(lines)


def _typed(value: Any) -> str:
    if isinstance(value, float) and 0 < abs(value) < 1e-2:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return str(value)


def recorded(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def missing(
    names: Sequence[str], trials: int, seed: int, known: Sequence[dict[str, Any]], *, slow: bool = False
) -> Iterator[tuple[Any, ...]]:
    """Trials that are not in the record yet; all methods get their first before any gets its second."""
    done = {(row["preset"], json.dumps(row["settings"], sort_keys=True), row["seed"]) for row in known}
    for number in range(trials):
        for name in names:
            settings = {**budget(name), **draw(name, number, seed, slow=slow)}
            if (name, json.dumps(settings, sort_keys=True), seed) not in done:
                yield name, settings


def own_rows(name: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """What is recorded of one method under the seed of the search."""
    return [row for row in recorded(given.record) if (row["preset"], row["seed"]) == (name, given.seed)]


def run(names: Sequence[str], given: argparse.Namespace, *, slow: bool = False) -> None:
    """Do and record what is missing of the trials of each method."""
    wanted = missing(names, given.trials, given.seed, recorded(given.record), slow=slow)
    jobs = [(name, settings, given.store, given.seed) for name, settings in wanted]
    with ProcessPoolExecutor(given.workers) as pool, given.record.open("a", encoding="utf-8") as file:
        for row in pool.map(trial, jobs):
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(json.dumps(row), flush=True)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+", metavar="METHOD", help="names as of algo=")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0, help="of stages, training and the search")
    parser.add_argument("--store", default="store")
    parser.add_argument("--record", type=Path, default=Path("benchmarks/tuned.jsonl"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help="write conf/tuned/desk-tiny-‹method›.yaml")
    given = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run(given.methods, given)
    run([name for name in given.methods if not within(own_rows(name, given))], given, slow=True)
    folder = Path(__file__).resolve().parents[1] / "conf" / "tuned"
    for name in given.methods:
        mine = own_rows(name, given)
        best = chosen(mine)
        print(name, "no trial succeeded" if best is None else best)
        if given.write and best is not None:
            (folder / f"desk-tiny-{name}.yaml").write_text(yaml(best, len(mine)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
