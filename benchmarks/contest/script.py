"""One training as somebody would write it with TRL: a script of its own, whose model is saved.

python -m contest.script TASK ROWS START OUT STEPS SEED [REWARD]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from contest import theirs
from contest.material import Pair
from contest.shapes import SHAPES
from contest.theirs import COMMON, PLAIN, SAMPLING, TASKS


def main(task: str, rows: str, start: str, out: str, steps: str, seed: str, *reward: str) -> None:
    shape = SHAPES["sweep"]
    lines = Path(rows).read_text(encoding="utf-8").splitlines()
    pairs = [Pair(*(words(json.loads(line)[name]) for name in ("prompt", "chosen", "rejected"))) for line in lines]
    trainer_of, config_of, found, settings, more = TASKS[task](shape, pairs)
    settings |= PLAIN | dict(per_device_train_batch_size=shape.pairs)
    if task in SAMPLING:
        more = dict(reward_funcs=reward[0])
    kind = theirs.AutoModelForSequenceClassification if task == "reward" else theirs.AutoModelForCausalLM
    given: dict[str, Any] = dict(num_labels=1) if task == "reward" else {}
    trainer = trainer_of(
        model=kind.from_pretrained(start, dtype="float32", **given),
        args=config_of(output_dir=out, **{**COMMON, "max_steps": int(steps)}, seed=int(seed), **settings),
        train_dataset=theirs.Dataset.from_list(found),
        processing_class=theirs.AutoTokenizer.from_pretrained(start),
        **more,
    )
    trainer.train()
    trainer.save_model(out)


def words(text: str) -> list[int]:
    """Ids of words as `spelled` writes them."""
    return [int(word[1:]) for word in text.split()]


if __name__ == "__main__":
    main(*sys.argv[1:])
