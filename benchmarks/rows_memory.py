"""What a data set of stored pairs costs a run: time and memory of every step from file to batch, twice.

`python benchmarks/rows_memory.py --rows 1000 100000 1000000` writes so many pairs and reads them as a first job does,
which parses and tokenises, and as every later one, which finds it all in the store. Each job is a process of its own.
Seconds are those of the clock, and those that a core worked, which other work on the machine leaves alone. Memory is
what the process alone holds at the end of a step, and the most it held: pages of mapped files belong to the system,
which drops them when it needs room. Nothing is trained, so that no step needs more than the rows it reads.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORDS = tuple(one + two + three for one in "bdfgklmnprst" for two in "aeiou" for three in "lnrst")
PAIRS, BATCHES = 16, 200


def held() -> float:
    """MB that this process holds alone."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


class Watch:
    """The most that was held, looked at every 10 ms."""

    def __init__(self) -> None:
        self.most, self._end = 0.0, threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while not self._end.wait(0.01):
            self.most = max(self.most, held())


def write(path: Path, count: int) -> None:
    """Pairs of three texts of 10 to 40 words."""
    draw = random.Random(0)

    def text() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(10, 40)))

    with path.open("w", encoding="utf-8") as file:
        for row in range(count):
            file.write(json.dumps({"prompt": f"{row} {text()}", "chosen": text(), "rejected": text()}) + "\n")


def tokenizer(folder: Path) -> None:
    """A model directory with a byte-level tokenizer of a few hundred words, and no weights to speak of."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        [" ".join(WORDS)] * 2, trainers.BpeTrainer(vocab_size=512, special_tokens=["<eos>"], initial_alphabet=alphabet)
    )
    PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>").save_pretrained(folder)
    shape = GPT2Config(vocab_size=512, n_embd=16, n_layer=1, n_head=2, n_positions=512, eos_token_id=0, bos_token_id=0)
    GPT2LMHeadModel(shape).save_pretrained(folder)


def job(rows: Path, model: Path, store: Path) -> list[dict[str, Any]]:
    """The steps of one job over a store."""
    from alignlab.compose import composed
    from alignlab.config import typed
    from alignlab.data.module import PreferenceData
    from alignlab.data.schema import Split
    from alignlab.method import Data
    from alignlab.seeding import Seeds
    from alignlab.stages.graph import Graph

    words = ["algo=dpo", "data=files", f"data.path={rows}", "model=hf", f"model.path={model}", f"store={store}"]
    settings = typed(composed([*words, "rollout.max_new_tokens=16", "stages.sft=null"]))
    watch, found = Watch(), list[dict[str, Any]]()

    def step(name: str, work: Callable[[], Any]) -> Any:
        watch.most, began, busy = held(), time.perf_counter(), time.process_time()
        done = work()
        seconds, cpu = time.perf_counter() - began, time.process_time() - busy
        found.append({"step": name, "seconds": seconds, "cpu": cpu, "mb": held(), "most_mb": max(watch.most, held())})
        return done

    step("imports", lambda: None)
    graph = step("rows of the file", lambda: Graph(settings, quiet=True))
    step("text pairs", lambda: graph.preferences)
    tokens = step("tokens", lambda: graph.pair_rows(Split.TRAIN))
    data = PreferenceData(Data.PAIRS, tokens, PAIRS, seeds=Seeds(0), steps=BATCHES + 1)
    stream = iter(data.train_dataloader())
    step("first batch", lambda: next(stream))
    step(f"{BATCHES} batches", lambda: [next(stream) for _ in range(BATCHES)])
    return found


def main() -> None:
    """Print a table for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--job", nargs=3, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        print(json.dumps(job(*given.job)))
        return
    for count in given.rows:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write(folder / "pairs.jsonl", count)
            tokenizer(folder / "model")
            paths = [str(folder / each) for each in ("pairs.jsonl", "model", "store")]
            call = [sys.executable, __file__, "--job", *paths]
            print(f"{count:,} pairs, {(folder / 'pairs.jsonl').stat().st_size / 1e6:,.0f} MB of JSON lines")
            for which in ("first job", "second job"):
                done = subprocess.run(call, capture_output=True, text=True, env=os.environ, check=False)
                if done.returncode:
                    sys.exit(done.stderr)
                print(f"  {which:20}{'seconds':>10}{'of a core':>11}{'MB':>8}{'most MB':>10}")
                for row in json.loads(done.stdout.splitlines()[-1]):
                    took, holds = (row["seconds"], row["cpu"]), (row["mb"], row["most_mb"])
                    print("  {:20}{:10.2f}{:11.2f}{:8.0f}{:10.0f}".format(row["step"], *took, *holds))


if __name__ == "__main__":
    main()
