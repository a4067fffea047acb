"""Gain against drift: which rows are points of one curve, fits, gain at the same KL, and presets over conditions."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from finished import change, write_run

from alignlab.compare.assemble import assemble

SEEDS = range(4)
BETAS = (0.1, 0.2, 0.4)


def points(
    folder: Path,
    name: str,
    kls: tuple[float, ...],
    slope: float,
    seeds: Any = SEEDS,
    changes: dict[str, Any] | None = None,
) -> None:
    """A curve gain = slope · √KL with a little noise, one beta for each KL."""
    draw = random.Random(f"{name}{slope}")
    for place, kl in enumerate(kls):
        for seed in seeds:
            gain = slope * kl**0.5 + draw.gauss(0, 0.01)
            run = write_run(
                folder / f"{name}-{place}-{seed}", name, seed, gain, kl=kl, start=0.0, settings={"beta": 0.1 * place}
            )
            change(run, changes or {})


def test_label_budgets_are_no_points_of_one_curve(tmp_path: Path) -> None:
    for limit in (500, 1000, 2000):
        for seed in SEEDS:
            folder = write_run(tmp_path / f"{limit}-{seed}", "m", seed, limit / 1000, kl=limit / 500)
            change(folder, {"about.settings.budget": {"axis": "labels", "limit": limit}})
    content = assemble([tmp_path])
    assert content["frontier"]["fits"] == []
    assert content["matched_kl"] is None
    for limit in (500, 1000):
        changes = {"about.settings.budget": {"axis": "labels", "limit": limit}}
        points(tmp_path / str(limit), "n", (1.0, 2.0, 4.0), limit / 1000, changes=changes)
    content = assemble([tmp_path])
    assert {fit["label"] for fit in content["frontier"]["fits"]} == {"n budget.limit=500", "n budget.limit=1000"}
    matched = content["matched_kl"]
    assert [row["label"] for row in matched["rows"]] == ["n budget.limit=1000", "n budget.limit=500"]
    assert "over 4 seeds, 1 of 1 pairs are told apart" in matched["sentence"]


def test_noisy_labels_are_no_points_of_one_curve(tmp_path: Path) -> None:
    for flip in (0.0, 0.1, 0.2):
        for seed in SEEDS:
            change(
                write_run(tmp_path / f"{flip}-{seed}", "m", seed, 1 - flip, kl=1 + flip),
                {"about.settings.data.flip": flip},
            )
    assert assemble([tmp_path])["frontier"]["fits"] == []


def test_a_nearly_straight_line_has_no_peak_and_breaks_nothing(tmp_path: Path) -> None:
    for place, d in enumerate((0.5, 1.0, 2.0, 3.0)):
        for seed in SEEDS:
            # b is tiny and positive: exp(a/b - 1) would be beyond any double once squared.
            gain = d * (1.0 - 0.0018 * math.log(d))
            write_run(tmp_path / f"{place}-{seed}", "m", seed, gain, kl=d * d, start=0.0, settings={"beta": place})
    fit = next(fit for fit in assemble([tmp_path])["frontier"]["fits"] if fit["target"] == "gold")
    assert 0 < fit["b"] < 0.01
    assert fit["peak"] is fit["peak_low"] is fit["peak_high"] is None
    assert "does not turn within reach" in fit["sentence"]


def test_gain_is_read_where_all_curves_reach(tmp_path: Path) -> None:
    points(tmp_path, "far", (1.0, 4.0, 9.0), 1.0)
    points(tmp_path, "near", (0.25, 1.0, 4.0), 0.5)
    matched = assemble([tmp_path])["matched_kl"]
    assert matched["kl"][0] == pytest.approx(1.0)
    assert matched["kl"][-1] == pytest.approx(4.0)
    for row, slope in zip(matched["rows"], (1.0, 0.5), strict=True):
        assert [value["n"] for value in row["values"]] == [len(SEEDS)] * len(matched["kl"])
        assert row["values"][-1]["mean"] == pytest.approx(2 * slope, abs=0.03)
        assert row["area"]["mean"] == pytest.approx(slope, abs=0.03)  # of a line to √4, over its width
    assert "far above near" in matched["sentence"]


def test_a_curve_that_meets_no_other_is_left_out_and_named(tmp_path: Path) -> None:
    points(tmp_path, "a", (1.0, 4.0), 1.0)
    points(tmp_path, "b", (2.0, 6.0), 0.5)
    points(tmp_path, "tiny", (0.01, 0.04), 1.0)
    matched = assemble([tmp_path])["matched_kl"]
    assert [row["id"] for row in matched["rows"]] == ["a", "b"]
    assert "share no KL with the others at all seeds: tiny" in matched["sentence"]


def test_without_a_common_kl_or_with_one_seed_it_is_said(tmp_path: Path) -> None:
    points(tmp_path / "apart", "a", (1.0, 2.0), 1.0)
    points(tmp_path / "apart", "b", (3.0, 6.0), 0.5)
    content = assemble([tmp_path / "apart"])
    assert content["matched_kl"]["rows"] == []
    assert any("nothing is compared at matched KL" in note for note in content["notes"])
    points(tmp_path / "one", "a", (1.0, 4.0), 1.0, seeds=[0])
    points(tmp_path / "one", "b", (1.0, 4.0), 0.5, seeds=[0])
    assert "share one seed: none can be told apart" in assemble([tmp_path / "one"])["matched_kl"]["sentence"]


def test_points_that_no_row_beats_are_marked(tmp_path: Path) -> None:
    for name, gain, kl in (("low", 0.2, 0.5), ("high", 0.9, 2.0), ("beaten", 0.5, 3.0)):
        for seed in SEEDS:
            write_run(tmp_path / f"{name}-{seed}", name, seed, gain, kl=kl)
    marked = {point["id"].split("-")[0]: point["pareto"] for point in assemble([tmp_path])["frontier"]["points"]}
    assert marked == {"low": True, "high": True, "beaten": False}


def test_the_curve_of_a_common_start_is_shown(tmp_path: Path) -> None:
    for seed in SEEDS:
        folder = write_run(tmp_path / str(seed), "m", seed, 0.5)
        change(folder, {"best_of": {"4": {"kl": 0.64, "gold": 0.1 * seed, "proxy": float("nan")}}})
    assert assemble([tmp_path])["frontier"]["best_of"] == [
        {"n": 4, "kl": 0.64, "gold": pytest.approx(0.15), "proxy": None}
    ]


def test_presets_over_conditions_get_one_figure(tmp_path: Path) -> None:
    """Gains of `a` are 0.5 and 0.3 under two rates of wrong labels, of `b` 0.2 in both."""
    for flip, gains in ((0.0, (0.5, 0.2)), (0.3, (0.3, 0.2))):
        for name, gain in zip("ab", gains, strict=True):
            for seed in SEEDS:
                folder = write_run(tmp_path / f"{name}-{flip}-{seed}", name, seed, gain, start=0.0)
                change(folder, {"about.settings.data.flip": flip})
    content = assemble([tmp_path])
    found = content["worlds"]
    assert found["worlds"] == ["data.flip=0", "data.flip=0.3"]
    assert {row["id"]: row["iqm"]["mean"] for row in found["rows"]} == {
        "a": pytest.approx(0.4),
        "b": pytest.approx(0.2),
    }
    assert {(each["a"], each["b"]): each["mean"] for each in found["improvement"]} == {("a", "b"): 1.0, ("b", "a"): 0.0}
    assert any(note.startswith("Over 2 conditions") and "a run of a gains more" in note for note in content["notes"])
    assert [row["gains"] for row in found["rows"]] == [pytest.approx([0.5, 0.3]), pytest.approx([0.2, 0.2])]
    at, curve = found["profiles"]["at"], found["profiles"]["curves"][0]
    assert (at[0], at[-1], curve["id"]) == (pytest.approx(0.2), pytest.approx(0.5), "a")
    shares = [each["mean"] for each in curve["shares"]]
    assert shares == [1.0 if mark < 0.3 else 0.5 if mark < 0.5 else 0.0 for mark in at]
    assert all(each["low"] <= each["mean"] <= each["high"] for each in curve["shares"])
