"""The benchmark of speed: contenders do the same work, take turns, and are told apart where they fail."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support import ROOT
from transformers import LlamaConfig, LlamaForCausalLM

sys.path.insert(0, str(ROOT / "benchmarks"))

import speed
from contest.bare import summed
from contest.figures import quartiles, ratios, summary
from contest.laid import padded, shared
from contest.material import END, drawn, read, spelled, tokenizer, tokens, write
from contest.referee import ContestError, Lane, contest
from contest.shapes import OURS, SHAPES, TASKS

PROBE = SHAPES["probe"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("material")
    write(PROBE, made)
    return made


def agree(lanes: list[Lane]) -> None:
    """Every contender has the losses of the first, step for step: the same tokens, model, rate and optimiser."""
    for lane in lanes:
        assert lane.losses == pytest.approx(lanes[0].losses, rel=1e-5), lane.contender
        assert lane.losses[0] != lane.losses[-1]


def test_alignlab_and_bare_loops_do_the_same_work_in_turns(folder: Path) -> None:
    lanes = contest("probe", "dpo", [OURS, "bare padded", "bare shared"], folder, rounds=2, warm=1)
    agree(lanes)
    for lane in lanes:
        assert len(lane.seconds) == 2
        assert len(lane.losses) == 3
        assert min(*lane.seconds, *lane.worked) > 0
        assert lane.peak_mb > lane.imports_mb > 0


@pytest.mark.slow
@pytest.mark.parametrize("task", ["sft", "reward", "dpo", "dpo-live", "kto"])
def test_trl_does_the_same_work(folder: Path, task: str) -> None:
    if importlib.util.find_spec("trl") is None:
        pytest.skip("pip install 'alignlab[bench]'")
    agree(contest("probe", task, TASKS[task], folder, rounds=2, warm=1))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["grpo", "rloo"])
def test_sampling_tasks_run(folder: Path, task: str) -> None:
    lanes = contest("probe", task, [OURS, "bare shared"], folder, rounds=1, warm=1)
    assert all(loss is not None for lane in lanes for loss in lane.losses)


def test_a_contender_that_fails_is_named_with_the_end_of_its_log(folder: Path) -> None:
    with pytest.raises(ContestError, match=r"(?s)bare padded stopped:.*KeyError: 'none'"):
        contest("probe", "none", ["bare padded"], folder, rounds=1)


def test_completions_behind_one_prompt_have_the_log_probabilities_of_rows_of_their_own() -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2
    )
    model = LlamaForCausalLM(config).double()
    groups = [(pair.prompt, [*pair.both, pair.chosen]) for pair in drawn(PROBE)]
    with torch.no_grad():
        apart, together = (summed(model, lay(groups)) for lay in (padded, shared))
    torch.testing.assert_close(apart, together, rtol=1e-6, atol=1e-6)  # Llama's norms are float32 inside
    prompt, replies = groups[0]
    with torch.no_grad():
        logits = model(torch.tensor([prompt + replies[1]])).logits[0].log_softmax(-1)
    places = range(len(prompt) - 1, len(prompt) + len(replies[1]) - 1)
    assert float(apart[1]) == pytest.approx(
        sum(float(logits[at, ids]) for at, ids in zip(places, replies[1], strict=True)), rel=1e-6
    )


def test_words_and_ids_are_the_same_tokens(folder: Path) -> None:
    words = tokenizer(PROBE.vocabulary)
    for pair in read(folder):
        assert words(spelled(pair.prompt))["input_ids"] == pair.prompt
        assert words(spelled(pair.chosen) + words.eos_token)["input_ids"] == [*pair.chosen, END]


def test_tokens_count_prompts_once_for_each_completion() -> None:
    pairs = drawn(PROBE)
    assert tokens(PROBE, "sft", pairs) == sum(len(p.prompt) + len(p.chosen) + 1 for p in pairs)
    assert tokens(PROBE, "dpo", pairs) == sum(2 * len(p.prompt) + len(p.chosen) + len(p.rejected) + 2 for p in pairs)
    assert tokens(PROBE, "grpo", pairs) == 4 * len(pairs[0].prompt) + 4 * PROBE.completion[1]


def test_ratios_are_taken_within_rounds() -> None:
    ours = Lane(OURS, seconds=[1.0, 2.0, 4.0], worked=[1.0, 1.0, 1.0])
    theirs = Lane("TRL", seconds=[3.0, 5.0, 20.0], worked=[2.0, 2.0, 2.0])
    assert ratios(theirs.seconds, ours.seconds) == [3.0, 2.5, 5.0]
    assert quartiles([3.0, 2.5, 5.0]) == (2.75, 3.0, 4.0)
    row = summary("probe", "dpo", 100, [ours, theirs])["contenders"][1]
    assert row["ratio"] == {"median": 3.0, "quartiles": [2.75, 4.0]}
    assert row["processor_ratio"]["median"] == 2.0
    assert row["tokens_per_second"] == 20


def test_the_command_shows_a_table_and_writes_every_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fast(shape: str, task: str, names: list[str], folder: Path, **_: Any) -> list[Lane]:
        return [Lane(name, seconds=[0.1 * place] * 2, worked=[0.1] * 2) for place, name in enumerate(names, 1)]

    monkeypatch.setattr(speed, "contest", fast)
    out = tmp_path / "speed.json"
    assert speed.main(["probe", "--tasks", "dpo", "--only", "bare shared", "--out", str(out)]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert [row["contender"] for row in found["found"][0]["contenders"]] == [OURS, "bare shared"]
    assert found["found"][0]["contenders"][1]["ratio"]["median"] == 2.0
    assert {"system", "cores"} <= set(found["machine"])
    assert {"torch", "transformers"} <= set(found["versions"])
    assert "bare shared" in capsys.readouterr().out


def test_an_unknown_shape_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        speed.main(["enormous"])
    assert "unknown shape 'enormous', choose from short, long, desk" in capsys.readouterr().err
