"""What is measured: sizes of model and rows, and the tasks that are trained on them. No torch."""

from __future__ import annotations

from dataclasses import dataclass

OURS = "alignlab"
TASKS: dict[str, tuple[str, ...]] = {
    "sft": (OURS, "TRL", "bare padded"),
    "reward": (OURS, "TRL", "bare padded", "bare shared"),
    "dpo": (OURS, "TRL", "TRL cached", "bare padded", "bare shared"),
    "dpo-live": (OURS, "TRL", "bare padded", "bare shared"),
    "kto": (OURS, "TRL", "TRL cached", "bare padded", "bare shared"),
    "grpo": (OURS, "TRL", "bare padded", "bare shared"),
    "rloo": (OURS, "TRL", "bare padded", "bare shared"),
}
"""Who takes part in each task; all are compared with the first.

`bare padded` runs each completion in a row of its own, `bare shared` each prompt once for all its completions.
Contenders read log-probabilities of the reference that were computed before the first step; those of `dpo-live`
compute them in every step, and so do `TRL` without `cached` and all of `grpo` and `rloo`.
"""
ASIDE = "TRL defaults"
"""TRL as it comes, with gradient checkpointing and bfloat16; shown on request, beside the others."""
GENERATIONS = 4


@dataclass(frozen=True)
class Shape:
    """A Llama with tied embeddings, and how long its rows are; lengths are drawn between the two numbers."""

    summary: str
    prompt: tuple[int, int] = (16, 64)
    """Tokens of a prompt."""
    completion: tuple[int, int] = (16, 64)
    """Tokens of a completion, the end token included."""
    pairs: int = 16
    """Pairs in one step; demonstrations for `sft`, and half the completions of the other tasks."""
    hidden: int = 256
    inner: int = 688
    layers: int = 4
    heads: int = 4
    vocabulary: int = 4096
    tasks: tuple[str, ...] = ("dpo",)

    @property
    def positions(self) -> int:
        """Longest sequence that occurs, in tokens."""
        return self.prompt[1] + self.completion[1]

    @property
    def completions(self) -> int:
        """Completions in one step of the tasks that learn from both of a pair, or sample."""
        return 2 * self.pairs


DESK = dict(hidden=64, inner=192, layers=2, heads=4, vocabulary=288, prompt=(8, 24), completion=(12, 40), pairs=64)
SHAPES = {
    "short": Shape("4.2 M parameters, prompt and completion up to 64", tasks=tuple(TASKS)),
    "long": Shape("4.2 M parameters, prompts of 448, completions up to 64", prompt=(448, 448)),
    "desk": Shape("sizes of the desk world", tasks=("sft", "reward", "dpo", "kto", "grpo", "rloo"), **DESK),
    "tokens-4": Shape("4 pairs a step", pairs=4),
    "tokens-64": Shape("64 pairs a step", pairs=64),
    "model-1m": Shape("1 M parameters", hidden=128, inner=344),
    "model-16m": Shape("16 M parameters", hidden=512, inner=1376),
    "sweep": Shape("1 M parameters, 32 rows a step", hidden=128, inner=344, pairs=32),
    "probe": Shape(
        "a check that everything runs, seconds long",
        prompt=(4, 12),
        completion=(2, 6),
        pairs=2,
        hidden=32,
        inner=48,
        layers=1,
        heads=2,
        vocabulary=64,
        tasks=tuple(TASKS),
    ),
}
SCALING = ("tokens-4", "tokens-64", "model-1m", "model-16m")
"""What `scaling` measures beside rows; `short` is in the middle of both."""
