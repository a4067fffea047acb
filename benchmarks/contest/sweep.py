"""A comparison of four methods over three seeds: one sweep of alignlab beside TRL scripts one after another.

Both go from SFT and a reward model, trained once, to twelve trained policies; alignlab also evaluates each and writes
the comparison, which is in its time. Rows a step, updates, completions and lengths are the same. A split leaves
alignlab at least the rows that TRL is given. Each uses the cores as it does by itself.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from rich.table import Table

from contest.material import BETA, LR, drawn, spelled, write
from contest.referee import timed
from contest.shapes import GENERATIONS, SHAPES, Shape

SEEDS = (0, 1, 2)
UPDATES = {"dpo": 1, "kto": 2, "rloo": 1, "grpo": 1}
"""Updates of each method for one of the others': a pair is two labels."""
KEPT = 0.75
"""Share of rows that are for training in alignlab's split."""


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds of either, once each."""
    shape = SHAPES["sweep"]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(shape, folder)
        count = shape.pairs * given.steps
        lines = rows(shape, round(1.1 * count / KEPT) + shape.pairs)
        (folder / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
        (folder / "fewer.jsonl").write_text("\n".join(lines[:count]), encoding="utf-8")
        ours = alignlab(folder, shape, given.steps)
        theirs = scripts(folder, given.steps)
    total = sum(theirs.values())
    return {
        "shape": "sweep",
        "steps": given.steps,
        "alignlab_seconds": round(ours, 1),
        "trl_seconds": {name: round(seconds, 1) for name, seconds in theirs.items()},
        "ratio": round(total / ours, 2),
    }


def rows(shape: Shape, count: int) -> list[str]:
    """Pairs as JSON lines."""
    pairs = [pair for seed in range(-(-count // shape.pairs)) for pair in drawn(shape, seed)][:count]
    texts = [(spelled(p.prompt), " " + spelled(p.chosen), " " + spelled(p.rejected)) for p in pairs]
    return [json.dumps(dict(zip(("prompt", "chosen", "rejected"), three, strict=True))) for three in texts]


def alignlab(folder: Path, shape: Shape, steps: int) -> float:
    """Seconds of the sweep on an empty store."""
    stages = (f"stages.{name}.{key}" for name in ("sft", "reward") for key in (f"batch_size={shape.pairs}", "epochs=1"))
    return timed(
        folder,
        0,
        *("-m", "alignlab", "-m", f"algo={','.join(UPDATES)}", f"seed={','.join(map(str, SEEDS))}", "stage_seed=0"),
        *("model=hf", "model.path=policy", "data=files", "data.path=rows.jsonl", f"data.max_length={shape.positions}"),
        *(f"rollout.max_new_tokens={shape.completion[1]}", *stages),
        *(f"algo.batch_size={shape.pairs}", f"algo.group_size={GENERATIONS}", f"algo.steps={steps}"),
        *(f"algo.lr={LR}", f"algo.beta={BETA}", "evaluation.reward_models=false", "evaluation.goals=0"),
    )


def scripts(folder: Path, steps: int) -> dict[str, float]:
    """Seconds of each script."""
    found = {
        "sft": timed(folder, 0, *script("sft", "policy", "sft", steps, 0)),
        "reward": timed(folder, 0, *script("reward", "sft", "scorer-trained", steps, 0)),
    }
    for task, each in UPDATES.items():
        for seed in SEEDS:
            name = f"{task}-{seed}"
            found[name] = timed(folder, 0, *script(task, "sft", name, each * steps, seed), "scorer-trained")
    return found


def script(task: str, start: str, out: str, steps: int, seed: int) -> tuple[str, ...]:
    return ("-m", "contest.script", task, "fewer.jsonl", start, out, str(steps), str(seed))


def table(found: dict[str, Any]) -> Table:
    out = Table("sweep", "seconds", "ratio", title=f"4 methods x {len(SEEDS)} seeds, {found['steps']} updates each")
    out.add_row("alignlab, with evaluation", f"{found['alignlab_seconds']:,.0f}", "1.00")
    total = sum(found["trl_seconds"].values())
    out.add_row("TRL, script by script", f"{total:,.0f}", f"{found['ratio']:.2f}")
    return out
