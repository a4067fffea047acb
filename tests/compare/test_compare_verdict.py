"""What a comparison may say and what not: rows that cannot be ranked, seeds that are not shared, budgets, starts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished import change, write_run

from alignlab.compare import blocks
from alignlab.compare.assemble import assemble
from alignlab.compare.board import board
from alignlab.compare.recommend import Limit, recommend, seeds_needed
from alignlab.compare.tables import leaderboard_markdown

SEEDS = range(5)


def rows(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["label"]: row for row in content["rows"]}


def runs(folder: Path, name: str, level: float, seeds: Any = SEEDS, **more: Any) -> list[Path]:
    """One run a seed around a level, with a little noise that differs by name and seed."""
    draw = random.Random(name)
    return [
        write_run(folder / f"{name}-{seed}", name, seed, level + 0.2 * seed + draw.gauss(0, 0.01), **more)
        for seed in seeds
    ]


def changed(folders: list[Path], changes: Callable[[int], dict[str, Any]]) -> None:
    for seed, folder in enumerate(folders):
        change(folder, changes(seed))


def test_a_best_row_with_too_few_seeds_is_not_told_apart(tmp_path: Path) -> None:
    runs(tmp_path, "short", 2.0, seeds=[0])
    for name in ("near", "twin"):
        runs(tmp_path, name, 0.3)
    content = assemble([tmp_path])
    assert content["answer"].startswith("short has the highest gold score")
    assert "too few common seeds" in content["answer"]
    assert "told apart from every" not in content["answer"]
    assert content["pairs"]


def test_rows_left_out_are_named_beside_those_told_apart(tmp_path: Path) -> None:
    runs(tmp_path, "far", 2.0)
    runs(tmp_path, "near", 0.3)
    runs(tmp_path, "short", 0.1, seeds=[0])
    content = assemble([tmp_path])
    assert "told apart from every other row that can be compared over 5 seeds" in content["answer"]
    assert "Too few common seeds to compare it with short." in content["answer"]
    advice = recommend(content, "gold", [])
    assert not advice.decided
    assert any("with short" in sentence for sentence in advice.sentences)


def test_the_best_over_its_own_seeds_may_be_below_over_the_common_ones(tmp_path: Path) -> None:
    runs(tmp_path, "low", 0.3, seeds=[0, 1, 2])
    runs(tmp_path, "lucky", 0.0)
    write_run(tmp_path / "more", "lucky", 9, 9.0)
    content = assemble([tmp_path])
    assert content["answer"].startswith("lucky has the highest")
    assert "Over the seeds that rows share low is above it." in content["answer"]


def test_seeds_in_common_are_counted_not_seeds(tmp_path: Path) -> None:
    runs(tmp_path / "apart", "a", 0.3, seeds=[0, 1])
    runs(tmp_path / "apart", "b", 0.2, seeds=[2, 3])
    content = assemble([tmp_path / "apart"])
    assert "One seed" not in content["answer"] + content["design"]["sentence"]
    assert "no seed in common" in content["design"]["sentence"]
    assert "too few common seeds" in content["answer"]
    runs(tmp_path / "one", "a", 0.3, seeds=[0, 1])
    runs(tmp_path / "one", "b", 0.2, seeds=[1, 2])
    content = assemble([tmp_path / "one"])
    assert "One common seed cannot tell" in content["answer"]
    assert content["design"]["sentence"].startswith("Only seed 1 is common")


def test_a_mean_of_zero_is_a_mean_and_a_figure_that_is_none_is_said(tmp_path: Path) -> None:
    write_run(tmp_path / "zero", "zero", 0, 0.0)
    write_run(tmp_path / "below", "below", 0, -1.0)
    broken = write_run(tmp_path / "broken", "broken", 0, 0.5)
    change(broken, {"metrics.eval/gold": float("nan"), "sft.metrics.eval/proxy": float("inf")})
    content = assemble([tmp_path])
    assert content["answer"].startswith("zero has the highest gold score, 0.00")
    assert any("gold of broken seed 0" in note for note in content["notes"])
    json.dumps(content, allow_nan=False)
    for folder in ("zero", "below"):
        change(tmp_path / folder, {"metrics.eval/gold": float("nan")})
    content = assemble([tmp_path])
    assert content["answer"] == "No row has a finite gold score."
    json.dumps(content, allow_nan=False)


def test_each_row_is_held_against_its_own_start(tmp_path: Path) -> None:
    """Two models: the larger starts at 1 and gains 0.1, the smaller starts at 0 and gains 0.5."""
    draw = random.Random(0)
    for name, start, gain in (("large", 1.0, 0.1), ("small", 0.0, 0.5)):
        for seed in SEEDS:
            level = start + gain + draw.gauss(0, 0.01)
            folder = write_run(tmp_path / f"{name}-{seed}", "m", seed, level, start=start)
            changes = {"fingerprints.sft": f"{name}{seed}", "about.settings.model": {"size": name}}
            change(folder, {**changes, "best_of": {"4": {"kl": 0.6, "gold": 0.2, "proxy": 0.3}}})
    content = assemble([tmp_path])
    found = rows(content)
    assert "SFT" not in found
    assert content["baseline"] == "sft"
    gaps = {pair["id"]: pair["difference"] for pair in content["against_baseline"]}
    assert gaps[found["m model.size=large"]["id"]] == pytest.approx(0.1, abs=0.02)
    assert gaps[found["m model.size=small"]["id"]] == pytest.approx(0.5, abs=0.02)
    assert any("against its own, by its gain" in note for note in content["notes"])
    assert content["frontier"]["best_of"] == []
    assert "sft" not in content["wins"]["ids"]
    for row in content["rows"][:2]:
        assert row["metrics"]["win_rate_controlled"]["mean"] > 0.9
    assert all(reply["id"] != "sft" for each in content["examples"] for reply in each["replies"])


def test_a_common_start_gives_the_differences_of_the_scores(tmp_path: Path) -> None:
    runs(tmp_path, "a", 0.6)
    runs(tmp_path, "b", 0.3)
    content = assemble([tmp_path])
    found, kept = rows(content), {pair["id"]: pair for pair in content["against_baseline"]}
    for label in ("a", "b"):
        apart = found[label]["metrics"]["gold"]["mean"] - found["SFT"]["metrics"]["gold"]["mean"]
        assert kept[found[label]["id"]]["difference"] == pytest.approx(apart)


def test_without_scores_of_sft_nothing_is_held_against_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for folder in runs(tmp_path, name, 0.5):
            change(folder, {"sft": {"metrics": {"eval/kl": 0.0}}})
    content = assemble([tmp_path])
    assert content["baseline"] is None
    assert content["against_baseline"] == []
    assert any("SFT policy was not scored" in note for note in content["notes"])


def test_different_data_are_not_ranked_against_each_other(tmp_path: Path) -> None:
    for place, data in enumerate(("desk", "other")):
        for name, level in (("a", 0.6), ("b", 0.3)):
            changed(
                runs(tmp_path / data, name, level + 5 * place),
                lambda seed, data=data: {
                    "run.data": data,
                    "about.settings.data.source": data,
                    "fingerprints.sft": f"{data}{seed}",
                },
            )
    content = assemble([tmp_path])
    assert [pool["label"] for pool in content["pools"]] == ["desk", "other"]
    assert content["notes"][0].startswith("Rows of different data are not ranked against each other.")
    assert content["answer"].startswith(
        "Rows of different data are not ranked against each other. desk: a data.source="
    )
    assert len(content["pairs"]) == 2
    tiers = [row["tiers"] for row in content["rows"] if not row["control"]]
    assert sorted(map(tuple, tiers)) == [("a",), ("b",), ("c",), ("d",)]
    assert all(row["rank"]["high"] <= 2 for row in content["rows"] if not row["control"])
    matrix = content["wins"]["raw"]
    assert matrix[0][1] is not None
    assert matrix[0][2] is matrix[3][1] is None
    advice = recommend(content, "gold", [])
    assert advice.row is None
    assert "not ranked" in advice.sentences[0]
    improvement = {(each["a"], each["b"]): each["mean"] for each in content["worlds"]["improvement"]}
    assert improvement["a", "b"] > 0.5
    assert all(row["iqm"] is None for row in content["worlds"]["rows"])
    assert content["worlds"]["profiles"] is None
    board_lines = [(line.pool, line.label[0]) for line in board(content).lines if not line.row["control"]]
    assert board_lines == [("desk", "a"), ("desk", "b"), ("other", "a"), ("other", "b")]
    assert any("a run of a gains more" in note for note in content["notes"])


def test_different_judges_are_not_ranked_by_their_scores_but_the_truth_is(tmp_path: Path) -> None:
    for flip in (0.0, 0.2):
        changed(
            runs(tmp_path / str(flip), "m", 0.3 + flip),
            lambda seed, flip=flip: {
                "about.settings.data.flip": flip,
                "fingerprints.held_out_reward": f"judge {flip} {seed}",
                "metrics.eval/judge_score": 0.1 * seed + flip,
                "sft.metrics.eval/judge_score": 0.0,
            },
        )
    assert len(assemble([tmp_path])["pools"]) == 1
    for path in tmp_path.glob("*/*/result.json"):
        content = json.loads(path.read_text())
        del content["metrics"]["eval/gold"]
        path.write_text(json.dumps(content))
    content = assemble([tmp_path])
    assert content["primary"] == "judge_score"
    assert [pool["label"] for pool in content["pools"]] == ["data.flip=0, judge 1", "data.flip=0.2, judge 2"]
    assert "Rows of different data or judges are not ranked" in content["answer"]


def test_runs_that_did_not_record_their_settings_are_of_the_same_data(tmp_path: Path) -> None:
    runs(tmp_path, "a", 0.5)
    for folder in runs(tmp_path, "b", 0.4):
        change(folder, {"about.settings": {}, "fingerprints": {}})
    for seed in SEEDS:
        change(tmp_path / f"a-{seed}", {"about.settings.data.source": "desk"})
    assert [pool["label"] for pool in assemble([tmp_path])["pools"]] == ["desk"]


def test_two_files_are_two_data(tmp_path: Path) -> None:
    for path in ("x.jsonl", "y.jsonl"):
        for folder in runs(tmp_path / path, "m", 0.5):
            change(folder, {"about.settings.data": {"source": "files", "path": path}})
    labels = [pool["label"] for pool in assemble([tmp_path])["pools"]]
    assert labels == ["desk, data.path=x.jsonl", "desk, data.path=y.jsonl"]


def test_captions_count_seeds_of_rows_that_have_runs(tmp_path: Path) -> None:
    runs(tmp_path, "a", 0.5)
    runs(tmp_path, "b", 0.4)
    assert "95 % intervals over 5 seeds" in leaderboard_markdown(assemble([tmp_path]))


def test_a_pair_without_common_requests_leaves_the_matrix_alone(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        runs(tmp_path, name, 0.5, seeds=[0, 1])
    for seed in (0, 1):
        path = tmp_path / f"c-{seed}" / "scores.json"
        content = json.loads(path.read_text())
        content["prompt"] = [f"other {each}" for each in content["prompt"]]
        path.write_text(json.dumps(content))
    wins = assemble([tmp_path])["wins"]
    place = {name.split("-")[0]: at for at, name in enumerate(wins["ids"])}
    assert wins["raw"][place["a"]][place["b"]] is not None
    assert wins["raw"][place["a"]][place["c"]] is None
    assert wins["controlled"][place["c"]][place["a"]] is None
    assert wins["raw"][place["c"]][place["c"]] == 0.5


def test_rows_whose_limits_only_their_means_meet_are_named(tmp_path: Path) -> None:
    for name, level, kl in (("safe", 0.3, 0.2), ("bold", 0.9, 0.95)):
        for seed, folder in enumerate(runs(tmp_path, name, level)):
            change(folder, {"metrics.eval/kl": kl + 0.1 * (seed - 2)})
    content = assemble([tmp_path])
    advice = recommend(content, "gold", [Limit("kl", "KL", 1.0)])
    assert advice.row is not None
    assert advice.row["label"] == "safe"
    assert not advice.decided
    said = next(sentence for sentence in advice.sentences if sentence.startswith("bold: its mean meets the limits"))
    assert "its interval does not (KL 0.95 [" in said
    assert said.endswith("is better.")
    weaker = recommend(content, "gold", [Limit("kl", "KL", 1.0)], least=True)
    assert weaker.decided


def test_uneven_rows_get_no_number_of_seeds(tmp_path: Path) -> None:
    draw = random.Random(3)
    for name, spread in (("calm", 0.001), ("even", 0.001), ("wild", 5.0)):
        for seed in range(8):
            write_run(tmp_path / f"{name}-{seed}", name, seed, 0.5 + draw.gauss(0, spread))
    content = assemble([tmp_path])
    assert content["design"]["kind"] == "per-pair t"
    sentences = " ".join(recommend(content, "gold", []).sentences)
    assert "how many seeds would tell cannot be given" in sentences
    assert "no affordable" not in sentences


def test_seeds_needed_tell_a_gap_four_times_of_five() -> None:
    """Simulated: three methods, a gap of the size seen, pooled residual; Tukey's half width by its formula."""
    from alignlab.compare.quantiles import range_quantile

    rng = np.random.default_rng(0)
    found = blocks.all_pairs(rng.normal(size=(3, 4)), ["a", "b", "c"])
    assert found.residual_sd is not None
    sd, gap = found.residual_sd, 1.2 * found.residual_sd
    seeds = seeds_needed(found, gap)
    assert seeds is not None
    drawn = rng.normal(0, sd, (4000, 3, seeds))
    drawn[:, 0] += gap
    means = drawn.mean(2)
    left = drawn - means[:, :, None] - drawn.mean(1)[:, None] + drawn.mean((1, 2))[:, None, None]
    pooled = np.sqrt((left**2).sum((1, 2)) / (2 * (seeds - 1)))
    half = range_quantile(0.95, 3, 2 * (seeds - 1)) * pooled / seeds**0.5
    power = float((means[:, 0] - means[:, 1] > half).mean())
    assert 0.77 < power < 0.86


def test_budgets_are_matched_only_where_they_are(tmp_path: Path) -> None:
    def budgets(axis: str, limits: tuple[Any, Any], pairs: tuple[int, int] = (100, 100)) -> str:
        for place, name in enumerate("ab"):
            folder = write_run(tmp_path / name, name, 0, 0.1)
            change(folder, {"about.settings.budget": {"axis": axis, "limit": limits[place]}})
            change(folder, {"about.settings.data.pairs": pairs[place]})
        return " ".join(assemble([tmp_path])["notes"])

    assert "Budgets are matched on labels alone, at 500." in budgets("labels", (500, 500))
    assert "Rows have different budgets of labels: 500, 2000." in budgets("labels", (2000, 500))
    assert "Rows have different budgets of labels: 500, all there are." in budgets("labels", (None, 500))
    assert "Budgets are matched on labels alone: see" in budgets("labels", (None, None))
    assert "budgets are not matched" in budgets("labels", (None, None), (100, 900))


def test_what_seeds_shared_names_fixed_streams(tmp_path: Path) -> None:
    for folder in runs(tmp_path / "streams", "a", 0.5):
        change(folder, {"about.settings.streams": {"data": 7}})
    told = " ".join(assemble([tmp_path / "streams"])["shared"])
    assert "streams.data=7" in told
    assert "moves everything else" in told
    for folder in runs(tmp_path / "stages", "a", 0.5, seeds=[1, 2]):
        change(folder, {"run.stage_seed": 0})
    runs(tmp_path / "stages", "b", 0.5, seeds=[1, 2])
    assert assemble([tmp_path / "stages"])["shared"][0].startswith("Some runs shared SFT")
