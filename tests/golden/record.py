"""Ten steps of each of the four methods on a tiny desk, as numbers.

`python -m tests.golden.record` in the root of the repository writes them anew, which a change of what is learned
needs, together with a reason; a change that only moves code leaves every number where it was. What is tuned for the
desk is set here again, so that tuning it further is no such change.
"""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path

FILE = Path(__file__).with_name("trajectories.json")
METHODS = ("sft", "reward_model", "dpo", "ppo")
SETTINGS = (
    "data=desk",
    "data.demonstrations=160",
    "data.pairs=170",
    "data.held_out_pairs=20",
    "model.hidden=16",
    "model.layers=1",
    "model.heads=2",
    "model.intermediate=24",
    "rollout.max_new_tokens=12",
    "stages.sft.lr=3e-3",
    "stages.sft.batch_size=16",
    "stages.sft.epochs=1",
    "stages.reward.lr=1e-3",
    "stages.reward.batch_size=16",
    "stages.reward.epochs=1",
    "reward.pairs_check=0.5",
    "trainer=cpu",
    "trainer.threads=1",
    "trainer.log_every=1",
    "overlap=false",
)
OWN = {
    "dpo": ("algo.lr=3e-4", "algo.beta=0.3", "algo.epochs=1", "algo.batch_size=16"),
    "ppo": (
        "algo.lr=1e-3",
        "algo.beta=0.1",
        "algo.steps=10",
        "algo.batch_size=16",
        "algo.rollout_epochs=3",
        "algo.minibatches=2",
        "algo.kl_target=0.5",
        "algo.kl_horizon=500",
    ),
}
STEPS = 10
Columns = dict[str, list[float]]


def trajectory(method: str, store: Path) -> Columns:
    """Metrics of the first ten steps of a method that each of them has: name -> one number a step."""
    from alignlab.compose import composed
    from alignlab.config import typed
    from alignlab.stages.graph import Graph

    algo = method if method in OWN else "dpo"
    overrides = (f"algo={algo}", *SETTINGS, *OWN[algo], f"store={store}")
    graph = Graph(typed(composed(overrides)), quiet=True)
    stages = {"sft": lambda: graph.sft, "reward_model": graph.reward}
    artefact = stages[method]() if method in stages else graph.policy_of_method
    with artefact.file("metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:STEPS]
    found = {name: [float(row[name]) for row in rows] for name in rows[0] if all(row[name] for row in rows)}
    if method == "dpo":
        # The policy is still its reference: which reply is ahead, by how little, is rounding.
        found["train/accuracy"][0] = 0.5
    return found


def main() -> None:
    """Write the file."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = {method: trajectory(method, Path(folder)) for method in METHODS}
    blocks = (
        f'  "{method}": {{\n'
        + ",\n".join(f"    {json.dumps(name)}: {json.dumps(values)}" for name, values in columns.items())
        + "\n  }"
        for method, columns in found.items()
    )
    FILE.write_text("{\n" + ",\n".join(blocks) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
