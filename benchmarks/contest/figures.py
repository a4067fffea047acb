"""What a contest says: ratios within rounds with their quartiles, seconds, tokens a second, memory."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.table import Table

from contest.referee import Lane

PACKAGES = ("torch", "transformers", "lightning", "trl", "accelerate", "alignlab")


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(values) == 1:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def ratios(own: Sequence[float], base: Sequence[float]) -> list[float]:
    """What one contender took over what another took, round by round."""
    return [each / other for each, other in zip(own, base, strict=True)]


def spread(own: Sequence[float], base: Sequence[float]) -> dict[str, Any]:
    """Median and quartiles of the ratios."""
    low, middle, high = quartiles(ratios(own, base))
    return {"median": round(middle, 3), "quartiles": [round(low, 3), round(high, 3)]}


def summary(shape: str, task: str, tokens: int, lanes: Sequence[Lane]) -> dict[str, Any]:
    """The record of one contest; ratios are to its first contender."""
    return {
        "shape": shape,
        "task": task,
        "tokens_a_step": tokens,
        "ratio_to": lanes[0].contender,
        "contenders": [_row(lane, lanes[0], tokens) for lane in lanes],
    }


def _row(lane: Lane, base: Lane, tokens: int) -> dict[str, Any]:
    middle = statistics.median(lane.seconds)
    return {
        "contender": lane.contender,
        "ratio": spread(lane.seconds, base.seconds),
        "processor_ratio": spread(lane.worked, base.worked),
        "step_ms": round(1000 * middle, 2),
        "tokens_per_second": round(tokens / middle),
        "peak_mb": round(lane.peak_mb, 1),
        "peak_above_imports_mb": round(lane.peak_mb - lane.imports_mb, 1),
        "setup_seconds": round(lane.setup, 2),
        "seconds": [round(each, 5) for each in lane.seconds],
        "processor_seconds": [round(each, 5) for each in lane.worked],
        "losses": lane.losses,
    }


def versions() -> dict[str, str]:
    """Of what took part."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def table(found: dict[str, Any]) -> Table:
    """One contest for the terminal."""
    out = Table(
        *("", "ratio", "quartiles", "CPU", "ms", "tokens/s", "MB", "own MB"),
        title=f"{found['shape']} {found['task']}: {found['tokens_a_step']:,} tokens a step",
    )
    for column in out.columns[1:]:
        column.justify = "right"
    for row in found["contenders"]:
        low, high = row["ratio"]["quartiles"]
        out.add_row(
            row["contender"],
            f"{row['ratio']['median']:.2f}",
            f"{low:.2f}-{high:.2f}",
            f"{row['processor_ratio']['median']:.2f}",
            f"{row['step_ms']:,.0f}" if row["step_ms"] >= 100 else f"{row['step_ms']:.1f}",
            f"{row['tokens_per_second']:,}",
            f"{row['peak_mb']:,.0f}",
            f"{row['peak_above_imports_mb']:,.0f}",
        )
    return out
