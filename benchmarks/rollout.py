"""Tokens a second of sampling: the built-in engine, the transformers engine, and transformers' generate.

    python benchmarks/rollout.py [--repeats 7] [--threads 1] [--shape small --shape medium]

The three take turns (A B C A B C ...), so that drift of the machine hits all alike; medians are reported, and
the median of each round's ratios to generate. `ending` lets rows end at random, as trained policies do, which
generate pays for until the longest row is done; tokens count up to each row's end.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from rich.table import Table
from transformers import LlamaConfig, LlamaForCausalLM

from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Sampling
from alignlab.rollout.llama_engine import LlamaEngine
from alignlab.rollout.transformers_engine import TransformersEngine
from alignlab.tracking.console import results


@dataclass(frozen=True)
class Shape:
    """What is sampled from what."""

    hidden: int
    inner: int
    layers: int
    heads: int
    vocabulary: int
    rows: int
    prompt: int
    new: int
    ends: int = 0
    """Ids that end a completion; with weights this flat each step ends a row with chance ends / vocabulary."""
    group: int = 1
    """Completions for each distinct prompt."""


SHAPES = {
    "small": Shape(64, 176, 2, 4, 256, rows=512, prompt=20, new=24),
    "small-256": Shape(64, 176, 2, 4, 256, rows=256, prompt=20, new=24),
    "small-1024": Shape(64, 176, 2, 4, 256, rows=1024, prompt=20, new=24),
    "ending": Shape(64, 176, 2, 4, 256, rows=512, prompt=20, new=24, ends=20),
    "groups": Shape(64, 176, 2, 4, 256, rows=512, prompt=20, new=24, group=8),
    "medium": Shape(128, 512, 4, 4, 512, rows=64, prompt=16, new=32),
    "medium-few": Shape(128, 512, 4, 4, 512, rows=16, prompt=16, new=32),
    "medium-ending": Shape(128, 512, 4, 4, 512, rows=64, prompt=16, new=32, ends=20),
    "medium-groups": Shape(128, 512, 4, 4, 512, rows=64, prompt=64, new=32, ends=10, group=8),
    "large": Shape(256, 688, 4, 4, 4096, rows=32, prompt=64, new=64),
}


def build(shape: Shape) -> tuple[LlamaForCausalLM, list[list[int]]]:
    """A random model and prompts of lengths between three quarters and all of `prompt`."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.prompt + shape.new,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )
    generator = torch.Generator().manual_seed(0)
    distinct = []
    for _ in range(shape.rows // shape.group):
        length = int(torch.randint(shape.prompt * 3 // 4, shape.prompt + 1, (), generator=generator))
        distinct.append(torch.randint(shape.vocabulary, (length,), generator=generator).tolist())
    return LlamaForCausalLM(config).eval(), [prompt for prompt in distinct for _ in range(shape.group)]


def contestants(shape: Shape) -> dict[str, Callable[[], int]]:
    """Each samples once and returns how many tokens count."""
    model, prompts = build(shape)
    noise = Noise(0, torch.arange(shape.rows))
    ends = tuple(range(shape.ends))
    options = dict(sampling=Sampling(max_new_tokens=shape.new), end_ids=ends, pad_id=0)
    builtin, cached = LlamaEngine(model, **options), TransformersEngine(model, **options)
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
    attention = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])

    def generate() -> int:
        out = model.generate(
            ids,
            attention_mask=attention,
            do_sample=True,
            top_k=0,
            max_new_tokens=shape.new,
            pad_token_id=0,
            eos_token_id=list(ends) or None,
        )[:, width:]
        is_end = torch.isin(out, torch.tensor(ends, dtype=torch.long)).long()
        return int((is_end.cumsum(-1) - is_end == 0).sum())

    return {
        "generate": generate,
        "transformers engine": lambda: int(cached.sample(prompts, noise).sequences.lengths.sum()),
        "built-in engine": lambda: int(builtin.sample(prompts, noise).sequences.lengths.sum()),
    }


def measure(shape: Shape, repeats: int) -> dict[str, list[float]]:
    """Tokens a second of every contestant in every round, after one round to warm up."""
    entrants = contestants(shape)
    speeds: dict[str, list[float]] = {name: [] for name in entrants}
    for round_ in range(repeats + 1):
        for name, run in entrants.items():
            start = time.perf_counter()
            tokens = run()
            if round_:
                speeds[name].append(tokens / (time.perf_counter() - start))
    return speeds


def main() -> None:
    """Measure the shapes asked for and show one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shape", action="append", choices=SHAPES)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    table = Table("shape", "engine", "tokens/s", "ratio to generate", title=f"{arguments.threads} thread(s)")
    for name in arguments.shape or SHAPES:
        speeds = measure(SHAPES[name], arguments.repeats)
        for engine, rounds in speeds.items():
            ratios = [own / base for own, base in zip(rounds, speeds["generate"], strict=True)]
            table.add_row(name, engine, f"{statistics.median(rounds):,.0f}", f"{statistics.median(ratios):.2f}")
    results.print(table)


if __name__ == "__main__":
    main()
