"""Gain at the same KL along mixtures of each policy with SFT."""

from __future__ import annotations

from pathlib import Path

import pytest
from finished import write_run

from alignlab.compare.assemble import assemble

SEEDS = range(4)


def mixtures(slope: float, reach: float, seed: int) -> list[dict[str, float]]:
    """Gain is slope times √KL, from an SFT score that differs by seed."""
    points = [(weight, reach * weight**2) for weight in (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)]
    noise = 0.001 * (seed - 1.5)
    return [
        {"weight": w, "requests": 100, "kl": kl, "gold": 0.3 + 0.1 * seed + (slope + noise) * kl**0.5}
        for w, kl in points
    ]


def written(folder: Path, **curves: tuple[float, float]) -> Path:
    for name, (slope, reach) in curves.items():
        for seed in SEEDS:
            more = {"frontier": mixtures(slope, reach, seed)}
            write_run(folder / f"{name}-{seed}", name, seed, 0.5, kl=reach, **more)
    return folder


def test_gains_are_read_where_all_reach_and_never_at_nothing(tmp_path: Path) -> None:
    found = assemble([written(tmp_path, one=(0.4, 1.0), two=(0.2, 4.0))])["matched_kl"]
    assert len(found["kl"]) == 5
    assert all(0 < kl <= 1.0 * 1.5**2 for kl in found["kl"])
    assert all(kl == float(f"{kl:.2g}") for kl in found["kl"]), "two digits"
    for row, slope in zip(found["rows"], (0.4, 0.2), strict=True):
        for kl, value in zip(found["kl"], row["values"], strict=True):
            assert value["mean"] == pytest.approx(slope * kl**0.5, abs=2e-3), row["label"]
    assert found["sentence"].startswith("Along mixtures of each policy with SFT (DeRa) on the first 100 requests")
    assert "one above two" in found["sentence"]


def test_a_policy_that_hardly_moved_does_not_cut_the_others_short(tmp_path: Path) -> None:
    found = assemble([written(tmp_path, one=(0.4, 1.0), two=(0.2, 4.0), still=(0.4, 0.01))])["matched_kl"]
    assert [row["label"] for row in found["rows"]] == ["one", "two"]
    assert "Left out, since they hardly moved: still." in found["sentence"]
    assert found["kl"][-1] > 1


def test_runs_without_mixtures_are_not_compared_by_them(tmp_path: Path) -> None:
    folder = written(tmp_path, one=(0.4, 1.0))
    for seed in SEEDS:
        write_run(folder / f"bare-{seed}", "bare", seed, 0.5)
    assert assemble([folder])["matched_kl"] is None
