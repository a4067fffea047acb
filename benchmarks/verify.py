"""Does every method, with its shipped desk settings, improve the true score over SFT on held-out requests?

    python benchmarks/verify.py --seeds 1 2 3 > docs/desk.md

Runs the stages of each preset's ordinary command on every seed, what is recorded already excepted, and prints a table
of the change of gold against SFT: mean over seeds, each seed, KL. Seeds are the unit; three say little of small gains.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

HEAD = """\
# Methods on the desk world

True score (gold, about -1 to 1) on 400 held-out requests and its change against the SFT policy it started from, with
the settings that ship for the desk world ([conf/tuned](../conf/tuned)); methods without any keep their paper's. Presets
of other libraries (`grpo_trl`, …) take rate, sizes and price of KL of the method they vary. Seeds {seeds}, stages and
training alike; gold, change and KL are means over the seeds that a row has, an empty cell is a run not done. Settings
were chosen on validation requests of seed 0, by the score of a reward model that no method trains against, where the
comment in their file says nothing else. **The order is no ranking**: few random trials a method, few seeds, no
intervals.{starts} To make it again:
`{command}`.

"""
FAST = ("evaluation.goals=0", "evaluation.reward_models=false", "overlap=false", "trainer.threads=1", "keep=none")
TUNED = Path(__file__).resolve().parents[1] / "conf" / "tuned"


def presets() -> list[str]:
    """Every preset with settings for the desk world, and every method that acts at inference."""
    from alignlab import registry
    from alignlab.method import Output

    owner, found = registry.presets(), []
    for name in sorted(owner):
        method = registry.method(owner[name])
        ready = bool(method.sampler) or (TUNED / f"desk-tiny-{name}.yaml").is_file()
        if ready and method.output is Output.POLICY and method.needs.sft:
            found.append(name)
    return found


def run(job: tuple[str, int, str]) -> dict[str, Any]:
    """What one run finds on held-out requests, by the stages of an ordinary one."""
    import torch

    from alignlab.compose import composed
    from alignlab.config import typed
    from alignlab.errors import AlignlabError
    from alignlab.stages.evaluated import Evaluator, read
    from alignlab.stages.graph import Graph

    preset, seed, store = job
    torch.set_num_threads(1)
    words = (f"algo={preset}", "data=desk", "model=tiny", f"seed={seed}", f"store={store}", *FAST, *beside(preset))
    try:
        graph = Graph(typed(composed(words)), quiet=True)
        trained, evaluate = graph.policy_of_method, Evaluator(graph, graph.settings.evaluation)
        own, sft = (read(evaluate(*each)) for each in ((trained, preset), (graph.sft, "SFT")))
    except AlignlabError as error:
        return {"preset": preset, "seed": seed, "error": str(error).splitlines()[0]}
    figures = {"gold": mean(own, "gold"), "sft": mean(sft, "gold"), "kl": mean(own, "kl")}
    return {"preset": preset, "seed": seed} | figures


def beside(preset: str) -> tuple[str, ...]:
    """What a method's command needs beside it: somebody who revises, where it imitates revisions."""
    from alignlab import registry
    from alignlab.method import Data

    needs = registry.method(registry.presets()[preset]).needs
    return ("annotator=rules",) if needs.data is Data.REVISIONS else ()


def mean(samples: Sequence[Any], name: str) -> float:
    return round(statistics.fmean(getattr(sample, name) for sample in samples), 4)


def missing(names: Sequence[str], seeds: Sequence[int], known: Sequence[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    done = {(row["preset"], row["seed"]) for row in known if "error" not in row}
    yield from ((name, seed) for seed in seeds for name in names if (name, seed) not in done)


def page(rows: Sequence[dict[str, Any]]) -> str:
    """The whole of docs/desk.md, on the seeds that are recorded."""
    seeds = [str(seed) for seed in sorted({row["seed"] for row in rows})]
    command = f"python benchmarks/verify.py --seeds {' '.join(seeds)} > docs/desk.md"
    return HEAD.format(seeds=", ".join(seeds), command=command, starts=starts(rows)) + table(rows)


def starts(rows: Sequence[dict[str, Any]]) -> str:
    """A sentence for each seed whose rows began from different SFT policies, as records of several versions may."""
    found: dict[int, set[float]] = {}
    for row in rows:
        if "error" not in row:
            found.setdefault(row["seed"], set()).add(row["sft"])
    mixed = {seed: " or ".join(f"{gold:.4f}" for gold in sorted(golds)) for seed, golds in sorted(found.items())}
    return "".join(
        f" Rows of seed {seed} started from SFT of {mixed[seed]}." for seed in mixed if " or " in mixed[seed]
    )


def table(rows: Sequence[dict[str, Any]]) -> str:
    seeds = sorted({row["seed"] for row in rows})
    head = ["| `algo=` | gold | change | KL | " + " | ".join(f"seed {seed}" for seed in seeds) + " |"]
    lines = [*head, "|---|---|---|---|" + "---|" * len(seeds)]
    for name in sorted({row["preset"] for row in rows}):
        mine = {row["seed"]: row for row in rows if row["preset"] == name and "error" not in row}
        if not mine:
            lines.append(f"| {name} | failed | | | " + " | ".join("" for _ in seeds) + " |")
            continue
        gains = {seed: row["gold"] - row["sft"] for seed, row in mine.items()}
        cells = [f"{gains[seed]:+.2f}" if seed in gains else "" for seed in seeds]
        gold, kl = (statistics.fmean(row[key] for row in mine.values()) for key in ("gold", "kl"))
        lines.append(
            f"| {name} | {gold:.2f} | {statistics.fmean(gains.values()):+.2f} | {kl:.1f} | {' | '.join(cells)} |"
        )
    return "\n".join(lines) + "\n"


def recorded(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="names as of algo=; all of them if none is given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--store", default="store")
    parser.add_argument("--record", type=Path, default=Path("benchmarks/verified.jsonl"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    names = given.methods or presets()
    jobs = [(*job, given.store) for job in missing(names, given.seeds, recorded(given.record))]
    with ProcessPoolExecutor(given.workers) as pool, given.record.open("a", encoding="utf-8") as file:
        for row in pool.map(run, jobs):
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(json.dumps(row), file=sys.stderr, flush=True)
    print(page(recorded(given.record)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
